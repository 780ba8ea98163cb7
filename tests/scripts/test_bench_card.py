"""The benchmark of cards: its manifest is one that cards are made of, and it prints every step."""

from __future__ import annotations

import sys

import pytest

from hfbucket.io.cards import card_problems, render_card
from scripts.bench_card import large_manifest, main


def test_its_manifest_makes_a_card() -> None:
    manifest = large_manifest(300, 40_000)
    assert sum(len(entry.shards) for entry in manifest.buckets.values()) == 300
    assert sum(entry.count for entry in manifest.buckets.values()) == 40_000
    assert card_problems(render_card(manifest), manifest) == ()


def test_it_prints_every_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_card", "--shards", "120", "--samples", "1200", "--rounds", "1"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "120 shards, 1,200 samples, 102 buckets"
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "read manifest.json", "render README.md", "check README.md", "write croissant.json",
    ]  # fmt: skip
