"""An export pushed by command and read without hfbucket, by stock datasets; in both ways that the Hub takes files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import make_export
from tests.hub.client import client_environment, run_python
from tests.hub.loopback import TOKEN

STRANGER = """
import hashlib, io, json, sys
sys.modules["hfbucket"] = None  # importing it fails from here on
import datasets
from huggingface_hub import snapshot_download
from pathlib import Path

export = Path(sys.argv[1])
there = Path(snapshot_download("me/name", repo_type="dataset"))
names = lambda folder: {path.relative_to(folder).as_posix(): path.read_bytes()
                        for path in folder.rglob("*") if path.is_file() and path.name != ".gitattributes"}
assert names(there) == {name: data for name, data in names(export).items() if not name.startswith("ledger/")}
for config in ("r128", "r64"):
    here = datasets.load_dataset(str(export), config, split="train")
    for streaming in (True, False):
        rows = list(datasets.load_dataset("me/name", config, split="train", streaming=streaming))
        assert [(row["__key__"], row["txt"]) for row in rows] == list(zip(here["__key__"], here["txt"]))
        assert all(mine["jpg"].tobytes() == row["jpg"].tobytes() for mine, row in zip(here, rows))
        print(config, streaming, len(rows))
"""


@pytest.mark.parametrize("way", ["hub", "xet_hub"])
def test_what_is_pushed_loads_without_us(way: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    hub = request.getfixturevalue(way)
    make_export(tmp_path / "export", bases=(128, 64))
    command = [sys.executable, "-c", "from hfbucket.cli.main import console; console()", "push"]
    for said in ("Pushed", "Unchanged"):
        hub.log.clear()
        done = subprocess.run(
            [*command, tmp_path / "export", "me/name", "--yes", "--allow-location"],
            env=client_environment(hub, tmp_path / "home"), cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(said)
        assert TOKEN not in done.stdout + done.stderr
    assert (hub.log.puts, hub.log.commits) == ([], [])
    run_python(hub, STRANGER, tmp_path / "stranger", str(tmp_path / "export"), token=None)
    pushed = hub.repository("me/name").at("main").files.values()
    assert {entry.xet_hash is not None for entry in pushed if entry.is_lfs} == {way == "xet_hub"}
