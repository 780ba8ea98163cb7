"""What a push sends and in which order; what its target's name means."""

from __future__ import annotations

import pytest

from hfbucket.core.transfer.push import (
    Changes,
    PushFile,
    RemoteFile,
    batches,
    changes,
    check_companion,
    check_limits,
    check_place,
    in_parts,
    summary_of,
)
from hfbucket.core.transfer.target import TargetName, parse_target
from hfbucket.errors import ConfigError


def file(path: str, sha256: str = "a", size_bytes: int = 1) -> PushFile:
    return PushFile(path=path, size_bytes=size_bytes, sha256=sha256, source=path)


def remote(*files: RemoteFile) -> dict[str, RemoteFile]:
    return {one.path: one for one in files}


def refuse(one: PushFile) -> str:
    raise AssertionError(f"{one.path} was read")


SHARD = "buckets/p1024x1024/shard-00000.tar"


def test_the_card_and_the_manifest_come_last() -> None:
    names = ["manifest.json", "README.md", "assets/a.png", "samples/part-00000.parquet", SHARD, "croissant.json"]
    found = changes(map(file, names), {}, refuse)
    order = [SHARD, "samples/part-00000.parquet", "assets/a.png", "croissant.json", "README.md", "manifest.json"]
    assert [one.path for one in found.send] == order
    assert summary_of(found) == {"shards": 1, "sample tables": 1, "pictures": 1, "others": 3}


@pytest.mark.parametrize(
    ("there", "same"),
    [
        (RemoteFile(path=SHARD, size_bytes=1, sha256="a"), True),
        (RemoteFile(path=SHARD, size_bytes=1, sha256="b", git_oid="a-in-git"), False),
        (RemoteFile(path=SHARD, size_bytes=2, sha256="a"), False),
        (RemoteFile(path=SHARD, size_bytes=1, git_oid="a-in-git"), True),
        (RemoteFile(path=SHARD, size_bytes=1, git_oid="other"), False),
        (RemoteFile(path=SHARD, size_bytes=1), False),
    ],
)
def test_only_what_differs_is_sent(there: RemoteFile, same: bool) -> None:
    found = changes([file(SHARD)], remote(there), lambda one: f"{one.sha256}-in-git")
    assert (len(found.send), len(found.keep)) == ((0, 1) if same else (1, 0))


def test_a_file_is_read_only_where_the_target_knows_no_sha256() -> None:
    there = [RemoteFile(path=SHARD, size_bytes=1, sha256="a"), RemoteFile(path="x", size_bytes=9, git_oid="o")]
    assert changes([file(SHARD), file("x")], remote(*there), refuse).keep == (file(SHARD),)


def test_only_what_belongs_to_an_export_is_deleted() -> None:
    names = [".gitattributes", "LICENSE", "notes/buckets/a", "buckets/old/shard-00000.tar", "ledger/part-00000.parquet"]
    there = [RemoteFile(path=name, size_bytes=1, sha256="a") for name in (*names, "pushing.json")]
    deleted = changes([file(SHARD)], remote(*there), refuse).delete
    assert deleted == ("buckets/old/shard-00000.tar", "ledger/part-00000.parquet", "pushing.json")


def test_batches_hold_few_large_files_or_many_small_ones() -> None:
    large = [file(str(i), size_bytes=500_000_000) for i in range(12)]
    assert [len(batch) for batch in batches(large)] == [5, 5, 2]
    assert [len(batch) for batch in batches([file(str(i)) for i in range(250)])] == [100, 100, 50]


def test_parts_end_in_card_and_manifest() -> None:
    send = (*(file(f"buckets/b/{i}") for i in range(6)), file("README.md"), file("manifest.json"))
    found = Changes(send=send, delete=("buckets/x", "buckets/y"), keep=())
    parts = list(in_parts(found, size=4))
    assert [len(part.send) + len(part.delete) for part in parts] == [4, 4, 2]
    assert [one.path for one in parts[-1].send] == ["README.md", "manifest.json"]
    assert parts[1].delete == ("buckets/x", "buckets/y")


def test_limits_of_the_hub_are_told_before() -> None:
    many = [file(f"buckets/b/{i}") for i in range(10_001)]
    assert [one.message for one in check_limits(many, {})] == [
        "a folder has at most 10,000 files, buckets/b would have 10,001"
    ]
    spread = [file(f"buckets/{i % 11}/{i}") for i in range(100_000)]
    kept = remote(RemoteFile(path="LICENSE", size_bytes=1))
    assert [one.message for one in check_limits(spread, kept)] == [
        "a repository has at most 100,000 files, this one would have 100,001"
    ]
    huge = [file(SHARD, size_bytes=500_000_000_001)]
    assert [one.file for one in check_limits(huge, {})] == [SHARD]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("me/name", TargetName(kind="repository", name="me/name")),
        ("datasets/me/name", TargetName(kind="repository", name="me/name")),
        ("hf://datasets/me/name@v2", TargetName(kind="repository", name="me/name", revision="v2")),
        ("hf://buckets/me/store", TargetName(kind="bucket", name="me/store")),
        ("hf://buckets/me/store/a/b/", TargetName(kind="bucket", name="me/store", prefix="a/b")),
        ("buckets/me/store/a", TargetName(kind="bucket", name="me/store", prefix="a")),
        ("./name", TargetName(kind="folder", name="./name")),
        ("/srv/name", TargetName(kind="folder", name="/srv/name")),
        ("s3://bucket/name", TargetName(kind="folder", name="s3://bucket/name")),
    ],
)
def test_names_of_targets(text: str, expected: TargetName) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize("text", ["name", "a/b/c", "hf://models/me/name", "hf://buckets/me/store/../x", ""])
def test_names_that_are_no_target(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_target(text)


def test_what_is_not_ours_is_not_destroyed() -> None:
    there = remote(*(RemoteFile(path=name, size_bytes=9) for name in ("README.md", "LICENSE", "data/a.parquet")))
    found = changes([file(SHARD), file("README.md")], there, refuse)
    (told,) = check_place(found, there, is_part=False)
    assert told.message == "the target holds no export, but 1 other files with data, first 'data/a.parquet'"
    there = remote(RemoteFile(path="assets/own.png", size_bytes=9))
    (told,) = check_place(changes([file(SHARD)], there, refuse), there, is_part=False)
    assert told.code == "occupied"
    there |= remote(RemoteFile(path="manifest.json", size_bytes=9))
    assert not list(check_place(changes([file(SHARD)], there, refuse), there, is_part=True))


def test_a_part_does_not_replace_the_whole() -> None:
    names = ("manifest.json", "buckets/b/shard-00001.tar")
    there = remote(*(RemoteFile(path=name, size_bytes=9) for name in names))
    found = changes([file(SHARD)], there, refuse)
    assert [told.code for told in check_place(found, there, is_part=True)] == ["part"]
    assert not list(check_place(found, there, is_part=False))


def test_sample_tables_do_not_replace_something_else() -> None:
    names = (".gitattributes", "README.md", "samples/part-00000.parquet", "samples/part-00009.parquet")
    there = remote(*(RemoteFile(path=name, size_bytes=9) for name in names))
    assert not list(check_companion(there, "me/tables"))
    there |= remote(RemoteFile(path=SHARD, size_bytes=9), RemoteFile(path="manifest.json", size_bytes=9))
    (told,) = check_companion(there, "me/tables")
    assert (told.file, told.message) == (
        "me/tables", f"is to hold sample tables, but holds 2 other files, first {SHARD!r}"
    )  # fmt: skip
