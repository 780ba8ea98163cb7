"""The report of a plan as text, in the order a reader decides: what is there, what goes where, what it costs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from hfbucket.cli.output import printable
from hfbucket.core.plan.report import BaseTable, BucketLine, PlanReport, SourceLine


def plan_text(report: PlanReport) -> str:
    """Return the report as lines of text."""
    sections = (
        _sources(report), _funnel(report), *(_table(report, table) for table in report.tables),
        _examples(report), _worst_crops(report), _rescued(report), _base_options(report),
        _captions(report), _remarks(report), _needs(report), _command(report),
    )  # fmt: skip
    return "\n\n".join(text for text in map("\n".join, sections) if text)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as aligned lines, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def percent(ppm: int) -> str:
    """Return millionths as percent, one digit."""
    return f"{ppm / 10_000:.1f}%"


def size(count: int) -> str:
    """Return bytes in a readable unit of thousands."""
    amount, units = float(count), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while amount >= 999.5 and unit != "TB":
        amount, unit = amount / 1000, next(units)
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f} {unit}"


def duration(seconds: int) -> str:
    """Return seconds in a readable unit."""
    if seconds < 100:
        return f"{seconds} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _several(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _sources(report: PlanReport) -> Iterable[str]:
    lines = ["Sources"]
    for source in report.sources:
        lines += _source(source)
    if report.is_sample:
        lines.append("  Only some units were read (--sample-units): all numbers below are for those alone.")
    return lines


def _source(source: SourceLine) -> Iterable[str]:
    of = f" of {source.units_listed:,}" if source.units < source.units_listed else ""
    units = f"{source.units:,}{of} unit" + ("" if source.units == 1 and not of else "s")
    yield f"  {source.name} ({source.kind}): {_several(source.images, 'image')} in {units}, {size(source.bytes)}"
    if source.formats:
        yield f"    formats: {_counts(source.formats)}"
    ignored = {f".{extension}" if extension else "no extension": count for extension, count in source.ignored.items()}
    if source.ignored_members:
        ignored["links and other members that are no files"] = source.ignored_members
    if ignored:
        yield f"    ignored: {_counts(ignored)}"
    for note in source.notes:
        yield f"    note: {printable(note)}"


def _funnel(report: PlanReport) -> Iterable[str]:
    yield "Images"
    yield from columns(
        [("images_seen", f"{report.images_seen:,}"), *((line.outcome, f"{line.images:,}") for line in report.funnel)]
    )
    if report.too_many_failures:
        yield "  More images cannot be decoded than --max-failure-ratio allows: a build would stop here."


def _table(report: PlanReport, table: BaseTable) -> Iterable[str]:
    batch = report.batch_size
    yield f"Base {table.base}: {_several(table.images, 'image')} in {_several(len(table.buckets), 'bucket')}"
    head = ("bucket", "target", "images", "share", "mean crop", "worst crop", f"batches of {batch}", "left over", "")
    yield from columns([head, *(_bucket(line) for line in table.buckets), _total(table)])
    under_filled = sum(line.under_filled for line in table.buckets)
    if under_filled:
        yield f"  {_several(under_filled, 'bucket')} marked * cannot fill one batch; see --min-bucket and --rare."


def _bucket(line: BucketLine) -> tuple[str, ...]:
    return (
        line.bucket_id, f"{line.w}x{line.h}", f"{line.images:,}", percent(line.share_ppm),
        percent(line.mean_crop_loss_ppm), percent(line.worst_crop_loss_ppm), f"{line.batches:,}", f"{line.left_over:,}",
        "*" if line.under_filled else "",
    )  # fmt: skip


def _total(table: BaseTable) -> tuple[str, ...]:
    lines = table.buckets
    share = percent(sum(line.share_ppm for line in lines))
    loss = sum(line.mean_crop_loss_ppm * line.images for line in lines) // max(table.images, 1)
    worst = max(line.worst_crop_loss_ppm for line in lines)
    batches, left_over = (sum(getattr(line, name) for line in lines) for name in ("batches", "left_over"))
    return ("all", "", f"{table.images:,}", share, percent(loss), percent(worst), f"{batches:,}", f"{left_over:,}", "")


def _examples(report: PlanReport) -> Iterable[str]:
    left_out = [line for line in report.funnel if line.examples]
    if left_out:
        yield "Left out, for example"
    for line in left_out:
        for example in line.examples:
            detail = f" ({printable(example.detail)})" if example.detail else ""
            yield f"  {line.outcome}: {printable(example.image_id)}{detail}"


def _worst_crops(report: PlanReport) -> Iterable[str]:
    if report.worst_crops:
        yield "Worst crops"
    for crop in report.worst_crops:
        size_px = f"{crop.source_w}x{crop.source_h}"
        yield f"  {printable(crop.image_id)}: {size_px} to {crop.bucket_id} loses {percent(crop.crop_loss_ppm)}"


def _rescued(report: PlanReport) -> Iterable[str]:
    too_small = sum(line.images for line in report.funnel if line.outcome == "skipped_too_small")
    if too_small:
        yield f"Of {_several(too_small, 'image')} too small, a lower base would take"
        rows = [(f"--base {base}", f"{images:,}") for base, images in report.rescued_by_base.items()]
        yield from columns(rows) if rows else ["  none"]


def _base_options(report: PlanReport) -> Iterable[str]:
    if report.base_options:
        yield "Other bases (no --base was given)"
        head = ("", "images", "too small", "too cropped", "buckets", "under-filled")
        rows = [
            (
                " ".join(f"--base {base}" for base in option.bases), f"{option.images:,}",
                f"{option.skipped_too_small:,}", f"{option.skipped_too_cropped:,}",
                f"{option.buckets:,}", f"{option.under_filled:,}",
            )
            for option in report.base_options
        ]  # fmt: skip
        yield from columns([head, *rows])


def _captions(report: PlanReport) -> Iterable[str]:
    found = report.captions
    if found is None:
        return
    yield f"Captions of {_several(found.images, 'image')} that can be read"
    least = found.min_caption_chars
    head = ("variant", "priority", "images", "share", *([f"under {least}"] if least else []), "selected")
    rows = [
        (
            printable(line.variant), "" if line.priority is None else str(line.priority), f"{line.images:,}",
            percent(line.images * 10**6 // max(found.images, 1)), *([f"{line.too_short:,}"] if least else []),
            f"{line.selected:,}",
        )
        for line in found.variants
    ]  # fmt: skip
    yield from columns([head, *rows])
    yield f"  {_several(found.without, 'image')} without a caption of the priority"
    if least:
        yield f"  {_several(found.only_too_short, 'image')} with none of at least {_several(least, 'character')}"


def _remarks(report: PlanReport) -> Iterable[str]:
    if report.captions_selected and report.captions is None:
        yield f"Captions: {_counts(report.captions_selected)}"
    if report.captions_repaired:
        yield f"Captions repaired (not UTF-8, or with NUL): {report.captions_repaired:,}"
    if report.reencoded_in_passthrough is not None:
        yield f"Files that passthrough would re-encode at full size: {report.reencoded_in_passthrough:,}"
        if report.images_with_gps:
            yield f"Files with a GPS position: {report.images_with_gps:,}; --strip-metadata removes it"
    elif report.images_with_gps:
        yield f"Files with a GPS position: {report.images_with_gps:,}; re-encoding removes it from the image"


def _needs(report: PlanReport) -> Iterable[str]:
    needs = report.needs
    yield "The build"
    workers = _several(needs.workers, "worker")
    yield f"  writes about {size(needs.output_bytes)} in about {duration(needs.seconds)} with {workers}"
    if report.shuffle is None:
        yield "  keeps the order of the sources in every bucket; if they are sorted, --shuffle SEED mixes them"
    else:
        yield f"  shuffles every bucket with seed {report.shuffle}"
    if needs.spool_bytes:
        yield f"  copies {size(needs.spool_bytes)} aside first, as this source can only be read from its beginning"
    if needs.free_disk_bytes is not None:
        enough = needs.free_disk_bytes > needs.output_bytes + needs.spool_bytes
        yield f"  finds {size(needs.free_disk_bytes)} of free disk" + ("" if enough else ": NOT ENOUGH")


def _command(report: PlanReport) -> Iterable[str]:
    yield f"Plan {report.plan_id}. Build it with"
    yield "  " + shlex.join(report.build_command)
