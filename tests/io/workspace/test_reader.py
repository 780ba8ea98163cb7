from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from hfbucket.errors import WorkspaceError
from hfbucket.io.workspace import Workspace, reader
from tests.io.workspace.made import make_workspace, run_sql, write_captions

INSERT = "INSERT INTO captions (image_id, variant, status, text, source_id) "
IDS = ["a.jpg", "b.jpg", "c.jpg", "ü/d.jpg"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "captions #1?.sqlite", IDS)


def captions_of(workspace: Workspace, ids: pa.Array | pa.ChunkedArray, variants: list[str]) -> pa.Table:
    return pa.concat_tables([reader._TEXTS.empty_table(), *workspace.captions_of(ids, variants)])


def test_captions_come_in_the_order_asked_for(path: Path) -> None:
    write_captions(path, "long", {"a.jpg": "  a long one\n", "c.jpg": "of c"})
    write_captions(path, "short", {"a.jpg": "a"})
    write_captions(path, "short", {"c.jpg": "no"}, status="refused")
    with Workspace(path) as workspace:
        assert workspace.variants() == ("long", "short")
        table = pa.concat_tables(
            workspace.captions_of(pa.array(["c.jpg", "nowhere.jpg", "a.jpg", "a.jpg"]), ["short", "long"])
        )
    assert table["captions"].to_pylist() == [[None, "of c"], [None, None], ["a", "a long one"], ["a", "a long one"]]


def test_only_what_can_be_trained_on_is_there(path: Path) -> None:
    write_captions(path, "v", {"a.jpg": " \t\n", "b.jpg": "", "c.jpg": "\u3000nul\0led "})
    with Workspace(path) as workspace:
        table = captions_of(workspace, pa.array(IDS), ["v", "no such variant"])
    assert table["captions"].to_pylist() == [[None, None], [None, None], ["nulled", None], [None, None]]


def test_no_image_and_no_variant(path: Path) -> None:
    with Workspace(path) as workspace:
        assert captions_of(workspace, pa.array([], pa.string()), ["v"]).num_rows == 0
        assert captions_of(workspace, pa.array(IDS), []).to_pylist() == [{"captions": [], "source_ids": []}] * 4
        assert workspace.variants() == ()


def test_batches_do_not_show(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_captions(path, "v", {image_id: f"of {image_id}" for image_id in IDS})
    write_captions(path, "w", {image_id: f"also of {image_id}" for image_id in IDS[1:]})
    monkeypatch.setattr(reader, "_HASHED_TOGETHER", 3)
    with Workspace(path) as workspace:
        whole = captions_of(workspace, pa.array(IDS), ["v", "w"])
        sha256 = workspace.sha256(["v", "w"])
        monkeypatch.setattr(reader, "_BATCH", 2)
        assert captions_of(workspace, pa.chunked_array([IDS[:1], IDS[1:]]), ["v", "w"]).equals(whole)
        assert workspace.sha256(["v", "w"]) == sha256


def test_sources_are_told_without_their_prompts(path: Path) -> None:
    run_sql(
        path,
        "INSERT INTO caption_sources (id, variant, model, prompt, parameters) VALUES (?, ?, ?, ?, ?)",
        [("s2", "v", "some/model", "Describe it.", '{"temperature": 0.5}'), ("s1", "w", None, None, None)],
    )
    run_sql(
        path, "INSERT INTO captions (image_id, variant, status, source_id, text) VALUES ('b.jpg', 'v', 'ok', 's2', 'b')"
    )
    with Workspace(path) as workspace:
        assert workspace.sources() == (
            {"id": "s1", "variant": "w", "model": None, "prompt_sha256": None, "parameters": None},
            {
                "id": "s2", "variant": "v", "model": "some/model", "parameters": {"temperature": 0.5},
                "prompt_sha256": hashlib.sha256(b"Describe it.").hexdigest(),
            },
        )  # fmt: skip
        assert captions_of(workspace, pa.array(["a.jpg", "b.jpg"]), ["v"])["source_ids"].to_pylist() == [[None], ["s2"]]


def test_the_hash_is_that_of_what_can_be_selected(tmp_path: Path) -> None:
    hashes = []
    for number, texts in enumerate(
        [{"a.jpg": "a", "b.jpg": "b"}, {"b.jpg": " b", "a.jpg": "a "}, {"a.jpg": "a", "b.jpg": "c"}, {"a.jpg": "a"}]
    ):
        path = make_workspace(tmp_path / f"{number}.sqlite", IDS)
        write_captions(path, "v", texts)  # type: ignore[arg-type]
        write_captions(path, "v", {"c.jpg": "no"}, status="error")
        write_captions(path, "other", {"c.jpg": str(number)})
        with Workspace(path) as workspace:
            hashes.append(workspace.sha256(["v"]))
            assert workspace.sha256(["v", "other"]) != hashes[-1]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_what_others_write_meanwhile_is_not_seen(path: Path) -> None:
    with Workspace(path) as workspace:
        before = workspace.sha256(["v"])
        write_captions(path, "v", {"a.jpg": "late"})
        assert workspace.variants() == ()
        assert workspace.sha256(["v"]) == before
    with Workspace(path) as workspace:
        assert workspace.variants() == ("v",)


def test_text_that_is_no_utf8_is_repaired(path: Path) -> None:
    run_sql(
        path,
        "INSERT INTO captions (image_id, variant, status, text) VALUES ('a.jpg', 'v', 'ok', CAST(x'63ff74' AS TEXT))",
    )
    with Workspace(path) as workspace:
        assert captions_of(workspace, pa.array(["a.jpg"]), ["v"])["captions"].to_pylist() == [["c\ufffdt"]]
        assert len(workspace.sha256(["v"])) == 64


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (INSERT + "VALUES ('a.jpg', 'v', 'fine', 'a', NULL)", "status is ok, refused, error or empty"),
        (INSERT + "VALUES ('a.jpg', 'v', 'ok', NULL, NULL)", "a caption that is ok has a text"),
        (INSERT + "VALUES ('a.jpg', 'v', 'ok', x'00', NULL)", "text is TEXT"),
        (INSERT + "VALUES ('a.jpg', 'v', 'ok', printf('%100001d', 1), NULL)", "text has at most 100000 bytes"),
        (INSERT + "VALUES ('x.jpg', 'v', 'ok', 'a', NULL)", "FOREIGN KEY"),
        (INSERT + "VALUES ('a.jpg', 'v', 'ok', 'a', 'nowhere')", "FOREIGN KEY"),
        (INSERT + "VALUES ('a.jpg', '', 'ok', 'a', NULL)", "variant is a name"),
        ("INSERT INTO caption_sources (id, variant, parameters) VALUES ('s', 'v', 'no json')", "parameters is JSON"),
        ("INSERT INTO caption_sources (id, variant, prompt_sha256) VALUES ('s', 'v', 'abc')", "64 hex digits"),
    ],
)
def test_the_tables_refuse_what_cannot_be(path: Path, sql: str, words: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=words):
        run_sql(path, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT OR REPLACE INTO captions (image_id, variant, status, text) VALUES ('a.jpg', 'original', 'ok', 'mine')",
        "INSERT INTO captions (image_id, variant, status, text) VALUES ('b.jpg', 'original', 'ok', 'mine')",
        "UPDATE captions SET text = 'mine' WHERE image_id = 'a.jpg'",
        "UPDATE captions SET variant = 'mine' WHERE image_id = 'a.jpg'",
        "DELETE FROM captions",
    ],
)
def test_the_sources_own_captions_cannot_be_written(path: Path, sql: str) -> None:
    run_sql(path, "UPDATE variants SET locked = 0")
    write_captions(path, "original", {"a.jpg": "own"})
    run_sql(path, "UPDATE variants SET locked = 1")
    with pytest.raises(sqlite3.IntegrityError, match="this variant is the source's own"):
        run_sql(path, sql)
    with Workspace(path) as workspace:
        assert workspace.variants() == ()
        assert workspace.own_variants() == ("original",)


def other_sqlite(path: Path, version: int, application: int) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute(f"PRAGMA application_id = {application}")


def test_what_is_no_workspace_is_refused(path: Path) -> None:
    path.unlink()
    with pytest.raises(WorkspaceError, match="no such caption workspace; `hfbucket workspace init` makes one"):
        Workspace(path)
    with pytest.raises(WorkspaceError, match="is a folder; give the SQLite file of a caption workspace"):
        Workspace(path.parent)
    path.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(WorkspaceError, match="is no SQLite file; give the file that `hfbucket workspace init` made"):
        Workspace(path)
    other_sqlite(path, 0, 0)
    with pytest.raises(WorkspaceError, match="is an SQLite file, but no caption workspace"):
        Workspace(path)
    other_sqlite(path, 7, 0x68666277)
    with pytest.raises(WorkspaceError, match="of version 7, this release knows version 1: install the release"):
        Workspace(path)


def test_damage_is_told(path: Path) -> None:
    write_captions(path, "v", {image_id: "x" * 5000 for image_id in IDS})
    data = bytearray(path.read_bytes())
    data[8192:] = b"\x55" * (len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(WorkspaceError, match=r"is damaged .*take a copy of before"), Workspace(path) as workspace:
        captions_of(workspace, pa.array(IDS), ["v"])


def test_a_folder_that_may_only_be_read(path: Path) -> None:
    write_captions(path, "v", {"a.jpg": "a"})
    path.parent.chmod(0o555)
    try:
        with Workspace(path) as workspace:
            assert workspace.variants() == ("v",)
    finally:
        path.parent.chmod(0o755)
