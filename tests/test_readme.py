"""Every example of the README is run, in the README's order, in a folder with the quickstart's photos."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hfbucket.cli.options import load_config
from scripts.quickstart import make_photos

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
HFBUCKET = "import sys; from hfbucket.cli.main import main; sys.exit(main())"


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check_console(block: str, folder: Path) -> None:
    """Run each `$` line; what stands below it has to be in the output, with `…` for whatever."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        name, *arguments = shlex.split(command)
        assert name == "hfbucket", command
        output = run(["-c", HFBUCKET, *arguments], folder)
        pattern = ".*".join(re.escape(piece) for piece in expected.strip().split("…"))
        assert re.search(pattern, output, flags=re.DOTALL), f"$ {command}\n{output}"


def test_examples_run(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    for language, block in BLOCKS:
        if language == "console":
            check_console(block, tmp_path)
        elif language == "python":
            run(["-W", "error", "-c", block], tmp_path)


def test_settings_of_the_example_exist(tmp_path: Path) -> None:
    (toml,) = (block for language, block in BLOCKS if language == "toml")
    (tmp_path / "s.toml").write_text(toml)
    assert load_config({}, str(tmp_path / "s.toml")).base == (512, 256)


def test_the_first_line_says_what_it_is() -> None:
    first = README.splitlines()[0]
    assert "aspect-ratio buckets (not the Hub's Storage Buckets)" in first


@pytest.mark.parametrize("command", ["plan", "build", "verify", "explain", "why", "card"])
def test_every_command_has_an_example(command: str) -> None:
    assert f"$ hfbucket {command} " in README
