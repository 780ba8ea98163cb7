"""Where a command's words go: data to stdout, progress and notices to stderr."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from hfbucket.core.events import Event, Notice, OnEvent, Progress

if TYPE_CHECKING:
    from tqdm import tqdm

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
"""Adds `--json`; the command gets it as `as_json`."""


def show(data: object, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print a result to stdout: `data` (plain dicts, lists, numbers, text) as JSON, or what `text` returns.

    Of a path that is no UTF-8 those bytes come as escapes, as on stderr: `\\udcff`, which JSON takes for the same.
    """
    shown = json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) if as_json else text()
    click.echo(shown.encode("utf-8", "backslashreplace").decode())


def printable(text: str) -> str:
    """Return text from outside on one line, with what could steer a terminal shown as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


@contextmanager
def events() -> Iterator[OnEvent]:
    """Give a callback that shows what a stage tells: progress bars on a terminal, notices always, both on stderr."""
    screen = _Screen()
    try:
        yield screen.take
    finally:
        screen.close()


class _Screen:
    """At most one progress bar, and the notices above it."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._stage = ""
        self._lock = threading.Lock()  # what is waited for is told by other threads
        self._is_shown = sys.stderr.isatty() and os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS") != "1"

    def take(self, event: Event) -> None:
        """Show one event."""
        with self._lock:
            if isinstance(event, Notice):
                text = ("Warning: " if event.level == "warning" else "") + event.text
                click.echo(text, err=True) if self._bar is None else self._bar.write(text, file=sys.stderr)
            elif self._is_shown:
                self._show(event)

    def _show(self, event: Progress) -> None:
        if self._bar is not None and self._stage == event.stage:
            self._bar.total = event.total
            self._bar.update(event.done - self._bar.n)
            return
        from tqdm import tqdm  # who sees no bar is spared it

        self.close()
        self._stage = event.stage
        self._bar = tqdm(
            desc=event.stage, total=event.total, unit=f" {event.unit}", unit_scale=event.unit == "B",
            initial=event.done, smoothing=0.1, mininterval=0.2, file=sys.stderr, dynamic_ncols=True,
        )  # fmt: skip

    def close(self) -> None:
        """End the bar, leaving its last line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
