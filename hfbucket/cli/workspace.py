"""`hfbucket workspace`: one SQLite file that any captioner can write to."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from hfbucket.cli.main import COMMANDS
from hfbucket.cli.options import SettingsCommand, as_text, config_options
from hfbucket.cli.output import events, json_option, printable, show
from hfbucket.config import Config
from hfbucket.core.workspace.brought import STATUSES
from hfbucket.errors import ConfigError
from hfbucket.io.workspace.todo import ImagePlace
from hfbucket.stages.workspace import bring, export, init, stats, todo

_SETTINGS = (
    "caption_column", "id_column", "image_column", "keep_location", "max_pixels", "duplicate_ids", "annotations",
    "source_type", "workers", "cache_dir",
)  # fmt: skip

_variant = click.option("--variant", required=True, type=as_text, metavar="NAME", help="Name of these captions.")


@click.group("workspace", help=COMMANDS["workspace"])
def command() -> None:
    """Give the subcommands a name."""


@command.command("init", cls=SettingsCommand)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCES…|EXPORT")
@click.option("-o", "--output", required=True, metavar="FILE", help="The SQLite file.")
@config_options(*_SETTINGS)
@json_option
def _init(sources: tuple[str, ...], output: str, config: Config, as_json: bool) -> None:
    """Make a workspace of the images of SOURCES, or of a finished EXPORT (its folder, or any URL).

    Over an existing one it adds what is new and brings up to date where images lie and what the source's own captions
    are; captions that were written to it stay.
    """
    with events() as on_event:
        done = init.init(sources, output, config, on_event=on_event)
    show(asdict(done), as_json=as_json, text=lambda: _init_text(done))


def _init_text(done: init.Initialised) -> str:
    lines = [f"{done.workspace}: {done.images:,} images, {done.images_added:,} of them new"]
    lines += [f"  {count:,} captions {printable(name)!r}" for name, count in done.captions.items()]
    lines += [f"  {count:,} images left out: {name}" for name, count in done.left_out.items()]
    if done.images_not_given:
        lines.append(f"  {done.images_not_given:,} images are from before and not among these sources; they stay")
    return "\n".join(lines)


@command.command("import")
@click.argument("workspace")
@click.argument("file")
@_variant
@click.option("--match", type=click.Choice(["image_id", "key", "source_sha256"]),
              help="What the rows name images by; without it the columns' names tell.")  # fmt: skip
@click.option(
    "--id-column", type=as_text, metavar="NAME", help="Column that names the image, where it is called otherwise."
)
@click.option("--text-column", type=as_text, metavar="NAME", help="Column with the caption  [default: text, caption]")
@click.option("--model", type=as_text, metavar="TEXT", help="Model that wrote the captions.")
@click.option("--prompt", metavar="TEXT", help="Its prompt; @FILE takes it from a file.")
@click.option("--parameters", type=as_text, metavar="JSON", help="Its parameters, a JSON object.")
@click.option(
    "--source-id", type=as_text, metavar="ID", help="Id of this model, prompt and parameters  [default: made of them]"
)
@click.option("--keep", is_flag=True, help="Captions that are there stay; otherwise those of FILE take their place.")
@json_option
def _import(
    workspace: str,
    file: str,
    variant: str,
    match: bring.Match | None,
    id_column: str | None,
    text_column: str | None,
    model: str | None,
    prompt: str | None,
    parameters: str | None,
    source_id: str | None,
    keep: bool,
    as_json: bool,
) -> None:
    """Write the captions of FILE to WORKSPACE as the variant NAME.

    FILE is JSON lines, CSV, TSV or Parquet with a column image_id, key or source_sha256 and a column text or caption
    (status, source_id, created, score and language are taken, too), a folder of .txt files named after images, or -
    for JSON lines on stdin.
    """
    made = bring.Made(source_id=source_id, model=model, prompt=_prompt(prompt), parameters=parameters)
    with events() as on_event:
        done = bring.bring(
            workspace, variant, file, match=match, id_column=id_column, text_column=text_column, made=made, keep=keep,
            on_event=on_event,
        )  # fmt: skip
    show(asdict(done), as_json=as_json, text=lambda: _import_text(done))


def _prompt(given: str | None) -> str | None:
    if given is None or not given.startswith("@"):
        return given and as_text(given)
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--prompt {given}: cannot be read: {error}") from error


_WORDS = {
    "written": "written",
    "replaced": "written in the place of others",
    "unchanged": "there already, the same",
    "kept": "there already: kept",
    "unmatched": "rows of no image of the workspace: left out",
    "doubled": "rows of an image that an earlier row has: left out",
    "unreadable": "rows that say nothing: left out",
    "unknown_status": f"rows with a status that is none of {', '.join(STATUSES)}: left out",
    "too_long": "captions that are too long: left out",
    "blank": "without text",
    "repaired": "repaired, being no UTF-8 or with NULs",
    "control_characters": "with control characters, which stay",
}


def _import_text(done: bring.Imported) -> str:
    counts = asdict(done.counts)
    examples = {"unmatched": done.unmatched, "unreadable": done.unreadable}
    lines = [f"{done.workspace}: {counts['rows']:,} rows for {printable(done.variant)!r}"]
    for name, words in _WORDS.items():
        if counts[name]:
            such = ", ".join(map(printable, examples.get(name, ())))
            lines.append(f"  {counts[name]:,} {words}{f', such as {such}' if such else ''}")
    return "\n".join(lines)


@command.command("export")
@click.argument("workspace")
@click.argument("file", default="-")
@click.option("--variant", "variants", multiple=True, type=as_text, metavar="NAME", help="Only this one, repeatable.")
@click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES), default=("ok",), show_default=True,
              help="Only captions with this status, repeatable.")  # fmt: skip
@json_option
def _export(workspace: str, file: str, variants: tuple[str, ...], statuses: tuple[str, ...], as_json: bool) -> None:
    """Write the captions of WORKSPACE to FILE (.jsonl, .csv or .parquet), or as JSON lines to stdout."""
    done = export.export(workspace, sys.stdout.buffer if file == "-" else file, variants=variants, statuses=statuses)
    if file != "-":
        show(asdict(done), as_json=as_json, text=lambda: f"{file}: {done.captions:,} captions")


@command.command("stats")
@click.argument("workspace")
@json_option
def _stats(workspace: str, as_json: bool) -> None:
    """Show what WORKSPACE has, variant by variant."""
    found = stats.stats(workspace)
    show(asdict(found), as_json=as_json, text=lambda: _stats_text(found))


def _stats_text(found: stats.Stats) -> str:
    head = ("variant", "ok", "share", "empty", "refused", "error", "missing", "chars: median", "5%", "95%", "longest")
    rows: list[tuple[str, ...]] = [head]
    for each in found.variants:
        chars = each.chars
        figures = () if chars is None else (chars.median, chars.p5, chars.p95, chars.max)
        name = printable(each.variant) + (" (the source's own)" if each.own else "")
        numbers = (each.empty, each.refused, each.error, each.missing, *figures)
        rows.append((name, f"{each.ok:,}", f"{each.share:.1%}", *(f"{number:,}" for number in numbers)))
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(head))]
    lines = [
        "  ".join(cell.rjust(width) if column else cell.ljust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=False))).rstrip()
        for row in rows
    ]  # fmt: skip
    for each in found.variants:
        if each.languages:
            counts = ", ".join(f"{printable(name)} {count:,}" for name, count in each.languages.items())
            lines.append(f"{printable(each.variant)}: {counts}")
    return "\n".join([f"{found.workspace}: {found.images:,} images", *lines])


@command.command("todo")
@click.argument("workspace")
@_variant
@click.option("--retry", multiple=True, type=click.Choice(todo.AGAIN),
              help="Captions with this status do not count as done, repeatable.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many images.")
@click.option("--shard", default="1/1", show_default=True, metavar="I/N",
              help="The I-th of N equal parts, by hash: for N captioners at once.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as without it.")
def _todo(workspace: str, variant: str, retry: tuple[str, ...], limit: int | None, shard: str, as_json: bool) -> None:
    """Print the images of WORKSPACE without a caption NAME as JSON lines, in source order.

    An image is done when it has one, whatever its status: ok, refused, error or empty. Each line has image_id, key,
    width and height in pixels, and where the bytes are: kind (file, tar, packed, parquet), path, offset, size_bytes.
    """
    number, slash, shards = shard.partition("/")
    if not (slash and number.isdecimal() and shards.isdecimal()):
        raise click.BadParameter(f"must be I/N, such as 1/4, got {shard!r}", param_hint="--shard")
    names = ImagePlace.__dataclass_fields__
    for image in todo.todo(workspace, variant, retry=retry, limit=limit, shard=(int(number), int(shards))):
        sys.stdout.write(json.dumps({name: getattr(image, name) for name in names}) + "\n")
