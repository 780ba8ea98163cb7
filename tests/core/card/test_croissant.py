"""croissant.json: every file of the manifest with its hash, as Croissant's own reader reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from hfbucket.core.card.croissant import croissant_bytes, croissant_problems
from hfbucket.core.manifest.model import HistoryEntry, License, Manifest
from tests.factories import make_export
from tests.io.card_manifest import FULL


def parsed(manifest: Manifest) -> dict[str, Any]:
    data = json.loads(croissant_bytes(manifest))
    assert isinstance(data, dict)
    return data


def test_every_file_stands_there_with_its_hash() -> None:
    entries = {e["contentUrl"]: e for e in parsed(FULL)["distribution"] if e["@type"] == "cr:FileObject"}
    shards = {s.file: s.sha256 for entry in FULL.buckets.values() for s in entry.shards}
    assert {file: e["sha256"] for file, e in entries.items()} == shards | {t.file: t.sha256 for t in FULL.samples}
    shard = entries["buckets/r51_p1024x1024/shard-00000.tar"]
    assert (shard["contentSize"], shard["encodingFormat"]) == ("122880 B", "application/x-tar")


def test_words_are_the_cards() -> None:
    data = parsed(FULL)
    assert {key: data[key] for key in ("name", "license", "inLanguage", "datePublished")} == {
        "name": "Birds of the island",
        "license": "cc-by-4.0",
        "inLanguage": ["en"],
        "datePublished": "2026-01-02T03:04:05Z",
    }
    assert data["citeAs"].startswith("@misc{birds")
    bare = parsed(replace(FULL, title=None, description=None, license=License(), citation=None))
    assert "license" not in bare
    assert bare["description"].startswith("1,234,567 captioned images")


def test_version_counts_contents_and_words() -> None:
    def version(*ids: str) -> str:
        history = tuple(HistoryEntry(export_id=i, created="2026-01-02T03:04:05Z", what="x") for i in ids)
        return str(parsed(replace(FULL, history=history))["version"])

    assert [version(), version("a"), version("a", "a", "a"), version("a", "b"), version("a", "a", "b", "b")] == [
        "1.0.0", "1.0.0", "1.2.0", "2.0.0", "2.1.0",
    ]  # fmt: skip


def test_contradictions_are_named() -> None:
    data = croissant_bytes(FULL)
    assert list(croissant_problems(data, FULL)) == []
    assert list(croissant_problems(data.replace(b'"sha256": "1', b'"sha256": "2'), FULL)) == [
        f"gives samples/part-00000.parquet the sha256 2{'1' * 63}, the manifest says {'1' * 64}"
    ]
    fewer = replace(FULL, samples=())
    assert list(croissant_problems(croissant_bytes(fewer), FULL)) == ["does not name samples/part-00000.parquet"]
    assert list(croissant_problems(data, fewer)) == [
        f"gives samples/part-00000.parquet the sha256 {'1' * 64}, the manifest says None"
    ]
    for broken in (b"", b"[]", b"{}", b'{"distribution": [{"contentUrl": []}]}', b"\xff"):
        (problem,) = croissant_problems(broken, FULL)
        assert problem.startswith("is no Croissant metadata: ")


@pytest.mark.filterwarnings("ignore")  # of mlcroissant and what it stands on
@pytest.mark.parametrize("bases", [(64,), (128, 64)])
def test_mlcroissant_validates_and_reads_it(tmp_path: Path, bases: tuple[int, ...]) -> None:
    mlcroissant = pytest.importorskip(
        "mlcroissant", reason="mlcroissant is not installed: croissant.json is not validated", exc_type=ImportError
    )
    manifest = make_export(tmp_path, bases=bases, card=False)
    manifest = replace(manifest, citation="Someone, 2026")
    (tmp_path / "croissant.json").write_bytes(croissant_bytes(manifest))
    dataset = mlcroissant.Dataset(str(tmp_path / "croissant.json"))
    assert (dataset.metadata.issues.errors, dataset.metadata.issues.warnings) == (set(), set())
    found = {node.content_url: node.sha256 for node in dataset.metadata.distribution if hasattr(node, "sha256")}
    assert len(found) == 4 * len(bases) + 1
    (record,) = islice(dataset.records("samples"), 1)
    assert record["samples/shard"].decode() in found
    assert (record["samples/w"], record["samples/h"]) == (bases[0], bases[0])
