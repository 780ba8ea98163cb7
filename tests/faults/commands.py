"""The commands that a failing disk is tried on: what lies there before, what is done, and what must come of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import hfbucket
from hfbucket.config import Config
from hfbucket.io.workspace.database import writing
from tests.io.workspace.made import make_workspace, write_captions
from tests.stages.pictures import draw_folder, draw_parquet, draw_tar

REPO: Final = "me/faults"
_COUNT: Final = 8


def config(**values: object) -> Config:
    """Return settings that make several small shards."""
    return Config(base=(128, 64), max_shard_samples=3, workers=0, **values)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command; every path is below the folder that it is tried in."""

    #: Makes what lies there before.
    prepare: Callable[[Path], object]
    run: Callable[[Path], object]
    #: The export that comes of it.
    result: str = "export"
    #: Whether it needs the loopback Hub.
    hub: bool = False
    #: Whether the result was whole before, and stays so or says that it is being changed.
    changes: bool = False


def _photos(folder: Path) -> None:
    draw_folder(folder / "source", _COUNT)


def _streams(folder: Path) -> None:
    draw_tar(folder / "source/a.tar.gz", _COUNT, mode="w:gz")
    draw_parquet(folder / "source/b.parquet", _COUNT)


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


COMMANDS: Final[Mapping[str, Command]] = {
    "build, passthrough": Command(
        prepare=_photos,
        run=lambda f: hfbucket.build(str(f / "source"), f / "export", config(image_mode="passthrough_jpeg")),
    ),
    "build, re-encode": Command(
        prepare=lambda f: draw_tar(f / "source/a.tar", _COUNT),
        run=lambda f: hfbucket.build(str(f / "source"), f / "export", config(image_mode="reencode_jpeg")),
    ),
    "build, spooled": Command(
        prepare=_streams,
        run=lambda f: hfbucket.build(
            [f"a={f}/source/a.tar.gz", f"b={f}/source/b.parquet"], f / "export", config()
        ),
    ),
    "recaption": Command(prepare=_built, run=_recaption, changes=True),
    "recaption to another": Command(prepare=_built, run=_recaption_aside, result="other"),
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
    "push to the Hub": Command(prepare=_built, run=_push_to_hub, hub=True, changes=True),
    "pull from a folder": Command(
        prepare=_built, result="here", run=lambda f: hfbucket.pull(str(f / "export"), f / "here", workers=1)
    ),
    "pull over another": Command(
        prepare=_pulled, result="here",
        run=lambda f: hfbucket.pull(str(f / "export"), f / "here", overwrite=True, workers=1),
    ),
    "pull from the Hub": Command(
        prepare=_built, result="here", hub=True, run=lambda f: hfbucket.pull(REPO, f / "here", workers=1)
    ),
}  # fmt: skip
