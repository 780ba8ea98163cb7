"""What decoding may do to an image besides decoding it."""

from __future__ import annotations

from typing import Final

CONVERSIONS: Final = (
    "alpha_flattened",
    "cmyk_converted",
    "depth_reduced",
    "icc_converted",
    "icc_ignored",
    "multi_frame",
    "oriented",
)
"""What decoding may have done to an image; `conversions` of the manifest's `statistics` count the images of each."""

MULTI_FRAME: Final = "multi_frame"
"""The one of them that bytes which stay as they are may be, too: only their first picture is used."""
