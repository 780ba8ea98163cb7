from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import pyarrow as pa

from hfbucket.core.manifest.model import CaptionVariant
from hfbucket.core.plan.caption_facts import CaptionCounts, caption_sources, captions_entry
from hfbucket.core.plan.captions import Choice

CHOICE = Choice(universe=("a", "b", "c"), priority=("a", "b"), select="weighted", weights=(1, 1), seed=5, min_chars=3)


def source(id: str, variant: str, **changes: Any) -> dict[str, Any]:
    return {"id": id, "variant": variant, "model": "m", "prompt_sha256": "0" * 64, "parameters": None, **changes}


def test_a_variant_names_its_source_where_it_has_one_alone() -> None:
    sources = [source("1", "a"), source("2", "b"), source("3", "b")]
    entry = captions_entry(CHOICE, sources, with_ok={"a": 4, "b": 2}, selected={"a": 3}, missing_policy="drop")
    assert entry.variants == (
        CaptionVariant(name="a", selected=True, priority=0, images_with_ok_caption=4, images_selected=3, source_id="1"),
        CaptionVariant(name="b", selected=False, priority=1, images_with_ok_caption=2, images_selected=0),
        CaptionVariant(name="c", selected=False, priority=2, images_with_ok_caption=0, images_selected=0),
    )
    assert (entry.selector, entry.seed, entry.missing_policy) == ("weighted", 5, "drop")


def test_sources_are_fit_to_be_published() -> None:
    parameters = {
        "temperature": 0.7, "max_new_tokens": 90, "prompt": "words", "system_prompt": "more", "api_key": "k",
        "prompt_sha256": "ab", "weights": ["/data/x/model.bin", "C:\\models\\y", "org/model", "https://host/z"],
        "inner": {"password": "p", "file": "file:///home/me/z"},
    }  # fmt: skip
    rows = [source("2", "b", model="~/models/big/", parameters=parameters), source("1", "a"), source("0", "elsewhere")]
    found = caption_sources(CHOICE, rows)
    assert [entry["id"] for entry in found] == ["1", "2"]
    assert found[1]["model"] == "big"
    assert found[1]["parameters"] == {
        "temperature": 0.7, "max_new_tokens": 90, "prompt_sha256": "ab",
        "weights": ["model.bin", "y", "org/model", "https://host/z"], "inner": {"file": "z"},
    }  # fmt: skip


def test_counts_fold() -> None:
    rows: list[list[str | None]] = [
        ["long", None, "other"], ["no", "yes!", None], ["no", " ", None], [None, None, "other"],
    ]  # fmt: skip
    table = pa.array(rows, pa.list_(pa.string()))
    parts = [CaptionCounts.of(pa.chunked_array([table.slice(at, 1)]), CHOICE) for at in range(4)]
    for found in (reduce(add, parts), CaptionCounts.of(pa.chunked_array([table]), CHOICE)):
        assert (found.having.tolist(), found.too_short.tolist()) == ([3, 1, 2], [2, 0, 0])
        assert (found.images, found.without, found.only_too_short) == (4, 1, 1)
