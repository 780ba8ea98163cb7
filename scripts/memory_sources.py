"""Sources for `bench_memory`: photos of which some are large, and tars of many tiny images."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from scripts.bench_write import scikit_photos

_LARGE: Final = (4608, 3456)
_LARGE_EVERY: Final = 50
_LEAST_LETTERS: Final = 3
_WORDS: Final = tuple(
    "".join(random.Random(number).choices("etaoinshrdlucmf", k=_LEAST_LETTERS + number % 6)) for number in range(2000)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """A source, one that is added to it later, and what its images are called."""

    source: Path
    #: Empty but for one image until `grow` is called.
    grown: Path
    grow: Callable[[], None]
    image_ids: Sequence[str]
    bases: tuple[str, ...]
    #: Of its largest image.
    pixels: int
    #: Of a caption, about.
    caption_bytes: int = 120

    @property
    def some_id(self) -> str:
        """An image that is exported."""
        return self.image_ids[len(self.image_ids) // 2]

    @property
    def third_of_ids(self) -> Sequence[str]:
        """Every third image."""
        return self.image_ids[::3]

    def write_captions(self, path: Path) -> None:
        """Write a caption of every image."""
        with path.open("w", encoding="utf-8") as file:
            for image_id in self.image_ids:
                text = said(f"Another caption of {image_id}, as long as captions are and longer ", self.caption_bytes)
                file.write(json.dumps({"image_id": image_id, "text": text}) + "\n")


def said(text: str, size_bytes: int) -> str:
    """Return ASCII text and after it random words, always the same, until it is that long: they pack as captions do."""
    words = random.Random(text).choices(_WORDS, k=max(0, size_bytes - len(text)) // _LEAST_LETTERS)
    return text + " ".join(words)[: max(0, size_bytes - len(text))]


def enlarged_photos(photos: Path | None, root: Path, count: int) -> Corpus:
    """Fill a folder with so many photos, one of fifty enlarged to 16 megapixels, and one with a third as many."""
    files = sorted(photos.rglob("*.[jJ][pP]*[gG]"))[:500] if photos else []
    originals = [path.read_bytes() for path in files] or scikit_photos()
    (root / "originals").mkdir()
    kept = []
    for number, data in enumerate(originals):
        kept.append(root / "originals" / f"{number}.jpg")
        kept[-1].write_bytes(data)
    large = root / "originals" / "large.jpg"
    Image.open(io.BytesIO(originals[0])).convert("RGB").resize(_LARGE).save(large, quality=90)

    def fill(folder: Path, first: int, stop: int) -> None:
        folder.mkdir(exist_ok=True)
        for number in range(first, stop):
            file = large if number % _LARGE_EVERY == 0 else kept[number % len(kept)]
            os.link(file, folder / f"{number:07d}.jpg")
            (folder / f"{number:07d}.txt").write_text(f"photo {number}", encoding="utf-8")

    fill(root / "photos", 0, count)
    fill(root / "more", count, count + 1)
    return Corpus(
        source=root / "photos", grown=root / "more", grow=lambda: fill(root / "more", count + 1, count + count // 3),
        image_ids=[f"{number:07d}.jpg" for number in range(count)], bases=("512", "256"), pixels=_LARGE[0] * _LARGE[1],
    )  # fmt: skip


def tiny_rows(root: Path, count: int, caption_bytes: int, rows_a_tar: int) -> Corpus:
    """Write tars of so many tiny images with captions and metadata, and a folder for tars with a third as many."""
    buffer = io.BytesIO()
    Image.new("RGB", (80, 64), "green").save(buffer, "JPEG")
    image = buffer.getvalue()

    def fill(folder: Path, first: int, stop: int) -> None:
        folder.mkdir(exist_ok=True)
        for start in range(first, stop, rows_a_tar):
            with tarfile.open(folder / f"{start:07d}.tar", "w") as tar:
                for number in range(start, min(stop, start + rows_a_tar)):
                    text = said(
                        f"The caption of image {number}, as long as captions of photos are, or longer ", caption_bytes
                    )
                    for name, data in ((f"{number:08d}.jpg", image), (f"{number:08d}.txt", text.encode())):
                        member = tarfile.TarInfo(name)
                        member.size = len(data)
                        tar.addfile(member, io.BytesIO(data))

    fill(root / "rows", 0, count)
    fill(root / "more", count, count + 1)
    ids = [f"{n - n % rows_a_tar:07d}.tar/{n:08d}" for n in range(count)]
    return Corpus(
        source=root / "rows", grown=root / "more", grow=lambda: fill(root / "more", count + 1, count + count // 3),
        image_ids=ids, bases=("64",), pixels=80 * 64, caption_bytes=caption_bytes,
    )  # fmt: skip
