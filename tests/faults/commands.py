"""The commands that a failing disk is tried on: what lies there before, what is done, and what must come of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from unittest.mock import patch

import hfbucket
from hfbucket.config import Config
from hfbucket.core.card.words import Words
from hfbucket.errors import SourceError, VerifyError
from hfbucket.executors.engines import Workers
from hfbucket.io.workspace.database import writing
from hfbucket.stages.card import update_card
from hfbucket.stages.workspace.bring import bring
from hfbucket.stages.workspace.export import export as export_captions
from hfbucket.stages.workspace.init import init
from hfbucket.stages.write import parts
from tests.faults.results import Result, Sameness, exported, or_empty, piece_by_piece, said, unpacked, whole
from tests.io.workspace.made import make_workspace, write_captions
from tests.stages.pictures import draw_folder, draw_parquet, draw_tar

REPO: Final = "me/faults"
_COUNT: Final = 8


def config(**values: Any) -> Config:
    """Return settings that make several small shards."""
    return Config(**{"base": (128, 64), "max_shard_samples": 3, "workers": 0, **values})


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command; every path is below the folder that it is tried in."""

    #: Makes what lies there before.
    prepare: Callable[[Path], object]
    run: Callable[[Path], object]
    #: What comes of it.
    result: str = "export"
    #: How that is read; nothing where its readers refuse it.
    reads: Callable[[Path], Result | None] = exported
    #: What of it may stand there after a fault.
    sameness: Sameness = whole
    #: Whether it needs the loopback Hub, and what is there.
    hub: Literal["", "nothing", "with the export"] = ""
    #: Whether the result was whole before, and stays so or says that it is being changed.
    changes: bool = False
    #: Whether a second call, with the result there, does nothing.
    once: bool = False
    #: Whether it is there to find out what cannot be read.
    must_tell: bool = False
    #: Files beside those of the result that may stay or be others: each says why.
    loose: tuple[re.Pattern[str], ...] = ()


def _photos(folder: Path) -> None:
    draw_folder(folder / "source", _COUNT)


def _streams(folder: Path) -> None:
    draw_tar(folder / "source/a.tar.gz", _COUNT, mode="w:gz")
    draw_parquet(folder / "source/b.parquet", _COUNT)


def _build_in_parts(folder: Path) -> None:
    """As with two workers, whose disk would not fail."""
    with (
        patch.object(parts, "_LEAST_SAMPLES", 1),
        patch.object(Workers, "at_once", property(lambda _: 2)),
    ):
        hfbucket.build(str(folder / "source"), folder / "export", config(max_shard_samples=_COUNT))


def _built(folder: Path) -> None:
    _photos(folder)
    hfbucket.build(str(folder / "source"), folder / "export", config(license="cc0-1.0"))
    ids = [f"{number:04d}.jpg" for number in range(_COUNT)]
    make_workspace(folder / "source.sqlite", ids)
    write_captions(folder / "source.sqlite", "long", {i: f"a long caption of {i}" for i in ids[4:]})
    with writing(folder / "source.sqlite") as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # so that readers write nothing beside it


def _grown(folder: Path) -> None:
    _built(folder)
    draw_folder(folder / "source", 4, start=_COUNT)


def _pushed(folder: Path) -> None:
    """An export that stands at a target in an older state."""
    _built(folder)
    hfbucket.push(folder / "export", str(folder / "target"), workers=0)
    hfbucket.remove(folder / "export", ids=["0000.jpg", "0003.jpg"], workers=0)


def _pulled(folder: Path) -> None:
    """The same for a pull."""
    _pushed(folder)
    shutil.move(folder / "target", folder / "here")


def _recaption(folder: Path, output: Path | None = None) -> None:
    selection = Config(captions=str(folder / "source.sqlite"), priority=("long", "original"), workers=0)
    hfbucket.recaption(folder / "export", selection, output=output)


def _recaption_aside(folder: Path) -> None:
    if not (folder / "other").exists():
        _recaption(folder, folder / "other")


def _push_to_hub(folder: Path) -> None:
    hfbucket.push(folder / "export", REPO, workers=0)


def _verify(folder: Path) -> None:
    """As the command does, which ends with 1 where there is a problem."""
    if problems := hfbucket.verify(folder / "export", workers=0).problems:
        raise VerifyError(str(problems[0]))


def _captioned(folder: Path) -> None:
    """A workspace with captions, and a file of others: for some images the same, for some other ones, for some new."""
    ids = [f"{number:04d}.jpg" for number in range(_COUNT)]
    make_workspace(folder / "captions.sqlite", ids)
    write_captions(folder / "captions.sqlite", "long", {i: f"a long caption of {i}" for i in ids[:4]})
    rows = [{"image_id": i, "text": f"a {'long' if i < ids[2] else 'better'} caption of {i}"} for i in ids]
    made = "2023-11-14T22:13:20Z"
    lines = [json.dumps({**row, "created": made}) for row in rows]
    (folder / "source.jsonl").write_text("\n".join(lines), encoding="utf-8")


def _init(folder: Path) -> None:
    """Images that cannot be read are left out and counted; who wants them all runs it again."""
    made = init([str(folder / "source")], folder / "captions.sqlite", config())
    if made.left_out:
        raise SourceError(f"left out: {made.left_out}")


_SQLITE: Final = (re.compile(r"\.sqlite(-wal|-shm)?$"),)
"""SQLite lays equal rows out in its own ways; its rows are what is compared."""
_SHARED: Final = (re.compile(r"^files/\.hfbucket-extract/\..*\.tmp$"),)
"""Several machines may extract into one folder: what a killed one leaves may be another's that is at work."""

_WORDS: Final = Words(title="Others", license="cc-by-4.0")


COMMANDS: Final[Mapping[str, Command]] = {
    "build, passthrough": Command(
        prepare=_photos,
        run=lambda f: hfbucket.build(str(f / "source"), f / "export", config(image_mode="passthrough_jpeg")),
    ),
    "build, re-encode": Command(
        prepare=lambda f: draw_tar(f / "source/a.tar", _COUNT),
        run=lambda f: hfbucket.build(str(f / "source"), f / "export", config(image_mode="reencode_jpeg")),
    ),
    "build, in parts": Command(
        prepare=lambda f: draw_tar(f / "source/a.tar", _COUNT),
        run=_build_in_parts,
    ),
    "build, spooled": Command(
        prepare=_streams,
        run=lambda f: hfbucket.build(
            [f"a={f}/source/a.tar.gz", f"b={f}/source/b.parquet"], f / "export", config()
        ),
    ),
    "recaption": Command(prepare=_built, run=_recaption, changes=True),
    "recaption to another": Command(prepare=_built, run=_recaption_aside, result="other", once=True),
    "remove": Command(
        prepare=_built, changes=True,
        run=lambda f: hfbucket.remove(f / "export", ids=["0000.jpg", "0003.jpg", "0004.jpg"], workers=0),
    ),
    "update": Command(
        prepare=_grown, changes=True,
        run=lambda f: hfbucket.build(str(f / "source"), f / "export", config(update=True, license="cc0-1.0")),
    ),
    "push to a folder": Command(
        prepare=_built, result="target", run=lambda f: hfbucket.push(f / "export", str(f / "target"), workers=0)
    ),
    "push over another": Command(
        prepare=_pushed, result="target", run=lambda f: hfbucket.push(f / "export", str(f / "target"), workers=0)
    ),
    "push to the Hub": Command(prepare=_built, run=_push_to_hub, hub="nothing", changes=True),
    "pull from a folder": Command(
        prepare=_built, result="here", run=lambda f: hfbucket.pull(str(f / "export"), f / "here", workers=1)
    ),
    "pull over another": Command(
        prepare=_pulled, result="here",
        run=lambda f: hfbucket.pull(str(f / "export"), f / "here", overwrite=True, workers=1),
    ),
    "pull from the Hub": Command(
        prepare=_built, result="here", hub="with the export", run=lambda f: hfbucket.pull(REPO, f / "here", workers=1)
    ),
    "verify": Command(prepare=_built, changes=True, must_tell=True, run=_verify),
    "card": Command(
        prepare=_built, changes=True, sameness=piece_by_piece, run=lambda f: update_card(f / "export", _WORDS)
    ),
    "card on the Hub": Command(
        prepare=_built, hub="with the export", changes=True, run=lambda f: update_card(REPO, _WORDS)
    ),
    "extract": Command(
        prepare=_built, result="files", reads=unpacked, sameness=or_empty, loose=_SHARED,
        run=lambda f: hfbucket.extract(f / "export", f / "files", workers=0),
    ),
    "extract a tar, smaller": Command(
        prepare=_streams, result="files", reads=unpacked, sameness=or_empty, loose=_SHARED,
        run=lambda f: hfbucket.extract(f / "source/a.tar.gz", f / "files", workers=0, max_short_edge=100),
    ),
    "workspace init": Command(
        prepare=_photos, result="captions.sqlite", reads=said, sameness=piece_by_piece, loose=_SQLITE,
        run=_init,
    ),
    "workspace import": Command(
        prepare=_captioned, result="captions.sqlite", reads=said, sameness=piece_by_piece, loose=_SQLITE,
        run=lambda f: bring(f / "captions.sqlite", "long", str(f / "source.jsonl")),
    ),
    "workspace export": Command(
        prepare=_captioned, result="out", reads=unpacked, loose=(*_SQLITE, re.compile(r"^out/\..*\.tmp$")),
        run=lambda f: export_captions(f / "captions.sqlite", str(f / "out/captions.jsonl")),
    ),
}  # fmt: skip
