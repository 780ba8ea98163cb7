"""No byte of a remote tar or Parquet file crosses the network twice within a build."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.core.events import Event, Notice
from hfbucket.errors import BuildError, SourceError
from hfbucket.stages.report import plan
from hfbucket.stages.write import read, spool
from hfbucket.stages.write.build import build
from tests.hub.client import run_python
from tests.hub.loopback import LoopbackHub
from tests.stages.counted import CountedFileSystem, register
from tests.stages.pictures import draw_folder, draw_parquet, draw_tar, picture, tree

COUNT = 20
KINDS = ("a.parquet", "a.tar", "a.tar.gz", "b.tgz")
FOOTER_BYTES = 65_536
"""What is read of a Parquet file to find out that it holds images; images lie before."""


@pytest.fixture
def fetched() -> dict[str, npt.NDArray[np.int64]]:
    return register()


def draw(path: Path) -> Path:
    if path.suffix != ".parquet":
        return draw_tar(path, COUNT, mode="w" if path.suffix == ".tar" else "w:gz")
    draw_parquet(path, COUNT)
    rows = pq.read_table(path)
    ballast = pa.array([picture(0) * 8] * COUNT)  # a column that nobody asks for, so that the file outgrows its footer
    pq.write_table(rows.append_column("zz", ballast), path, row_group_size=5, use_dictionary=False, compression="none")
    return path


def config(**changes: Any) -> Config:
    return Config(**{"base": (128, 64), "max_shard_samples": 3, "workers": 0, **changes})


def refuse(*arguments: Any) -> Any:
    raise OSError("no more")


@pytest.mark.parametrize("name", KINDS)
def test_a_cold_build_fetches_every_byte_once(
    tmp_path: Path, name: str, fetched: dict[str, npt.NDArray[np.int64]]
) -> None:
    source = draw(tmp_path / "photos" / name)
    events: list[Event] = []
    there = build([f"counted://{source}"], tmp_path / "there", config(), on_event=events.append)
    images = fetched[name][:-FOOTER_BYTES] if name.endswith(".parquet") else fetched[name]
    assert len(images)
    assert set(images.tolist()) == {1}
    said = [event.text for event in events if isinstance(event, Notice) and "copied to" in event.text]
    assert "1 of 1 remote files are copied to" in said[0]
    assert "removed when the export is complete" in said[0]
    assert not (tmp_path / "there.work" / "copies").exists()
    here = build([str(source)], tmp_path / "here", config())
    assert here.buckets == there.buckets
    assert tree(tmp_path / "here") == tree(tmp_path / "there")


def test_a_build_that_goes_on_uses_the_copies(tmp_path: Path, fetched: dict[str, npt.NDArray[np.int64]]) -> None:
    source = draw(tmp_path / "photos" / "a.tar")
    with pytest.raises(BuildError, match="expected plan"):
        build([f"counted://{source}"], tmp_path / "out", config(expect_plan="0" * 16))
    build([f"counted://{source}"], tmp_path / "out", config())
    assert set(fetched["a.tar"].tolist()) == {1}


def test_neighbours_are_fetched_together_where_there_is_no_copy(
    tmp_path: Path, fetched: dict[str, npt.NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_REQUEST_BYTES", -(1 << 20))
    source = draw(tmp_path / "photos" / "a.tar")
    build([f"counted://{source}"], tmp_path / "cold", config(max_shard_samples=100))
    monkeypatch.setattr(read, "_GAP_BYTES", 64 << 10)  # images of all sizes take turns here
    register()
    build([f"counted://{source}"], tmp_path / "warm", config(max_shard_samples=100))
    assert tree(tmp_path / "warm") == tree(tmp_path / "cold")
    shards = len(list((tmp_path / "warm").glob("buckets/*/*.tar")))
    assert CountedFileSystem.requests.count("a.tar") == shards + 1  # each its neighbours; whether it is gzipped
    monkeypatch.setattr(read, "_GAP_BYTES", 0)
    register()
    build([f"counted://{source}"], tmp_path / "apart", config(max_shard_samples=100))
    assert tree(tmp_path / "apart") == tree(tmp_path / "cold")
    assert CountedFileSystem.requests.count("a.tar") == 16  # that it is not gzipped is known by now
    assert fetched["a.tar"].max() == 1


def test_a_tar_whose_index_is_at_hand_is_read_through_once(
    tmp_path: Path, fetched: dict[str, npt.NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"counted://{draw(tmp_path / 'photos' / 'a.tar')}"
    plan(source, config())
    register()
    with monkeypatch.context() as patch:
        patch.setattr(read.SourceReader, "read_all", refuse)
        with pytest.raises(BuildError, match="no more"):
            build(source, tmp_path / "there", config())
    events: list[Event] = []
    build(source, tmp_path / "there", config(), on_event=events.append)
    assert set(fetched["a.tar"].tolist()) == {1}
    assert CountedFileSystem.requests == ["a.tar"]
    assert not [event for event in events if isinstance(event, Notice) and "are copied to" in event.text]
    build([str(tmp_path / "photos" / "a.tar")], tmp_path / "here", config())
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


def test_copies_take_half_of_the_free_disk_at_most(
    tmp_path: Path, fetched: dict[str, npt.NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.tar", "b.tar"):
        draw(tmp_path / "photos" / name)
    free = 2 * (tmp_path / "photos" / "a.tar").stat().st_size + 1
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(read, "_GAP_BYTES", 0)  # these images are smaller than what usually lies between images
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    events: list[Event] = []
    build([f"counted://{tmp_path / 'photos'}"], tmp_path / "out", config(), on_event=events.append)
    assert set(fetched["a.tar"].tolist()) == {1}
    assert fetched["b.tar"].max() == 2
    told = [event.text for event in events if isinstance(event, Notice)]
    assert any("1 of 2 remote files are copied" in text for text in told)
    assert any("no room for copies of" in text for text in told)


def test_errors_name_the_source_not_its_copy(tmp_path: Path, fetched: dict[str, npt.NDArray[np.int64]]) -> None:
    (tmp_path / "photos").mkdir()
    source = tmp_path / "photos" / "a.tar"
    source.write_bytes(b"no tar" * 200)
    with pytest.raises(SourceError, match=rf"counted://{source}: is no tar"):
        build([f"counted://{source}"], tmp_path / "out", config())


def test_images_in_folders_need_no_copy(tmp_path: Path, fetched: dict[str, npt.NDArray[np.int64]]) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)
    events: list[Event] = []
    build([f"counted://{folder}"], tmp_path / "out", config(), on_event=events.append)
    assert not [event for event in events if isinstance(event, Notice) and "copied to" in event.text]


def test_an_output_inside_a_source_is_refused_before_anything_is_copied(
    tmp_path: Path, fetched: dict[str, npt.NDArray[np.int64]]
) -> None:
    folder = draw_folder(tmp_path / "photos", 3)
    source = draw(tmp_path / "a.tar")
    with pytest.raises(SourceError, match="lie inside one another"):
        build([f"a={folder}", f"b=counted://{source}"], folder / "out", config())
    assert not fetched
    assert not list(folder.glob("out*"))


def test_a_copy_that_is_cut_off_is_none(
    tmp_path: Path, fetched: dict[str, npt.NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = draw(tmp_path / "photos" / "a.tar")
    monkeypatch.setattr("hfbucket.io.patience.WAIT_S", 0.0)
    with monkeypatch.context() as patch:
        whole = CountedFileSystem.cat_file
        patch.setattr(CountedFileSystem, "cat_file", lambda store, path, start, end: whole(store, path, start, 5_000))
        with pytest.raises(SourceError, match=r"a\.tar: cannot be read"):
            build([f"counted://{source}"], tmp_path / "out", config())
    assert not list((tmp_path / "out.work" / "copies").iterdir())
    build([f"counted://{source}"], tmp_path / "out", config())


def test_the_hub_gives_every_file_once_whatever_the_workers(tmp_path: Path, hub: LoopbackHub) -> None:
    files = [draw(tmp_path / "photos" / name) for name in ("a.parquet", "b.parquet")]
    hub.commit_folder("me/photos", tmp_path / "photos")
    code = "from hfbucket.cli.main import console; console()"
    command = ["build", "hf://datasets/me/photos", "-o", str(tmp_path / "out"), "--base", "64", "--workers", "2"]
    run_python(hub, code, tmp_path / "home", *command)
    asked = [(r.path.rpartition("/")[2], r.range, r.answer_bytes) for r in hub.log.requests if r.method == "GET"]
    for file in files:
        whole = [answer for name, part, answer in asked if name == file.name and part is None]
        parts = [answer for name, part, answer in asked if name == file.name and part is not None]
        assert whole == [file.stat().st_size]
        assert sum(parts) <= FOOTER_BYTES
