"""BMP by its header, without decoding (Microsoft's bitmap structures): whether its pixels can be there."""

from __future__ import annotations

import struct
from typing import Final

from hfbucket.io.images.formats import corrupt

_UNPACKED: Final = frozenset({0, 3, 6})  # BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS


def count_frames(data: bytes) -> int:
    """Return 1, once the file is long enough for the pixels that its header promises.

    Raises:
        SampleError: it is not, so that decoding would allocate for nothing.
    """
    if len(data) < 34:
        raise corrupt("truncated BMP: the file ends inside its header")
    offset, header_size = struct.unpack_from("<II", data, 10)
    if header_size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    width, height = abs(width), abs(height)
    row_bytes = (width * bits + 7) // 8
    needed = offset + (height - 1) * ((row_bytes + 3) // 4 * 4) + row_bytes
    if compression in _UNPACKED and needed > len(data):
        raise corrupt(f"truncated BMP: {len(data)} bytes where {width}x{height} pixels take {needed}")
    return 1
