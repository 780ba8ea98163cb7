"""The images that still lack a caption of a variant, with their bytes: what a captioning loop goes through."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.units import SourceKind, Unit
from hfbucket.core.workspace.brought import STATUSES
from hfbucket.errors import ConfigError, SourceError
from hfbucket.io import store
from hfbucket.io.workspace.todo import ImagePlace, pages
from hfbucket.sources import SOURCES
from hfbucket.sources.parts import split_archives

AGAIN = tuple(status for status in STATUSES if status != "ok")
"""Statuses that may be asked for again."""

_KINDS: dict[str, SourceKind] = {"packed": "tars", "parquet": "parquet"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Image(ImagePlace):
    """One image to caption."""

    _page: _Page = field(repr=False, compare=False)

    def read(self) -> bytes:
        """Return the encoded image.

        Images in Parquet files and packed tars come cheaply in the order they are given in.

        Raises:
            SourceError: it cannot be read any more: a captioner may write the status `error`.
        """
        try:
            return self._page.read(self)
        except OSError as error:
            raise SourceError(f"{self.image_id}: cannot be read from {self.path}: {error}") from error


def todo(
    workspace: str | os.PathLike[str],
    variant: str,
    *,
    retry: Collection[str] = (),
    limit: int | None = None,
    shard: tuple[int, int] = (1, 1),
    image_column: str | None = None,
) -> Iterator[Image]:
    """Yield the images of a caption workspace without a caption of this variant, in source order.

    Any caption counts, whatever its status: also refused, error and empty ones are done. What others write meanwhile
    is left out as the loop comes to it, so an interrupted run continues where it was.

    Args:
        retry: statuses that do not count as done: of `refused`, `error`, `empty`.
        limit: at most so many images.
        shard: (i, n), i from 1: the i-th of n equal parts by hash of image_id, for n captioners at once.
        image_column: of Parquet files that have several with images.

    Raises:
        ConfigError: an argument is out of range.
        WorkspaceError: the file is no workspace, or cannot be read.
    """
    number, shards = shard
    if not 1 <= number <= shards:
        raise ConfigError(f"shard must be i of n with 1 <= i <= n, got {number} of {shards}")
    if unknown := [status for status in retry if status not in AGAIN]:
        raise ConfigError(f"retry must be of {', '.join(AGAIN)}, got {unknown[0]!r}")
    if limit is not None and limit < 0:
        raise ConfigError(f"limit must be at least 0, got {limit}")
    config = Config(image_column=image_column)
    return _images(workspace, variant, retry, limit, number - 1, shards, config)


def _images(
    workspace: str | os.PathLike[str],
    variant: str,
    retry: Collection[str],
    limit: int | None,
    shard: int,
    shards: int,
    config: Config,
) -> Iterator[Image]:
    left = limit
    for places in pages(workspace, variant, again=retry, shard=shard, shards=shards):
        page = _Page(places, config)
        for place in places[:left]:
            yield Image(**{name: getattr(place, name) for name in ImagePlace.__slots__}, _page=page)
        if left is not None:
            left -= len(places)
            if left <= 0:
                return


class _Page:
    """Some images one after another; those of a container that is read in order share one pass through it."""

    def __init__(self, places: Sequence[ImagePlace], config: Config) -> None:
        self._places, self._config = places, config
        self._path = ""
        self._passing: Iterator[tuple[int, bytes]] = iter(())

    def read(self, image: ImagePlace) -> bytes:
        """Return the bytes of one of the images."""
        if image.kind not in _KINDS:
            with store.RandomFile(image.path) as file:
                data = file.pread(image.offset, image.size_bytes)
            if len(data) < image.size_bytes:
                raise OSError(
                    f"it has {len(data)} of {image.size_bytes} bytes there; run `hfbucket workspace init` again"
                )
            return data
        found = self._next(image) if self._path == image.path else None
        return self._restarted(image) if found is None else found

    def _next(self, image: ImagePlace) -> bytes | None:
        """Return the image's bytes if they are still to come, going forward to them."""
        for offset, data in self._passing:
            if offset == image.offset:
                return data
        return None

    def _restarted(self, image: ImagePlace) -> bytes:
        """Begin a pass through the image's container with this image."""
        rows = [p for p in self._places if p.path == image.path and p.offset >= image.offset]
        kind = _KINDS[image.kind]
        parts = _parts(image.path) if image.kind == "packed" else ()
        unit = Unit(source=0, kind=kind, url=image.path, name="", prefix="", size_bytes=0, version="", parts=parts)
        offsets = [place.offset for place in rows]
        table = pa.table({"offset": offsets, "size_bytes": [place.size_bytes for place in rows]})
        passing = SOURCES[kind].read_rows(unit, table, self._config)
        self._path = image.path
        self._passing = ((offsets[number], data) for number, data in passing)
        found = self._next(image)
        if found is None:
            raise OSError("it is not there any more; run `hfbucket workspace init` again")
        return found


def _parts(path: str) -> tuple[str, ...]:
    """Return the parts of the archive that was split and has this first part; nothing of one that lies there whole."""
    folder, name = store.split_name(path)
    beside = [file.path for file in store.walk(folder, deep=False)]
    found = (parts for parts in split_archives(beside).values() if parts[0] == name)
    return tuple(store.join(folder, part) for part in next(found, ()))


__all__ = ["AGAIN", "Image", "todo"]
