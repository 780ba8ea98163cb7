"""The local engine: every task comes back once, whatever happens to the workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hfbucket.errors import FormatError
from hfbucket.executors.local import map_tasks, worker_count
from hfbucket.executors.task import Failure, report
from tests.processes import wait_until_gone


def square(number: int) -> int:
    return number * number


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def exit_with_words(number: int) -> int:
    os.write(2, b"noise\nthe last words\n")
    os._exit(3)


def complain(number: int) -> int:
    if number == 2:
        raise FormatError("two is no good", where="task")
    return number


class Awkward(Exception):
    def __init__(self, *, word: str) -> None:
        super().__init__(word)


def be_awkward(number: int) -> int:
    raise Awkward(word=f"number {number}")


def chatter(number: int) -> int:
    print("a library prints")  # noqa: T201 - that is the point
    os.write(1, b"and C code too\n")
    return number


def count_up(number: int) -> int:
    for done in range(1, 4):
        report(done)
        time.sleep(0.11)
    return number


def hurry(items: int) -> None:
    for done in range(items):
        report(done)


def touch_and_wait(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_task_once(workers: int) -> None:
    assert sorted(map_tasks(square, range(10), workers=workers)) == [(n, n * n) for n in range(10)]
    assert list(map_tasks(square, [], workers=workers)) == []


def test_tasks_are_not_taken_far_ahead() -> None:
    taken = []

    def feed() -> object:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_tasks(square, feed(), workers=2)  # type: ignore[arg-type]
    next(results)
    assert len(taken) <= 6
    results.close()  # type: ignore[attr-defined]


def test_a_killed_worker_is_a_failure_and_the_rest_goes_on() -> None:
    results = dict(map_tasks(die, range(8), workers=2))
    failure = results.pop(3)
    assert isinstance(failure, Failure)
    assert (failure.task, failure.final, failure.crashed) == (3, False, True)
    assert "killed by SIGKILL" in failure.reason
    assert results == {n: n for n in range(8) if n != 3}


def test_a_dying_worker_is_quoted() -> None:
    for task, failure in map_tasks(exit_with_words, range(2), workers=2):
        assert failure == Failure(task=task, reason="a worker ended with exit code 3: the last words", crashed=True)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_exception_comes_out_as_it_is(workers: int) -> None:
    with pytest.raises(FormatError, match="task: two is no good"):
        list(map_tasks(complain, range(5), workers=workers))


def test_an_exception_that_cannot_be_copied_keeps_its_words() -> None:
    with pytest.raises(RuntimeError, match="Awkward: number"):
        list(map_tasks(be_awkward, range(5), workers=2))


def test_what_libraries_print_does_no_harm() -> None:
    assert sorted(map_tasks(chatter, range(4), workers=2)) == [(n, n) for n in range(4)]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_progress_reaches_the_caller(workers: int) -> None:
    seen: list[tuple[int, int]] = []
    list(map_tasks(count_up, [7, 8], workers=workers, on_progress=lambda task, done: seen.append((task, done))))
    assert {task for task, _ in seen} == {7, 8}


def test_no_report_is_passed_on_for_every_item() -> None:
    seen: list[tuple[int, int]] = []
    list(map_tasks(hurry, [100_000], workers=0, on_progress=lambda task, done: seen.append((task, done))))
    assert len(seen) < 10_000


PARENT = """
import sys
from hfbucket.executors.local import map_tasks
from tests.executors.test_local import touch_and_wait
list(map_tasks(touch_and_wait, sys.argv[1:], workers=2))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_a_killed_parent_and_need_no_main_guard(tmp_path: Path) -> None:
    marks = [tmp_path / "a", tmp_path / "b"]
    (tmp_path / "script.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", *marks], env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    deadline = time.monotonic() + 30
    while not all(mark.exists() and mark.read_text() for mark in marks):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    workers = [int(mark.read_text()) for mark in marks]
    wait_until_gone(workers)


def test_worker_count() -> None:
    assert worker_count(3) == 3
    assert worker_count(None) >= 1
    assert worker_count(0) == 0
