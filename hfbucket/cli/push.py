"""`hfbucket push`: an export to the Hub, a Storage Bucket or a folder."""

from __future__ import annotations

import sys
from typing import Any

import click

from hfbucket.cli.options import as_text
from hfbucket.cli.output import events, json_option, printable, show
from hfbucket.core.card.numbers import size
from hfbucket.core.transfer.push import summary_of
from hfbucket.errors import PushError
from hfbucket.stages.push.plan import PushPlan, listed
from hfbucket.stages.push.run import PushReport, push


@click.command()
@click.argument("export", metavar="EXPORT")
@click.argument("target", metavar="TARGET")
@click.option("--private/--no-private", default=None, help="Visibility of a repository that is made. [default: public]")
@click.option("--revision", metavar="BRANCH", help="Branch of the repository. [default: main]")
@click.option("--create-pr", is_flag=True, help="Leave the changes in a pull request.")
@click.option("--commit-message", type=as_text, metavar="TEXT", help="First line of the commit.")
@click.option("--token", metavar="TOKEN", help="Access token. [default: of `hf auth login`, or HF_TOKEN]")
@click.option("--publish-ledger", is_flag=True, help="Also send the ledger: what became of every input, by name.")
@click.option("--samples-repo", metavar="REPO", help="Also put the sample tables into this repository, with a viewer.")
@click.option("--allow-location", is_flag=True, help="Publish GPS positions and camera owners, too.")
@click.option("--dry-run", is_flag=True, help="Check and compare; send nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Processes that check. [default: one per core]"
)
@json_option
def command(export: str, target: str, yes: bool, as_json: bool, dry_run: bool, **options: Any) -> int:  # noqa: ANN401
    """Push EXPORT to TARGET; aspect-ratio buckets, which may lie in the Hub's Storage Buckets but are not those.

    TARGET is a dataset repository (me/name), a folder of a Storage Bucket (hf://buckets/me/name/folder), a folder here
    (./name, /name) or any URL (s3://…). What falls short is listed before a byte leaves. Only what is missing travels;
    readers see the old export or the new one. Killed, run it again: it continues.
    """

    def confirm(plan: PushPlan) -> bool:
        if not plan.files or yes:
            if not as_json:
                click.echo(_plan_text(plan), err=True)
            return True
        if as_json or not sys.stdin.isatty():
            raise PushError("nothing was sent: nobody is here to ask; --yes answers")
        click.echo(_plan_text(plan), err=True)
        return click.confirm("Push?", err=True)

    with events() as on_event:
        report = push(export, target, dry_run=dry_run, confirm=confirm, on_event=on_event, **options)
    show(report.to_dict(), as_json=as_json, text=lambda: _text(report))
    return 1 if dry_run and report.plan.problems else 0


def _plan_text(plan: PushPlan) -> str:
    found = plan.changes
    new = "new, " if plan.is_new else ""
    seen = f" ({new}{plan.visibility})" if plan.visibility else " (new)" if plan.is_new else ""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in summary_of(found).items())
    kept = sum(file.size_bytes for file in found.keep)
    lines = [f"Export {plan.export_id} to {plan.target}{seen}"]
    lines += [f"  send    {len(found.send):,} files, {size(found.send_bytes)}: {kinds}"] if found.send else []
    if found.delete:
        shown = ", ".join(map(printable, found.delete[:3]))
        lines.append(f"  delete  {len(found.delete):,} files: {shown}{' …' if len(found.delete) > 3 else ''}")
    lines += [f"  keep    {len(found.keep):,} files, {size(kept)}"] if found.keep else []
    lines.append(f"  by      {plan.way}")
    if plan.samples_repo and plan.samples_changes:
        count, size_bytes = len(plan.samples_changes.send), plan.samples_changes.send_bytes
        lines.append(f"  also    {count:,} files, {size(size_bytes)}: sample tables to {plan.samples_repo}")
    return "\n".join(lines)


def _text(report: PushReport) -> str:
    plan = report.plan
    if report.published is None:
        lines = [_plan_text(plan), *([listed(plan)] if plan.problems else ["Nothing was sent: this was a dry run."])]
        return "\n".join(lines)
    done = report.published
    sent = f"Pushed {size(plan.changes.send_bytes)}" if plan.changes.files else "Unchanged"
    lines = [f"{sent}: {done.url}"]
    lines += [f"Pull request: {done.pull_request}"] if done.pull_request else []
    lines += [f"Commit: {done.commit}"] if done.commit else []
    lines += [f"Sample tables: {report.samples.url}"] if report.samples else []
    lines.append(f"Opened with stock datasets: {', '.join(report.checked)}")
    if report.snippet:
        lines += ["", "    from datasets import load_dataset", "", f"    dataset = {report.snippet}"]
    return "\n".join(lines)
