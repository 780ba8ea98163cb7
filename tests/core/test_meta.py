from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from hfbucket.core.keys import text_of
from hfbucket.core.meta import clean_text, meta_json, parse_json, split_captions, without_location


@pytest.mark.parametrize(
    ("value", "text", "repaired"),
    [
        ("  a cat\n", "a cat", False),
        ("two\nlines\r\nhere", "two\nlines\r\nhere", False),
        ("\ufeffmarked", "marked", False),
        (b"caf\xc3\xa9", "café", False),
        (b"caf\xe9 noir", "caf\ufffd noir", True),
        ("caf\udce9 noir", "caf\ufffd noir", True),
        ("half \ud83d pair", "half \ufffd\ufffd\ufffd pair", True),
        ("a\0b\0", "ab", True),
        ("été".encode("utf-16"), "été", True),
        (b"   ", "", False),
        ("日本", "日本", False),
    ],
)
def test_captions_are_cleaned(value: str | bytes, text: str, repaired: bool) -> None:
    assert clean_text(value) == (text, repaired)


def test_every_variant_gets_its_caption_or_none() -> None:
    meta = {"caption": "one", "text": ["", "first", "second"], "score": 3, "label": 7}
    sidecars = {"txt": b"beside", "caption": b"other"}
    captions, repaired, rest = split_captions(meta, sidecars, ("caption", "text", "sidecar", "txt", "label", "none"))
    assert captions == ["one", "first", "beside", "beside", None, None]
    assert not repaired
    assert rest == {"text": ["", "first", "second"], "score": 3, "label": 7}


@pytest.mark.parametrize(
    "key", ["gps", "GPSLatitude", "GPS GPSLatitude", "latitude", "Longitude", "lat", "geo_lon", "photoLat", "gps_info"]
)
def test_positions_are_left_out(key: str) -> None:
    assert without_location({key: 1, "width": 2}) == ({"width": 2}, True)


@pytest.mark.parametrize("key", ["flat", "plate", "longest", "latent", "relation", "geometry", "colony", "location"])
def test_words_that_only_look_like_positions_stay(key: str) -> None:
    assert without_location({key: "x"}) == ({key: "x"}, False)


def test_positions_inside_json_text_are_left_out() -> None:
    exif = json.dumps({"Image Make": "Canon", "GPS GPSLatitude": "[51, 2, 3]"})
    kept, found = without_location({"exif": exif, "deep": [{"a": {"lat": 1, "b": 2}}]})
    assert found
    assert json.loads(kept["exif"]) == {"Image Make": "Canon"}
    assert kept["deep"] == [{"a": {"b": 2}}]


def test_text_that_is_no_json_but_names_gps_fields_goes_as_a_whole() -> None:
    assert without_location({"xmp": "<x exif:GPSLatitude='51,2N'/>"}) == ({"xmp": None}, True)
    assert without_location({"exif": '{"a": "GPS latitude', "n": "Latvia"})[0]["n"] == "Latvia"


def test_json_without_positions_keeps_its_text() -> None:
    text = '{ "Platform":  "lat" }'
    assert without_location({"exif": text}) == ({"exif": text}, False)


@pytest.mark.parametrize("text", ["", "{", "nul", b"\xff\xfe", "[" * 100_000, "9" * 5000])
def test_what_is_no_json_is_none(text: str | bytes) -> None:
    assert parse_json(text) is None


def test_metadata_of_any_type_has_json() -> None:
    moment = datetime(2020, 1, 2, tzinfo=timezone.utc)
    values: dict[str, Any] = {"b": b"bytes", "t": [moment, 1 + 2j], "n": float("nan"), "ü": None}
    assert meta_json(values) == '{"b":null,"n":null,"t":["2020-01-02T00:00:00Z","(1+2j)"],"ü":null}'


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"a/b.jpg", "a/b.jpg"),
        (b"caf\xe9/\xff.jpg", "caf%E9/%FF.jpg"),
        ("é%.jpg".encode(), "é%.jpg"),
        (b"\xed\xa0\x80", "%ED%A0%80"),
    ],
)
def test_bytes_that_are_no_utf8_are_percent_encoded(path: bytes, text: str) -> None:
    assert text_of(path) == text
