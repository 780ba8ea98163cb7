from __future__ import annotations

import json
from fractions import Fraction

from hfbucket.config import Config
from hfbucket.core.hashing import canonical_json
from hfbucket.core.law.buckets import SDXL
from hfbucket.core.settings import content_settings, differences


def test_equal_meaning_gives_equal_settings() -> None:
    plain = content_settings(Config(), SDXL)
    same = Config(
        base=(512,), protos="some/file.txt", max_crop=Fraction(1), caption_column=("caption", "text", "sidecar"),
        missing_caption="drop", workers=3, title="words do not count",
    )  # fmt: skip
    assert content_settings(same, SDXL) == plain
    assert content_settings(same, SDXL[1:]) != plain
    assert content_settings(Config(base=(256, 512)), SDXL)["base"] == [512, 256]


def test_settings_are_json_without_floats() -> None:
    settings = content_settings(Config(max_crop=Fraction(1, 3)), SDXL)
    assert json.loads(canonical_json(settings), parse_float=lambda text: 1 / 0) == settings
    assert (settings["subsampling_threshold"], settings["max_crop"]) == ("0.85", "1/3")


def test_differences_are_readable() -> None:
    ours = content_settings(Config(base=(512, 256), quality=90, id_column="url"), SDXL)
    theirs = content_settings(Config(), SDXL[1:])
    assert differences(ours, ours) == ()
    assert differences(ours, theirs) == (
        "base: 512, 256, not 512",
        "protos: a table of 40 sizes, not a table of 39 sizes",
        "quality: 90, not 95",
        "id_column: url, not none",
    )
    assert differences({"a": 1}, {"b": False}) == ("a: 1, not none", "b: none, not False")
