"""Sentences of a card: each says what the manifest says, or is not there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hfbucket.core.card import sentences
from hfbucket.core.card.tables import outcomes
from hfbucket.core.manifest.model import Captions, License, Manifest
from tests.io.card_manifest import FULL

EMPTY = Manifest(format="bucketed_shards_v2")


@pytest.mark.parametrize(
    ("crop", "text"),
    [
        ({"strategy": "center"}, "The crop box lies in the center."),
        ({"strategy": "corner", "allowed_corners": [2]}, "The crop box lies in the bottom left corner."),
        (
            {"strategy": "corner", "allowed_corners": [0, 1, 3], "corner_jitter": 8},
            "The crop box lies in a corner chosen by a hash of the image's id: top left, top right or bottom right, "
            "then moved inward by up to 8 pixels.",
        ),
        ({"strategy": "something else"}, ""),
        ({}, ""),
    ],
)
def test_crop(crop: dict[str, Any], text: str) -> None:
    assert sentences.crop(replace(EMPTY, crop=crop)) == text


@pytest.mark.parametrize(
    ("jpeg", "text"),
    [
        ({}, "It was saved as JPEG."),
        ({"quality": 90, "subsampling": "4:2:2"}, "It was saved as JPEG at quality 90, chroma subsampling 4:2:2."),
        (
            {"quality": 95, "subsampling": "adaptive_scale", "threshold": "0.5"},
            "It was saved as JPEG at quality 95, without chroma subsampling (4:4:4) where it had been scaled to 0.5 of "
            "its size or less, else with 4:2:0.",
        ),
    ],
)
def test_jpeg(jpeg: dict[str, Any], text: str) -> None:
    assert sentences.jpeg(replace(EMPTY, jpeg=jpeg)) == text


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({}, ""),
        ({"metric": "min-crop", "max_crop": "1"}, "that crops the fewest pixels away."),
        ({"metric": "nearest-log", "max_crop": "1/3"}, "At most 33.3333% of a resized image may be cropped away."),
        ({"metric": "nearest-linear", "max_crop": "a newer kind"}, "the one of the nearest aspect."),
        ({"metric": "a newer one", "max_crop": "0.5"}, ""),
    ],
)
def test_rule(rule: dict[str, Any], text: str) -> None:
    found = sentences.rule(replace(EMPTY, bucket_rule=rule))
    assert found.endswith(text)
    assert bool(found) == bool(text)


def test_what_a_manifest_does_not_tell_is_not_said() -> None:
    assert sentences.description(EMPTY) == "An export without images."
    assert sentences.missing_captions(EMPTY) == sentences.order(EMPTY) == sentences.ignored(EMPTY) == ""
    assert sentences.license_line(EMPTY) == ""


def test_license_line() -> None:
    named = License(name="Isle [1]", link="https://example.org/a b")
    assert sentences.license_line(replace(EMPTY, license=named)) == "[Isle \\[1\\]](https://example.org/a%20b)"
    assert sentences.license_line(replace(EMPTY, license=License(link="https://a.org"))) == "<https://a.org>"


def test_members_that_are_no_images_are_told_apart() -> None:
    manifest = replace(FULL, summary={"images_seen": 3, "images_exported": 3, "ignored_members": 1234})
    assert "ignored" not in outcomes(manifest)
    assert sentences.ignored(manifest) == "Passed over, as they are no images: 1,234 links, folders and the like."
    assert sentences.order(FULL) == "Within a bucket, images are shuffled."


def test_how_a_caption_was_selected() -> None:
    def told(selector: str, **settings: Any) -> str:
        return sentences.selection(replace(EMPTY, captions=Captions(selector=selector), settings=settings))

    assert told("priority") == "Each image has one caption: the first variant, by priority, that has text."
    assert told("longest", min_caption_chars=20) == (
        "Each image has one caption: the longest of its variants. Captions of fewer than 20 characters were passed "
        "over."
    )
    assert told("weighted", weights=["a=1", "b|c=2"]) == (
        "Each image has one caption, drawn among its variants by weight (`a=1`, `b\\|c=2`) from its id and a seed."
    )
    assert told("weighted", weights=3, min_caption_chars="x").endswith("by weight from its id and a seed.")


def test_duplicates() -> None:
    def said(counts: object) -> str:
        return sentences.duplicates(Manifest(format="bucketed_shards_v2", statistics={"duplicates": counts}))

    assert said({"image_id": 0, "bytes": 1200}) == (
        "Left out as duplicates of an earlier image: 1,200 with the same bytes."
    )
    assert said({"image_id": 1, "pixels": 2}) == (
        "Left out as duplicates of an earlier image: 1 with the same id and 2 with the same pixels."
    )
    assert said({"image_id": 0, "bytes": 1, "near": [2, 0, 3]}) == (
        "Left out as duplicates of an earlier image: 1 with the same bytes and 5 with a difference hash of 64 "
        "bits that differs in at most 2."
    )
    for nothing in ({}, {"image_id": 0, "bytes": 0}, None, 7, "many", {"near": "[1]", "bytes": "3"}):
        assert said(nothing) == ""
