"""The plan stage: reads the index piece by piece, refuses what a build could not mean, and makes the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NoReturn

import numpy as np

from hfbucket.config import Config
from hfbucket.core.chunks import chunks
from hfbucket.core.duplicates.exact import Repeats, find_repeats
from hfbucket.core.events import OnEvent, Progress, ignore
from hfbucket.core.hashing import sha256_of
from hfbucket.core.law.buckets import SDXL, Protos, parse_protos, scaled_buckets
from hfbucket.core.law.geometry import Int64s, Words, digest_words
from hfbucket.core.outcomes import CODE, EXPORTED, OUTCOMES
from hfbucket.core.plan import figures
from hfbucket.core.plan.captions import Choice
from hfbucket.core.plan.make import plan_rows
from hfbucket.core.plan.model import Plan
from hfbucket.core.plan.rows import Rows, columns_for
from hfbucket.core.plan.standing import Bools, Standing
from hfbucket.core.settings import content_settings
from hfbucket.errors import ConfigError, SourceError
from hfbucket.io import store
from hfbucket.io.index_files import Index
from hfbucket.io.places import Place
from hfbucket.sources.annotations.find import above_source
from hfbucket.stages.captions import choice_for
from hfbucket.stages.filters import filtered
from hfbucket.stages.fingerprints import fingerprints

_SHOWN = 3  # image_ids in a message


def read_protos(config: Config) -> Protos:
    """Return the proto table that `config.protos` names.

    Raises:
        ConfigError: it is no known name and no file with one WxH a line.
    """
    if config.protos == "sdxl":
        return SDXL
    try:
        text = store.read_bytes(config.protos).decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"protos must be sdxl or a file with one WxH a line, got {config.protos!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"protos: {config.protos} cannot be read: {error}") from None
    try:
        return parse_protos(text)
    except ConfigError as error:
        raise ConfigError(f"{config.protos}: {error}") from None


def make_plan(
    index: Index,
    config: Config,
    *,
    standing: Callable[[Rows], Standing] | None = None,
    on_event: OnEvent = ignore,
    copies: Place | None = None,
) -> Plan:
    """Return what becomes of every row of an index.

    Args:
        standing: returns what an export holds of the rows already: then the plan adds to it.
        copies: folder for copies of remote units that must be read whole: who writes their images needs them again.

    Raises:
        BuildError: a filter failed, or a source cannot be read where duplicates are looked for.
        ConfigError: the bucket settings leave no bucket, or a filter makes no sense.
        SourceError: the sources are empty, two inputs share an image_id, captions are missing, or nothing would be
            exported; says what to do.
    """
    protos = read_protos(config)
    buckets = scaled_buckets(config.base, protos, config.divisible)
    if index.rows == 0:
        named = ", ".join(source.url for source in index.sources)
        raise SourceError(f"no images in {named}; check the path, or force how it is read with --source-type")
    choice = choice_for(index, config)
    # What an export holds is looked up by key: two words.
    rows = _read(index, config, choice, on_event, words=1 if standing is None else 2)
    same_id = find_repeats(rows.words[:, 0], partial(keys_of, index))
    if config.duplicate_ids == "error":
        check_ids(index, same_id)
    stands = None if standing is None else standing(rows)
    looked_at = np.ones(index.rows, dtype=bool) if stands is None else ~stands.apart
    left_out = filtered(index, config, (rows.outcome == EXPORTED) & looked_at, on_event)
    decided = plan_id(index, config, protos)
    if left_out.words:
        rows.outcome[left_out.by > 0] = CODE["filtered"]
        # What a function does, or a release of the SQL engine, may change while its name stays.
        decided = sha256_of([decided, left_out.sha256])[:16]
    _check_captions(index, rows, config, choice, looked_at)
    if config.dedupe == "none":
        plan = plan_rows(rows, buckets, config, plan_id=decided, same_id=same_id, standing=stands)
    else:
        look = partial(fingerprints, index, config=config, on_event=on_event, copies=copies)
        plan = plan_rows(rows, buckets, config, same_id=same_id, standing=stands, fingerprints=look)
        # An index knows nothing of pixels, and of bytes but their number: what was found decides, too.
        plan = replace(plan, plan_id=sha256_of([decided, plan.twins.sha256])[:16])
    plan = replace(plan, filtered=left_out, caption_bytes=rows.caption_bytes)
    if stands is None and not len(plan.members):
        _refuse_nothing(index, plan, config, protos)
    return plan


def plan_id(index: Index, config: Config, protos: Protos) -> str:
    """Return 16 hex digits of what decides a plan: the content settings, every source's name and index hash, and the
    hash of the captions of a workspace."""
    sources = [
        {"name": source.name, "index_sha256": index.source_sha256(number)}
        for number, source in enumerate(index.sources)
    ]
    decides: dict[str, object] = {"settings": content_settings(config, protos), "sources": sources}
    if index.captions is not None and index.captions.sha256:
        decides["captions_sha256"] = index.captions.sha256
    return sha256_of(decides)[:16]


def _read(index: Index, config: Config, choice: Choice, on_event: OnEvent, *, words: int) -> Rows:
    rows = Rows.empty(index.rows, config, words=words)
    for start, piece in index.groups(*columns_for(config)):
        rows.put(start, piece, config, choice)
        on_event(Progress(stage="plan", done=start + piece.num_rows, total=index.rows, unit="images"))
    return rows


def keys_of(index: Index, rows: Int64s) -> Words:
    """Return the first 16 bytes of the digests of index rows, as words."""
    words = np.empty((len(rows), 2), dtype=np.uint64)
    for here in chunks(len(rows)):
        digests = index.take(rows[here], ("digest",))["digest"]
        words[here] = digest_words(digests.combine_chunks())[:, :2]
    return words


def check_ids(index: Index, same_id: Repeats) -> None:
    """Refuse two inputs with one image_id, naming both."""
    again, first = same_id.among(np.ones(len(same_id.rows), dtype=bool))
    if len(again) == 0:
        return
    pair = np.array([first[0], again[0]], dtype=np.int64)
    inputs = index.take(pair, ("image_id", "archive", "member")).to_pylist()
    sources = [index.sources[index.units[unit].unit.source] for unit in index.unit_of(pair).tolist()]
    places = [
        f"{source.url}: {'/'.join(part for part in (entry['archive'], entry['member']) if part)}"
        for source, entry in zip(sources, inputs, strict=True)
    ]
    remedy = "take ids from a metadata column with --id-column"
    if sources[0] is not sources[1]:
        remedy = f"prefix the ids with a name of each source, as in first={sources[0].url} second={sources[1].url}"
    others = f" ({len(again)} inputs repeat an image_id)" if len(again) > 1 else ""
    raise SourceError(f"two inputs have the image_id {inputs[0]['image_id']!r}: {places[0]} and {places[1]}{others}; "
                      f"{remedy}, or keep the first of each with --duplicate-ids first")  # fmt: skip


def _check_captions(index: Index, rows: Rows, config: Config, choice: Choice, looked_at: Bools) -> None:
    readable = (rows.outcome == EXPORTED) & looked_at
    without = np.flatnonzero(readable & (rows.caption_index < 0))
    images = int(np.count_nonzero(readable))
    lacking = f"{len(without)} of {images} images have no caption"
    if choice.min_chars:
        lacking += f" of at least {choice.min_chars} characters"
    if config.missing_caption == "error" and len(without):
        shown = _ids(index, without)
        raise SourceError(f"{lacking}, among them {shown}; --missing-caption error asks for one in each. "
                          + _caption_help(index, config, choice))  # fmt: skip
    if config.missing_caption is None and 2 * len(without) > images:
        raise SourceError(f"{lacking}. " + _caption_help(index, config, choice))


def _caption_help(index: Index, config: Config, choice: Choice) -> str:
    help_text = f"Looked for {', '.join(choice.priority)}"
    if config.priority:
        others = ", ".join(choice.universe[len(choice.priority) :])
        help_text += f"; other variants: {others}; add one of them to --priority" if others else ""
    else:
        facts = [index.facts(number) for number in range(len(index.sources))]
        keys = sorted({key for each in facts for key in each.meta_keys})
        sidecars = sorted({extension for each in facts for extension in each.sidecars})
        help_text += (
            f"; columns found: {', '.join(keys) or 'none'}; sidecar files found: {', '.join(sidecars) or 'none'}. "
            f"{_files_help(index)}Name the column with --caption-column NAME"
        )
    return (
        f"{help_text}, keep images without caption with --missing-caption empty, or leave them out with "
        "--missing-caption drop"
    )


def _files_help(index: Index) -> str:
    """Return what lies around that may have the captions, in a sentence, or nothing."""
    beside = sorted({name for number in range(len(index.sources)) for name in index.facts(number).beside})
    above = [path for source in index.sources if (path := above_source(source.url)) is not None]
    told = [f"files beside the images that were ignored: {', '.join(beside[:_SHOWN])}"] if beside else []
    told += [f"{path} looks like annotations" for path in above[:1]]
    return f"{'; '.join(told)}: give a file with captions of many images with --annotations FILE. " if told else ""


def _ids(index: Index, rows: Int64s) -> str:
    return ", ".join(map(repr, index.take(rows[:_SHOWN], ("image_id",))["image_id"].to_pylist()))


def _refuse_nothing(index: Index, plan: Plan, config: Config, protos: Protos) -> NoReturn:
    images = plan.images()
    told = ", ".join(f"{images[code]} {name}" for code, name in enumerate(OUTCOMES) if images[code])
    found = figures.figures_of(plan)
    if images[CODE["skipped_too_small"]]:
        sizes = plan.sizes
        largest = np.argmax(sizes.width * sizes.height * (found.too_small > 0))
        taken = figures.rescued_by_base(sizes, found.too_small, config, protos)
        remedy = ", ".join(f"--base {base} would take {images}" for base, images in [*taken.items()][:_SHOWN])
        raise SourceError(
            f"no image fits any bucket ({told}): the largest too small one has {sizes.width[largest]}x"
            f"{sizes.height[largest]} pixels; {remedy or 'no common lower base would take any'}"
        )
    raise SourceError(f"nothing would be exported: of {len(plan.outcome)} images {told}{_for_example(index, plan)}")


def _for_example(index: Index, plan: Plan) -> str:
    """Return one image of the commonest outcome and what is wrong with it; nothing where the outcome says it all."""
    images = plan.images()
    first = max(figures.first_rows(plan).items(), key=lambda found: images[CODE[found[0]]])[1][:1]
    shown = index.take(first, ("image_id", "detail")).to_pylist()
    return "".join(f", such as {image['image_id']!r}: {image['detail']}" for image in shown if image["detail"])
