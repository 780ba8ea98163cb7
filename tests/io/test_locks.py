"""One holder at a time; the lock ends with the last process that holds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hfbucket.io.locks import locked


def test_one_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "work" / "lock", wait_s=0) as first,
        locked(tmp_path / "work" / "lock", wait_s=0.1) as second,
    ):
        assert (first, second) == (True, False)
    with locked(tmp_path / "work" / "lock", wait_s=0) as again:
        assert again


@pytest.mark.skipif(sys.platform == "win32", reason="locks are not inherited there")
def test_children_keep_it(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", wait_s=0):
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False
        )
    with locked(tmp_path / "lock", wait_s=0) as held:
        assert not held
    child.communicate()
    with locked(tmp_path / "lock", wait_s=1) as held:
        assert held
