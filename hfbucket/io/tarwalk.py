"""The plain samples of a tar, read by compiled code: many at a time, few bytes of each; far away, block by block.

For what it takes it gives what `hfbucket.io.tarread` and `hfbucket.io.images.probe` give; all else is left to them.
Where it was not built, it takes nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hfbucket.io.images.formats import EXTENSION_FORMATS
from hfbucket.io.store import RandomFile

try:
    from hfbucket.io import _walk
except ImportError:  # built without a compiler
    _walk = None  # type: ignore[assignment]

_MOST_SAMPLES: Final = 256
_MOST_PIXELS: Final = 2**62
_IMAGES: Final = "|".join(["", *EXTENSION_FORMATS, ""])


class PlainSample(NamedTuple):
    """One image and the small members beside it, with names in UTF-8."""

    member: str
    #: The member's name up to its extension.
    key: str
    offset: int
    size_bytes: int
    #: Pixels after orientation; 0 where the header is not a usual one of a JPEG.
    width: int
    height: int
    #: EXIF 1..8.
    orientation: int
    #: gray or rgb.
    color: str
    #: A GPS position stands in EXIF.
    gps: bool
    #: (extension, content) of the members that are no images, in order.
    sidecars: list[tuple[str, bytes]]
    #: The width is known, and the only sidecar is one `txt`, if there is any.
    is_simple: bool


def plain_samples(file: RandomFile, position: int, open_key: str, *, max_pixels: int) -> tuple[int, list[PlainSample]]:
    """Return where the first member begins that was not taken, and the samples before it, as plain tuples.

    Args:
        position: where a member begins, which no header before it says anything of.
        open_key: of the sample that the member before it belongs to: nothing is taken while that goes on.
        max_pixels: images of more are left with a width of 0.
    """
    if _walk is None:
        return position, []
    how = (open_key, _IMAGES, min(max_pixels, _MOST_PIXELS), _MOST_SAMPLES)
    if file.descriptor is not None:
        return _walk.samples(file.descriptor, position, file.size_bytes, *how)
    start, block = file.block_at(position)
    return _walk.samples_in(block, start, position, file.size_bytes, *how)
