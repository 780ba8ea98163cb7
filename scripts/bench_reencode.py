"""Re-encoding: images/s of hfbucket, of a first script with Pillow, and of decoding and encoding alone, the limit.

    python -m scripts.bench_reencode [PHOTOS] [--base 256] [--min-pixels 0] [--images 1800] [--repeats 5] [--json]

PHOTOS is a folder of JPEG photos (without it those of scikit-image), copied until there are enough. Every pipeline has
a process of its own and all take turns, a shard each, so that a busy machine slows all alike. Seconds are of processor
time; medians over the repeats count. Then every image in the shards is compared with what Pillow alone makes of its
source. What several workers gain is measured by `bench_workers`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import zip_longest
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageOps

from hfbucket.config import Config
from hfbucket.core.law.geometry import Geometry, digest_words
from hfbucket.core.plan.layout import geometry_of
from hfbucket.core.plan.model import Plan
from hfbucket.executors.process import ENVIRONMENT
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.encode import encode_jpeg, jpeg_subsampling, versions
from hfbucket.io.images.jpeg import read_plain
from hfbucket.io.images.jpeg_codec import codec, decode
from hfbucket.io.images.resize import kernel
from hfbucket.io.index_files import Index
from hfbucket.io.ustar import read_members
from hfbucket.stages.write.shard import write_shard
from hfbucket.stages.write.task import ShardTask
from scripts.bench_write import cpu_seconds, make_photos, planned, shard_tasks

QUALITY: Final = 95
MAX_PIXELS: Final = 1 << 30
SHARD_SAMPLES: Final = 500
"""Few enough for turns to be short, enough that what a shard costs beside its images is spread, as in real builds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """One photo with what the plan makes of it; sizes in pixels."""

    path: Path
    resized: tuple[int, int]
    box: tuple[int, int, int, int]
    subsampling: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """The photos of one shard, as a task and one by one; `target` is where a script may write."""

    task: ShardTask
    fits: tuple[Fit, ...]
    target: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a pipeline took for one slice or many; `peak_mib` is its process's so far."""

    cpu_s: float
    wall_s: float
    peak_mib: float


def naive(part: Slice) -> None:
    """Do what a first script would: Pillow for all of it, tarfile for the shard."""
    with tarfile.open(part.target, "w") as tar:
        for fit in part.fits:
            with Image.open(fit.path) as opened:
                image = ImageOps.exif_transpose(opened).convert("RGB")
            buffer = io.BytesIO()
            fitted = image.resize(fit.resized, Image.Resampling.BICUBIC).crop(fit.box)
            fitted.save(buffer, "JPEG", quality=QUALITY, subsampling=fit.subsampling)
            member = tarfile.TarInfo(fit.path.name)
            member.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(member, buffer)


def decode_encode(part: Slice) -> None:
    """Decode every photo and encode as many pixels as its bucket has; no resize, no shard."""
    for fit in part.fits:
        left, top, right, bottom = fit.box
        with Image.open(fit.path) as image:
            pixels = image.crop((0, 0, right - left, bottom - top)).convert("RGB")
        pixels.save(io.BytesIO(), "JPEG", quality=QUALITY, subsampling=fit.subsampling)


def decode_encode_fast(part: Slice) -> None:
    """The same with the codec that hfbucket decodes plain JPEGs by, straight from the bytes."""
    for fit in part.fits:
        left, top, right, bottom = fit.box
        data = fit.path.read_bytes()
        plain = read_plain(data)
        image = decode(data, (plain.header.width, plain.header.height)) if plain else None
        pixels = (image or decode_rgb(data, max_pixels=MAX_PIXELS).image).crop((0, 0, right - left, bottom - top))
        pixels.save(io.BytesIO(), "JPEG", quality=QUALITY, subsampling=fit.subsampling)


def ours(part: Slice) -> None:
    """Write the shard as a worker of a build does."""
    if (failure := write_shard(part.task)) is not None:
        raise SystemExit(f"{failure.task}: {failure.reason}")


PIPELINES: Final[Mapping[str, tuple[Callable[[Slice], None], Mapping[str, str]]]] = {
    "naive Pillow + tarfile": (naive, {}),
    "the same, memory kept": (naive, ENVIRONMENT),
    "hfbucket": (ours, ENVIRONMENT),
    "hfbucket, Pillow for all": (ours, {**ENVIRONMENT, "HFBUCKET_KERNEL": "pillow"}),
    "decode + encode alone": (decode_encode, ENVIRONMENT),
    "the same, fast codec": (decode_encode_fast, ENVIRONMENT),
}
"""What is measured, and what the environment of its process says: workers keep memory, which any program could."""


def timed(name: str, part: Slice) -> Spent:
    """Run one pipeline over one slice, in this process."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    PIPELINES[name][0](part)
    took = time.perf_counter() - wall, cpu_seconds() - cpu
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Spent(wall_s=took[0], cpu_s=took[1], peak_mib=peak_kib / 1024)


@contextmanager
def child(environment: Mapping[str, str]) -> Iterator[Pool]:
    """Yield one process that is started with more in its environment."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        pool = get_context("spawn").Pool(1)
        pool.apply(os.getpid)  # it runs, so it has read its environment
    finally:
        os.environ.clear()
        os.environ.update(before)
    with pool:
        yield pool


def fits_of(folder: Path, index: Index, plan: Plan, config: Config) -> list[list[Fit]]:
    """Return the photos of every shard, in the order of the tasks."""
    fits: list[list[Fit]] = []
    for number, _, rows in plan.shard_rows():
        bucket = plan.buckets[number]
        taken = index.take(rows, ("member", "width", "height", "digest"))
        columns = geometry_of(plan, rows, digest_words(taken["digest"].combine_chunks()), config)
        fits.append([])
        for at, source in enumerate(taken.to_pylist()):
            to = Geometry(w=bucket.w, h=bucket.h, **{name: int(values[at]) for name, values in columns.items()})
            subsampling = jpeg_subsampling(config, to, source["width"], source["height"])
            box = (to.crop_left, to.crop_top, to.crop_left + to.w, to.crop_top + to.h)
            resized = (to.resized_w, to.resized_h)
            fits[-1].append(Fit(path=folder / source["member"], resized=resized, box=box, subsampling=subsampling))
    return fits


def slices_of(folder: Path, config: Config, root: Path) -> list[Slice]:
    """Return all that a build of the folder would write."""
    index, plan = planned(folder, config)
    tasks = shard_tasks(index, plan, config, root / "export")
    fits = fits_of(folder, index, plan, config)
    paired = zip(tasks, fits, strict=True)
    return [Slice(task=task, fits=tuple(each), target=root / "naive.tar") for task, each in paired]


def in_turns(slices: Sequence[Slice], repeats: int) -> dict[str, list[Spent]]:
    """Return what each pipeline took for all slices, once for every repeat; a first round only warms up."""
    spent: dict[str, list[Spent]] = {name: [] for name in PIPELINES}
    with ExitStack() as stack:
        pools = {name: stack.enter_context(child(environment)) for name, (_, environment) in PIPELINES.items()}
        for number in range(repeats + 1):
            rounds: dict[str, list[Spent]] = {name: [] for name in PIPELINES}
            for part in slices if number else slices[:1]:
                for name, pool in pools.items():
                    rounds[name].append(pool.apply(timed, (name, part)))
            for name, all_ in rounds.items():
                if number:
                    spent[name].append(
                        Spent(
                            cpu_s=sum(each.cpu_s for each in all_),
                            wall_s=sum(each.wall_s for each in all_),
                            peak_mib=max(each.peak_mib for each in all_),
                        )
                    )
    return spent


def unequal(part: Slice) -> int:
    """Return how many images of a written shard differ from what Pillow makes of their sources."""
    shard = (part.task.job.export / part.task.file).read_bytes()
    seen = [shard[at : at + size] for name, at, size in read_members(shard) if name.endswith(".jpg")]
    wrong = 0
    for data, fit in zip_longest(seen, part.fits):
        image = decode_rgb(fit.path.read_bytes(), max_pixels=MAX_PIXELS).image
        fitted = image.resize(fit.resized, Image.Resampling.BICUBIC).crop(fit.box)
        wrong += data != encode_jpeg(fitted, quality=QUALITY, subsampling=fit.subsampling)
    return wrong


def measure(photos: Path | None, *, base: int, min_pixels: int, images: int, repeats: int) -> dict[str, Any]:
    """Return what was measured, and on what."""
    config = Config(base=(base,), workers=0, source_hash=False, max_shard_samples=SHARD_SAMPLES, quality=QUALITY)
    with tempfile.TemporaryDirectory(prefix="bench-reencode-") as temporary:
        root = Path(temporary)
        os.environ["HFBUCKET_CACHE"] = str(root / "cache")
        make_photos(photos, root / "photos", images, min_pixels=min_pixels)
        slices = slices_of(root / "photos", config, root)
        spent = in_turns(slices, repeats)
        wrong = sum(map(unequal, slices))
    fits = [fit for part in slices for fit in part.fits]
    chosen = kernel()
    return {
        "images": len(fits), "base": base, "min_pixels": min_pixels, "repeats": repeats, "unequal": wrong,
        "kernel": chosen.name if chosen else "pillow", "decoder": codec(),
        "versions": {"python": platform.python_version(), **versions()},
        "pipelines": {name: [asdict(each) for each in all_] for name, all_ in spent.items()},
    }  # fmt: skip


def show(result: Mapping[str, Any]) -> None:
    """Print a result as a table; `x naive` and `x limit` are medians of the repeats' ratios of processor time."""
    print(f"base {result['base']}, {result['images']} photos, {result['repeats']} repeats; kernel {result['kernel']}, "
          f"decoder {result['decoder']}; "
          + ", ".join(f"{name} {version}" for name, version in result["versions"].items()))  # fmt: skip
    print(f"{'':28}{'images/s':>10}{'x naive':>9}{'x limit':>9}{'peak MiB':>10}")
    runs = {name: [each["cpu_s"] for each in all_] for name, all_ in result["pipelines"].items()}
    for name, taken in runs.items():
        ratios = [
            statistics.median(other / own for other, own in zip(runs[against], taken, strict=True))
            for against in ("naive Pillow + tarfile", "decode + encode alone")
        ]
        rate = result["images"] / statistics.median(taken)
        peak = max(each["peak_mib"] for each in result["pipelines"][name])
        print(f"{name:28}{rate:10.0f}{ratios[0]:9.2f}{ratios[1]:9.2f}{peak:10.0f}")
    print(f"images that differ from what Pillow alone makes: {result['unequal']}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--base", type=int, default=256)
    parser.add_argument("--min-pixels", type=int, default=0)
    parser.add_argument("--images", type=int, default=1800)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    result = measure(o.photos, base=o.base, min_pixels=o.min_pixels, images=o.images, repeats=o.repeats)
    print(json.dumps(result, indent=1)) if o.json else show(result)


if __name__ == "__main__":
    main()
