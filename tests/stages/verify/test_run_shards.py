"""verify --quick: each promise of a shard's bytes, broken alone with all hashes fitting, is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hfbucket.io.manifest_file import write_manifest
from hfbucket.stages.verify.run import verify
from tests.factories import reseal
from tests.mutations import (
    FIRST,
    SQUARE,
    TABLE,
    WIDE,
    Change,
    Found,
    append,
    cut,
    flip,
    found,
    header,
    members,
    rewritten,
    small,
)  # fmt: skip

TAR = ("tar", SQUARE, None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (header(100, b"0000755\0"), {TAR, ("count", SQUARE, None)}),
        (header(108, b"0001750\0"), {TAR, ("count", SQUARE, None)}),
        (header(136, b"15000000000\0"), {TAR, ("count", SQUARE, None)}),
        (header(156, b"\0"), {TAR, ("count", SQUARE, None)}),
        (header(156, b"2"), {TAR, ("count", SQUARE, None)}),
        (header(157, b"/etc/passwd"), {TAR, ("count", SQUARE, None)}),
        (header(257, b"ustar  \0"), {TAR, ("count", SQUARE, None)}),
        (header(265, b"root"), {TAR, ("count", SQUARE, None)}),
        (append(SQUARE, bytes(512)), {TAR}),
        (append(SQUARE, b"x"), {TAR}),
        (cut(-512), {TAR}),
        (cut(-1024), {TAR}),
        (cut(600), {TAR, ("count", SQUARE, None)}),
        (cut(0), {TAR, ("count", SQUARE, None)}),
        (rewritten(lambda all: [all[1], all[0], *all[2:]]), {("members", SQUARE, FIRST)}),
        (rewritten(lambda all: [all[0], all[0], *all[1:]]), {("members", SQUARE, FIRST)}),
        (rewritten(lambda all: [all[0], *all[2:]]), {("members", SQUARE, FIRST)}),
        (rewritten(lambda all: [*all[:3], (f"{FIRST}.cls", b"1"), *all[3:]]), {("members", SQUARE, FIRST)}),
        (rewritten(lambda all: all[3:]), {("count", SQUARE, None)}),
        (rewritten(lambda all: [("a.b" + n[32:], d) if n[:32] == FIRST else (n, d) for n, d in all]),
         {("members", SQUARE, "a"), ("key", SQUARE, "a")}),
    ],
)  # fmt: skip
def test_shard_bytes(tmp_path: Path, change: Change, expected: Found) -> None:
    small(tmp_path)
    change(tmp_path)
    reseal(tmp_path)
    assert found(verify(tmp_path, depth="quick")) == expected


def test_padding_is_nul(tmp_path: Path) -> None:
    small(tmp_path)
    (_, data), *_ = members(tmp_path)
    flip(tmp_path / SQUARE, 512 + len(data))
    reseal(tmp_path)
    assert found(verify(tmp_path, depth="quick")) == {TAR}


def test_a_key_in_two_shards(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / WIDE).write_bytes((tmp_path / SQUARE).read_bytes())
    reseal(tmp_path)
    report = verify(tmp_path, depth="quick")
    assert {(p.code, p.file) for p in report.problems} == {("duplicate_key", WIDE)}
    assert len(report.problems) == 3
    assert f"stands in {SQUARE} and again in {WIDE}" == report.problems[0].message
    assert report.problems[0].key in {name[:32] for name, _ in members(tmp_path)}


def test_wrong_hashes(tmp_path: Path) -> None:
    manifest = small(tmp_path)
    entry = manifest.buckets["p1024x1024"]
    shards = (replace(entry.shards[0], sha256="0" * 64), *entry.shards[1:])
    buckets = {**manifest.buckets, "p1024x1024": replace(entry, shards=shards)}
    write_manifest(tmp_path, replace(manifest, buckets=buckets))
    assert ("hash", SQUARE, None) in found(verify(tmp_path, depth="quick"))
    write_manifest(tmp_path, replace(manifest, samples=(replace(manifest.samples[0], sha256="0" * 64),)))
    assert found(verify(tmp_path, depth="quick")) == {("hash", TABLE, None)}
