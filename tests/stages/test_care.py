"""Images that end the process that decodes them are bad samples, and nothing else is lost.

The faults are put into child processes alone, by the `sitecustomize` that Python looks for when it starts: Pillow, and
the codec that decodes plain JPEGs, die there of images that say so.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.core.events import Event, Notice
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.errors import SampleError
from hfbucket.executors.isolated import Died, Isolated
from hfbucket.stages.care import Care, carefully
from hfbucket.stages.index import build_index
from hfbucket.stages.write.build import build
from tests.stages.pictures import caption, draw_folder, picture, tree

pytestmark = pytest.mark.skipif(os.name != "posix", reason="dies of signals")

FAULTS = '''
import os, signal
from pathlib import Path
import simplejpeg
from PIL import BmpImagePlugin, JpegImagePlugin

def die(words):
    """Take `words` as "die of SIGNAL" or "die of SIGNAL TIMES FILE", the file counting how often it was done."""
    if words[:7] != b"die of ":
        return
    name, *rest = words[7:].decode().split()
    if rest:
        file = Path(rest[1])
        done = len(file.read_bytes()) if file.exists() else 0
        if done == int(rest[0]):
            return
        file.write_bytes(bytes(done + 1))
    if name == "MEMORY":
        raise MemoryError
    if name == "EXIT":
        os._exit(7)
    os.kill(os.getpid(), getattr(signal, name))

def load(self):
    die(self.info.get("comment", b""))
    return loaded(self)

def _open(self):
    data = self.fp.read()
    self.fp.seek(0)
    die(data[data.rfind(b"die of ") :] if b"die of " in data else b"")
    return opened(self)

def decode_jpeg(data, *args, **kwargs):
    found = data.find(b"die of ")  # in a comment, whose length stands before it
    die(data[found : found - 2 + int.from_bytes(data[found - 2 : found], "big")] if found > 0 else b"")
    return decoded(data, *args, **kwargs)

loaded, JpegImagePlugin.JpegImageFile.load = JpegImagePlugin.JpegImageFile.load, load
opened, BmpImagePlugin.BmpImageFile._open = BmpImagePlugin.BmpImageFile._open, _open
decoded, simplejpeg.decode_jpeg = simplejpeg.decode_jpeg, decode_jpeg
'''
COUNT = 8


@pytest.fixture(autouse=True)
def _deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "faults"))


def deadly(folder: Path, name: str, words: str) -> None:
    (folder / f"{name}.jpg").write_bytes(picture(0, comment=words.encode()))
    (folder / f"{name}.txt").write_text(caption(0), encoding="utf-8")


def config(workers: int) -> Config:
    return Config(base=(128, 64), max_shard_samples=4, workers=workers, max_failure_ratio=0.5)  # type: ignore[arg-type]


def ledger(export: Path) -> dict[str, tuple[str, str | None]]:
    rows = pq.read_table(export / "ledger").to_pylist()
    return {row["image_id"]: (row["outcome"], row["detail"]) for row in rows}


def test_images_that_end_their_process_are_bad_samples(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)
    deadly(folder, "0000b", "die of SIGSEGV")
    deadly(folder, "0005b", "die of SIGABRT")
    deadly(folder, "0006b", "die of EXIT")
    events: list[Event] = []
    two = build([str(folder)], tmp_path / "two", config(2), on_event=events.append)
    told = ledger(tmp_path / "two")
    assert told["0000b.jpg"] == ("decode_errors", "the decoder died of SIGSEGV")
    assert told["0005b.jpg"] == ("decode_errors", "the decoder died of SIGABRT")
    assert told["0006b.jpg"] == ("decode_errors", "the decoder ended its process with exit code 7")
    assert two.summary["decode_errors"] == 3
    assert two.summary["images_exported"] == COUNT - 1  # one is too small
    assert two.summary["images_seen"] == COUNT + 3 == sum(two.summary[name] for name in OUTCOMES)
    assert any(isinstance(event, Notice) and "killed by SIGSEGV" in event.text for event in events)
    one = build([str(folder)], tmp_path / "one", config(1))
    assert one.content_sha256 == two.content_sha256
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize("times", [1, 3])
def test_what_kills_from_outside_makes_no_image_bad(tmp_path: Path, times: int) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)
    deadly(folder, "0000b", f"die of SIGKILL {times} {tmp_path / 'count'}")
    manifest = build([str(folder)], tmp_path / "out", config(2))
    assert len((tmp_path / "count").read_bytes()) == times
    assert manifest.summary["decode_errors"] == 0
    assert manifest.summary["images_exported"] == COUNT


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        ("die of SIGKILL", "the decoder died of SIGKILL, maybe for want of memory"),
        ("die of MEMORY", "the decoder ran out of memory"),
    ],
)
def test_what_needs_more_memory_than_there_is(tmp_path: Path, words: str, detail: str) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)
    deadly(folder, "0000b", words)
    build([str(folder)], tmp_path / "out", config(2))
    assert ledger(tmp_path / "out")["0000b.jpg"] == ("decode_errors", detail)


def test_sources_in_memory_are_as_safe(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)
    deadly(folder, "0000b", "die of SIGSEGV")
    remote = f"memory://{tmp_path.name}/photos"
    fsspec.filesystem("memory").put(str(folder) + "/", f"/{tmp_path.name}/photos/", recursive=True)
    here = build([str(folder)], tmp_path / "here", config(2))
    there = build([remote], tmp_path / "there", config(2))
    assert here.content_sha256 == there.content_sha256
    assert tree(tmp_path / "here") == tree(tmp_path / "there")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("words", "detail"),
    [
        (b"die of SIGSEGV", "the decoder died of SIGSEGV"),
        (b"die of SIGKILL", "the decoder died of SIGKILL, maybe for want of memory"),
    ],
)
def test_a_header_that_ends_the_scan(tmp_path: Path, workers: int, words: bytes, detail: str) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)
    (folder / "0003b.bmp").write_bytes(picture(0, "BMP") + words)
    rows = build_index([str(folder)], config(workers)).columns("image_id", "outcome", "detail", "width").to_pylist()
    assert [(row["image_id"], row["detail"]) for row in rows if row["outcome"]] == [("0003b.bmp", detail)]
    assert sum(row["width"] is not None for row in rows) == COUNT


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGTERM)
    return number


def double(number: int | None) -> int:
    if number is None:
        raise ValueError("no number")
    return 2 * number


def test_a_child_that_died_is_replaced() -> None:
    with Isolated() as child:
        assert child.call(double, 4) == 8
        with pytest.raises(Died, match="a child process was killed by SIGTERM"):
            child.call(die, 4)
        assert child.call(double, 5) == 10
        with pytest.raises(ValueError, match="no number"):
            child.call(double, None)


def test_a_decoder_that_does_not_end_in_time_makes_its_image_a_bad_sample() -> None:
    with Isolated(limit_s=2) as child:
        with pytest.raises(SampleError, match="decode_errors: the decoder did not end within 2 s"):
            carefully(child, Care.CHILD, time.sleep, 60.0)
        assert carefully(child, Care.CHILD, abs, -3) == 3
