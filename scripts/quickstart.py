"""The whole way on real photos: plan, build, verify, load, push, load. Needs no account, no network but for packages.

    python scripts/quickstart.py [FOLDER]

The photos come with scikit-image; their captions are the first lines of what it says about them. FOLDER (default
./quickstart) gets the photos and the export; a second run continues there. The push goes to no real Hub but to a
loopback Hub: a small server that the tests have, run for a moment.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
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

LICENSE = {
    "--license": "other",
    "--license-name": "that-of-each-photo",
    "--license-link": "https://scikit-image.org/docs/stable/api/skimage.data.html",
}

REPOSITORY = "me/quickstart"

STREAM = f"""
from datasets import load_dataset
row = next(iter(load_dataset("{REPOSITORY}", "r512", split="train", streaming=True)))
print(row["jpg"].size, row["txt"].strip())
"""


def make_photos(folder: Path) -> None:
    """Copy the photos into a folder, each with its caption beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for loader, name in PHOTOS.items():
        caption = (getattr(skimage.data, loader).__doc__ or "").strip().splitlines()[0]
        # Copied with its time, so that a second run finds the same files and continues.
        shutil.copy2(Path(skimage.data.__file__).parent / name, folder / name)
        (folder / name).with_suffix(".txt").write_text(caption, encoding="utf-8")


def run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    """Show a command, then run it."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    words = {"hfbucket": ("-c", "from hfbucket.cli.main import console; console()"), "python": ()}
    given = (sys.executable, *words[command[0]], *command[1:])
    subprocess.run(given, check=True, env={**os.environ, **(environment or {})})


def show_batch(export: Path) -> None:
    """Load a batch of one size and print it."""
    dataset = hfbucket.load_dataset(str(export), "r512", split="train", streaming=True, buckets=["r512_p1024x1024"])
    batch = next(iter(dataset.batch(BATCH_SIZE)))
    pixels = np.stack([np.asarray(image) for image in batch["image"]])
    print(f"\nA batch of bucket {batch['bucket_id'][0]}: {pixels.dtype} {pixels.shape}")
    print(*(f"  {caption}" for caption in batch["caption"]), sep="\n")


def push_and_load(export: str, folder: Path) -> None:
    """Push to a loopback Hub, and load from there as somebody would who has stock datasets and no hfbucket."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.hub.loopback import serving

    with serving(folder) as hub:
        print(f"\nA loopback Hub runs at {hub.endpoint}: the push below leaves nothing on any other machine.")
        environment = hub.environment(folder)
        run("hfbucket", "push", export, REPOSITORY, "--yes", environment=environment)
        run("python", "-c", STREAM, environment=environment)


def main() -> None:
    """Run the whole way in the folder of the first argument."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart")
    photos, export = str(folder / "photos"), str(folder / "export")
    make_photos(Path(photos))
    settings = ("--base", "512", "--base", "256", "--batch-size", str(BATCH_SIZE))
    run("hfbucket", "plan", photos, "-o", export, *settings)
    license = [word for option in LICENSE.items() for word in option]
    run("hfbucket", "build", photos, "-o", export, *settings[:4], *license)
    run("hfbucket", "verify", export)
    show_batch(Path(export))
    push_and_load(export, folder / "loopback-hub")


if __name__ == "__main__":
    main()
