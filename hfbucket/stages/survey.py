"""Stage survey: what the sources are, what lies there, and which captions their annotation files bring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hfbucket.config import DEFAULT_VARIANTS, Config
from hfbucket.core.events import Notice, OnEvent, ignore
from hfbucket.core.units import SourceSpec, UnitFacts
from hfbucket.errors import SourceError
from hfbucket.sources import SOURCES, Files, Listing
from hfbucket.sources.annotations.fields import Fields
from hfbucket.sources.annotations.files import name_of
from hfbucket.sources.annotations.find import find, named_files
from hfbucket.sources.annotations.table import Annotations, read_annotations
from hfbucket.sources.detect import looked_up
from hfbucket.sources.rows import extension_of
from hfbucket.stages.caches import cache_folder

_SHOWN: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """Annotations, and the images that they are about."""

    annotations: Annotations
    #: Number of the source; None for all of them.
    source: int | None
    #: They were found beside the images; else the user named them.
    found: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The sources of a plan before anything of their images is read."""

    sources: tuple[SourceSpec, ...]
    listings: tuple[Listing, ...]
    annotations: tuple[Attached, ...]
    #: Caption columns that the user named.
    named_columns: tuple[str, ...]
    #: The settings, with the caption columns that annotation files bring where the user named none.
    config: Config


def survey(
    sources: Sequence[str],
    config: Config,
    *,
    on_event: OnEvent = ignore,
    check: Callable[[Sequence[SourceSpec]], None] | None = None,
) -> Survey:
    """Return what the sources are, after listing them and reading their annotation files.

    Args:
        sources: `PATH` or `name=PATH`: folders, files or globs, local or any fsspec URL.
        check: refuses sources, by raising, before anything of them is read.

    Raises:
        SourceError: a source or an annotation file is not there, empty, unreadable, or not what was said.
    """
    looked = [_looked_up(argument, config) for argument in sources]
    specs = tuple(spec for spec, _ in looked)
    if check is not None:
        check(specs)
    listings = tuple(_listing(spec, number, config, files) for number, (spec, files) in enumerate(looked))
    for spec, listing in zip(specs, listings, strict=True):
        refuse_empty(spec, len(listing.units), listing.facts)
    found = _annotation_files(specs, listings, config)
    attached = tuple(_attached(urls, source, config, on_event) for source, urls in found)
    used = {url for _, urls in found for url in urls}
    return Survey(
        sources=specs,
        listings=tuple(_without(listing, used) for listing in listings),
        annotations=attached,
        named_columns=config.caption_column,
        config=_with_columns(config, attached),
    )


def refuse_empty(spec: SourceSpec, found: int, facts: UnitFacts) -> None:
    """Raise SourceError where nothing was found in a source; says what is there instead."""
    if found:
        return
    ignored = ", ".join(f"{count} .{extension}" for extension, count in facts.ignored.items()) or "nothing else"
    told = f"source {spec.name!r} holds no images: found {ignored}"
    if facts.notes:
        more = f" (and {len(facts.notes) - _SHOWN} more)" if len(facts.notes) > _SHOWN else ""
        raise SourceError(f"{told}. {'. '.join(facts.notes[:_SHOWN])}{more}")
    raise SourceError(f"{told}. Is the path right, or --source-type?")


def _looked_up(argument: str, config: Config) -> tuple[SourceSpec, Files | None]:
    try:
        return looked_up(argument, config)
    except OSError as error:
        raise SourceError(f"{argument}: cannot be looked at: {error}") from error


def _listing(spec: SourceSpec, number: int, config: Config, files: Files | None) -> Listing:
    try:
        return SOURCES[spec.kind].list_units(spec, number, config, files)
    except OSError as error:
        raise SourceError(f"{spec.url}: cannot be listed: {error}") from error


def _annotation_files(
    specs: Sequence[SourceSpec], listings: Sequence[Listing], config: Config
) -> list[tuple[int | None, list[str]]]:
    """Return (source, its annotation files): those that were named for all sources, or what lies in each."""
    if config.annotations:
        return [(None, [url for path in config.annotations for url in named_files(path)])]
    found: list[tuple[int | None, list[str]]] = []
    for number, (spec, listing) in enumerate(zip(specs, listings, strict=True)):
        url = find(listing.beside, spec.name, config.caption_column)
        if url is not None:
            found.append((number, [url]))
    return found


def _attached(urls: Sequence[str], source: int | None, config: Config, on_event: OnEvent) -> Attached:
    fields = Fields(columns=config.caption_column, keep_location=config.keep_location)
    annotations = read_annotations(urls, fields, cache_folder(config) / "annotations")
    for problem in annotations.problems:
        on_event(Notice(level="warning", text=f"{problem}: not used"))
    return Attached(annotations=annotations, source=source, found=not config.annotations)


def _with_columns(config: Config, attached: Sequence[Attached]) -> Config:
    """Return the settings with a caption column for each of several captions; images without go on having their own."""
    most = max((each.annotations.captions for each in attached), default=0)
    if config.caption_column or most < 2:
        return config
    columns = (*(f"caption_{number}" for number in range(1, most + 1)), *DEFAULT_VARIANTS)
    return replace(config, caption_column=columns)


def _without(listing: Listing, used: set[str]) -> Listing:
    """Return a listing in which the annotation files that are used are no files that were ignored."""
    ours = [name_of(url) for url in listing.beside if url in used]
    if not ours:
        return listing
    ignored = dict(listing.facts.ignored)
    for extension in map(extension_of, ours):
        if extension in ignored:  # not where a glob or a single file was named
            ignored[extension] -= 1
    facts = replace(
        listing.facts,
        ignored={extension: count for extension, count in ignored.items() if count},
        beside=tuple(name for name in listing.facts.beside if name.rpartition("/")[2] not in ours),
    )
    return replace(listing, facts=facts)
