"""A disk that fails at steps of every command, drawn anew in every run; scripts/run_faults.py tries them all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.commands import COMMANDS
from tests.faults.mutants import MUTANTS

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs fork, and names of open files")

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(7))
def test_a_few_faults_of_every_command(first: int) -> None:
    seed = str(random.randrange(1 << 16))
    commands = [word for name in list(COMMANDS)[first::7] for word in ("--command", name)]
    script = [sys.executable, str(ROOT / "scripts/run_faults.py"), *commands, "--at-most", "2", "--seed", seed]
    done = subprocess.run(script, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(script)}: {done.stdout}{done.stderr}"


@pytest.mark.timeout(600)  # on a busy machine
@pytest.mark.parametrize("first", range(5))
def test_what_is_broken_on_purpose_is_found(first: int) -> None:
    names = list(MUTANTS)[first::5]
    script = [sys.executable, "-m", "tests.faults.mutants", *names]
    done = subprocess.run(script, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") >= len(names)


IN_CHILD = """
import os, sys
from pathlib import Path
from tests.faults.disk import Disk, Fault, Step
folder, kind, does, file = Path(sys.argv[1]), *sys.argv[2:5]
with Disk(folder, Fault(kind=kind, step=Step(does, file, 2 if does == "size" else 0))) as disk:
    try:
        {work}
        print("done", disk.met)
    except OSError as error:
        print(error.strerror, disk.met)
"""


@pytest.mark.parametrize(
    ("kind", "does", "work", "said", "left"),
    [
        ("disk full", "write", "(folder / 'a').write_bytes(b'new!')", "No space left on device True", b""),
        ("write error", "write", "(folder / 'a').write_bytes(b'new!')", "Input/output error True", b"ne"),
        ("short write", "write", "(folder / 'a').write_bytes(b'new!')", "done True", b"new!"),
        ("read error", "read", "(folder / 'a').read_text()", "Input/output error True", b"old"),
        ("short read", "read", "print(open(folder / 'a', 'rb', 0).read(3))", "b'o'\ndone True", b"old"),
        ("rename fails", "rename", "(folder / 'b').replace(folder / 'a')", "Input/output error True", b"old"),
        ("unlink fails", "unlink", "os.unlink(folder / 'a')", "Input/output error True", b"old"),
        ("sync fails", "fsync", "os.fsync(os.open(folder / 'a', os.O_RDONLY))", "Input/output error True", b"old"),
        ("no listing", "list", "os.listdir(folder / 'in')", "Input/output error True", b"old"),
        ("stale listing", "list", "print([e.name for e in os.scandir(folder / 'in')])", "['x']\ndone True", b"old"),
        ("slow", "read", "(folder / 'a').read_text()", "done True", b"old"),
        ("killed", "unlink", "os.unlink(folder / 'a')", "", b"old"),
        ("power cut", "unlink", "(folder / 'a').write_bytes(b'new!'); os.unlink(folder / 'a')", "", b""),
        ("file size limit", "size", "(folder / 'a').write_bytes(b'new!')", "File too large True", b"ne"),
    ],
)
def test_the_disk(tmp_path: Path, kind: str, does: str, work: str, said: str, left: bytes) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").write_bytes(b"else")
    (tmp_path / "in").mkdir()
    for second, name in enumerate("xy"):
        (tmp_path / "in" / name).touch()
        os.utime(tmp_path / "in" / name, (0, second))
    words = [sys.executable, "-c", IN_CHILD.replace("{work}", work), str(tmp_path), kind, does]
    words.append("in" if does == "list" else "a")
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout.strip() == said, done.stderr
    assert (tmp_path / "a").read_bytes() == left
