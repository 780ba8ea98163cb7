"""`hfbucket plan`: what a build would write."""

from __future__ import annotations

import click

from hfbucket.cli.main import COMMANDS
from hfbucket.cli.options import CONTENT, ENGINE, SettingsCommand, config_options, was_given
from hfbucket.cli.output import events, json_option, show
from hfbucket.cli.plan_view import plan_text
from hfbucket.config import Config
from hfbucket.stages.report import plan

_RUN = (
    "captions", "annotations", "source_type", "workers", *ENGINE, "batch_size", "max_failure_ratio", "cache_dir",
    "sample_units",
)  # fmt: skip


@click.command("plan", cls=SettingsCommand, help=COMMANDS["plan"])
@click.argument("sources", nargs=-1, required=True, metavar="[NAME=]SOURCE...")
@click.option("-o", "--output", default="export", show_default=True, help="Export the printed build command names.")
@config_options(*CONTENT, *_RUN)
@json_option
def command(sources: tuple[str, ...], output: str, config: Config, as_json: bool) -> None:
    """Print the plan of these sources."""
    with events() as on_event:
        report = plan(sources, config, output=output, compare_bases=not was_given("base"), on_event=on_event)
    show(report.to_dict(), as_json=as_json, text=lambda: plan_text(report))
