"""The manifest tells every content setting, and a rerun reads them back."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hfbucket.config import Config
from hfbucket.core.law.buckets import SDXL
from hfbucket.core.manifest.model import Captions, Manifest
from hfbucket.core.manifest.plain import from_dict, to_dict
from hfbucket.core.manifest.settings import manifest_fields, settings_of
from hfbucket.core.settings import content_settings

OTHER = Config(
    base=(768, 256), image_mode="passthrough_jpeg", max_crop=Fraction(1, 3), shuffle=7, corners=(1, 2), quality=80,
    missing_caption="empty", caption_column=("b", "a"), check="decode", source_hash=False, max_pixels=5,
)  # fmt: skip


@pytest.mark.parametrize("config", [Config(), OTHER])
def test_settings_survive_the_manifest(config: Config) -> None:
    settings = content_settings(config, SDXL)
    captions = Captions(missing_policy=settings["missing_caption"])
    manifest = Manifest(captions=captions, buckets={}, **manifest_fields(settings))
    assert settings_of(from_dict(to_dict(manifest))) == settings
