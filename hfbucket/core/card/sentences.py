"""What a card says in sentences, from the manifest alone, as safe Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

from hfbucket.core.card.facts import bases, images_exported
from hfbucket.core.card.markdown import code, contained, inline, line, link
from hfbucket.core.card.numbers import decimal, listed, number, plural
from hfbucket.core.card.words import SECTIONS
from hfbucket.core.manifest.model import Manifest

_CORNERS: Final = ("top left", "top right", "bottom left", "bottom right")
_METRICS: Final = {
    "min-crop": "Of the buckets no larger than the image, it gets the one that crops the fewest pixels away.",
    "nearest-log": "Of the buckets no larger than the image, it gets the one of the nearest aspect, by its logarithm.",
    "nearest-linear": "Of the buckets no larger than the image, it gets the one of the nearest aspect.",
}
_ORDERS: Final = {
    "source": "Within a bucket, images stand in the order of their sources.",
    "shuffle": "Within a bucket, images are shuffled.",
}
_POLICIES: Final = {
    "drop": "Images without a caption were left out.",
    "empty": "Images without a caption are kept, with an empty one.",
    "error": "Every image had to have a caption.",
}


def description(manifest: Manifest) -> str:
    """Return the sentence that describes an export nobody has described."""
    images, filled = images_exported(manifest), [entry for entry in manifest.buckets.values() if entry.count]
    captioned = "captioned image" if any(v.images_selected for v in manifest.captions.variants) else "image"
    if not filled:
        return "An export without images."
    return (
        f"{number(images)} {plural(captioned, images)} for text-to-image training, sorted by shape into "
        f"{number(len(filled))} aspect-ratio {plural('bucket', len(filled))} at base resolution "
        f"{listed(str(base) for base in bases(manifest))}."
    )


def section(manifest: Manifest, name: str, *, heading: bool = True) -> str:
    """Return a section people wrote, under its heading unless it brings one; nothing where there is none."""
    text = contained(manifest.sections.get(name, ""))
    if text.startswith("# "):
        text = f"#{text}"  # the card has one title
    if not text or not heading or text.lstrip().startswith("#"):
        return text
    return f"## {inline(SECTIONS.get(name) or name.replace('_', ' ').capitalize())}\n\n{text}"


def license_line(manifest: Manifest) -> str:
    """Return the license as one line of Markdown, or nothing where none was given."""
    own = manifest.license
    label = line(own.name or own.id or own.link or "")
    return link(label, own.link) if own.link else inline(label)


def rule(manifest: Manifest) -> str:
    """Return how an image gets its bucket, or nothing where the manifest does not tell."""
    fit = _METRICS.get(str(manifest.bucket_rule.get("metric")), "")
    try:
        most = Fraction(str(manifest.bucket_rule.get("max_crop", 1)))
    except ValueError:
        return fit
    limit = (
        f" At most {decimal(int(most * 10**6), 10_000)}% of a resized image may be cropped away." if most < 1 else ""
    )
    return f"{fit}{limit}" if fit else ""


def crop(manifest: Manifest) -> str:
    """Return where the crop box lies, or nothing where the manifest does not tell."""
    strategy, jitter = manifest.crop.get("strategy"), manifest.crop.get("corner_jitter")
    if strategy != "corner":
        return "The crop box lies in the center." if strategy == "center" else ""
    corners = [_CORNERS[corner] for corner in manifest.crop.get("allowed_corners", range(4)) if corner in range(4)]
    moved = f", then moved inward by up to {inline(str(jitter))} pixels" if jitter else ""
    if len(corners) == 1:
        return f"The crop box lies in the {corners[0]} corner{moved}."
    return f"The crop box lies in a corner chosen by a hash of the image's id: {listed(corners, 'or')}{moved}."


def jpeg(manifest: Manifest) -> str:
    """Return how the images of a bucket's size were encoded."""
    quality, subsampling = manifest.jpeg.get("quality"), manifest.jpeg.get("subsampling")
    if not quality:
        return "It was saved as JPEG."
    if subsampling == "adaptive_scale":
        scale = inline(str(manifest.jpeg.get("threshold", "0.85")))
        return (
            f"It was saved as JPEG at quality {inline(str(quality))}, without chroma subsampling (4:4:4) where it had "
            f"been scaled to {scale} of its size or less, else with 4:2:0."
        )
    return f"It was saved as JPEG at quality {inline(str(quality))}, chroma subsampling {inline(str(subsampling))}."


def selection(manifest: Manifest) -> str:
    """Return how the caption of an image was selected."""
    selector, least = manifest.captions.selector, manifest.settings.get("min_caption_chars")
    if selector == "longest":
        text = "Each image has one caption: the longest of its variants."
    elif selector == "weighted":
        weights = manifest.settings.get("weights")
        odds = f" ({', '.join(code(str(item)) for item in weights)})" if isinstance(weights, list) else ""
        text = f"Each image has one caption, drawn among its variants by weight{odds} from its id and a seed."
    else:
        text = "Each image has one caption: the first variant, by priority, that has text."
    if type(least) is int and least:
        text += f" Captions of fewer than {number(least)} characters were passed over."
    return text


def missing_captions(manifest: Manifest) -> str:
    """Return what became of images without a caption, or nothing where the manifest does not tell."""
    return _POLICIES.get(manifest.captions.missing_policy or "", "")


def order(manifest: Manifest) -> str:
    """Return in which order images stand, or nothing where the manifest does not tell."""
    return _ORDERS.get(str(manifest.order.get("kind")), "")


def duplicates(manifest: Manifest) -> str:
    """Return by what duplicates of earlier images were known, or nothing where none was looked for, or found."""
    counts = manifest.statistics.get("duplicates")
    if not isinstance(counts, Mapping):
        return ""
    near = counts.get("near")
    bits = len(near) - 1 if isinstance(near, Sequence) else 0
    shown = {
        "image_id": (_count(counts.get("image_id")), "the same id"),
        "bytes": (_count(counts.get("bytes")), "the same bytes"),
        "pixels": (_count(counts.get("pixels")), "the same pixels"),
        "near": (_count(near), f"a difference hash of 64 bits that differs in at most {bits}"),
    }
    told = listed(f"{number(count)} with {what}" for count, what in shown.values() if count)
    return f"Left out as duplicates of an earlier image: {told}." if told else ""


def _count(value: object) -> int:
    """Return a number of images, or the sum of several; 0 for anything else."""
    if isinstance(value, Sequence):
        return sum(map(_count, value)) if not isinstance(value, str) else 0
    return value if isinstance(value, int) else 0


def ignored(manifest: Manifest) -> str:
    """Return how many members of the sources are no images, or nothing where there are none."""
    ignored = manifest.summary.get("ignored_members", 0)
    return f"Passed over, as they are no images: {number(ignored)} links, folders and the like." if ignored else ""
