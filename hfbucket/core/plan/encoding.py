"""How an image gets into its shard, in a number."""

from __future__ import annotations

from typing import Final

ENCODE_BUCKET: Final = 0
"""Resize, crop and encode to the bucket's size."""
ENCODE_NONE: Final = 1
"""Keep the source's own JPEG bytes."""
ENCODE_FULL: Final = 2
"""Encode at full size: passthrough of an image whose bytes do not mean the same to every reader."""
