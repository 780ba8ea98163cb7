"""`hfbucket why`: what became of one input, or which inputs were left out for a reason."""

from __future__ import annotations

from dataclasses import asdict

import click

from hfbucket.cli.options import as_text
from hfbucket.cli.output import json_option, printable, show
from hfbucket.stages.why import MEANINGS, Answer, LeftOut, left_out, why


@click.command()
@click.argument("export")
@click.argument("image_id", required=False, type=as_text)
@click.option(
    "--reason", type=as_text, metavar="OUTCOME", help="List the inputs with this outcome, such as skipped_too_small."
)
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, metavar="N",
              help="List at most so many; 0 for all.")  # fmt: skip
@json_option
def command(export: str, image_id: str | None, reason: str | None, limit: int, as_json: bool) -> None:
    """Tell what became of IMAGE_ID (or the key of a sample) in EXPORT, or list the inputs with one outcome.

    EXPORT is a folder, user/name (or user/name@revision) on the Hub, or a URL.
    """
    if (image_id is None) == (reason is None):
        raise click.UsageError("give either an IMAGE_ID or --reason OUTCOME")
    if reason is not None:
        listed = left_out(export, reason, limit=limit or None)
        show(asdict(listed), as_json=as_json, text=lambda: _list(listed))
    else:
        answers = why(export, image_id or "")
        show([asdict(a) for a in answers], as_json=as_json, text=lambda: "\n\n".join(map(_text, answers)))


def _list(listed: LeftOut) -> str:
    lines = [
        printable(answer.image_id + (f"  ({answer.detail})" if answer.detail else "")) for answer in listed.answers
    ]
    shown = f", {len(lines):,} shown; --limit 0 lists all" if len(lines) < listed.total else ""
    return "\n".join([*lines, f"{listed.total:,} of {listed.reason}: {MEANINGS[listed.reason]}{shown}"])


def _text(answer: Answer) -> str:
    lines = [
        printable(answer.image_id),
        f"  {answer.outcome}: {MEANINGS.get(answer.outcome, '')}",
        f"  key      {answer.key}",
    ]
    if answer.detail:
        lines.append(f"  detail   {printable(answer.detail)}")
    if answer.explain:
        lines.append(f"  more     {printable(answer.explain)}")
    place = answer.placed
    if place is not None:
        written = (place.caption_variant, place.caption_source_id and f"source {place.caption_source_id}")
        variant = f" ({', '.join(printable(part) for part in written if part)})" if place.caption_variant else ""
        crop = f"cropped at ({place.crop_left}, {place.crop_top})"
        lines += [
            f"  bucket   {place.bucket_id}, {place.w}x{place.h}",
            f"  shard    {place.shard}: jpg at byte {place.jpg_offset}, {place.jpg_size} bytes; "
            f"txt at {place.txt_offset}, {place.txt_size}; json at {place.json_offset}, {place.json_size}",
            f"  crop     {place.source_w}x{place.source_h} resized to {place.resized_w}x{place.resized_h}, {crop}",
            f"  image    {place.image_mode}",
            f"  caption  {printable(place.caption or '')}{variant}",
        ]
    return "\n".join(lines)
