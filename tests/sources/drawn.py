"""Small real images, tars and folders for tests of sources."""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import fsspec
from PIL import Image

Members = Iterable[tuple[str | tarfile.TarInfo, bytes]]


@functools.cache
def image(width: int = 12, height: int = 8, kind: str = "JPEG", orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 90)).save(out, kind, exif=exif)
    return out.getvalue()


def put(root: str | Path, files: Mapping[str, bytes]) -> str:
    """Write files below a local folder or a URL and return it."""
    for name, data in files.items():
        with fsspec.open(f"{root}/{name}", "wb", auto_mkdir=True) as file:
            file.write(data)
    return str(root)


def tar(members: Members, *, kind: int = tarfile.PAX_FORMAT, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=kind) as file:  # type: ignore[call-overload]
        for name, data in members:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if member.isreg():
                member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return out.getvalue()


def odd(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """Return a member that is no file: link, device, folder."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""
