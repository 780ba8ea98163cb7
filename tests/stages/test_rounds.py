"""Tasks are tried again while that may help, and errors say what is wrong where."""

from __future__ import annotations

import errno

import pytest

from hfbucket.core.events import Event, Notice, Progress
from hfbucket.errors import BuildError, SourceError
from hfbucket.executors.engines import Workers
from hfbucket.executors.task import Failure, report
from hfbucket.stages import rounds
from hfbucket.stages.rounds import failure_of, run_rounds


@pytest.mark.parametrize(
    ("error", "reason", "final"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full", True),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "permission denied: /x/y", True),
        (FileNotFoundError("bucket/key"), "no such file (any more): bucket/key", True),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), "no such file (any more): /x", True),
        (OSError(errno.EIO, "Input/output error"), "[Errno 5] Input/output error", False),
        (ConnectionError("reset"), "reset", False),
        (SourceError("a.tar changed"), "a.tar changed", True),
    ],
)
def test_failure_of(error: Exception, reason: str, final: bool) -> None:
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    assert failure_of("task", error) == Failure(task="task", reason=reason, final=final, full=full)
    assert not failure_of("task", MemoryError()).final


_tries: dict[int, int] = {}


def work(task: int) -> Failure | None:
    """Fail as often as the task says."""
    _tries[task] = _tries.get(task, 0) + 1
    report(1)
    return Failure(task=task, reason="not yet") if _tries[task] <= task else None


def run(tasks: list[int], events: list[Event]) -> None:
    _tries.clear()
    run_rounds(
        work, tasks, [10] * len(tasks), name=lambda n: f"task {n}", stage="write", workers=Workers(count=0),
        on_event=events.append, done=5,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_PAUSE_S", 0.0)


def test_what_fails_is_tried_again_alone() -> None:
    events: list[Event] = []
    run([0, 1, 2], events)
    assert _tries == {0: 1, 1: 2, 2: 3}
    assert events[-1] == Progress(stage="write", done=35, total=35, unit="images")
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert notices == [
        "2 tasks of write failed and are tried again: task 1: not yet",
        "1 tasks of write failed and are tried again: task 2: not yet",
    ]


def test_it_gives_up_after_three_rounds() -> None:
    with pytest.raises(BuildError, match=r"1 tasks of write failed 3 times, first task 9: not yet; what is done stays"):
        run([0, 9], [])


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full: /x; make room"),
        (errno.EFBIG, "the file system takes no file of that size: /x; again"),
    ],
)
def test_a_full_disk_has_an_end_of_its_own(number: int, words: str) -> None:
    with pytest.raises(BuildError, match=f"^task 1: {words}$"):
        run_rounds(
            lambda task: failure_of(task, OSError(number, "", "/x")), [1], [1], name=lambda n: f"task {n}",
            stage="write", workers=Workers(count=0), on_event=lambda event: None, remedy="again", room="make room",
        )  # fmt: skip
