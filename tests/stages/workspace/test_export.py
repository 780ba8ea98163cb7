from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from hfbucket.cli.main import main
from hfbucket.core.keys import digest_of, key_of
from hfbucket.core.workspace.brought import Counts
from hfbucket.errors import ConfigError, WorkspaceError
from hfbucket.stages.workspace.bring import bring
from hfbucket.stages.workspace.export import export
from tests.io.workspace.made import make_workspace, run_sql, write_captions

IDS = ["a.jpg", "b.jpg", "c.jpg"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = make_workspace(tmp_path / "w.sqlite", IDS)
    write_captions(path, "v", {"b.jpg": 'of "b",\nin two', "a.jpg": "of a"})
    write_captions(path, "w", {"a.jpg": "w 猫"})
    write_captions(path, "w", {"c.jpg": "no"}, status="refused")
    return path


def test_json_lines_in_the_order_of_ids(path: Path) -> None:
    output = io.BytesIO()
    given = export(path, output)
    assert (given.file, given.captions) == ("-", 3)
    rows = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [(row["image_id"], row["variant"], row["text"]) for row in rows] == [
        ("a.jpg", "v", "of a"), ("a.jpg", "w", "w 猫"), ("b.jpg", "v", 'of "b",\nin two'),
    ]  # fmt: skip
    assert rows[0]["key"] == key_of(digest_of("a.jpg"))


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_what_is_given_can_be_brought_again(path: Path, ending: str, tmp_path: Path) -> None:
    file = tmp_path / "new" / f"captions{ending}"
    assert export(path, str(file), variants=["w"], statuses=["ok", "refused"]).captions == 2
    other = make_workspace(tmp_path / "other.sqlite", IDS)
    assert bring(other, "w", str(file)).counts == Counts(rows=2, written=2)
    outputs = io.BytesIO(), io.BytesIO()
    for workspace, output in zip((path, other), outputs, strict=True):
        export(workspace, output, variants=["w"], statuses=["ok", "refused", "error", "empty"])
    assert outputs[0].getvalue() == outputs[1].getvalue()


def test_all_kinds_hold_the_same(path: Path, tmp_path: Path) -> None:
    for ending in ("csv", "parquet"):
        export(path, str(tmp_path / f"c.{ending}"))
    table = pq.read_table(tmp_path / "c.parquet").to_pylist()
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    assert [row["text"] for row in pyarrow.csv.read_csv(tmp_path / "c.csv", parse_options=options).to_pylist()] == [
        row["text"] for row in table
    ]


def test_bytes_that_are_no_utf8_are_repaired(path: Path, tmp_path: Path) -> None:
    run_sql(path, "UPDATE captions SET text = CAST(x'63ff74' AS TEXT) WHERE variant = 'v'")
    export(path, str(tmp_path / "c.parquet"), variants=["v"])
    assert pq.read_table(tmp_path / "c.parquet")["text"].to_pylist() == ["c\ufffdt"] * 2
    output = io.BytesIO()
    export(path, output, variants=["v"])
    assert [json.loads(line)["text"] for line in output.getvalue().splitlines()] == ["c\ufffdt"] * 2


def test_what_cannot_be_given(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no variant 'x'; it has original, v, w"):
        export(path, io.BytesIO(), variants=["x"])
    with pytest.raises(ConfigError, match="status must be of ok, refused, error, empty, got 'fine'"):
        export(path, io.BytesIO(), statuses=["fine"])
    with pytest.raises(WorkspaceError, match=r"c.txt: must end in \.jsonl, \.csv, \.parquet"):
        export(path, str(tmp_path / "c.txt"))


def test_the_command(path: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["workspace", "export", str(path), "--variant", "v"]) == 0
    assert len(capfdbinary.readouterr().out.splitlines()) == 2
    assert main(["workspace", "export", str(path), str(tmp_path / "c.csv")]) == 0
    assert capfdbinary.readouterr().out == f"{tmp_path}/c.csv: 3 captions\n".encode()
