"""`hfbucket verify`: every promise of an export, checked."""

from __future__ import annotations

import click

from hfbucket.cli.output import events, json_option, printable, show
from hfbucket.core.checks.problems import Problem
from hfbucket.stages.verify.run import Depth, Report, verify


@click.command()
@click.argument("export")
@click.option("--structure", "depth", flag_value="structure",
              help="Manifest, names, sizes, on the Hub hashes; no shard is read. [default elsewhere]")  # fmt: skip
@click.option("--quick", "--deep", "depth", flag_value="quick",
              help="Also reads every shard: hashes, tar headers, members, keys and counts.")  # fmt: skip
@click.option("--full", "depth", flag_value="full",
              help="Also every image, caption, table, ledger, card. [default here]")  # fmt: skip
@click.option("--sample", type=click.IntRange(min=1), metavar="N",
              help="Also opens N samples, always the same, by reading their bytes only.")  # fmt: skip
@click.option("--revision", metavar="REV", help="Branch, tag or commit of a repository. [default: main]")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes. [default: one per core]")
@json_option
def command(
    export: str, depth: Depth | None, sample: int | None, revision: str | None, workers: int | None, as_json: bool
) -> int:
    """Check every promise of EXPORT: a folder, user/name on the Hub, or a URL. Exit code 1 where one is broken.

    What is not here is compared with its listing; --deep streams every shard through the checks of --quick.
    """
    with events() as on_event:
        report = verify(export, depth=depth, sample=sample or 0, revision=revision, workers=workers, on_event=on_event)
    show(report.to_dict(), as_json=as_json, text=lambda: _text(report))
    return 0 if report.ok else 1


def _text(report: Report) -> str:
    lines = []
    for found in report.problems:
        lines += [printable(_problem(found)), f"    {printable(found.remedy)}"]
    if report.lacks:
        writer = "" if report.ours else " (another tool wrote it)"
        lines += [f"lacks{writer}:", *(f"    {printable(lack.what)}: {lack.count}" for lack in report.lacks)]
    lines += [f"note: {printable(note)}" for note in report.notes]
    held = f"{report.samples:,} samples in {report.shards:,} shards, {report.size_bytes:,} bytes"
    count = len(report.problems)
    verdict = "no problems" if report.ok else f"{count:,} problem{'s' if count > 1 else ''}"
    opened = f", {report.sampled:,} of them opened" if report.sampled else ""
    return "\n".join([*lines, f"{verdict} ({report.depth}): {held}{opened}"])


def _problem(found: Problem) -> str:
    key = f" {found.key}" if found.key else ""
    return f"{found.file}{key}: {found.message} [{found.code}]"
