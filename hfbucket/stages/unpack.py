"""One tar, or shard, to plain files: each is whole or not there, and none lies outside the folder."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hfbucket.core.file_names import FileNames
from hfbucket.core.law.geometry import Geometry, cover
from hfbucket.errors import BuildError, SampleError, SourceError
from hfbucket.executors.isolated import Isolated
from hfbucket.executors.task import Failure, report
from hfbucket.io.atomic import NO_ROOM, naming, write_bytes
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.encode import encode_jpeg, fit
from hfbucket.io.images.formats import EXTENSION_FORMATS
from hfbucket.io.tarread import ByteSource, Member, members, open_tar
from hfbucket.sources.rows import extension_of, look_at
from hfbucket.stages.care import Care, carefully
from hfbucket.stages.rounds import failure_of

_PIECE_BYTES: Final = 8 << 20
_IMAGE_LIMIT_BYTES: Final = 1 << 30
_QUALITY: Final = 95


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpack:
    """One tar to unpack."""

    #: For people: its path below the source, or in the export.
    name: str
    url: str
    parts: tuple[str, ...]
    #: Of one that was split, the name of its last part.
    last_part: str
    size_bytes: int
    version: str
    #: The folder that everything lies in, and the tar's own below it.
    root: Path
    folder: str
    #: What was done, written when all of it is; and which tar was begun.
    receipt: Path
    begun: Path
    #: Where files are written before they take their places.
    staging: Path
    max_short_edge: int | None
    max_pixels: int
    care: Care = Care.NONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpacked:
    """What became of the members of one tar, or of several."""

    files: int = 0
    size_bytes: int = 0
    #: Images that were made smaller, and those that could not be and stay as they are.
    shrunk: int = 0
    not_decoded: int = 0
    #: Links, devices, and names that lead out of the folder; files that the tar ends in.
    left_out: int = 0
    cut_off: int = 0
    #: Files with another name than in the tar.
    renamed: int = 0
    notes: tuple[str, ...] = ()

    def __add__(self, other: Unpacked) -> Unpacked:
        """Return the sum of both."""
        return Unpacked(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


def read_receipt(task: Unpack) -> Unpacked | None:
    """Return what was done for a tar; None where it is not done, or another tar had its place."""
    try:
        values = json.loads(task.receipt.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if values.pop("version", None) != task.version:
        return None
    return Unpacked(**values | {"notes": tuple(values["notes"])})


def unpack(task: Unpack) -> Failure | None:
    """Unpack one tar; what an earlier try wrote of the same one stays. Runs in a worker."""
    try:
        with ExitStack() as stack:
            child = stack.enter_context(Isolated()) if task.care != Care.NONE else None
            done = _Writer(task, child).run()
        os.sync()  # so that what the receipt says is done outlives a loss of power
        values = {name: getattr(done, name) for name in done.__slots__}
        write_bytes(task.receipt, json.dumps({"version": task.version, **values}).encode())
    except (OSError, MemoryError, SourceError, BuildError) as error:
        return failure_of(task, error)
    return None


class _Writer:
    """Writes the members of one tar."""

    def __init__(self, task: Unpack, child: Isolated | None) -> None:
        self._task, self._child = task, child
        self._names = FileNames()
        self._counts: Counter[str] = Counter()
        self._folder = task.root / task.folder
        self._folders: set[Path] = set()
        # Files of the same tar are whole wherever they are there.
        self._go_on = task.begun.exists() and task.begun.read_text() == task.version

    def run(self) -> Unpacked:
        """Write every member and return the counts."""
        task = self._task
        task.staging.mkdir(parents=True, exist_ok=True)
        if not self._go_on:
            write_bytes(task.begun, task.version.encode())
        self._make(self._folder)
        notes: list[str] = []
        with open_tar(task.url, task.parts) as file:
            for member in members(file, notes, last_part=task.last_part):
                self._take(member, file)
                report(min(task.size_bytes, member.offset + member.size_bytes))
        shutil.rmtree(task.staging)
        return Unpacked(**self._counts, notes=tuple(f"{task.name} {note}" for note in notes))

    def _take(self, member: Member, file: ByteSource) -> None:
        if not member.is_file:
            self._counts["left_out"] += not member.name.endswith(b"/")
        elif not member.is_whole:
            self._counts["cut_off"] += 1
        else:
            made = self._smaller(member, file) if self._is_image(member) else None
            if made is None:
                self._put(member.name, _pieces(member, file), member.size_bytes)
            else:
                stem, _, extension = member.name.rpartition(b".")
                is_jpeg = extension.lower() in (b"jpg", b"jpeg")
                self._put(member.name if is_jpeg else stem + b".jpg", [made], len(made))

    def _smaller(self, member: Member, file: ByteSource) -> bytes | None:
        """Return a smaller picture of an image, or None where it is to stay as it is."""
        data = file.pread(member.offset, member.size_bytes)
        image = _Image(data=data, edge=self._task.max_short_edge or 0, max_pixels=self._task.max_pixels)
        try:
            made = shrunk(image) if self._child is None else carefully(self._child, self._task.care, shrunk, image)
        except SampleError:
            self._counts["not_decoded"] += 1
            return None
        self._counts["shrunk"] += made is not None
        return made

    def _is_image(self, member: Member) -> bool:
        is_image = extension_of(member.name.decode("latin-1")) in EXTENSION_FORMATS
        return is_image and self._task.max_short_edge is not None and member.size_bytes <= _IMAGE_LIMIT_BYTES

    def _put(self, raw: bytes, pieces: Iterable[bytes], size_bytes: int) -> None:
        """Write a file of that size, or count it as cut off; a link that has its name is replaced, not followed."""
        name = self._names.give(raw)
        self._counts["renamed"] += name.encode("utf-8") != raw
        path = self._folder / name
        self._make(path.parent)
        is_there = self._go_on and path.is_file() and not path.is_symlink()
        if not (is_there and path.stat().st_size == size_bytes):
            temporary = self._task.staging / "file"
            temporary.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with naming(path, NO_ROOM), os.fdopen(os.open(temporary, flags, 0o644), "wb") as out:
                written = sum(out.write(piece) for piece in pieces)
            if written != size_bytes:
                self._counts["cut_off"] += 1
                return
            temporary.replace(path)
        self._counts["files"] += 1
        self._counts["size_bytes"] += size_bytes

    def _make(self, folder: Path) -> None:
        """Make a folder, once it is sure that no link leads out of the root."""
        if folder in self._folders:
            return
        there = folder
        while not os.path.lexists(there):
            there = there.parent
        if not Path(os.path.realpath(there)).is_relative_to(os.path.realpath(self._task.root)):
            raise BuildError(f"{there} leads out of {self._task.root} by a link: take the link away")
        folder.mkdir(parents=True, exist_ok=True)
        self._folders.add(folder)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Image:
    """An encoded image, and how long its shorter edge may be."""

    data: bytes
    edge: int
    max_pixels: int


def shrunk(image: _Image) -> bytes | None:
    """Return an image with its shorter edge as long as it may be, as JPEG; None where it is no longer.

    Raises:
        SampleError: it cannot be decoded, or has too many pixels.
    """
    file = io.BytesIO(image.data)
    seen = look_at(file, name="image", size_bytes=len(image.data), max_pixels=image.max_pixels)
    if seen.get("outcome"):
        raise SampleError(seen["outcome"], seen["detail"])
    if min(seen["width"], seen["height"]) <= image.edge:
        return None
    picture = decode_rgb(image.data, max_pixels=image.max_pixels).image
    width, height = cover(picture.width, picture.height, image.edge, image.edge)
    geometry = Geometry(resized_w=width, resized_h=height, crop_left=0, crop_top=0, w=width, h=height)
    return encode_jpeg(fit(picture, geometry), quality=_QUALITY, subsampling="4:4:4")


def _pieces(member: Member, file: ByteSource) -> Iterator[bytes]:
    position, end = member.offset, member.offset + member.size_bytes
    while position < end:
        piece = file.pread(position, min(_PIECE_BYTES, end - position))
        if not piece:
            return
        yield piece
        position += len(piece)
