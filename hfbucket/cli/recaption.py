"""`hfbucket recaption`: another selection among captions for a finished export."""

from __future__ import annotations

from dataclasses import asdict

import click

from hfbucket.cli.options import SettingsCommand, config_options
from hfbucket.cli.output import events, json_option, printable, show
from hfbucket.config import Config
from hfbucket.core.card.numbers import number, plural, size
from hfbucket.stages.recaption import SETTINGS, Recaptioned, recaption


@click.command(cls=SettingsCommand)
@click.argument("export", metavar="EXPORT")
@click.option("-o", "--output", metavar="NEW", help="Write a new export, its unchanged files links to EXPORT's.")
@click.option("--drop-missing", is_flag=True, help="Images without a caption go out of the export.")
@click.option("--dry-run", is_flag=True, help="Say how many captions and shards would change; change nothing.")
@config_options("captions", *SETTINGS, "missing_caption", "workers", "template")
@json_option
def command(export: str, output: str | None, drop_missing: bool, dry_run: bool, config: Config, as_json: bool) -> None:
    """Select captions anew in EXPORT, a folder on this machine: only .txt and .json members change.

    What is exported and where it stands stays; shards without a change are not touched, images are never decoded. Where
    images would be left without a caption it says how many and stops, unless --missing-caption empty keeps them or
    --drop-missing leaves them out. Killed, the same command ends it. Then push: only changed shards travel.
    """
    with events() as on_event:
        report = recaption(export, config, output=output, drop_missing=drop_missing, dry_run=dry_run, on_event=on_event)
    show(asdict(report), as_json=as_json, text=lambda: _text(report, output or export))


def _text(report: Recaptioned, name: str) -> str:
    would = "would be" if report.dry_run else "are"
    captions = f"{number(report.captions)} {plural('caption', report.captions)}"
    changed, written = ("would change", "would be written") if report.dry_run else ("changed", "written anew")
    shards = f"{number(report.shards)} {plural('shard', report.shards)} ({size(report.shards_bytes)}) {written}"
    gone = f", {number(report.shards_gone)} gone" if report.shards_gone else ""
    lines = [f"{name}: {captions} {changed}, {shards}{gone}"]
    lines += [f"  {printable(variant)}: {number(count)}" for variant, count in report.selected.items()]
    if report.dropped:
        lines.append(f"{number(report.dropped)} {plural('image', report.dropped)} without a caption {would} dropped")
    elif report.lost:
        lines.append(f"{number(report.lost)} {plural('image', report.lost)} {would} left with an empty caption")
    if report.waiting:
        images = f"{number(report.waiting)} {plural('image', report.waiting)}"
        lines.append(f"{images} left out before for want of a caption could have one: a build takes them in")
    if report.dry_run:
        return "\n".join([*lines, "Nothing was written: this was a dry run."])
    if report.unchanged:
        return "\n".join([*lines, "Nothing was to be done."])
    return "\n".join([*lines, f"Now export {report.export_id}. Push it: hfbucket push {name} …"])
