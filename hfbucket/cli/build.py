"""`hfbucket build`: sources to an export."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from hfbucket.cli.options import SettingsCommand, config_options
from hfbucket.cli.output import events, json_option, show
from hfbucket.config import Config
from hfbucket.core.manifest.model import Manifest
from hfbucket.stages.build import build

_SETTINGS = tuple(f.name for f in fields(Config) if f.name not in ("batch_size", "sample_units"))


@click.command(cls=SettingsCommand)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCES…")
@click.option("-o", "--output", required=True, metavar="EXPORT", help="Folder to write, here or at any fsspec URL.")
@config_options(*_SETTINGS)
@json_option
def command(sources: tuple[str, ...], output: str, config: Config, as_json: bool) -> None:
    """Write SOURCES (folders, webdataset tars, Parquet files; PATH or name=PATH) as an export.

    Killed or failed, the same command goes on where it was; what is complete is not written again.
    """
    with events() as on_event:
        manifest = build(sources, output, config, on_event=on_event)
    show(_data(manifest, output), as_json=as_json, text=lambda: _text(manifest, output))


def _data(manifest: Manifest, output: str) -> dict[str, Any]:
    return {
        "export": output,
        "export_id": manifest.export_id,
        "content_sha256": manifest.content_sha256,
        "summary": dict(manifest.summary),
        "conversions": dict(manifest.statistics.get("conversions", {})),
        "shards": sum(len(entry.shards) for entry in manifest.buckets.values()),
        "bytes": sum(entry.bytes or 0 for entry in manifest.buckets.values()),
    }


def _text(manifest: Manifest, output: str) -> str:
    counts = {name: count for name, count in manifest.summary.items() if count}
    conversions = {name: count for name, count in manifest.statistics.get("conversions", {}).items() if count}
    width = max(len(f"{count:,}") for count in counts.values())
    shards = sum(len(entry.shards) for entry in manifest.buckets.values())
    lines = [f"{output}: export {manifest.export_id}, {shards} shards", ""]
    lines += [f"  {count:>{width},}  {name}" for name, count in counts.items()]
    if conversions:
        lines += ["", "What decoding did to them:", ""]
        lines += [f"  {count:>{width},}  {name}" for name, count in conversions.items()]
    return "\n".join([*lines, "", f"Check it with: hfbucket verify {output}"])
