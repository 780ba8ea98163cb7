"""Every row of the README's table of ways to load from the Hub, against a Hub on the loopback, at a commit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hfbucket.config import ImageMode
from tests.factories import make_export
from tests.hub.client import run_python
from tests.hub.loopback import LoopbackHub

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PART = README.partition("### From the Hub\n")[2].partition("\n## ")[0]
(CODE,) = re.findall(r"^```py\n(.*?)^```$", PART, flags=re.MULTILINE | re.DOTALL)
WAYS = re.findall(r"^\| (.*?) \| .*? \| `([^|]+)` \|$", PART, flags=re.MULTILINE)

CHECK = """
import sys
here, mode, *ways = sys.argv[1:]

def told(row):
    image, text = row.get("image", row.get("jpg")), row.get("caption", row.get("txt"))
    return row.get("key", row.get("__key__")), image.tobytes(), text.removesuffix("\\n")

def local(**options):
    return [told(row) for row in hfbucket.load_dataset(here, "r64", streaming=True, **options)]

whole, fitted = local(crop=False), local()
assert (whole == fitted) == (mode == "reencode_jpeg") and len(whole) == 12
streamed = {}
for way in ways:  # first all streams: what is loaded otherwise stays in the client's cache
    streamed[way] = [told(row) for row in eval(way)]
    assert streamed[way] == (fitted if "hfbucket" in way or "bucketed_shards" in way else whole), way
    print(way)
for way in ways:
    if "streaming=True" in way:
        cached = eval(way.replace("streaming=True", "streaming=False"))
        assert isinstance(cached, datasets.Dataset) and [told(row) for row in cached] == streamed[way], way
"""


def test_the_table_has_all_ways() -> None:
    assert [way.replace("`", "") for way, _ in WAYS] == [
        "stock datasets", "stock webdataset", "hfbucket", "datasets, by our builder's name",
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_every_way_gives_the_same_captions_and_pixels(hub: LoopbackHub, tmp_path: Path, mode: ImageMode) -> None:
    make_export(tmp_path / "export", bases=(128, 64), image_mode=mode)
    hub.create("me/name", private=True)
    commit = hub.commit_folder("me/name", tmp_path / "export").oid
    shards = sorted(path.relative_to(tmp_path / "export").as_posix() for path in tmp_path.glob("export/buckets/*/*"))
    hub.commit("me/name", dict.fromkeys(shards, b"of a later commit"))
    ways = [way.replace("r512", "r64") for _, way in WAYS]
    code = CODE.replace("r512_", "r64_").replace(
        'dataset_info("me/name")', f'dataset_info("me/name", revision="{commit}")'
    )
    done = run_python(hub, code + CHECK, tmp_path / "home", str(tmp_path / "export"), mode, *ways)
    assert done.stdout.splitlines() == ways
    read = [request.path for request in hub.log.requests if request.path.endswith(".tar") and request.method == "GET"]
    assert len(read) == 4 * (len(ways) + 1)  # by every stream, and once for the cache
    assert all(f"/resolve/{commit}/" in path for path in read)
