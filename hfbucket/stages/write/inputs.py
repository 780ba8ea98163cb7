"""What a build or an update begins with: settings, words and the index of the sources, all checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic
from urllib.parse import urlsplit

from hfbucket.config import Config
from hfbucket.core.card.words import Words
from hfbucket.core.events import OnEvent
from hfbucket.core.settings import content_settings
from hfbucket.errors import ConfigError
from hfbucket.io.card_words import read_words
from hfbucket.io.clock import created
from hfbucket.io.index_files import Index
from hfbucket.io.places import Place, Remote, place_of
from hfbucket.io.store import is_local
from hfbucket.stages.caches import with_shared_cache
from hfbucket.stages.captions import with_captions, with_priority
from hfbucket.stages.filters import check_filters
from hfbucket.stages.index import index_of
from hfbucket.stages.plan import read_protos
from hfbucket.stages.survey import survey
from hfbucket.stages.write.forward import settle_first
from hfbucket.stages.write.places import check_apart, check_settings
from hfbucket.stages.write.work import P, Work

__all__ = ["Inputs", "read_inputs"]

_READ_ONLY: Final = frozenset({"hf", "http", "https", "zip", "tar", "github", "git", "data"})
"""Protocols of what nothing is written to, or only as a whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs(Generic[P]):
    """What is to be built, from what, and where."""

    export: Place
    work: Work[P]
    config: Config
    #: The resolved content settings.
    settings: Mapping[str, Any]
    words: Words
    #: Of the card, text by file name, in the place of the packaged ones.
    templates: Mapping[str, str]
    index: Index


def read_inputs(
    sources: Sequence[str], export: Place, work: Work[P], config: Config, *, on_event: OnEvent
) -> Inputs[P]:
    """Return what is to be built, after bringing an interrupted change of the export to its end and scanning.

    Raises:
        ConfigError: a setting does not fit.
        SourceError: a source is empty, contradicts itself, or lies inside the output or around it.
        PlanMismatchError: an export with other settings is there.
    """
    _check_config(export, config)
    config = with_shared_cache(config, work.folder)
    words, templates = read_words(config), _templates(config)
    check_filters(config)
    if isinstance(export, Path):
        settle_first(export, on_event=on_event)
    found = survey(sources, config, on_event=on_event, check=lambda specs: check_apart(specs, export, work))
    config = with_priority(found.config)
    settings = content_settings(config, read_protos(config))
    check_settings(export, work, settings, overwrite=config.overwrite)
    index = with_captions(index_of(found, on_event=on_event, copies=work.copies), config, on_event=on_event)
    return Inputs(
        export=export,
        work=work,
        config=config,
        settings=settings,
        words=words,
        templates=templates,
        index=index,
    )


def _templates(config: Config) -> dict[str, str]:
    if not config.template:
        return {}
    from hfbucket.io.card_templates import read_templates  # cards come at the end, their imports while others write

    return read_templates(config)


def _check_config(export: Place, config: Config) -> None:
    for place in (export, config.work_dir and place_of(config.work_dir)):
        if isinstance(place, Remote):
            _check_store(place)
    if isinstance(export, Remote):
        export.exists(is_first=True)  # that nobody answers there is told now, not when all sources are scanned
    if isinstance(export, Path) and config.work_dir and not is_local(config.work_dir):
        raise ConfigError(f"the work folder of an export on this machine is here, too, got work_dir {config.work_dir}")
    created()  # a wrong SOURCE_DATE_EPOCH is told now, not when all is written
    if config.sample_units is not None:
        raise ConfigError("sample_units is for plans: a build reads every unit; leave it away")
    if config.format == "bucketed_shards_v1" and len(config.base) > 1:
        raise ConfigError(f"format bucketed_shards_v1 has one base, got {', '.join(map(str, config.base))}")


def _check_store(place: Remote) -> None:
    """Refuse a store that takes no files one by one, and the top of one: the work folder stands beside an export."""
    if place.protocol in _READ_ONLY:
        raise ConfigError(f"an export cannot be built at {place}; build it in a folder or at a store, then push it")
    parts = urlsplit(place.url)
    if parts.password:
        raise ConfigError(
            f"the password of {place.protocol}://{parts.hostname} would be told in messages; give it by what fsspec "
            f"reads, such as FSSPEC_{place.protocol.upper()}_PASSWORD, and not in the URL"
        )
    if "/" not in place.url.partition("://")[2]:
        raise ConfigError(f"an export is a folder in a store, got {place}; give one, such as {place}/export")
