"""Ways to break a valid export in one place, and what verify is then asked to find."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from hfbucket.core.checks.problems import REMEDIES
from hfbucket.core.manifest.model import Manifest
from hfbucket.io.manifest_file import read_manifest
from hfbucket.stages.verify.run import Report
from tests.factories import make_export, tar_bytes

SQUARE, WIDE = "buckets/p1024x1024/shard-00000.tar", "buckets/p1152x832/shard-00000.tar"
SQUARE_2, WIDE_2 = "buckets/p1024x1024/shard-00001.tar", "buckets/p1152x832/shard-00001.tar"
CARD, TABLE, LEDGER = "README.md", "samples/part-00000.parquet", "ledger/part-00000.parquet"


def key_of(image_id: str) -> str:
    return hashlib.sha256(image_id.encode()).hexdigest()[:32]


FIRST = key_of("drawn/p1024x1024/picture 000.jpg")
BROKEN_ID = "drawn/p1024x1024/picture 001.jpg"
KEY = key_of(BROKEN_ID)
"""Of the sample that most tests break: the second of `SQUARE`."""

Found = set[tuple[str, str, str | None]]
Change = Callable[[Path], None]
Members = list[tuple[str, bytes]]


def small(path: Path, **changes: Any) -> Manifest:
    """Write a small export of one base; without changes the same one every time."""
    if changes:
        return make_export(path, bases=(64,), **changes)
    for name, data in _small_files().items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return read_manifest(path)


@cache
def _small_files() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        make_export(root, bases=(64,))
        return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def found(report: Report) -> Found:
    """Return kind, file and key of every problem; each has words and a remedy."""
    for item in report.problems:
        assert item.remedy == REMEDIES[item.code]
        assert item.message
    return {(item.code, item.file, item.key) for item in report.problems}


def flip(path: Path, at: int, mask: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= mask
    path.write_bytes(data)


def unlink(name: str) -> Change:
    return lambda path: (path / name).unlink()


def append(name: str, data: bytes) -> Change:
    def change(path: Path) -> None:
        with (path / name).open("ab") as file:
            file.write(data)

    return change


def link(name: str) -> Change:
    def change(path: Path) -> None:
        os.replace(path / name, path.parent / "elsewhere")
        (path / name).symlink_to(path.parent / "elsewhere")

    return change


def copy(name: str, to: str) -> Change:
    def change(path: Path) -> None:
        (path / to).parent.mkdir(parents=True, exist_ok=True)
        (path / to).write_bytes((path / name).read_bytes())

    return change


def cut(end: int) -> Change:
    """Keep the first bytes of a shard, or all but the last for a negative number."""

    def change(path: Path) -> None:
        data = (path / SQUARE).read_bytes()
        (path / SQUARE).write_bytes(data[:end])

    return change


def members(path: Path, file: str = SQUARE) -> Members:
    with tarfile.open(path / file) as tar:
        opened = ((member.name, tar.extractfile(member)) for member in tar)
        return [(name, data.read()) for name, data in opened if data is not None]


def rewritten(change: Callable[[Members], Members]) -> Change:
    """Write a shard again with other members, by the rules."""

    def edit(path: Path) -> None:
        (path / SQUARE).write_bytes(tar_bytes(change(members(path))))

    return edit


def header(at: int, value: bytes) -> Change:
    """Change the first header of a shard and make its checksum fit."""

    def edit(path: Path) -> None:
        data = bytearray((path / SQUARE).read_bytes())
        block = data[:512]
        block[at : at + len(value)] = value
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        data[:512] = block
        (path / SQUARE).write_bytes(data)

    return edit


def edited(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    """Return the table with one value changed."""
    column = table.column(name).to_pylist()
    column[row] = value
    field = table.schema.field(name)
    return table.set_column(table.schema.get_field_index(name), field, pa.array(column, field.type))
