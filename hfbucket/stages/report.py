"""Plan the sources and tell what a build would write: nothing but the index cache is touched."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import Config
from hfbucket.core.events import OnEvent, ignore
from hfbucket.core.outcomes import CODE, EXPORTED, OUTCOMES
from hfbucket.core.plan import figures
from hfbucket.core.plan.captions import Choice
from hfbucket.core.plan.model import Plan
from hfbucket.core.plan.report import Example, Needs, OutcomeLine, PlanReport, SourceLine, WorstCrop
from hfbucket.core.plan.rows import PASSTHROUGH
from hfbucket.executors.local import worker_count
from hfbucket.io.index_files import Index
from hfbucket.io.store import is_local
from hfbucket.io.waits import waits_told
from hfbucket.sources import SOURCES
from hfbucket.stages.captions import caption_report, choice_for, selected_captions, with_captions, with_priority
from hfbucket.stages.filters import check_filters
from hfbucket.stages.index import index_of
from hfbucket.stages.plan import make_plan, read_protos
from hfbucket.stages.survey import survey
from hfbucket.stages.twins import twin_words


@waits_told
def plan(
    sources: str | Sequence[str],
    config: Config | None = None,
    *,
    output: str = "export",
    compare_bases: bool = False,
    on_event: OnEvent = ignore,
) -> PlanReport:
    """Return what a build of these sources would write, from image headers alone.

    Args:
        sources: paths, globs or URLs, each may be `name=PATH`.
        config: the settings; without it the defaults.
        output: the export that the build command names and free disk is looked up for.
        compare_bases: also count what other base resolutions would give.

    Raises:
        ConfigError, SourceError: the settings or the sources make no plan; says why and what to do.
    """
    sources = (sources,) if isinstance(sources, str) else tuple(sources)
    config = config or Config()
    check_filters(config)
    found = survey(sources, config, on_event=on_event)
    resolved = with_priority(found.config)
    index = with_captions(index_of(found, on_event=on_event), resolved, on_event=on_event)
    made = make_plan(index, resolved, on_event=on_event)
    report = make_report(index, made, resolved, sources, output, compare_bases)
    command = _build_command(config, sources, output, None if report.is_sample else made.plan_id)
    return dataclasses.replace(report, build_command=command)


def make_report(
    index: Index, made: Plan, config: Config, sources: Sequence[str], output: str, compare_bases: bool
) -> PlanReport:
    """Return the report of a plan that was made of an index."""
    found = figures.figures_of(made)
    scanned = _scanned(index, made)
    protos = read_protos(config)
    is_sample = _is_sample(index)
    return PlanReport(
        sources=_source_lines(index, scanned),
        images_seen=index.rows,
        funnel=_funnel(index, made, config.dedupe),
        too_many_failures=figures.too_many_failures(made, config.max_failure_ratio),
        batch_size=config.batch_size,
        tables=figures.base_tables(made, found, config.batch_size),
        worst_crops=_worst_crops(index, made, found),
        rescued_by_base=figures.rescued_by_base(made.sizes, found.too_small, config, protos),
        base_options=(figures.base_options(made.sizes, found.open_to_bases, config, protos) if compare_bases else ()),
        captions_selected=_captions_selected(made, choice_for(index, config)),
        captions=caption_report(index, made, config),
        captions_repaired=sum(each.captions_repaired for each in scanned),
        reencoded_in_passthrough=int(found.encoded_full.sum()) if config.image_mode == PASSTHROUGH else None,
        images_with_gps=sum(each.exported_with_gps for each in scanned),
        needs=_needs(index, made, found, scanned, config, output),
        shuffle=config.shuffle,
        is_sample=is_sample,
        plan_id=made.plan_id,
        build_command=_build_command(config, sources, output, None if is_sample else made.plan_id),
    )


def _is_sample(index: Index) -> bool:
    return bool(index.units_listed) and sum(index.units_listed) > len(index.units)


@dataclass(slots=True)
class _Scanned:
    """What the index tells of one unit, in numbers."""

    bytes: int = 0
    exported_bytes: int = 0
    exported_with_gps: int = 0
    captions_repaired: int = 0
    formats: Counter[str] = field(default_factory=Counter)


def _scanned(index: Index, made: Plan) -> list[_Scanned]:
    """Return the numbers of every unit, read a piece at a time."""
    units = [_Scanned() for _ in index.units]
    for start, piece in index.groups("format", "size_bytes", "gps", "caption_repaired"):
        unit = units[int(index.unit_of(np.array([start]))[0])]
        exported = pa.array(made.outcome[start : start + piece.num_rows] == EXPORTED)
        unit.bytes += pc.sum(piece["size_bytes"]).as_py() or 0
        unit.exported_bytes += pc.sum(piece["size_bytes"].filter(exported)).as_py() or 0
        unit.exported_with_gps += pc.sum(piece["gps"].filter(exported)).as_py() or 0
        unit.captions_repaired += pc.sum(piece["caption_repaired"]).as_py() or 0
        unit.formats.update(_value_counts(piece["format"]))
    return units


def _source_lines(index: Index, scanned: Sequence[_Scanned]) -> tuple[SourceLine, ...]:
    lines = []
    for number, source in enumerate(index.sources):
        units = [at for at, unit in enumerate(index.units) if unit.unit.source == number]
        facts = index.facts(number)
        line = SourceLine(
            name=source.name, kind=source.kind, units=len(units),
            units_listed=index.units_listed[number] if index.units_listed else len(units),
            images=sum(index.units[at].rows for at in units), bytes=sum(scanned[at].bytes for at in units),
            formats=_frequent(sum((scanned[at].formats for at in units), Counter())),
            ignored=_frequent(facts.ignored), ignored_members=facts.ignored_members, notes=facts.notes,
        )  # fmt: skip
        lines.append(line)
    return tuple(lines)


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"] or "unknown": entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def _frequent(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts with the largest first, of equals by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _funnel(index: Index, made: Plan, dedupe: str) -> tuple[OutcomeLine, ...]:
    lines, images = [], made.images()
    for outcome, rows in figures.first_rows(made).items():
        shown = index.take(rows, ("image_id", "detail"))
        told = pc.coalesce(twin_words(index, made.twins, dedupe, rows), made.filtered.details(rows), shown["detail"])
        examples = tuple(
            Example(image_id=image_id, detail=detail)
            for image_id, detail in zip(shown["image_id"].to_pylist(), told.to_pylist(), strict=True)
        )
        lines.append(OutcomeLine(outcome=outcome, images=images[CODE[outcome]], examples=examples))
    return (*lines, OutcomeLine(outcome=OUTCOMES[EXPORTED], images=images[EXPORTED]))


def _worst_crops(index: Index, made: Plan, found: figures.Figures) -> tuple[WorstCrop, ...]:
    rows = figures.worst_rows(made, found)
    sizes = made.size[rows].tolist()
    names = index.take(rows, ("image_id",))["image_id"].to_pylist()
    return tuple(
        WorstCrop(
            image_id=name,
            bucket_id=made.buckets[made.bucket_of_size[size]].bucket_id,
            source_w=int(made.sizes.width[size]),
            source_h=int(made.sizes.height[size]),
            crop_loss_ppm=int(found.loss_ppm[size]),
        )
        for name, size in zip(names, sizes, strict=True)
    )


def _captions_selected(made: Plan, choice: Choice) -> dict[str, int]:
    images = selected_captions(made, len(choice.universe))
    names = ("none", *choice.universe)
    return {names[at]: images[at] for at in (*range(1, len(names)), 0) if images[at]}


def _needs(
    index: Index, made: Plan, found: figures.Figures, scanned: Sequence[_Scanned], config: Config, output: str
) -> Needs:
    workers = max(1, worker_count(config.workers))
    spooled = (
        each for each, unit in zip(scanned, index.units, strict=True)
        if not SOURCES[unit.unit.kind].random_access(unit.unit)
    )  # fmt: skip
    return Needs(
        output_bytes=figures.output_bytes(made),
        spool_bytes=sum(each.exported_bytes for each in spooled),
        free_disk_bytes=_free_disk_bytes(output),
        seconds=figures.build_seconds(made, found, sum(each.exported_bytes for each in scanned), workers),
        workers=workers,
    )


def _free_disk_bytes(output: str) -> int | None:
    if not is_local(output):
        return None
    folder = Path(output).absolute()
    while not folder.is_dir():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _build_command(config: Config, sources: Sequence[str], output: str, plan_id: str | None) -> tuple[str, ...]:
    # Batch size and a sample of units are for plans alone.
    to_build = dataclasses.replace(config, batch_size=Config().batch_size, sample_units=None, expect_plan=plan_id)
    flags = to_build.flags("content", "run", "words")
    return ("hfbucket", "build", *sources, "-o", output, *flags)
