"""Passthrough: seconds of writing shards and of whole builds against `cp` of the same bytes and webdataset's writer.

    python -m scripts.bench_write [PHOTOS] [--images 4000] [--base 256] [--repeats 5] [--json]

PHOTOS is a folder of JPEG photos (without it those of scikit-image, encoded anew); they are copied until there are
enough, and measured as files of their own and as members of tars. One process; the index is at hand; shards are hashed,
sources are not. All that ends in shards is flushed to disk, and `cp` is shown with and without that. `ranges` is the
least that a writer of shards has to do: read, write and hash, without caption, metadata or check. Runs of all kinds
take turns, so that a busy machine slows all alike; medians count. Re-encoding is measured by `bench_reencode`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import webdataset
from PIL import Image

import hfbucket
from hfbucket.config import Config
from hfbucket.core.plan.model import Plan
from hfbucket.core.settings import content_settings
from hfbucket.io.images.encode import encode_jpeg
from hfbucket.io.index_files import Index
from hfbucket.io.ustar import ShardWriter
from hfbucket.stages.captions import choice_for
from hfbucket.stages.index import build_index
from hfbucket.stages.plan import make_plan, read_protos
from hfbucket.stages.write.build import build
from hfbucket.stages.write.shard import write_shard
from hfbucket.stages.write.task import ShardTask
from hfbucket.stages.write.tasks import make_job, write_tasks
from hfbucket.stages.write.work import work_beside
from scripts.write_peers import Corpus, copy_file, copy_flushed, copy_folder, ranges_hashed, webdataset_shards

_OF_A_TAR: Final = 1000
_COPY: Final = "cp, one file, flushed"
_PEER: Final = "webdataset + sha256, flushed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a run took: seconds on the clock, and of processors, children included."""

    wall_s: float
    cpu_s: float


def make_photos(photos: Path | None, folder: Path, images: int, *, min_pixels: int = 0) -> None:
    """Fill a folder with JPEG photos of at least so many pixels, and a table of their captions."""
    if images < 1:
        raise SystemExit(f"--images must be 1 at least, got {images}")
    folder.mkdir()
    captions = [json.dumps({"file_name": f"{number:06d}.jpg", "text": f"photo {number}"}) for number in range(images)]
    (folder / "metadata.jsonl").write_text("\n".join(captions))
    originals = sorted(photos.rglob("*.[jJ][pP]*[gG]")) if photos else []
    encoded = (path.read_bytes() for path in originals) if photos else iter(scikit_photos())
    large = list(islice((data for data in encoded if pixels_of(data) >= min_pixels), images))
    if not large:
        raise SystemExit(f"{photos or 'scikit-image'}: no JPEG photo there has {min_pixels} pixels")
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


def make_tars(photos: Path, folder: Path) -> None:
    """Put the photos of `make_photos` into tars with a caption each, a thousand samples in one."""
    folder.mkdir()
    paths = sorted(photos.glob("*.jpg"))
    for start in range(0, len(paths), _OF_A_TAR):
        with ShardWriter(folder / f"{start // _OF_A_TAR:05d}.tar") as tar:
            for number, path in enumerate(paths[start : start + _OF_A_TAR], start=start):
                tar.add(path.name, path.read_bytes())
                tar.add(f"{path.stem}.txt", f"photo {number}".encode())
            tar.finish()


def corpus_of(folder: Path, index: Index, plan: Plan) -> Corpus:
    """Return the photos that the plan exports, after putting them all into one file beside the folder."""
    rows = np.concatenate([members for _, _, members in plan.shard_rows()])
    taken = index.take(rows, ("archive", "member", "offset", "size_bytes")).to_pylist()
    ranges = tuple((folder / (row["archive"] or row["member"]), row["offset"], row["size_bytes"]) for row in taken)
    are_files = all(row["archive"] is None for row in taken)
    corpus = Corpus(folder=folder, ranges=ranges, whole=folder.with_suffix(".whole"), are_files=are_files)
    with corpus.whole.open("wb") as whole:
        for path, offset, size in ranges:
            with path.open("rb") as file:
                file.seek(offset)
                whole.write(file.read(size))
    return corpus


def shard_tasks(index: Index, plan: Plan, config: Config, export: Path) -> list[ShardTask]:
    """Return the tasks of a build into `export`, ready to be written any number of times."""
    work = work_beside(export)
    work.folder.mkdir(parents=True)
    job = make_job(index, config, choice_for(index, config), export, work)
    return write_tasks(index, plan, job, content_settings(config, read_protos(config)))


def write_all(tasks: list[ShardTask], target: Path) -> None:
    """Write every shard, in this process, into an export that is not there yet; receipts where the tasks say."""
    for task in tasks:
        job = replace(task.job, export=target)
        if (failure := write_shard(replace(task, job=job))) is not None:
            raise SystemExit(f"{failure.task}: {failure.reason}")


def whole_build(folder: Path, config: Config, export: Path) -> None:
    """Build: plan, shards, tables, card, manifest; the index is cached."""
    build([str(folder)], export, config)


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


def runs_of(folder: Path, config: Config) -> tuple[Corpus, dict[str, Callable[[Path], None]]]:
    """Return the photos of a folder, of files or of tars, and all that is to be run on them."""
    index, plan = planned(folder, config)
    corpus = corpus_of(folder, index, plan)
    tasks = shard_tasks(index, plan, config, folder.with_suffix(".export"))
    return corpus, {
        "cp -r": partial(copy_folder, corpus),
        "cp, one file": partial(copy_file, corpus),
        _COPY: partial(copy_flushed, corpus),
        "ranges + sha256, flushed": partial(ranges_hashed, corpus),
        _PEER: partial(webdataset_shards, corpus),
        "hfbucket, shards": partial(write_all, tasks),
        "hfbucket, whole build": partial(whole_build, folder, config),
    }


def measure(photos: Path | None, images: int, bases: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Return images, bytes and what every kind of run took, from files and from tars."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-write-") as temporary:
        root = Path(temporary)
        os.environ["HFBUCKET_CACHE"] = str(root / "cache")
        config = Config(base=bases, image_mode="passthrough_jpeg", workers=0, source_hash=False)
        make_photos(photos, root / "files", images)
        for name in ("files", "tars"):
            if name == "tars":
                make_tars(root / "files", root / "tars")
            corpus, runs = runs_of(root / name, config)
            spent = interleaved(runs, root, repeats)
            found[name] = {"images": len(corpus.ranges), "bytes": corpus.size_bytes, "runs": spent}
    versions = {
        "python": platform.python_version(),
        "webdataset": webdataset.__version__,
        "hfbucket": hfbucket.__version__,
    }
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"repeats": repeats, "peak_mib": peak_mib, "versions": versions, "sources": found}


def show(result: Mapping[str, Any]) -> None:
    """Print a result as tables: time relative to `cp` of one file with a flush, and speed relative to webdataset."""
    print(f"medians of {result['repeats']} runs in turns; one process, peak {result['peak_mib']:.0f} MiB")
    print(", ".join(f"{name} {version}" for name, version in result["versions"].items()))
    for source, found in result["sources"].items():
        images, size_bytes = found["images"], found["bytes"]
        print(f"\nfrom {source}: {images} photos, {size_bytes / 1e6:.1f} MB")
        print(f"{'':28}{'us/image':>10}{'MB/s':>8}{'x cp':>8}{'x wds':>8}{'CPU: us':>12}{'x cp':>8}{'x wds':>8}")
        runs: Mapping[str, Spent] = found["runs"]
        copy, peer = runs[_COPY], runs[_PEER]
        for name, spent in runs.items():
            rate = f"{spent.wall_s / images * 1e6:10.0f}{size_bytes / 1e6 / spent.wall_s:8.0f}"
            clock = f"{spent.wall_s / copy.wall_s:8.2f}{peer.wall_s / spent.wall_s:8.2f}"
            cpu = f"{spent.cpu_s / images * 1e6:12.0f}{spent.cpu_s / copy.cpu_s:8.2f}{peer.cpu_s / spent.cpu_s:8.2f}"
            print(f"{name:28}{rate}{clock}{cpu}")


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
