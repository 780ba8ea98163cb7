from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.core.keys import digest_of, key_of
from hfbucket.core.workspace.brought import Counts
from hfbucket.errors import ConfigError, WorkspaceError
from hfbucket.io.workspace import caption_files
from hfbucket.stages.workspace.bring import Made, bring
from tests.io.workspace.made import make_workspace, run_sql, write_captions

IDS = ["a.jpg", "b.jpg", "sub.dir/c.tar.png", "sub.dir/d", "e.jpg"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "w.sqlite", IDS)


def captions(path: Path, what: str = "text", variant: str = "v") -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        sql = f"SELECT image_id, {what} FROM captions WHERE variant = ? ORDER BY image_id"
        return dict(connection.execute(sql, (variant,)).fetchall())


def lines(path: Path, *rows: object) -> str:
    file = path.with_name("captions.jsonl")
    file.write_bytes(b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows))
    return str(file)


def test_json_lines_with_all_they_may_say(path: Path) -> None:
    run_sql(path, "INSERT INTO caption_sources (id, variant) VALUES ('s', 'v')")
    file = lines(
        path,
        {"image_id": "a.jpg", "text": " of a ", "score": 0.5, "language": "de", "source_id": "s", "other": {"x": [1]}},
        {"image_id": "b.jpg", "status": "refused", "created": "2024-05-06T07:08:09Z"},
        {"image_id": "e.jpg", "caption": "of e", "source_id": "new"},
    )
    done = bring(path, "v", file)
    assert done.counts == Counts(rows=3, written=3, blank=1)
    assert captions(path) == {"a.jpg": "of a", "b.jpg": None, "e.jpg": "of e"}
    assert captions(path, "status") == {"a.jpg": "ok", "b.jpg": "refused", "e.jpg": "ok"}
    assert captions(path, "score") == {"a.jpg": 0.5, "b.jpg": None, "e.jpg": None}
    assert captions(path, "source_id") == {"a.jpg": "s", "b.jpg": None, "e.jpg": "new"}
    assert captions(path, "created")["b.jpg"] == "2024-05-06T07:08:09Z"
    assert captions(path, "language")["a.jpg"] == "de"


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_tables(path: Path, ending: str) -> None:
    file = path.with_name(f"captions{ending}")
    rows = [("a.jpg", 'of "a",\nyes\t!', "ok", 1.5), ("b.jpg", "", "empty", None), ("e.jpg", "of e", "", None)]
    if ending == ".parquet":
        names = ["image_id", "text", "status", "score"]
        pq.write_table(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]), file)
    else:
        mark = "," if ending == ".csv" else "\t"
        quoted = [
            mark.join([i, '"' + t.replace('"', '""') + '"', s, "" if f is None else str(f)]) for i, t, s, f in rows
        ]
        file.write_text("\n".join([mark.join(["image_id", "text", "status", "score"]), *quoted]))
    assert bring(path, "v", str(file)).counts == Counts(rows=3, written=3, blank=1)
    assert captions(path) == {"a.jpg": 'of "a",\nyes\t!', "b.jpg": None, "e.jpg": "of e"}
    assert captions(path, "score")["a.jpg"] == 1.5


def test_text_files_are_named_after_images(path: Path) -> None:
    folder = path.with_name("texts")
    for name in ("a", "sub.dir/c.tar", "sub.dir/d", key_of(digest_of("e.jpg")), "nobody"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text(f"of {name}")
    (folder / "notes.md").write_text("no caption")
    done = bring(path, "v", str(folder))
    assert done.counts == Counts(rows=5, written=4, unmatched=1)
    assert done.unmatched == ("nobody",)
    assert {name: text[:6] for name, text in captions(path).items()} == {
        "a.jpg": "of a", "sub.dir/c.tar.png": "of sub", "sub.dir/d": "of sub",
        "e.jpg": "of " + key_of(digest_of("e.jpg"))[:3],
    }  # fmt: skip


def test_images_are_known_by_id_key_or_hash(path: Path) -> None:
    sha256 = hashlib.sha256(b"the same bytes").hexdigest()
    run_sql(path, "UPDATE images SET source_sha256 = ? WHERE image_id IN ('b.jpg', 'e.jpg')", [(sha256,)])
    file = lines(
        path,
        {"image_id": "a.jpg", "text": "by id"},
        {"key": key_of(digest_of("sub.dir/d")), "text": "by key"},
        {"source_sha256": sha256, "text": "by hash"},
        {"source_sha256": "0" * 64, "text": "nobody"},
    )
    assert bring(path, "v", file).counts == Counts(rows=4, written=4, unmatched=1)
    assert captions(path) == {"a.jpg": "by id", "b.jpg": "by hash", "e.jpg": "by hash", "sub.dir/d": "by key"}


def test_columns_may_be_called_otherwise(path: Path) -> None:
    file = lines(path, {"id": key_of(digest_of("a.jpg")), "image_id": "b.jpg", "description": "d", "text": "t"})
    assert bring(path, "v", file, match="key", id_column="id", text_column="description").counts.written == 1
    assert captions(path) == {"a.jpg": "d"}
    file = lines(path, {"file": "a.jpg", "caption": "c"})
    assert bring(path, "v", file, id_column="file").counts.replaced == 1
    assert captions(path) == {"a.jpg": "c"}


def test_rows_that_say_nothing_are_counted(path: Path) -> None:
    file = lines(
        path,
        {"image_id": "a.jpg", "text": "of a"},
        b"no json\n",
        b'["a list"]\n\n',
        {"image_id": "b.jpg", "text": ["a", "list"]},
        {"text": "of whom"},
        {"image_id": "e.jpg"},
        {"image_id": "e.jpg", "text": "x", "status": "fine"},
        b'{"image_id": "e.jpg", "text": "\\ud800"}\n',
    )
    done = bring(path, "v", file)
    assert done.counts == Counts(rows=8, written=2, unreadable=5, unknown_status=1, repaired=1)
    assert done.unreadable[:2] == ("no json", '["a list"]')
    assert captions(path) == {"a.jpg": "of a", "e.jpg": "\ufffd" * 3}


def test_ids_that_are_numbers(tmp_path: Path) -> None:
    path = make_workspace(tmp_path / "w.sqlite", ["17", "18"])
    assert bring(path, "v", lines(path, {"image_id": 17, "text": "x"})).counts == Counts(rows=1, written=1)
    file = path.with_name("c.parquet")
    pq.write_table(pa.table({"image_id": [18], "text": ["y"]}), file)
    assert bring(path, "v", str(file)).counts == Counts(rows=1, written=1)


def test_texts_that_are_not_as_they_should_be(path: Path) -> None:
    file = lines(
        path,
        b'{"image_id": "a.jpg", "text": "caf\xe9"}\n',
        {"image_id": "b.jpg", "text": "n\0ul"},
        {"image_id": "sub.dir/d", "text": "a bell \a rings"},
        {"image_id": "e.jpg", "text": "x" * 10_000_000},
        {"image_id": "sub.dir/c.tar.png", "text": " \n "},
    )
    done = bring(path, "v", file)
    assert done.counts == Counts(rows=5, written=4, too_long=1, repaired=2, control_characters=1, blank=1)
    assert captions(path) == {
        "a.jpg": "caf\ufffd", "b.jpg": "nul", "sub.dir/d": "a bell \a rings", "sub.dir/c.tar.png": None,
    }  # fmt: skip
    assert captions(path, "status")["sub.dir/c.tar.png"] == "empty"


@pytest.mark.parametrize("ending", [".csv", ".txt"])
def test_bytes_that_are_no_utf8_in_other_files(path: Path, ending: str) -> None:
    if ending == ".csv":
        file = path.with_name("c.csv")
        file.write_bytes(b"image_id,text\na.jpg,caf\xe9\nnobody\xff,x\nb.jpg," + b"x" * 10_000_000 + b"\n")
    else:
        file = path.with_name("texts")
        file.mkdir()
        (file / "a.txt").write_bytes(b"caf\xe9")
        (file / "nobody.txt").write_bytes(b"\xff" * 200_000)
    done = bring(path, "v", str(file))
    assert (done.counts.written, done.counts.repaired, done.counts.too_long) == (1, 1, 1)
    assert captions(path) == {"a.jpg": "caf\ufffd"}


def test_csv_rows_that_do_not_fit_are_counted(path: Path) -> None:
    file = path.with_name("c.csv")
    file.write_text("image_id,text\na.jpg,of a\nb.jpg\ne.jpg,too,many\n")
    done = bring(path, "v", str(file))
    assert done.counts == Counts(rows=3, written=1, unreadable=2)
    assert done.unreadable == ("b.jpg", "e.jpg,too,many")


def test_the_first_row_of_an_image_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_files, "_BLOCK_BYTES", 64)
    file = lines(
        path, *({"image_id": name, "text": f"{number} of {name}"} for number in range(3) for name in ("b.jpg", "a.jpg"))
    )
    assert bring(path, "v", file).counts == Counts(rows=6, written=2, doubled=4)
    assert captions(path) == {"a.jpg": "0 of a.jpg", "b.jpg": "0 of b.jpg"}


def test_again(path: Path) -> None:
    made = Made(model="m", prompt="p")
    file = lines(path, {"image_id": "a.jpg", "text": "of a", "score": 1}, {"image_id": "b.jpg", "text": "of b"})
    first = bring(path, "v", file, made=made)
    before = captions(path, "created")
    assert bring(path, "v", file, made=made).counts == Counts(rows=2, unchanged=2)
    assert bring(path, "v", file).counts == Counts(rows=2, unchanged=2), "what is not said takes nothing away"
    assert captions(path, "source_id") == dict.fromkeys(before, first.source_id)
    file = lines(path, {"image_id": "a.jpg", "text": "another"}, {"image_id": "e.jpg", "text": "of e"})
    assert bring(path, "v", file, keep=True).counts == Counts(rows=2, written=1, kept=1)
    assert bring(path, "v", file).counts == Counts(rows=2, replaced=1, unchanged=1)
    assert captions(path) == {"a.jpg": "another", "b.jpg": "of b", "e.jpg": "of e"}
    assert captions(path, "source_id")["a.jpg"] is None
    assert captions(path, "score")["a.jpg"] is None


def test_how_captions_were_made_is_written_once(path: Path) -> None:
    file = lines(path, {"image_id": "a.jpg", "text": "of a"})
    made = Made(model="some/model", prompt="Describe it.", parameters='{"b": 1, "a": [0.5]}')
    done = bring(path, "v", file, made=made)
    assert done.source_id is not None
    assert len(done.source_id) == 16
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM caption_sources").fetchall() == [
            (done.source_id, "v", "some/model", "Describe it.", hashlib.sha256(b"Describe it.").hexdigest(),
             '{"a":[0.5],"b":1}')
        ]  # fmt: skip
    bring(path, "v", file, made=Made(source_id="mine", model="m"))
    with pytest.raises(
        WorkspaceError, match="caption source 'mine' is there with another model; take another --source"
    ):
        bring(path, "v", file, made=Made(source_id="mine", model="n"))
    with pytest.raises(ConfigError, match=r"parameters must be a JSON object, got '\[1\]'"):
        bring(path, "v", file, made=Made(parameters="[1]"))


def test_the_sources_own_are_not_written(path: Path) -> None:
    file = lines(path, {"image_id": "a.jpg", "text": "of a"})
    with pytest.raises(WorkspaceError, match="'original' are the source's own captions, which `workspace init` alone"):
        bring(path, "original", file)
    with pytest.raises(ConfigError, match="variant must be a name without spaces around it, got ' v'"):
        bring(path, " v", file)


def test_a_file_without_any_image_of_the_workspace(path: Path) -> None:
    file = lines(path, {"image_id": "x/a.jpg", "text": "of a"}, {"image_id": "x/b.jpg", "text": "of b"})
    words = "none of its 2 rows names an image of the workspace by image_id or key or source_sha256, they name "
    with pytest.raises(WorkspaceError, match=words + "'x/a.jpg', 'x/b.jpg'; the first image is 'a.jpg': see --match"):
        bring(path, "v", file)
    file = lines(path, {"image_id": "a.jpg", "description": "of a"})
    words = (
        "none of its 1 rows can be used: each needs image_id or key or source_sha256, and text or caption or a status"
    )
    with pytest.raises(WorkspaceError, match=words):
        bring(path, "v", file)
    with pytest.raises(
        WorkspaceError, match="none of its 1 rows can be used, such as 'no json': each needs id, and t or a"
    ):
        bring(path, "v", lines(path, b"no json\n"), id_column="id", text_column="t")
    assert captions(path) == {}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("nothing.jsonl", None, "no such file or folder"),
        (
            "captions.docx",
            b"x",
            r"must end in \.jsonl, \.ndjson, \.csv, \.tsv, \.parquet, or be a folder of \.txt files",
        ),
        ("captions.parquet", b"PAR1 but no more", "captions.parquet: cannot be read: "),
        ("captions.csv", b"", "captions.csv: cannot be read: Empty CSV file"),
        ("captions.csv", b"image_id,text,score\na.jpg,x,high\n", "cannot be read: .*high"),
    ],
)
def test_files_that_cannot_be_read(path: Path, name: str, data: bytes | None, words: str) -> None:
    if data is not None:
        path.with_name(name).write_bytes(data)
    with pytest.raises(WorkspaceError, match=words):
        bring(path, "v", str(path.with_name(name)))


def test_an_empty_file_brings_nothing(path: Path) -> None:
    assert bring(path, "v", lines(path)).counts == Counts()


class Pipe(io.BytesIO):
    """Gives a line at a time, and looks what has arrived meanwhile."""

    def __init__(self, path: Path, rows: list[dict[str, str]]) -> None:
        super().__init__()
        self._path, self._rows, self.seen = path, rows, []  # type: ignore[var-annotated]

    def read1(self, size: int | None = -1, /) -> bytes:
        self.seen.append(len(captions(self._path)))
        return json.dumps(self._rows.pop(0)).encode() + b"\n" if self._rows else b""


def test_what_comes_through_a_pipe_is_written_as_it_comes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe(path, [{"image_id": name, "text": name} for name in IDS])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
    assert bring(path, "v", "-").counts == Counts(rows=5, written=5)
    assert pipe.seen == [0, 1, 2, 3, 4, 5]


def test_a_lock_that_stays_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.io.workspace.database.BUSY_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(WorkspaceError, match="database is locked: another program has been writing to it for more"):
            bring(path, "v", lines(path, {"image_id": "a.jpg", "text": "x"}))


def test_other_variants_stay_as_they_are(path: Path) -> None:
    write_captions(path, "w", {"a.jpg": "w of a"})
    bring(path, "v", lines(path, {"image_id": "a.jpg", "text": "v of a"}))
    assert captions(path, variant="w") == {"a.jpg": "w of a"}


def test_large_captions_in_parquet_come_few_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_files, "_CSV_BLOCK_BYTES", 3000)
    file = path.with_name("c.parquet")
    pq.write_table(
        pa.table({"image_id": IDS, "text": [f"{name} {'x' * 2000}" for name in IDS]}), file, use_dictionary=False
    )
    pieces = [
        rows.table.num_rows for rows in caption_files.read_captions(str(file), {"image_id": "image_id", "text": "text"})
    ]
    assert pieces == [1] * 5
    assert bring(path, "v", str(file)).counts == Counts(rows=5, written=5)


@pytest.mark.parametrize("order", ["of the images", "none"])
def test_rows_in_no_order_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr(caption_files, "_BLOCK_BYTES", 200)
    monkeypatch.setattr("hfbucket.io.workspace.bring._AT_ONCE", 7)
    names = [f"{number:03d}.jpg" for number in range(60)]
    path = make_workspace(tmp_path / "w.sqlite", names)
    write_captions(path, "v", {"003.jpg": "old", "005.jpg": "of 005.jpg"})
    rows = [{"image_id": name, "text": f"of {name}", "source_id": name[:1]} for name in names]
    again = [{"image_id": "003.jpg", "text": "again"}, {"image_id": "none.jpg", "text": "x"}]
    shuffled = sorted(rows, key=lambda row: hashlib.sha256(row["image_id"].encode()).digest())
    done = bring(path, "v", lines(path, *(rows if order == "of the images" else shuffled), *again))
    assert done.counts == Counts(rows=62, written=58, replaced=2, doubled=1, unmatched=1)
    assert captions(path) == {name: f"of {name}" for name in names}
    assert set(captions(path, "source_id").values()) == {"0"}
    done = bring(path, "v", lines(path, *reversed(rows)), keep=True)
    assert done.counts == Counts(rows=60, kept=60)
