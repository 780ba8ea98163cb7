"""What a manifest says about every sample of a shard, and its settings read with care."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hfbucket.core.law.geometry import ALL_CORNERS
from hfbucket.core.manifest.model import Manifest, Size

__all__ = ["Expected", "corners_of", "fraction"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What the manifest says about every sample of one shard. Picklable."""

    file: str
    bucket_id: str
    scaled: Size
    base_resolution: int
    image_mode: str | None
    crop: str
    corners: tuple[int, ...]
    corner_jitter: int
    #: Of what is encoded to the bucket's size; None where the manifest does not say.
    quality: int | None
    subsampling: str | None
    threshold: Fraction | None
    #: Caption variants by priority; empty where the manifest does not say.
    variants: tuple[str, ...]
    source_hash: bool
    keep_location: bool
    #: Our own export, so geometry, ids and crop follow our rules.
    ours: bool

    @classmethod
    def of(cls, manifest: Manifest, bucket_id: str, file: str, *, ours: bool) -> Expected:
        """Return what `manifest` says about the samples of one shard."""
        entry, crop = manifest.buckets[bucket_id], manifest.crop
        jitter = crop.get("corner_jitter")
        return cls(
            file=file,
            bucket_id=bucket_id,
            scaled=entry.scaled,
            base_resolution=entry.base_resolution,
            image_mode=manifest.image_mode,
            crop=str(crop.get("strategy", "corner")),
            corners=corners_of(crop.get("allowed_corners")) or ALL_CORNERS,
            corner_jitter=jitter if type(jitter) is int and jitter >= 0 else 0,
            quality=manifest.jpeg.get("quality"),
            subsampling=manifest.jpeg.get("subsampling"),
            threshold=fraction(manifest.jpeg.get("threshold")),
            variants=tuple(v.name for v in sorted(manifest.captions.variants, key=lambda v: v.priority)),
            source_hash=manifest.settings.get("source_hash") is not False,
            keep_location=manifest.settings.get("keep_location") is True,
            ours=ours,
        )


def fraction(text: object) -> Fraction | None:
    """Return the fraction that a setting says as "0.85" or "1/3", None for anything else."""
    try:
        return Fraction(text) if isinstance(text, str) else None
    except (ValueError, ZeroDivisionError):
        return None


def corners_of(value: object) -> tuple[int, ...] | None:
    """Return the allowed corners that a manifest says, None where they are none."""
    numbers = value if isinstance(value, list) else ()
    known = tuple(number for number in numbers if type(number) is int and number in ALL_CORNERS)
    return known if known and len(known) == len(numbers) else None
