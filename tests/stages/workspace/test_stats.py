from __future__ import annotations

from pathlib import Path

import pytest

from hfbucket.cli.main import main
from hfbucket.core.workspace.lengths import Lengths
from hfbucket.errors import WorkspaceError
from hfbucket.stages.workspace.stats import VariantStats, stats
from tests.io.workspace.made import make_workspace, run_sql, write_captions

IDS = ["a", "b", "c", "d"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = make_workspace(tmp_path / "w.sqlite", IDS)
    write_captions(path, "v", {"a": "1234", "b": "猫猫"})
    write_captions(path, "v", {"c": " \n"})
    write_captions(path, "v", {"d": None}, status="refused")
    run_sql(path, "UPDATE captions SET language = 'en' WHERE image_id = 'a'")
    write_captions(path, "w", {"a": None}, status="error")
    run_sql(path, "UPDATE variants SET locked = 0")
    write_captions(path, "original", {"a": "own"})
    run_sql(path, "UPDATE variants SET locked = own")
    return path


def test_counts_by_variant(path: Path) -> None:
    found = stats(path)
    assert found.images == 4
    assert found.variants == (
        VariantStats(
            variant="v", own=False, ok=2, empty=1, refused=1, error=0, missing=0, share=0.5, languages={"en": 1},
            chars=Lengths(mean=3.0, min=2, p5=2, p25=2, median=2, p75=4, p95=4, max=4),
        ),
        VariantStats(
            variant="w", own=False, ok=0, empty=0, refused=0, error=1, missing=3, share=0.0, chars=None, languages={}
        ),
        VariantStats(
            variant="original", own=True, ok=1, empty=0, refused=0, error=0, missing=3, share=0.25, languages={},
            chars=Lengths(mean=3.0, min=3, p5=3, p25=3, median=3, p75=3, p95=3, max=3),
        ),
    )  # fmt: skip


def test_the_command(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workspace", "stats", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: 4 images",
        "variant                      ok  share  empty  refused  error  missing  chars: median  5%  95%  longest",
        "v                             2  50.0%      1        1      0        0              2   2    4        4",
        "w                             0   0.0%      0        0      1        3",
        "original (the source's own)   1  25.0%      0        0      0        3              3   3    3        3",
        "v: en 1",
    ]


def test_an_empty_workspace(tmp_path: Path) -> None:
    found = stats(make_workspace(tmp_path / "w.sqlite", []))
    assert (found.images, found.variants) == (0, ())


def test_a_damaged_one(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:8192] + b"\x55" * (len(data) - 8192))
    with pytest.raises(WorkspaceError, match="is damaged"):
        stats(path)
