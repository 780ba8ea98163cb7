"""The size budget: what is over it is named, what is within is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_sizes


def function(name: str, lines: int) -> str:
    return f"def {name}():\n" + "    pass\n" * (lines - 1)


def test_what_is_over_the_budget_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fine, long, large = (tmp_path / name for name in ("fine.py", "long.py", "large.py"))
    fine.write_text("".join(function(f"f{number}", 10) for number in range(30)))
    long.write_text(function("endless", 61))
    large.write_text("# a line\n" * 301)
    assert check_sizes.problems([fine]) == []
    assert check_sizes.problems([fine, long, large]) == [
        f"{large}: 301 lines, at most 300",
        f"{long}:1 endless: 61 lines, at most 60",
    ]
    assert "31 functions, median 10, p90 10, largest 61 lines" in capsys.readouterr().out


def test_many_longish_functions_are_too_many(tmp_path: Path) -> None:
    module = tmp_path / "longish.py"
    module.write_text("".join(function(f"f{number}", 31) for number in range(3)))
    assert check_sizes.problems([module]) == ["one function of ten has 31 lines or more, at most 30"]
