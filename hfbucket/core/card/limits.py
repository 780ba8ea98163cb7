"""What a manifest knows about the limits of its dataset, in sentences, as safe Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from hfbucket.core.card.facts import bases, images_exported
from hfbucket.core.card.markdown import inline
from hfbucket.core.card.numbers import decimal, listed, number, plural, share
from hfbucket.core.card.statistics import Spread
from hfbucket.core.card.tables import statistics
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.manifest.plain import is_ours

_MUCH_PPM = 200_000
_LONG_CHARACTERS = 500


def known_limits(manifest: Manifest) -> tuple[str, ...]:
    """Return what the numbers of the manifest say about what is missing or lost, a sentence or two each."""
    if not is_ours(manifest):
        return ()
    return (*_left_out(manifest), *_lost(manifest), *_captions(manifest), *_unchecked(manifest))


def _left_out(manifest: Manifest) -> Iterator[str]:
    seen = manifest.summary.get("images_seen", 0)
    reasons = {
        "skipped_too_small": "smaller than every bucket. Small pictures are missing",
        "skipped_no_caption": "without a caption",
        "skipped_too_cropped": "of a shape that no bucket comes near. Very wide or tall pictures are missing",
        "skipped_rare_bucket": "of a rare shape",
    }
    for name, reason in reasons.items():
        count = manifest.summary.get(name, 0)
        if count:
            yield f"{number(count)} {plural('image', count)} ({share(count, seen)} of those seen) left out: {reason}."
    largest, *lower = bases(manifest) or (0,)
    if lower:
        names = listed(str(base) for base in lower)
        yield (
            f"{plural('Base resolution', len(lower))} {names} {'holds' if len(lower) == 1 else 'hold'} the images that "
            f"are too small for {largest}, not a small copy of all: "
            "train on all of them, or know that the smaller ones are of other pictures."
        )


def _lost(manifest: Manifest) -> Iterator[str]:
    known = statistics(manifest)
    if known is None:
        return
    much = _above(known.crop_loss_ppm, _MUCH_PPM)
    if much:
        yield (
            f"{number(much)} {plural('image', much)} ({share(much, known.crop_loss_ppm.count)}) "
            f"{'loses' if much == 1 else 'lose'} more than {decimal(_MUCH_PPM, 10_000)}% of the picture to the crop, "
            f"up to {share(known.crop_loss_ppm.max, 10**6)}. What a caption speaks of may lie in that part."
        )


def _captions(manifest: Manifest) -> Iterator[str]:
    models = {str(source.get("model")) for source in manifest.caption_sources if source.get("model")}
    if models:
        names = listed(inline(model) for model in sorted(models))
        yield f"Captions by {names} were written by a model: they may name what is not in the picture."
    known = statistics(manifest)
    long = _above(known.caption_characters, _LONG_CHARACTERS) if known else 0
    if known and long:
        yield (
            f"{number(long)} {plural('caption', long)} ({share(long, known.caption_characters.count)}) "
            f"{'has' if long == 1 else 'have'} more than {_LONG_CHARACTERS} characters; text encoders of a short "
            "window read the beginning only."
        )
    images, chosen = images_exported(manifest), sum(v.images_selected for v in manifest.captions.variants)
    if chosen < images:
        without = images - chosen
        have = "has" if without == 1 else "have"
        yield f"{number(without)} {plural('image', without)} ({share(without, images)}) {have} no caption."


def _unchecked(manifest: Manifest) -> Iterator[str]:
    if not manifest.summary.get("filtered") and not manifest.sections.get("filtering"):
        yield "No image was left out for what it shows."
    if not manifest.summary.get("duplicates_removed"):
        yield "No image was left out as a copy of another: one picture may be here under several ids."


def _above(spread: Spread, end: int) -> int:
    """Return how many images lie in bands above the one that ends at `end`; none where no band ends there."""
    return sum(spread.images[spread.up_to.index(end) + 1 :]) if end in spread.up_to else 0
