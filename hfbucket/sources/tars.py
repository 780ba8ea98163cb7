"""webdataset tars: members of one sample lie side by side and share their name up to the extension."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.keys import text_of
from hfbucket.core.meta import parse_json
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.errors import SourceError
from hfbucket.io.images.formats import IMAGE_EXTENSIONS
from hfbucket.io.pieces import Pieces
from hfbucket.io.store import JoinedFile, RandomFile, Window
from hfbucket.io.tarread import ForwardFile, Member, is_gzip, members, open_tar
from hfbucket.io.tarwalk import PlainSample, plain_samples
from hfbucket.sources.containers import files_of, list_containers
from hfbucket.sources.listing import Files, Listing
from hfbucket.sources.rows import TEXT_EXTENSIONS, Look, Place, Rows, SimpleSamples, extension_of, look_at, unreadable

TarFile = RandomFile | JoinedFile | ForwardFile
EXTENSIONS: Final = ("tar", "tgz", "tar.gz")
_SIDECARS: Final = (*TEXT_EXTENSIONS, "json")
_TEXT_LIMIT_BYTES: Final = 16 << 20
_SMALL_LIMIT_BYTES: Final = 64 << 10
_IS_SIMPLE: Final = itemgetter(PlainSample._fields.index("is_simple"))
_HEAD_LIMIT_BYTES: Final = 64 << 20
"""How much of an image in a gzipped tar is looked at for its header."""


def list_units(spec: SourceSpec, number: int, config: Config, files: Files | None = None) -> Listing:
    """Return one unit per tar; the parts of one that was split are one."""
    return list_containers(spec, number, EXTENSIONS, files or files_of(spec.url), split=True)


def random_access(unit: Unit) -> bool:
    """Return whether single images can be read at their offsets: not from gzipped tars, nor from split ones."""
    return not (unit.parts or unit.url.lower().endswith("gz") or _is_gzip(unit.url, unit.version, unit.size_bytes))


@lru_cache(maxsize=1 << 16)  # it is asked again and again, and far away every answer takes its time
def _is_gzip(url: str, version: str, size_bytes: int) -> bool:
    return is_gzip(url, size_bytes)


def scan_unit(unit: Unit, config: Config, look: Look = look_at, aside: Path | None = None) -> tuple[Pieces, UnitFacts]:
    """Return the index rows of a tar.

    Raises:
        SourceError: it is no tar, or was split and its last part is missing.
    """
    rows = Rows(unit, config, aside)
    notes: list[str] = []
    with open_tar(unit.url, unit.parts, unit.size_bytes) as file:
        scan = _Scan(unit, config, rows, file, look)
        try:
            for member in members(file, notes, scan.take_plain, last_part=unit.last_part):
                scan.take(member)
        except SourceError as error:
            raise SourceError(f"{unit.name if unit.last_part else unit.url}: {error}") from error
        scan.finish()
        if isinstance(file, ForwardFile) and scan.has_images:
            rows.note("are read from start to end each time; unpacked they would be faster", name="gzipped tars")
    for note in notes:
        rows.note(note)
    return rows.finish()


def read_rows(unit: Unit, rows: pa.Table, config: Config) -> Iterator[tuple[int, bytes]]:
    """Yield (number in `rows`, bytes) of images, in the order they lie in the tar.

    Args:
        rows: columns `offset` and `size_bytes` of the index.
    """
    offsets, sizes = rows["offset"].to_pylist(), rows["size_bytes"].to_pylist()
    with open_tar(unit.url, unit.parts, unit.size_bytes) as file:
        for number in sorted(range(len(offsets)), key=offsets.__getitem__):
            yield number, file.pread(offsets[number], sizes[number])


@dataclass(slots=True)
class _Sample:
    """Adjacent members with one key."""

    key: str
    images: list[tuple[Place, dict[str, Any]]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    sidecars: dict[str, bytes] = field(default_factory=dict)
    extensions: list[str] = field(default_factory=list)


class _Scan:
    """Groups the members of one tar into samples and turns them into rows."""

    def __init__(self, unit: Unit, config: Config, rows: Rows, file: TarFile, look: Look) -> None:
        self._unit, self._config, self._rows, self._file, self._look_at = unit, config, rows, file, look
        self._sample = _Sample("")
        self._with_image: set[str] = set()
        self._without_image: set[str] = set()

    def take(self, member: Member) -> None:
        """Add the next member."""
        if not member.is_file:
            self._rows.ignored_members += 1
            return
        name = text_of(member.name)
        if name.startswith(".") or "/." in name:  # hidden, and what macOS keeps beside a file
            self._rows.ignore(extension_of(name))
            return
        key, extension = _split(name)
        if key != self._sample.key:
            self._flush()
            self._sample = _Sample(key)
        if f".{extension}" in IMAGE_EXTENSIONS:
            self._sample.images.append((self._place(member, name), self._look(member, name)))
        elif not member.is_whole or not self._read_sidecar(member, extension):
            self._rows.ignore(extension)

    def take_plain(self, position: int) -> int:
        """Add the plain samples that begin at a member's place; return where they end."""
        if not isinstance(self._file, RandomFile) or self._look_at is not look_at:
            return position  # images that may end a process are looked at in a child
        while True:
            end, samples = plain_samples(self._file, position, self._sample.key, max_pixels=self._config.max_pixels)
            if not samples:
                return position
            self._flush()
            for is_simple, run in groupby(samples, _IS_SIMPLE):
                if is_simple and self._config.id_column is None:
                    simple = _simple(run)
                    self._with_image.update(simple.keys)
                    self._rows.add_simple(simple)
                else:
                    for sample in run:
                        self._take_one(PlainSample(*sample))
            self._sample = _Sample("")
            position = end

    def _take_one(self, found: PlainSample) -> None:
        """Add a sample that may have any sidecars, and an image of any kind."""
        member = Member(found.member.encode(), found.offset, found.size_bytes, is_file=True, is_whole=True)
        image = _seen(found) if found.width else self._look(member, found.member)
        self._sample = _Sample(found.key, images=[(self._place(member, found.member), image)])
        for extension, data in found.sidecars:
            if not self._keep_sidecar(extension, data):
                self._rows.ignore(extension)
        self._flush()

    def finish(self) -> None:
        """End the last sample."""
        self._flush()
        apart = sorted(self._with_image & self._without_image)
        if apart:
            self._rows.note(
                f"has sidecars of {len(apart)} images that do not lie beside them, such as {apart[0]}: not used; "
                "the members of a sample must be adjacent"
            )

    @property
    def has_images(self) -> bool:
        """Whether there was any."""
        return bool(self._with_image)

    def _place(self, member: Member, name: str) -> Place:
        return Place(
            archive=self._unit.name,
            member=name,
            path=None,
            offset=member.offset,
            size_bytes=member.size_bytes,
            mtime_ns=self._unit.mtime_ns,
        )

    def _look(self, member: Member, name: str) -> dict[str, Any]:
        if isinstance(self._file, ForwardFile):
            data = self._file.pread(member.offset, min(member.size_bytes, _HEAD_LIMIT_BYTES))
            window: BinaryIO = io.BytesIO(data)
            is_whole = len(data) == min(member.size_bytes, _HEAD_LIMIT_BYTES)
        else:
            window = cast("BinaryIO", Window(self._file, member.offset, member.size_bytes))
            is_whole = member.is_whole
        if not is_whole:
            return unreadable("the archive ends inside this member")
        size_bytes = member.size_bytes
        return self._look_at(window, name=name, size_bytes=size_bytes, max_pixels=self._config.max_pixels)

    def _read_sidecar(self, member: Member, extension: str) -> bool:
        """Take a member as caption or metadata of its sample; return whether it is one."""
        kind = extension.removesuffix(".gz")
        if member.size_bytes > (_TEXT_LIMIT_BYTES if kind in _SIDECARS else _SMALL_LIMIT_BYTES):
            return False
        data = self._file.pread(member.offset, member.size_bytes)
        return len(data) == member.size_bytes and self._keep_sidecar(extension, data)

    def _keep_sidecar(self, extension: str, data: bytes) -> bool:
        """Keep the content of a member for its sample; return whether it is caption or metadata."""
        kind = extension.removesuffix(".gz")
        if kind != extension:
            data = _unpacked(data)
        if kind in TEXT_EXTENSIONS:
            self._sample.sidecars[kind] = data
        elif kind == "json":
            value = parse_json(data)
            if not isinstance(value, dict):
                return False
            self._sample.meta |= value
        else:
            value = _small_value(data)
            if value is None or not kind:
                return False
            self._sample.meta.setdefault(kind, value)
        self._sample.extensions.append(extension)
        return True

    def _flush(self) -> None:
        sample = self._sample
        if not sample.images:
            for extension in sample.extensions:
                self._rows.ignore(extension)
            if sample.extensions:
                self._without_image.add(sample.key)
            return
        self._with_image.add(sample.key)
        for extension in sample.extensions:
            self._rows.sidecar(extension)
        for number, (place, image) in enumerate(sample.images):
            key = sample.key if number == 0 else place.member  # further images keep their extension: an id names one
            key = f"{self._unit.name}/{key}"
            self._rows.add(place, key=key, image=image, meta=sample.meta, sidecars=_in_order(sample.sidecars))


def _simple(run: Iterable[PlainSample]) -> SimpleSamples:
    members, keys, offsets, sizes, widths, heights, orientations, colors, gps, sidecars, _ = zip(*run, strict=True)
    return SimpleSamples(
        members=members,
        keys=keys,
        offsets=offsets,
        sizes=sizes,
        widths=widths,
        heights=heights,
        orientations=orientations,
        colors=colors,
        gps=gps,
        texts=[beside[0][1] if beside else None for beside in sidecars],
    )


def _seen(found: PlainSample) -> dict[str, Any]:
    """Return the columns that `look_at` gives for a usual JPEG."""
    columns = {name: getattr(found, name) for name in ("width", "height", "orientation", "color", "gps")}
    return {"format": "jpeg", **columns}


def _in_order(sidecars: dict[str, bytes]) -> dict[str, bytes]:
    return {extension: sidecars[extension] for extension in TEXT_EXTENSIONS if extension in sidecars}


def _split(name: str) -> tuple[str, str]:
    """Return (key, extension in lower case) of a member; `a.txt.gz` has the extension `txt.gz`."""
    stem, dot, extension = name.rpartition(".")
    if not dot or "/" in extension:
        return name, ""
    extension = extension.lower()
    if extension == "gz":
        inner, dot, second = stem.rpartition(".")
        if dot and second.lower() in _SIDECARS:
            return inner, f"{second.lower()}.gz"
    return stem, extension


def _unpacked(data: bytes) -> bytes:
    """Return the content of a small gzipped member, as far as it is whole and within the limit."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            return stream.read(_TEXT_LIMIT_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def _small_value(data: bytes) -> str | int | None:
    """Return what a small member such as `.cls` says: a whole number, or text; None for anything else."""
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else text
