"""The seam between a push and where it goes: one protocol, and the target that a user's words mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hfbucket.core.transfer.push import Changes, Remote

__all__ = ["OnBytes", "Published", "Target"]

OnBytes = Callable[[int], None]
"""Told how many more bytes have left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Where an export stands after a push."""

    #: Of its page, or of the folder.
    url: str
    #: What `datasets.load_dataset` takes.
    loads_as: str
    commit: str | None = None
    #: Of a pull request that is left open.
    pull_request: str | None = None


class Target(Protocol):
    """A place that takes an export: complete or invisible, as far as it allows that."""

    @property
    def name(self) -> str:
        """The target as users write it."""

    @property
    def on_hub(self) -> bool:
        """Whether the limits and the card rules of the Hub hold."""

    def look(self) -> Remote:
        """Return what stands there; nothing is changed."""

    def objection(self, card: str) -> str | None:
        """Return what it says against a card, or None."""

    def way(self, found: Changes) -> str:
        """Return in words how these changes get there.

        Raises:
            PushError: they cannot.
        """

    def publish(self, found: Changes, remote: Remote, on_bytes: OnBytes) -> Published:
        """Carry the changes out on top of `remote`, which `look` gave."""

    def standing(self, remote: Remote) -> Published:
        """Return where the export stands that `look` found unchanged."""
