"""`hfbucket pull`: an export, or a part of it, from the Hub into a folder."""

from __future__ import annotations

from typing import Any

import click

from hfbucket.cli.options import as_text
from hfbucket.cli.output import events, json_option, printable, show
from hfbucket.config_values import read
from hfbucket.stages.pull.run import Pulled, pull


def _size(context: click.Context, option: click.Parameter, text: str | None) -> object:
    return None if text is None else read("--max-bytes", int, {"low": 1, "size_in_bytes": True}, text)


@click.command()
@click.argument("repo", metavar="REPO")
@click.option("-o", "--output", metavar="DIR", help="Folder to write. [default: the repository's name, here]")
@click.option(
    "--config", "configs", multiple=True, type=as_text, metavar="NAME", help="Only this loader config, such as r512."
)
@click.option(
    "--bucket", "buckets", multiple=True, type=as_text, metavar="ID", help="Only this bucket, such as r512_p1024x1024."
)
@click.option("--max-bytes", metavar="SIZE", callback=_size,
              help="At most so many bytes of shards, such as 40GB: the same share of every bucket.")  # fmt: skip
@click.option("--revision", metavar="REV", help="Branch, tag or commit of the repository. [default: main]")
@click.option("--token", metavar="TOKEN", help="For private repositories. [default: HF_TOKEN, or hf auth login]")
@click.option("--overwrite", is_flag=True, help="Replace another export in DIR; shards that are equal stay.")
@click.option("--workers", type=click.IntRange(min=1), default=4, show_default=True, metavar="N",
              help="Files that come at the same time.")  # fmt: skip
@json_option
def command(
    repo: str, output: str | None, configs: tuple[str, ...], buckets: tuple[str, ...], max_bytes: int | None,
    revision: str | None, token: str | None, overwrite: bool, workers: int, as_json: bool,
) -> None:  # fmt: skip
    """Bring an export from REPO (user/name on the Hub, a folder, or any URL) into a folder, or a part of it.

    Every shard's hash is checked. Killed or failed, the same command continues. A part is an export of its own: its
    manifest says what it is a part of. --config and --bucket may be given several times.
    """
    with events() as on_event:
        pulled = pull(
            repo, output, configs=configs, buckets=buckets, max_bytes=max_bytes, revision=revision,
            token=token and token.strip(),
            overwrite=overwrite, workers=workers, on_event=on_event,
        )  # fmt: skip
    show(_data(repo, pulled), as_json=as_json, text=lambda: _text(pulled))


def _data(repo: str, pulled: Pulled) -> dict[str, Any]:
    manifest = pulled.manifest
    return {
        "repo": repo,
        "commit": pulled.commit,
        "export": str(pulled.folder),
        "export_id": manifest.export_id,
        "part_of": manifest.part_of,
        "images": sum(entry.count for entry in manifest.buckets.values()),
        "shards": pulled.shards,
        "unhashed_shards": pulled.unhashed_shards,
        "bytes": pulled.size_bytes,
        "fetched_bytes": pulled.fetched_bytes,
    }


def _text(pulled: Pulled) -> str:
    manifest = pulled.manifest
    images = sum(entry.count for entry in manifest.buckets.values())
    of = f", a part of export {printable(str(manifest.part_of.get('export_id')))}" if manifest.part_of else ""
    at = f" at commit {pulled.commit}" if pulled.commit else ""
    return "\n".join(
        [
            f"{pulled.folder}: export {printable(str(manifest.export_id))}{of}{at}",
            f"{_several(images, 'image')} in {_several(pulled.shards, 'shard')}, {pulled.size_bytes:,} bytes, "
            f"{pulled.fetched_bytes:,} of them fetched now; {_checked(pulled)}",
        ]
    )


def _checked(pulled: Pulled) -> str:
    if pulled.unhashed_shards:
        return f"{_several(pulled.unhashed_shards, 'shard')} of no known hash: only the size is checked"
    return "the hash of every shard is right"


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
