"""Plan the sources and tell what a build would write: nothing but the index cache is touched."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import Config
from hfbucket.core.events import OnEvent, ignore
from hfbucket.core.law.sizes import Sizes, distinct_sizes
from hfbucket.core.outcomes import CODE, EXPORTED, OUTCOMES
from hfbucket.core.plan import figures
from hfbucket.core.plan.captions import Choice
from hfbucket.core.plan.model import ENCODE_FULL, Plan
from hfbucket.core.plan.report import Example, Needs, OutcomeLine, PlanReport, SourceLine, WorstCrop
from hfbucket.executors.local import worker_count
from hfbucket.io.index_files import Index
from hfbucket.io.store import is_local
from hfbucket.sources import SOURCES
from hfbucket.stages.captions import caption_report, choice_for, with_captions, with_priority
from hfbucket.stages.filters import check_filters
from hfbucket.stages.index import index_of
from hfbucket.stages.plan import make_plan, read_protos
from hfbucket.stages.survey import survey
from hfbucket.stages.twins import twin_words

_COLUMNS = ("format", "size_bytes", "width", "height", "gps", "caption_repaired")


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
    table = index.columns(*_COLUMNS)
    rows, loss_ppm = figures.exported_loss_ppm(made)
    sizes, too_small = _sizes(table, made)
    protos = read_protos(config)
    is_sample = _is_sample(index)
    return PlanReport(
        sources=_source_lines(index, table),
        images_seen=index.rows,
        funnel=_funnel(index, made, config.dedupe),
        too_many_failures=figures.too_many_failures(made, config.max_failure_ratio),
        batch_size=config.batch_size,
        tables=figures.base_tables(made, rows, loss_ppm, config.batch_size),
        worst_crops=_worst_crops(index, made, rows, loss_ppm),
        rescued_by_base=figures.rescued_by_base(too_small, config, protos),
        base_options=figures.base_options(sizes, config, protos) if compare_bases else (),
        captions_selected=_captions_selected(made, choice_for(index, config)),
        captions=caption_report(index, made, config),
        captions_repaired=int(pc.sum(table["caption_repaired"]).as_py() or 0),
        reencoded_in_passthrough=_reencoded(made) if config.image_mode == "passthrough_jpeg" else None,
        images_with_gps=int(_is_true(table["gps"])[made.outcome == EXPORTED].sum()),
        needs=_needs(index, made, table, config, output),
        shuffle=config.shuffle,
        is_sample=is_sample,
        plan_id=made.plan_id,
        build_command=_build_command(config, sources, output, None if is_sample else made.plan_id),
    )


def _is_sample(index: Index) -> bool:
    return bool(index.units_listed) and sum(index.units_listed) > len(index.units)


def _is_true(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), dtype=bool)


def _pixels(table: pa.Table, name: str) -> figures.Int64s:
    return np.asarray(pc.fill_null(table[name], 0).to_numpy(), dtype=np.int64)


def _source_lines(index: Index, table: pa.Table) -> tuple[SourceLine, ...]:
    lines = []
    for number, source in enumerate(index.sources):
        units = [at for at, unit in enumerate(index.units) if unit.unit.source == number]
        # The units of a source are one run of the index.
        first = int(index.starts[units[0]]) if units else 0
        rows = table.slice(first, sum(index.units[at].rows for at in units))
        facts = index.facts(number)
        line = SourceLine(
            name=source.name, kind=source.kind, units=len(units),
            units_listed=index.units_listed[number] if index.units_listed else len(units),
            images=rows.num_rows, bytes=int(pc.sum(rows["size_bytes"]).as_py() or 0),
            formats=_frequent(_value_counts(rows["format"])), ignored=_frequent(facts.ignored),
            ignored_members=facts.ignored_members, notes=facts.notes,
        )  # fmt: skip
        lines.append(line)
    return tuple(lines)


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"] or "unknown": entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def _frequent(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts with the largest first, of equals by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _funnel(index: Index, made: Plan, dedupe: str) -> tuple[OutcomeLine, ...]:
    lines = []
    for outcome, rows in figures.first_rows(made).items():
        shown = index.take(rows, ("image_id", "detail"))
        told = pc.coalesce(twin_words(index, made.twins, dedupe, rows), made.filtered.details(rows), shown["detail"])
        examples = tuple(
            Example(image_id=image_id, detail=detail)
            for image_id, detail in zip(shown["image_id"].to_pylist(), told.to_pylist(), strict=True)
        )
        count = int(np.count_nonzero(made.outcome == CODE[outcome]))
        lines.append(OutcomeLine(outcome=outcome, images=count, examples=examples))
    exported = int(np.count_nonzero(made.outcome == EXPORTED))
    return (*lines, OutcomeLine(outcome=OUTCOMES[EXPORTED], images=exported))


def _worst_crops(index: Index, made: Plan, rows: figures.Int64s, loss_ppm: figures.Int64s) -> tuple[WorstCrop, ...]:
    worst = figures.worst_rows(rows, loss_ppm)
    shown = index.take(rows[worst], ("image_id", "width", "height")).to_pylist()
    return tuple(
        WorstCrop(
            image_id=row["image_id"],
            bucket_id=made.buckets[made.bucket[rows[at]]].bucket_id,
            source_w=row["width"],
            source_h=row["height"],
            crop_loss_ppm=int(loss_ppm[at]),
        )
        for at, row in zip(worst, shown, strict=True)
    )


def _sizes(table: pa.Table, made: Plan) -> tuple[Sizes, Sizes]:
    """Return the distinct sizes of all images that only the choice of bases decides about, and of those too small."""
    width, height = _pixels(table, "width"), _pixels(table, "height")
    too_small = made.outcome == CODE["skipped_too_small"]
    open_to_bases = too_small | (made.outcome == EXPORTED)
    for name in ("skipped_too_cropped", "skipped_rare_bucket"):
        open_to_bases |= made.outcome == CODE[name]
    return (
        distinct_sizes(width[open_to_bases], height[open_to_bases]),
        distinct_sizes(width[too_small], height[too_small]),
    )


def _captions_selected(made: Plan, choice: Choice) -> dict[str, int]:
    chosen = made.caption_index[made.outcome == EXPORTED].astype(np.int64)
    counts = np.bincount(chosen + 1, minlength=len(choice.universe) + 1)
    names = ("none", *choice.universe)
    return {names[at]: int(counts[at]) for at in (*range(1, len(names)), 0) if counts[at]}


def _reencoded(made: Plan) -> int:
    return int(np.count_nonzero((made.outcome == EXPORTED) & (made.encode == ENCODE_FULL)))


def _needs(index: Index, made: Plan, table: pa.Table, config: Config, output: str) -> Needs:
    size_bytes = _pixels(table, "size_bytes")
    workers = max(1, worker_count(config.workers))
    return Needs(
        output_bytes=figures.output_bytes(made),
        spool_bytes=_spool_bytes(index, made, size_bytes),
        free_disk_bytes=_free_disk_bytes(output),
        seconds=figures.build_seconds(made, _pixels(table, "width") * _pixels(table, "height"), size_bytes, workers),
        workers=workers,
    )


def _spool_bytes(index: Index, made: Plan, size_bytes: figures.Int64s) -> int:
    rows = np.flatnonzero(made.outcome == EXPORTED)
    spooled = np.array([not SOURCES[unit.unit.kind].random_access(unit.unit) for unit in index.units], dtype=bool)
    return int(size_bytes[rows[spooled[index.unit_of(rows)]]].sum())


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
