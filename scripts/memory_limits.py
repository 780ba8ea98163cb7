"""How much memory each command may take: the bounds that the README tells and `bench_memory` holds them against.

A process may take a fixed amount, and more for every image of the source or export; one that opens images more for
every pixel of the largest, which `--max-pixels` limits. Shards that are mapped count while they are looked at, though
the system takes their pages back when it needs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MB: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """The bound of a command's processes; a worker is each process that it starts."""

    #: Of the command's own process, whatever it is given; and for each image.
    fixed_mb: int
    bytes_per_image: int
    #: Of each worker, and for each pixel of the largest image.
    worker_mb: int
    bytes_per_pixel: int

    def parent(self, images: int, pixels: int) -> int:
        """Return what the command's own process may take, in bytes; small work is done in it, images included."""
        return self.fixed_mb * _MB + self.bytes_per_image * images + self.bytes_per_pixel * pixels

    def worker(self, images: int, pixels: int) -> int:
        """Return what each of its workers may take, in bytes."""
        return self.worker_mb * _MB + self.bytes_per_pixel * pixels


PLANNING: Final = Limit(fixed_mb=700, bytes_per_image=31, worker_mb=300, bytes_per_pixel=12)
"""Commands that hold a plan."""

OTHERS: Final = Limit(fixed_mb=400, bytes_per_image=31, worker_mb=300, bytes_per_pixel=12)
"""Commands that go through an export or a workspace in pieces."""

LIMITS: Final[Mapping[str, Limit]] = {
    **dict.fromkeys(
        ("plan", "build, passthrough", "build, re-encode", "build, --dedupe near", "build --update"), PLANNING
    ),
    **dict.fromkeys(
        (
            "verify --structure", "verify --quick", "verify --full", "why", "load, streaming", "card",
            "push to a folder", "push to the Hub", "pull from a folder", "pull from the Hub",
            "recaption", "remove", "extract", "extract --max-short-edge",
            "workspace init", "workspace import", "workspace export", "workspace stats", "workspace todo",
        ),
        OTHERS,
    ),
}  # fmt: skip
