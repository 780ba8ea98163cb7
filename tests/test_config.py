"""Settings: what is taken, what is refused and in which words, and that flags give the same settings back."""

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import Any

import pytest

from hfbucket.config import Config, setting_names
from hfbucket.errors import ConfigError


def test_values_are_read_exactly() -> None:
    config = Config(base=[256, "512"], max_crop=0.15, max_shard_size="1.5GB", corners="3,0", shuffle=0)  # type: ignore[arg-type]
    assert config.base == (512, 256)
    assert config.max_crop == Fraction(3, 20)
    assert config.max_shard_size == 1_500_000_000
    assert config.corners == (3, 0)
    assert config.shuffle == 0


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [("500MB", 500_000_000), ("1 GiB", 2**30), ("64k", 64_000), (7, 7), ("1_000", 1000), ("0.5kb", 500)],
)
def test_sizes(written: Any, size_bytes: int) -> None:
    assert Config(max_shard_size=written).max_shard_size == size_bytes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base": 0}, "base must be a whole number from 1 to 16384, got 0"),
        ({"base": []}, "base must name at least one value, got none"),
        ({"quality": 101}, "quality must be a whole number from 1 to 100, got 101"),
        ({"quality": 95.0}, "quality must be a whole number from 1 to 100, got 95.0"),
        ({"max_crop": "1.01"}, "max_crop must be a number from 0 to 1, got '1.01'"),
        ({"max_crop": float("nan")}, "max_crop must be a number from 0 to 1, got nan"),
        ({"max_crop": "1/0"}, "max_crop must be a number from 0 to 1, got '1/0'"),
        ({"max_shard_size": "5XB"}, "max_shard_size must be a size such as 500MB, at least 1, got '5XB'"),
        ({"max_shard_size": "0.1"}, "max_shard_size must be a size such as 500MB, at least 1, got '0.1'"),
        ({"image_mode": "jpeg"}, "image_mode must be one of reencode_jpeg, passthrough_jpeg, got 'jpeg'"),
        ({"missing_caption": "ignore"}, "missing_caption must be one of drop, empty, error, got 'ignore'"),
        ({"workers": True}, "workers must be a whole number, at least 0, got True"),
        ({"strip_metadata": "yes"}, "strip_metadata must be true or false, got 'yes'"),
        ({"title": 3}, "title must be text, got 3"),
        ({"corners": (0, 0)}, "corners must name every value once, got 0,0"),
        ({"near_threshold": 3}, "near_threshold is for dedupe near, got 3 with dedupe none"),
        ({"caption_column": ("a", "a")}, "caption_column must name every value once, got a,a"),
        ({"expect_plan": "12"}, "expect_plan must be the 16 hex digits that `plan` prints, got '12'"),
    ],
)
def test_wrong_values_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**settings)
    assert str(caught.value) == message


def test_unknown_names_are_refused_with_the_nearest() -> None:
    assert setting_names({"max-crop": 1, "rare": "drop"}, where="x.toml") == {"max_crop": 1, "rare": "drop"}
    with pytest.raises(ConfigError, match=r"x.toml: unknown setting 'max-corp'; did you mean 'max_crop'\?"):
        setting_names({"max-corp": 1}, where="x.toml")
    with pytest.raises(ConfigError, match="known settings are annotations, base, batch_size"):
        setting_names({"zzz": 1}, where="x.toml")
    with pytest.raises(ConfigError, match="'max_crop' is given twice"):
        setting_names({"max-crop": 1, "max_crop": 1}, where="x.toml")


def test_flags_are_those_that_differ_from_the_default() -> None:
    assert Config().flags("content", "run", "words") == ()
    config = Config(
        base=(512, 256), max_crop=Fraction(1, 8), source_hash=False, strip_metadata=True, workers=2, title="A b",
        corners=(0, 3), max_shard_size=64_000_000, subsampling_threshold=Fraction(1, 3),
    )  # fmt: skip
    assert config.flags("content") == (
        "--base", "512", "--base", "256", "--max-crop", "0.125", "--corners", "0,3",
        "--subsampling-threshold", "1/3", "--max-shard-size", "64MB", "--strip-metadata", "--no-source-hash",
    )  # fmt: skip
    assert config.flags("run", "words") == ("--workers", "2", "--title", "A b")


def test_a_config_travels_to_other_processes() -> None:
    config = Config(base=(64,), max_crop=Fraction(1, 3))
    assert pickle.loads(pickle.dumps(config)) == config
