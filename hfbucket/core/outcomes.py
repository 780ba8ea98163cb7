"""The one vocabulary of what becomes of an input: ledger, summary, commands and card all use it.

The order is the format's: the first reason that applies is the outcome. In arrays an outcome is its
position in `OUTCOMES` (uint8); 0 is `images_exported`, which in a plan means "still eligible".
"""

from __future__ import annotations

from typing import Final

OUTCOMES: Final[tuple[str, ...]] = (
    "images_exported",
    "source_errors",
    "unsupported_format",
    "decode_errors",
    "skipped_too_large",
    "skipped_not_jpeg",
    "filtered",
    "skipped_no_caption",
    "skipped_too_small",
    "skipped_too_cropped",
    "duplicates_removed",
    "skipped_rare_bucket",
    "encode_errors",
    "removed",
)
"""Every outcome; the names are the keys of the manifest's summary."""

CODE: Final[dict[str, int]] = {name: code for code, name in enumerate(OUTCOMES)}
"""Outcome name to its code in plan arrays."""

EXPORTED: Final = 0

UNDECODABLE: Final[tuple[str, ...]] = ("decode_errors", "encode_errors")
"""What counts against `--max-failure-ratio`."""
