from __future__ import annotations

import pytest

pytest.importorskip("skimage")

from scripts.bench_reencode import PIPELINES, measure, show


def test_every_pipeline_is_measured_and_the_images_are_those_of_pillow(capsys: pytest.CaptureFixture[str]) -> None:
    result = measure(None, base=256, min_pixels=0, images=4, repeats=1)
    assert (result["images"], result["unequal"]) == (4, 0)
    show(result)
    table = capsys.readouterr().out.splitlines()
    assert [line[:28].strip() for line in table[2:-2]] == list(PIPELINES)
