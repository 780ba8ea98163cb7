"""Small drawn photos with captions, as sources of builds."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIZES = ((200, 150), (150, 200), (160, 160), (90, 70), (40, 30))
"""At bases 128 and 64: three for 128, one for 64, one too small."""


def picture(number: int, kind: str = "JPEG", **options: object) -> bytes:
    """Return the encoded picture of a number; sizes take turns, pixels differ."""
    width, height = SIZES[number % len(SIZES)]
    seed = hashlib.sha256(f"picture {number}".encode()).digest()
    image = Image.frombytes("RGB", (4, 2), (seed * 2)[:24]).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def caption(number: int) -> str:
    """Return the caption of a picture."""
    return f"picture {number}, zwölf 猫\nin two lines"


def draw_folder(folder: Path, count: int, *, start: int = 0) -> Path:
    """Write pictures with captions beside them; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        (folder / f"{number:04d}.jpg").write_bytes(picture(number))
        (folder / f"{number:04d}.txt").write_text(caption(number), encoding="utf-8")
    return folder


def draw_tar(path: Path, count: int, *, mode: str = "w") -> Path:
    """Write a webdataset tar, gzipped with mode `w:gz`; return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for number in range(count):
            for name, data in ((f"{number:04d}.jpg", picture(number)), (f"{number:04d}.txt", caption(number).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


def draw_parquet(path: Path, count: int) -> Path:
    """Write a Parquet file with images as `datasets` does; return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"image": {"bytes": picture(n), "path": f"{n:04d}.jpg"}, "caption": caption(n), "class_id": n}
        for n in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=5)
    return path


def tree(export: Path) -> dict[str, str]:
    """Return every file of an export with the hash of its bytes; of card and manifest only that they are there."""
    files = (path for path in sorted(export.rglob("*")) if path.is_file())
    return {
        path.relative_to(export).as_posix(): ""
        if path.suffix in (".json", ".md")
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
