"""Scanning tars: samples/s of hfbucket, of webdataset and tarfile with Pillow, and of reading alone, the limit.

    python -m scripts.bench_scan [PHOTOS] [--images 4000] [--repeats 7] [--json]

PHOTOS is a folder of JPEG photos (without it those of scikit-image), copied into tars of a thousand, a caption beside
each. Every way has a process of its own and all take turns, a round each, so that a busy machine slows all alike.
The page cache is warm; medians over the repeats count. Rates are of processor time, and beside them on the clock, where
a second thread tells: a plan gives one to a task that leaves cores idle. The SHA-256 of every image is what `--dedupe
sha256` takes. That all ways see the same sizes is checked.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import resource
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from hfbucket.config import Config
from hfbucket.core.units import Unit
from hfbucket.io import tarwalk
from hfbucket.io.index_files import write_unit
from hfbucket.sources import tars
from hfbucket.sources.detect import resolve
from hfbucket.stages.fingerprints import PrintTask, print_unit
from scripts.bench_write import make_photos

Sizes = Iterable[tuple[int, int]]
_TAR_SAMPLES: Final = 1000
_CONFIG: Final = Config(dedupe="sha256")
_PACKAGES: Final = ("hfbucket", "webdataset", "pillow", "pyarrow", "numpy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What one way took for all tars; the peak is that of its process so far."""

    samples: int
    wall_s: float
    cpu_s: float
    peak_mib: float


def make_tars(photos: Path | None, folder: Path, images: int) -> None:
    """Fill a folder with tars of photos and captions, as webdataset's own writer lays them out."""
    make_photos(photos, folder / "photos", images)
    for start in range(0, images, _TAR_SAMPLES):
        with tarfile.open(folder / f"{start // _TAR_SAMPLES:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(start, min(start + _TAR_SAMPLES, images)):
                data = (folder / "photos" / f"{number:06d}.jpg").read_bytes()
                for name, content in ((f"{number:06d}.jpg", data), (f"{number:06d}.txt", b"a photo")):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def by_webdataset(folder: Path, *, sha256: bool = False) -> Sizes:
    """Read by webdataset, look by Pillow."""
    import webdataset

    found = []
    for sample in webdataset.WebDataset(sorted(map(str, folder.glob("*.tar"))), shardshuffle=False):
        found.append(_upright(sample["jpg"]))
        if sha256:
            hashlib.sha256(sample["jpg"]).digest()
    return found


def by_tarfile(folder: Path) -> Sizes:
    """Read by the standard library as a stream, look by Pillow."""
    found = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path, "r|") as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None and member.name.endswith(".jpg"):
                    found.append(_upright(file.read()))
    return found


def _upright(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return (image.height, image.width) if turned else (image.width, image.height)


def by_hfbucket(folder: Path, *, compiled: bool = True, sha256: bool = False, threads: int = 1) -> Sizes:
    """Scan as the index does; with hashes, write the rows and take every image's, as `--dedupe sha256` does."""
    vars(tarwalk)["_walk"] = vars(tarwalk)["_walk"] if compiled else None
    found = []
    for unit in _units(folder):
        rows, facts = tars.scan_unit(unit, _CONFIG)
        found.append(rows.read())
        if sha256:
            with tempfile.TemporaryDirectory() as work:
                index, prints = Path(work, "index.parquet"), Path(work, "prints.parquet")
                write_unit(index, unit, rows, facts)
                task = PrintTask(
                    unit=unit, config=_CONFIG, index_file=index, rows=np.arange(rows.num_rows), file=prints,
                    threads=threads,
                )  # fmt: skip
                if (failure := print_unit(task)) is not None:
                    raise SystemExit(failure.reason)
    return (tuple(row.values()) for table in found for row in table.select(["width", "height"]).to_pylist())


def _units(folder: Path) -> Sequence[Unit]:
    return tars.list_units(resolve(f"{folder}/*.tar", _CONFIG), 0, _CONFIG).units


def by_reading(folder: Path, *, size_bytes: int = 1024, sha256: bool = False) -> Sizes:
    """Read the first bytes of each image at places that are known, or all and hash them: nothing can take less."""
    found = []
    for path in folder.glob("*.tar"):
        places = np.load(path.with_suffix(".npy"))
        file = os.open(path, os.O_RDONLY)
        for offset, size, width, height in places.tolist():
            data = os.pread(file, size if sha256 else size_bytes, offset)
            if sha256:
                hashlib.sha256(data).digest()
            found.append((width, height))
        os.close(file)
    return found


HEADERS, SHA256 = "headers only", "with sha256"
WAYS: Final[Mapping[str, Mapping[str, tuple[Callable[..., Sizes], Mapping[str, int]]]]] = {
    HEADERS: {
        "webdataset + Pillow": (by_webdataset, {}),
        "tarfile + Pillow": (by_tarfile, {}),
        "hfbucket": (by_hfbucket, {}),
        "hfbucket, not compiled": (by_hfbucket, {"compiled": False}),
        "one read an image, at known places": (by_reading, {}),
    },
    SHA256: {
        "webdataset + Pillow + sha256": (by_webdataset, {"sha256": True}),
        "hfbucket --dedupe sha256": (by_hfbucket, {"sha256": True}),
        "the same with two threads": (by_hfbucket, {"sha256": True, "threads": 2}),
        "reading and hashing alone": (by_reading, {"sha256": True}),
    },
}
"""What is measured; the first of each job is what the others are held against, the last is the limit."""


def timed(job: str, way: str, folder: Path) -> tuple[Spent, bytes]:
    """Run one way over all tars, in this process; return what it took and a hash of the sizes it saw, in any order."""
    function, options = WAYS[job][way]
    wall, cpu = time.perf_counter(), time.process_time()
    found = function(folder, **options)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = _peak_mib()
    sizes = list(found)
    seen = hashlib.sha256(repr(sorted(sizes)).encode()).digest()
    return Spent(samples=len(sizes), wall_s=wall, cpu_s=cpu, peak_mib=peak), seen


def _peak_mib() -> float:
    """Return the most memory this process had; the kernel's other number is inherited from who started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_turns(folder: Path, repeats: int) -> Iterator[tuple[str, str, Spent]]:
    """Yield what each way took, once for every repeat; two first rounds only warm up."""
    expected = None
    with ExitStack() as stack:
        context = get_context("spawn")
        pools = {(job, way): stack.enter_context(context.Pool(1)) for job, ways in WAYS.items() for way in ways}
        for number in range(-2, repeats):
            for (job, way), pool in pools.items():
                spent, seen = pool.apply(timed, (job, way, folder))
                expected = expected or seen
                if seen != expected:
                    raise SystemExit(f"{way} sees other sizes than the others")
                if number >= 0:
                    yield job, way, spent


def note_places(folder: Path) -> None:
    """Write where the images of each tar lie, for what only reads them."""
    for unit in _units(folder):
        table = tars.scan_unit(unit, _CONFIG)[0].read()
        columns = [table[name].to_numpy() for name in ("offset", "size_bytes", "width", "height")]
        np.save(Path(unit.url).with_suffix(".npy"), np.stack(columns, axis=1))


def measure(photos: Path | None, *, images: int, repeats: int) -> dict[str, Any]:
    """Return what was measured, and on what."""
    with tempfile.TemporaryDirectory(prefix="bench-scan-") as temporary:
        folder = Path(temporary)
        make_tars(photos, folder, images)
        note_places(folder)
        size_bytes = sum(path.stat().st_size for path in folder.glob("*.tar"))
        jobs: dict[str, dict[str, list[Any]]] = {job: {way: [] for way in ways} for job, ways in WAYS.items()}
        for job, way, spent in in_turns(folder, repeats):
            jobs[job][way].append(asdict(spent))
    return {
        "images": images, "bytes": size_bytes, "repeats": repeats, "compiled": vars(tarwalk)["_walk"] is not None,
        "versions": {"python": platform.python_version(), **{name: _installed(name) for name in _PACKAGES}},
        "jobs": jobs,
    }  # fmt: skip


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from its sources"


def show(result: Mapping[str, Any]) -> None:
    """Print a result as a table; `x peer` and `x limit` are medians of the repeats' ratios, of processor time first."""
    print(f"{result['images']} photos in tars of {result['bytes'] / 1e6:.0f} MB, {result['repeats']} repeats; "
          f"{'' if result['compiled'] else 'not '}compiled; "
          + ", ".join(f"{name} {number}" for name, number in result["versions"].items()))  # fmt: skip
    for job, ways in result["jobs"].items():
        print(f"{job:36}{'samples/s':>10}{'x peer':>8}{'x limit':>9}{'on the clock':>14}{'x peer':>8}{'peak MiB':>10}")
        cpu, clock = (_column(ways, name) for name in ("cpu_s", "wall_s"))
        peer, *_, limit = ways
        for way in ways:
            rates = [result["images"] / statistics.median(seconds[way]) for seconds in (cpu, clock)]
            ratios = [_ratio(cpu[peer], cpu[way]), _ratio(cpu[limit], cpu[way]), _ratio(clock[peer], clock[way])]
            peak = max(_column(ways, "peak_mib")[way])
            text = f"  {way:34}{rates[0]:10.0f}{ratios[0]:8.2f}{ratios[1]:9.3f}{rates[1]:14.0f}{ratios[2]:8.2f}"
            print(f"{text}{peak:10.0f}")


def _column(ways: Mapping[str, Sequence[Mapping[str, float]]], name: str) -> Mapping[str, Sequence[float]]:
    return {way: [each[name] for each in all_] for way, all_ in ways.items()}


def _ratio(others: Sequence[float], own: Sequence[float]) -> float:
    return statistics.median(other / each for other, each in zip(others, own, strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.photos, images=options.images, repeats=options.repeats)
    print(json.dumps(result, indent=1)) if options.json else show(result)


if __name__ == "__main__":
    main()
