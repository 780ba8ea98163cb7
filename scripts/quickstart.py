"""The whole way on real photos: plan, build, verify, load. Needs no account, and no network but for the packages.

    python scripts/quickstart.py [FOLDER]

The photos come with scikit-image; their captions are the first lines of what it says about them. FOLDER (default
./quickstart) gets the photos and the export; a second run continues there.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import skimage.data

import hfbucket

PHOTOS = {
    "astronaut": "astronaut.png", "brick": "brick.png", "camera": "camera.png", "cell": "cell.png",
    "chelsea": "chelsea.png", "clock": "clock_motion.png", "coffee": "coffee.png", "coins": "coins.png",
    "colorwheel": "color.png", "grass": "grass.png", "gravel": "gravel.png", "horse": "horse.png",
    "hubble_deep_field": "hubble_deep_field.jpg", "immunohistochemistry": "ihc.png",
    "microaneurysms": "microaneurysms.png", "moon": "moon.png", "page": "page.png", "retina": "retina.jpg",
    "rocket": "rocket.jpg", "stereo_motorcycle": "motorcycle_left.png", "text": "text.png",
}  # fmt: skip
"""Loader in skimage.data, and its file in scikit-image's wheel; the loader's help says what may be done with it."""

BATCH_SIZE = 4


def make_photos(folder: Path) -> None:
    """Copy the photos into a folder, each with its caption beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for loader, name in PHOTOS.items():
        caption = (getattr(skimage.data, loader).__doc__ or "").strip().splitlines()[0]
        # Copied with its time, so that a second run finds the same files and continues.
        shutil.copy2(Path(skimage.data.__file__).parent / name, folder / name)
        (folder / name).with_suffix(".txt").write_text(caption, encoding="utf-8")


def run(*command: str) -> None:
    """Show a command, then run it."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    subprocess.run([sys.executable, "-c", "import sys; from hfbucket.cli.main import main; sys.exit(main())",
                    *command[1:]], check=True)  # fmt: skip


def show_batch(export: Path) -> None:
    """Load a batch of one size and print it."""
    dataset = hfbucket.load_dataset(str(export), "r512", split="train", streaming=True, buckets=["r512_p1024x1024"])
    batch = next(iter(dataset.batch(BATCH_SIZE)))
    pixels = np.stack([np.asarray(image) for image in batch["image"]])
    print(f"\nA batch of bucket {batch['bucket_id'][0]}: {pixels.dtype} {pixels.shape}")
    print(*(f"  {caption}" for caption in batch["caption"]), sep="\n")


def main() -> None:
    """Run the whole way in the folder of the first argument."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart")
    photos, export = str(folder / "photos"), str(folder / "export")
    make_photos(Path(photos))
    settings = ("--base", "512", "--base", "256", "--batch-size", str(BATCH_SIZE))
    run("hfbucket", "plan", photos, "-o", export, *settings)
    run("hfbucket", "build", photos, "-o", export, *settings[:4])
    run("hfbucket", "verify", export)
    show_batch(Path(export))


if __name__ == "__main__":
    main()
