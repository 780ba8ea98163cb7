from __future__ import annotations

import pytest

pytest.importorskip("skimage")

from scripts import bench_reencode
from scripts.bench_reencode import PIPELINES, measure, show

NAMES = ("naive Pillow + tarfile", "hfbucket", "decode + encode alone")


def test_pipelines_are_measured_and_the_images_are_those_of_pillow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_reencode, "PIPELINES", {name: PIPELINES[name] for name in NAMES})
    result = measure(None, base=256, min_pixels=0, images=4, repeats=1)
    assert (result["images"], result["unequal"]) == (4, 0)
    show(result)
    table = capsys.readouterr().out.splitlines()
    assert [line[:28].strip() for line in table[2:-1]] == list(NAMES)
