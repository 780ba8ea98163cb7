"""Signals wait while an engine starts, once, and handlers stay this process's own."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from hfbucket.executors.signals import put_off

CAME: list[str] = []


@pytest.fixture(autouse=True)
def _own_handler() -> Iterator[None]:
    CAME.clear()
    before = signal.signal(signal.SIGUSR1, lambda *_: CAME.append("signal"))
    yield
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_comes_when_the_engine_has_started() -> None:
    with put_off(signal.SIGUSR1):
        signal.raise_signal(signal.SIGUSR1)
        CAME.append("started")
    assert CAME == ["started", "signal"]


def test_the_second_one_does_not_wait_nor_come_again() -> None:
    with put_off(signal.SIGUSR1):
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        CAME.append("started")
    assert CAME == ["signal", "started"]


def test_what_an_engine_puts_in_goes_again() -> None:
    handler = signal.getsignal(signal.SIGUSR1)
    with put_off(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGUSR1) is handler


def test_an_error_does_not_keep_the_signal_away() -> None:
    def fail() -> None:
        with put_off(signal.SIGUSR1):
            signal.raise_signal(signal.SIGUSR1)
            raise ValueError("no cluster")

    with pytest.raises(ValueError, match="no cluster"):
        fail()
    assert CAME == ["signal"]
