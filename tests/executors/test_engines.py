"""What every engine must do with tasks, whatever becomes of them: one suite over all engines that are installed."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hfbucket.errors import BuildError, FormatError, MissingDependencyError
from hfbucket.executors.engines import Workers, map_tasks
from hfbucket.executors.task import Failure, report
from hfbucket.io import waits
from tests.processes import wait_until_gone

PACKAGES = {"ray": "ray", "spark": "pyspark"}

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]  # what the engines themselves warn of


@pytest.fixture(scope="module", params=["local", "ray", "spark"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    name: str = request.param
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f"no engine {name}: pip install hfbucket[{name}]")
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{Path.cwd()}{os.pathsep}{before}"  # so that the engines' workers find these tests
    yield name
    os.environ["PYTHONPATH"] = before
    if name == "ray":
        importlib.import_module("ray").shutdown()
    if name == "spark":
        session = importlib.import_module("pyspark.sql").SparkSession.getActiveSession()
        if session is not None:
            session.stop()


def workers(engine: str, count: int = 2, limit_s: float | None = None) -> Workers:
    return Workers(count=count, executor=engine, limit_s=limit_s)  # type: ignore[arg-type]


def square(number: int) -> int:
    return number * number


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def kill_worker(number: int) -> int:
    """End the engine's own worker, not just the child that this runs in."""
    if number == 3:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return number


def complain(number: int) -> int:
    if number == 2:
        raise FormatError("two is no good", where="task")
    return number


def hang(number: int) -> int:
    if number == 1:
        time.sleep(600)
    return number


def slow_but_alive(number: int) -> int:
    for done in range(6):
        time.sleep(0.5)
        report(done)
    return number


def fail(number: int) -> int | Failure:
    return Failure(task=number, reason="the disk is full", final=True) if number == 2 else number


def child_of(mark: str) -> str:
    Path(mark).write_text(str(os.getpid()))
    time.sleep(600)
    return mark


def test_every_task_comes_back_once(engine: str) -> None:
    assert sorted(map_tasks(square, range(10), workers=workers(engine))) == [(n, n * n) for n in range(10)]
    assert list(map_tasks(square, [], workers=workers(engine))) == []


def test_what_a_task_says_itself_comes_out(engine: str) -> None:
    results = dict(map_tasks(fail, range(4), workers=workers(engine)))
    assert results.pop(2) == Failure(task=2, reason="the disk is full", final=True)
    assert results == {n: n for n in (0, 1, 3)}


def test_a_task_that_dies_is_a_failure_and_the_rest_goes_on(engine: str) -> None:
    results = dict(map_tasks(die, range(6), workers=workers(engine)))
    failure = results.pop(3)
    assert isinstance(failure, Failure)
    assert (failure.task, failure.final, failure.crashed) == (3, False, True)
    assert "killed by SIGKILL" in failure.reason
    assert results == {n: n for n in range(6) if n != 3}


def test_a_killed_worker_of_the_engine_costs_its_task_only(engine: str) -> None:
    if engine == "local":
        pytest.skip("the local engine's worker is the child itself")
    results = dict(map_tasks(kill_worker, range(6), workers=workers(engine)))
    lost = {task for task, result in results.items() if isinstance(result, Failure)}
    assert 3 in lost
    assert all(result.crashed for result in results.values() if isinstance(result, Failure))
    again = dict(map_tasks(square, sorted(lost), workers=workers(engine)))
    assert again == {n: n * n for n in lost}


def test_an_exception_comes_out_as_it_is(engine: str) -> None:
    with pytest.raises(FormatError, match="task: two is no good"):
        list(map_tasks(complain, range(5), workers=workers(engine)))
    assert list(map_tasks(square, [3], workers=workers(engine))) == [(3, 9)]


def test_a_task_that_hangs_is_ended_and_one_that_reports_is_not(engine: str) -> None:
    results = dict(map_tasks(hang, range(3), workers=workers(engine, limit_s=4)))
    failure = results.pop(1)
    assert isinstance(failure, Failure)
    assert (failure.crashed, failure.reason) == (True, "a worker gave no sign for 4 s and was ended")
    assert results == {0: 0, 2: 2}
    assert list(map_tasks(slow_but_alive, [7], workers=workers(engine, limit_s=2.5))) == [(7, 7)]


def test_progress_within_a_task_reaches_the_caller(engine: str) -> None:
    seen: list[tuple[int, int]] = []
    results = map_tasks(
        slow_but_alive, [7, 8], workers=workers(engine), on_progress=lambda task, done: seen.append((task, done))
    )
    assert sorted(results) == [(7, 7), (8, 8)]
    assert {task for task, _ in seen} == {7, 8}
    assert {done for _, done in seen} <= set(range(6))
    for task in (7, 8):
        assert [done for one, done in seen if one == task] == sorted(done for one, done in seen if one == task)


def wait_for_a_server(number: int) -> int:
    for _ in range(3):
        waits.trouble("server:80", "no answer for 5 s", "it is tried 6 times")
    time.sleep(2)  # two engines tell nothing of a task that has ended
    return number


def test_what_tasks_wait_for_is_told_once(engine: str) -> None:
    told: list[waits.Waiting] = []
    with waits.told_to(told.append):
        assert sorted(map_tasks(wait_for_a_server, [7, 8], workers=workers(engine))) == [(7, 7), (8, 8)]
    assert told == [waits.Waiting(host="server:80", why="no answer for 5 s", trying="it is tried 6 times")]


def test_nothing_is_left_running_when_the_caller_stops(engine: str, tmp_path: Path) -> None:
    marks = [str(tmp_path / name) for name in "ab"]
    results: Any = map_tasks(child_or_quick, ["quick", *marks], workers=workers(engine))
    assert next(results) == ("quick", "quick")
    deadline = time.monotonic() + 60
    while not all(Path(mark).exists() and Path(mark).read_text() for mark in marks[:1]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    results.close()
    wait_until_gone(int(Path(mark).read_text()) for mark in marks if Path(mark).exists())


def child_or_quick(task: str) -> str:
    return task if task == "quick" else child_of(task)


@pytest.mark.parametrize("name", ["ray", "spark"])
def test_a_missing_engine_is_named_with_its_install_command(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, PACKAGES[name], None)
    monkeypatch.setitem(__import__("sys").modules, f"{PACKAGES[name]}.sql", None)
    monkeypatch.setitem(__import__("sys").modules, f"{PACKAGES[name]}.errors", None)
    with pytest.raises(MissingDependencyError, match=rf"--executor {name} needs .*: pip install 'hfbucket\[{name}\]'"):
        list(map_tasks(square, [1], workers=Workers(executor=name)))


def test_no_cluster_at_the_address_is_a_clear_error() -> None:
    pytest.importorskip("ray", reason="no engine ray: pip install hfbucket[ray]")
    with pytest.raises(BuildError, match=r"no Ray cluster at 127\.0\.0\.1:1: "):
        list(map_tasks(square, [1], workers=Workers(executor="ray", address="127.0.0.1:1")))
