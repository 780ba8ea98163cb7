"""The bucket law, rare buckets and shard cuts once more, as slowly and plainly as the format's text allows.

Exact fractions, one image at a time, no numpy; nothing of the package is used. What the package computes in columns
must equal this.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor

Size = tuple[int, int]
Target = tuple[int, Size, Size]  # base, proto, scaled


def targets(bases: Sequence[int], protos: Sequence[Size], divisible: int) -> list[Target]:
    found: list[Target] = []
    for base in sorted(bases, reverse=True):
        taken = set()
        for proto in protos:
            w, h = (floor(Fraction(side * base, 1024) / divisible) * divisible for side in proto)
            if w > 0 and h > 0 and (w, h) not in taken:
                taken.add((w, h))
                found.append((base, proto, (w, h)))
    return found


def resized(image: Size, target: Size) -> tuple[Fraction, Fraction]:
    """The exact size of the image resized to cover the target."""
    scale = max(Fraction(target[0], image[0]), Fraction(target[1], image[1]))
    return image[0] * scale, image[1] * scale


def fits_size(image: Size, target: Size) -> bool:
    return max(Fraction(target[0], image[0]), Fraction(target[1], image[1])) <= 1


def crop_share(image: Size, target: Size) -> Fraction:
    w, h = resized(image, target)
    return 1 - Fraction(target[0] * target[1]) / (w * h)


def score(metric: str, image: Size, target: Size) -> Fraction:
    (w, h), (big_w, big_h) = image, target
    if metric == "min-crop":
        if big_w * h >= big_h * w:
            return Fraction(big_w * (h * big_w - big_h * w), w)
        return Fraction(big_h * (w * big_h - big_w * h), h)
    aspect, wanted = Fraction(w, h), Fraction(big_w, big_h)
    if metric == "nearest-linear":
        return abs(aspect - wanted)
    # |log a - log b| grows with the larger of a/b and b/a.
    return max(aspect / wanted, wanted / aspect)


def choose(image: Size, buckets: Sequence[Target], metric: str, max_crop: Fraction) -> int | str:
    """Return the number of the image's bucket, or the outcome where there is none."""
    for base in sorted({bucket[0] for bucket in buckets}, reverse=True):
        best: tuple[Fraction, int] | None = None
        for number, (bucket_base, _, target) in enumerate(buckets):
            if bucket_base != base or not fits_size(image, target) or crop_share(image, target) > max_crop:
                continue
            candidate = (score(metric, image, target), number)
            if best is None or candidate < best:
                best = candidate
        if best is not None:
            return best[1]
    return "skipped_too_cropped" if any(fits_size(image, target) for _, _, target in buckets) else "skipped_too_small"


def with_rare(
    images: Sequence[Size], buckets: Sequence[Target], metric: str, max_crop: Fraction, min_bucket: int, rare: str
) -> list[int | str]:
    """Return the bucket or outcome of every image once rare buckets are dissolved, one after another."""
    result = [choose(image, buckets, metric, max_crop) for image in images]
    standing = list(range(len(buckets)))
    while rare != "keep" and standing:
        fewest = min(result.count(number) for number in standing)
        if fewest >= min_bucket:
            break
        equal = [number for number in standing if result.count(number) == fewest]
        lowest_base = min(buckets[number][0] for number in equal)
        goes = [number for number in equal if buckets[number][0] == lowest_base][-1]
        standing.remove(goes)
        for at, image in enumerate(images):
            if result[at] == goes:
                rest = [buckets[number] for number in standing]
                found = choose(image, rest, metric, max_crop) if rare == "merge" else ""
                result[at] = standing[found] if isinstance(found, int) else "skipped_rare_bucket"
    return result


def cover(image: Size, target: Size) -> Size:
    """The resized size in whole pixels, halves rounded up, never below the target."""
    w, h = resized(image, target)
    return max(target[0], floor(w + Fraction(1, 2))), max(target[1], floor(h + Fraction(1, 2)))


def cut(planned_bytes: Sequence[int], max_bytes: int, max_samples: int) -> list[tuple[int, int]]:
    """Return (shard, position) of every sample."""
    places: list[tuple[int, int]] = []
    shard, count, total = 0, 0, 0
    for size in planned_bytes:
        if count and (total + size > max_bytes or count == max_samples):
            shard, count, total = shard + 1, 0, 0
        places.append((shard, count))
        count, total = count + 1, total + size
    return places
