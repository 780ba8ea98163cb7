"""`hfbucket remove`: samples out of a finished export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from hfbucket.cli.options import as_text
from hfbucket.cli.output import events, json_option, show
from hfbucket.config import Config
from hfbucket.core.card.numbers import number, plural
from hfbucket.errors import ConfigError
from hfbucket.io.card_templates import read_templates
from hfbucket.stages.remove import Removal, remove


@click.command()
@click.argument("export", metavar="EXPORT")
@click.option("--ids", metavar="FILE", help="Text file of image_ids, or keys of samples, one a line.")
@click.option("--sha256", metavar="FILE", help="Text file of the sources' SHA-256, one a line, as sha256sum writes it.")
@click.option(
    "--where", type=as_text, metavar="SQL", help="Condition over the samples, such as \"meta.license = 'unknown'\"."
)
@click.option("--dry-run", is_flag=True, help="Say how many would go; change nothing.")
@click.option("--work-dir", metavar="DIR", help="Work folder of the build; <export>.work by default.")
@click.option("--template", metavar="DIR", help="Jinja templates of the card, where it was made with such.")
@json_option
def command(
    export: str,
    ids: str | None,
    sha256: str | None,
    where: str | None,
    dry_run: bool,
    work_dir: str | None,
    template: str | None,
    as_json: bool,
) -> None:
    """Take samples out of EXPORT, a folder on this machine: those that any of the three options names.

    Only shards that hold one are written anew. What is removed is told by nothing that stays, and a later
    `build --update` does not bring it back. Killed, the same command ends it. Then push: only those shards travel.
    """
    with events() as on_event:
        removal = remove(
            export,
            ids=_lines(ids) if ids else (),
            sha256=(line.split()[0] for line in _lines(sha256)) if sha256 else (),
            where=where,
            dry_run=dry_run,
            work_dir=work_dir,
            templates=read_templates(Config(template=template)) if template else None,
            on_event=on_event,
        )
    show(asdict(removal), as_json=as_json, text=lambda: _text(removal, export))


def _lines(file: str) -> Iterator[str]:
    """Yield the lines of a text file that are not blank, without what ends them.

    Raises:
        ConfigError: it cannot be read, or is no UTF-8.
    """
    start = 0
    try:
        with open(file, "rb") as opened:
            for line in opened:
                text = line.decode("utf-8-sig" if start == 0 else "utf-8").rstrip("\n").rstrip("\r")
                if text.strip():
                    yield text
                start += len(line)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file}: must be UTF-8 text, one entry a line: {error.reason} at byte {start + error.start}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None


def _text(removal: Removal, export: str) -> str:
    images = f"{number(removal.images)} {plural('image', removal.images)}"
    shards = removal.shards_rewritten
    done = "would go" if removal.dry_run else "removed"
    written = f"{number(shards)} {plural('shard', shards)} {'to write' if removal.dry_run else 'written'} anew"
    lines = [f"{export}: {images} {done}, {written}, {number(removal.shards_gone)} gone"]
    lines += [f"  {bucket_id}: {number(count)}" for bucket_id, count in removal.buckets.items()]
    for count, text in (
        (removal.left_out, "had been left out before, and will stay so"),
        (removal.already, "had been removed before"),
        (removal.unknown, "not known to this export"),
    ):
        if count:
            lines.append(f"{number(count)} {text}")
    if removal.dry_run:
        return "\n".join([*lines, "Nothing was written: this was a dry run."])
    return "\n".join([*lines, f"Now export {removal.export_id}. Push it: hfbucket push {export} …"])
