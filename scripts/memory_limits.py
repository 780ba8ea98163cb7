"""How much memory each command may take: the bounds that the README tells and `bench_memory` holds them against.

A process may take a fixed amount, and more for every image of the source or export; a worker that decodes images, more
for every pixel of the largest one, which `--max-pixels` limits. Pages of files that are mapped are within these, but
no need: the system takes them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MB: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """The bound of one command's processes; a worker is each process that it starts."""

    fixed_mb: int
    bytes_per_image: int
    worker_mb: int = 0
    bytes_per_pixel: int = 0

    def parent(self, images: int, pixels: int) -> int:
        """Return what the command's own process may take, in bytes."""
        return self.fixed_mb * _MB + self.bytes_per_image * images

    def worker(self, images: int, pixels: int) -> int:
        """Return what each of its workers may take, in bytes."""
        return self.worker_mb * _MB + self.bytes_per_pixel * pixels


_L = Limit(fixed_mb=700, bytes_per_image=40, worker_mb=300, bytes_per_pixel=16)
LIMITS: Final[Mapping[str, Limit]] = {
    name: _L
    for name in (
        "plan", "build, passthrough", "build, re-encode", "build, --dedupe near", "build --update",
        "verify --structure", "verify --quick", "verify --full", "why", "load, streaming", "card",
        "push to a folder", "push to the Hub", "pull from a folder", "pull from the Hub", "workspace init",
        "workspace import", "workspace stats", "workspace todo", "workspace export", "recaption",
        "extract", "extract --max-short-edge", "remove",
    )
}  # fmt: skip
