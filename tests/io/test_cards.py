"""The card: from the manifest alone, read by stock tools, and safe whatever the words."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfbucket.io.cards import card_problems, render_card
from tests.factories import make_export


@pytest.mark.parametrize("image_mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_card_agrees_with_its_manifest(tmp_path: Path, image_mode: str) -> None:
    manifest = make_export(tmp_path, bases=(128, 64), image_mode=image_mode, card=False)
    assert card_problems(render_card(manifest), manifest) == ()
