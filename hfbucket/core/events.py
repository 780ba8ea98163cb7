"""What a stage tells while it runs: frozen records given to a callback. Printing them is the caller's work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a stage is. `done` and `total` count `unit`s; `total` is None while unknown."""

    stage: str
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something a user should read once."""

    level: Literal["info", "warning"]
    text: str


Event = Progress | Notice
OnEvent = Callable[[Event], None]
"""Mostly called in the thread that called the stage; while that waits for another machine, another one says so."""


def ignore(event: Event) -> None:
    """Take an event and do nothing."""
