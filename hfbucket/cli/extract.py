"""`hfbucket extract`: an export or tars to plain files."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from hfbucket.cli.output import events, json_option, show
from hfbucket.core.card.numbers import size
from hfbucket.stages.extract import Extracted, extract

_WORDS = {
    "shrunk": "images made smaller",
    "not_decoded": "images that cannot be decoded, unpacked as they are",
    "renamed": "files with another name, because not every system takes theirs or two have one",
    "left_out": "links, devices and names that lead out of the folder: left out",
    "cut_off": "files that their tar ends in: left out",
}


@click.command()
@click.argument("source", metavar="EXPORT|TARS")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder for the files: empty, or begun before.")
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Processes; without it one per core.")
@click.option(
    "--max-short-edge", type=click.IntRange(min=1), metavar="PIXELS",
    help="Make images smaller whose shorter edge is longer; they become JPEG.",
)  # fmt: skip
@click.option("--start", type=click.IntRange(min=0), default=0, metavar="N", help="First tar or shard, from 0.")
@click.option("--end", type=click.IntRange(min=1), metavar="N", help="The one after the last; without it all.")
@json_option
def command(
    source: str,
    output: str,
    workers: int | None,
    max_short_edge: int | None,
    start: int,
    end: int | None,
    as_json: bool,
) -> None:
    """Unpack an export, or webdataset tars, to plain files.

    An export gives folders of its buckets with image, caption (.txt) and metadata (.json) of every sample; tars give a
    folder each. Killed or failed, the same command goes on where it was.
    """
    with events() as on_event:
        result = extract(
            source, output, workers=workers, max_short_edge=max_short_edge, start=start, end=end, on_event=on_event
        )
    show(_data(result), as_json=as_json, text=lambda: _text(result))


def _data(result: Extracted) -> dict[str, Any]:
    counts = asdict(result.done)
    return {"output": result.output, "tars": result.tars, **counts, "notes": list(result.done.notes)}


def _text(result: Extracted) -> str:
    done = result.done
    lines = [f"{done.files:,} files of {result.tars:,} tars in {result.output}, {size(done.size_bytes)}"]
    lines += [f"  {getattr(done, name):,} {words}" for name, words in _WORDS.items() if getattr(done, name)]
    return "\n".join(lines)
