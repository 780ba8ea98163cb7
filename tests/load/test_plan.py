"""Which shards a loader config reads, and how one shard becomes several."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.manifest.model import Manifest
from hfbucket.errors import ConfigError, FormatError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.load.plan import ShardRef, config_names, select_buckets, shard_refs, split_ref
from tests.factories import make_export, make_foreign_export


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_export(tmp_path_factory.mktemp("export"), bases=(128, 64), card=False)


def refs_of(manifest: Manifest, config: str = "all", buckets: list[str] | None = None) -> list[ShardRef]:
    def no_listing(folder: str) -> list[str]:
        raise AssertionError(f"listed {folder}, though the manifest names its shards")

    return shard_refs(manifest, config, base_url="hf://x", list_folder=no_listing, buckets=buckets)


def test_configs_are_all_and_one_for_each_base_with_samples(manifest: Manifest) -> None:
    assert config_names(manifest) == ("all", "r128", "r64")


def test_a_base_without_samples_has_no_config(manifest: Manifest) -> None:
    empty = {k: v for k, v in manifest.buckets.items() if not v.count}
    assert empty
    assert config_names(Manifest(format="bucketed_shards_v2", buckets=empty)) == ("all",)


def test_all_reads_every_shard_in_the_manifests_order(manifest: Manifest) -> None:
    expected = [shard.file for entry in manifest.buckets.values() for shard in entry.shards]
    assert [ref.file for ref in refs_of(manifest)] == expected
    assert [ref.url for ref in refs_of(manifest)] == [f"hf://x/{file}" for file in expected]


def test_a_base_reads_its_own_shards(manifest: Manifest) -> None:
    refs = refs_of(manifest, "r64")
    assert {ref.bucket_id for ref in refs} == {"r64_p1024x1024", "r64_p1152x832"}
    assert {(ref.width_px, ref.height_px) for ref in refs} == {(64, 64), (64, 32)}
    assert sum(ref.count or 0 for ref in refs) == 12


def test_buckets_narrow_a_config(manifest: Manifest) -> None:
    assert {ref.bucket_id for ref in refs_of(manifest, buckets=["r64_p1152x832"])} == {"r64_p1152x832"}


@pytest.mark.parametrize(
    ("config", "buckets", "message"),
    [
        ("r512", None, "config must be one of all, r128, r64, got 'r512'"),
        ("r64", ["r128_p1024x1024"], "r64_p1024x1024, r64_p1152x832, got 'r128_p1024x1024'"),
        ("r64", ["r64_p2048x512"], "got 'r64_p2048x512'"),
        ("r64", "r64_p1152x832", r"must be a list of bucket ids such as \['r64_p1024x1024'\]"),
        ("r64", [], r"must be a list of bucket ids such as \['r64_p1024x1024'\]"),
    ],
)
def test_what_does_not_exist_is_named(manifest: Manifest, config: str, buckets: list[str] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        select_buckets(manifest, config, buckets)


def test_a_foreign_manifest_without_shards_has_its_folders_listed(tmp_path: Path) -> None:
    make_foreign_export(tmp_path, names=False)
    manifest = read_manifest(tmp_path)
    listed = shard_refs(
        manifest,
        "r64",
        base_url=str(tmp_path),
        list_folder=lambda folder: [path.name for path in (tmp_path / folder).iterdir()] + ["notes.txt"],
    )
    assert [ref.file for ref in listed] == [
        f"buckets/{bucket}/shard-0000{number}.tar" for bucket in ("p1024x1024", "p1152x832") for number in (0, 1)
    ]
    with pytest.raises(FormatError, match="bucket p1024x1024: the manifest counts 6 samples, the export has no shards"):
        shard_refs(manifest, "r64", base_url=str(tmp_path), list_folder=lambda folder: [])


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 3))
def test_pieces_of_a_shard_hold_each_sample_once_in_order(count: int, pieces: int, rounds: int) -> None:
    starts = np.arange(count, dtype=np.int64) * 2048
    refs = [ShardRef(file="s", url="s", bucket_id="b", width_px=1, height_px=1, count=count)]
    for _ in range(rounds):
        refs = [piece for ref in refs for piece in split_ref(ref, starts, pieces)]
    assert refs[0].start == 0
    assert refs[-1].stop is None
    assert all(a.stop == b.start for a, b in pairwise(refs))
    assert sum(ref.count or 0 for ref in refs) == count
    for ref in refs:
        inside = (starts >= ref.start) & (starts < (ref.stop or 1 << 40))
        assert ref.count == np.count_nonzero(inside)
    if count >= pieces:
        assert len(refs) >= pieces
    assert max(ref.count or 0 for ref in refs) - min(ref.count or 0 for ref in refs) <= rounds
