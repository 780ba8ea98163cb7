"""Every example of the README is run, in the README's order, in a folder with the quickstart's photos."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hfbucket.cli.main import COMMANDS, main
from hfbucket.cli.options import load_config
from scripts.quickstart import make_photos

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def matches(expected: str, output: str) -> bool:
    """Whether output holds the expected lines in a row; `…` stands for some of a line, alone for any lines."""
    lines = ["(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n"
             for line in expected.splitlines()]  # fmt: skip
    return re.search("^" + "".join(lines), output + "\n", flags=re.MULTILINE) is not None


def check_console(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run each `$` line and hold what stands below it against the output."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        name, *arguments = shlex.split(command)
        assert name == "hfbucket", command
        code = main(arguments)
        printed = capsys.readouterr()
        assert code == 0, f"$ {command}\n{printed.out}\n{printed.err}"
        assert matches(expected, printed.out), f"$ {command}\n{printed.out}"


def check_python(block: str) -> None:
    """Run the lines as a program of their own."""
    command = [sys.executable, "-W", "error", "-c", block]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block}\n{done.stderr}"


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    for language, block in BLOCKS:
        if language == "console":
            check_console(block, capsys)
        elif language == "python":
            check_python(block)


def test_settings_of_the_example_exist(tmp_path: Path) -> None:
    (toml,) = (block for language, block in BLOCKS if language == "toml")
    (tmp_path / "s.toml").write_text(toml)
    assert load_config({}, str(tmp_path / "s.toml")).base == (512, 256)


def test_the_first_line_says_what_it_is() -> None:
    first = README.splitlines()[0]
    assert "aspect-ratio buckets (not the Hub's Storage Buckets)" in first


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str) -> None:
    assert f"$ hfbucket {command} " in README
