"""Passthrough: seconds of writing shards and of whole builds against `cp` of the same bytes and webdataset's writer.

    python -m scripts.bench_write [PHOTOS] [--images 4000] [--base 256] [--repeats 5] [--json]

PHOTOS is a folder of JPEG photos (without it those of scikit-image, encoded anew); they are copied until there are
enough. One process; the index is at hand; shards are hashed, sources are not. Runs of all kinds take turns, so that a
busy machine slows all alike; medians count. Re-encoding is measured by `bench_reencode`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import webdataset
from PIL import Image

import hfbucket
from hfbucket.config import Config
from hfbucket.core.plan.model import Plan
from hfbucket.core.settings import content_settings
from hfbucket.io.images.encode import encode_jpeg
from hfbucket.io.index_files import Index
from hfbucket.stages.captions import choice_for
from hfbucket.stages.index import build_index
from hfbucket.stages.plan import make_plan, read_protos
from hfbucket.stages.write.build import build
from hfbucket.stages.write.shard import write_shard
from hfbucket.stages.write.task import ShardTask
from hfbucket.stages.write.tasks import make_job, write_tasks
from hfbucket.stages.write.work import work_beside


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """The photos that are written: their folder, and their paths in the order of the shards."""

    folder: Path
    paths: tuple[Path, ...]
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a run took: seconds on the clock, and of processors, children included."""

    wall_s: float
    cpu_s: float


def make_photos(photos: Path | None, folder: Path, images: int, *, min_pixels: int = 0) -> None:
    """Fill a folder with JPEG photos of at least so many pixels, and a table of their captions."""
    folder.mkdir()
    captions = [json.dumps({"file_name": f"{number:06d}.jpg", "text": f"photo {number}"}) for number in range(images)]
    (folder / "metadata.jsonl").write_text("\n".join(captions))
    originals = sorted(photos.rglob("*.[jJ][pP]*[gG]")) if photos else []
    encoded = (path.read_bytes() for path in originals) if originals else iter(scikit_photos())
    large = list(islice((data for data in encoded if pixels_of(data) >= min_pixels), images))
    if not large:
        raise SystemExit(f"no photo of {photos} has {min_pixels} pixels")
    for number in range(images):
        (folder / f"{number:06d}.jpg").write_bytes(large[number % len(large)])


def pixels_of(data: bytes) -> int:
    """Return width times height of an image, by its header."""
    with Image.open(io.BytesIO(data)) as image:
        return image.width * image.height


def scikit_photos() -> list[bytes]:
    """Return the larger photos of scikit-image's wheel as JPEG."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "retina.jpg")
    images = (Image.open(folder / name).convert("RGB") for name in names)
    return [encode_jpeg(image, quality=92, subsampling="4:2:0") for image in images]


def planned(folder: Path, config: Config) -> tuple[Index, Plan]:
    """Return index and plan of the photos."""
    index = build_index([str(folder)], config)
    return index, make_plan(index, config)


def corpus_of(folder: Path, index: Index, plan: Plan) -> Corpus:
    """Return the photos that the plan exports."""
    rows = np.concatenate([members for _, _, members in plan.shard_rows()])
    paths = tuple(folder / member for member in index.take(rows, ("member",))["member"].to_pylist())
    return Corpus(folder=folder, paths=paths, size_bytes=sum(path.stat().st_size for path in paths))


def shard_tasks(index: Index, plan: Plan, config: Config, export: Path) -> list[ShardTask]:
    """Return the tasks of a build into `export`, ready to be written any number of times."""
    work = work_beside(export)
    work.folder.mkdir(parents=True)
    job = make_job(index, config, choice_for(index, config), export, work)
    return write_tasks(index, plan, job, content_settings(config, read_protos(config)))


def write_all(tasks: list[ShardTask], _: Path) -> None:
    """Write every shard, in this process, where its task says."""
    for task in tasks:
        if (failure := write_shard(task)) is not None:
            raise SystemExit(f"{failure.task}: {failure.reason}")


def whole_build(folder: Path, config: Config, export: Path) -> None:
    """Build: plan, shards, tables, card, manifest; the index is cached."""
    build([str(folder)], export, config)


def copy_files(corpus: Corpus, target: Path) -> None:
    """Copy the photos with `cp`."""
    subprocess.run(["cp", "-r", str(corpus.folder), str(target)], check=True)


def copy_bytes(corpus: Corpus, target: Path) -> None:
    """Write the photos one after the other into one file and flush it to disk, as a shard is."""
    with target.open("wb") as file:
        for path in corpus.paths:
            file.write(path.read_bytes())
        file.flush()
        os.fsync(file.fileno())


class Hashed:
    """A file that is hashed while it is written, as webdataset's writer wants it."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("wb")  # noqa: SIM115 - closed by the writer
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write and hash."""
        self._hash.update(data)
        return self._file.write(data)

    def close(self) -> None:
        """Flush to disk, as `cp` does not and a shard is."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def webdataset_shards(corpus: Corpus, target: Path) -> None:
    """Write the photos with a caption and metadata each by webdataset's ShardWriter, into one shard."""
    with (
        closing(Hashed(f"{target}.tar")) as file,  # the writer leaves to its caller what its opener opened
        webdataset.ShardWriter("%d", verbose=0, opener=lambda _: file) as writer,
    ):
        for number, path in enumerate(corpus.paths):
            name = path.name
            sample = {"__key__": f"{number:06d}", "jpg": path.read_bytes(), "txt": f"photo {number}"}
            writer.write({**sample, "json": {"file_name": name, "key": sample["__key__"], "caption": sample["txt"]}})


def cpu_seconds() -> float:
    """Return what this process and its finished children took of processors so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def interleaved(runs: Mapping[str, Callable[[Path], None]], root: Path, repeats: int) -> dict[str, Spent]:
    """Return the medians of each run, given a new path each time, after one round that only warms caches."""
    spent: dict[str, list[Spent]] = {name: [] for name in runs}
    for number in range(repeats + 1):
        for name, run in runs.items():
            fresh = root / "fresh"
            fresh.mkdir()
            wall, cpu = time.perf_counter(), cpu_seconds()
            run(fresh / "export")
            took = Spent(wall_s=time.perf_counter() - wall, cpu_s=cpu_seconds() - cpu)
            shutil.rmtree(fresh)
            if number:
                spent[name].append(took)
    return {
        name: Spent(wall_s=statistics.median(s.wall_s for s in all_), cpu_s=statistics.median(s.cpu_s for s in all_))
        for name, all_ in spent.items()
    }


def measure(photos: Path | None, images: int, bases: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Return images, bytes and what every kind of run took."""
    with tempfile.TemporaryDirectory(prefix="bench-write-") as temporary:
        root = Path(temporary)
        os.environ["HFBUCKET_CACHE"] = str(root / "cache")
        folder = root / "photos"
        make_photos(photos, folder, images)
        config = Config(base=bases, image_mode="passthrough_jpeg", workers=0, source_hash=False)
        index, plan = planned(folder, config)
        corpus = corpus_of(folder, index, plan)
        tasks = shard_tasks(index, plan, config, root / "export")
        runs: dict[str, Callable[[Path], None]] = {
            "cp -r": partial(copy_files, corpus),
            "one file, flushed": partial(copy_bytes, corpus),
            "webdataset + sha256": partial(webdataset_shards, corpus),
            "hfbucket, shards": partial(write_all, tasks),
            "hfbucket, whole build": partial(whole_build, folder, config),
        }
        spent = interleaved(runs, root, repeats)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {
        "python": platform.python_version(),
        "webdataset": webdataset.__version__,
        "hfbucket": hfbucket.__version__,
    }
    return {
        "images": len(corpus.paths), "bytes": corpus.size_bytes, "repeats": repeats, "peak_mib": peak_mib,
        "versions": found, "runs": spent,
    }  # fmt: skip


def show(result: Mapping[str, Any]) -> None:
    """Print a result as a table; `x cp` is seconds relative to `cp -r`, `x wds` speed relative to webdataset."""
    images, size_bytes = result["images"], result["bytes"]
    print(f"{images} photos, {size_bytes / 1e6:.1f} MB; medians of {result['repeats']} runs in turns; one process, "
          f"peak {result['peak_mib']:.0f} MiB")  # fmt: skip
    print(", ".join(f"{name} {version}" for name, version in result["versions"].items()))
    print(f"\n{'':24}{'images/s':>10}{'MB/s':>9}{'x cp':>8}{'x wds':>8}{'CPU: x cp':>12}{'x wds':>8}")
    runs: Mapping[str, Spent] = result["runs"]
    copy, peer = runs["cp -r"], runs["webdataset + sha256"]
    for name, spent in runs.items():
        rate = f"{images / spent.wall_s:10.0f}{size_bytes / 1e6 / spent.wall_s:9.1f}"
        clock = f"{spent.wall_s / copy.wall_s:8.2f}{peer.wall_s / spent.wall_s:8.2f}"
        print(f"{name:24}{rate}{clock}{spent.cpu_s / copy.cpu_s:12.2f}{peer.cpu_s / spent.cpu_s:8.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--base", type=int, action="append")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.photos, options.images, tuple(options.base or [256]), options.repeats)
    if options.json:
        print(json.dumps(result, indent=1, default=asdict))
    else:
        show(result)


if __name__ == "__main__":
    main()
