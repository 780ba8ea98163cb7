"""The content settings of an export as a command: nothing of the machine that ran it."""

from __future__ import annotations

import shlex
from typing import Any, Final

from hfbucket.config import DEFAULT_VARIANTS, Config
from hfbucket.core.buckets import SDXL
from hfbucket.core.manifest import Manifest
from hfbucket.core.markdown import line
from hfbucket.errors import ConfigError

_CONTENT: Final = frozenset(Config().of_kind("content"))
_ALWAYS: Final = frozenset({"base", "image_mode"})
"""Settings that the command names even where they are at their defaults."""


def build_command(manifest: Manifest) -> str:
    """Return the command that builds this content from the same sources, or nothing for exports of other tools."""
    try:
        flags = Config(**_settings(manifest)).flags("content")
    except (ConfigError, TypeError):
        return ""
    if manifest.image_mode is None or not manifest.sources:
        return ""
    names = [line(source.name) for source in manifest.sources]
    chosen = [word for base in manifest.base_resolutions for word in ("--base", str(base))]
    return shlex.join(
        ["hfbucket", "build", *names, "-o", "export", *chosen, "--image-mode", manifest.image_mode, *flags]
    )


def custom_protos(manifest: Manifest) -> str:
    """Return the proto table as `--protos` reads it, or nothing where it is the default one."""
    protos = manifest.bucket_rule.get("protos")
    if not isinstance(protos, (list, tuple)) or tuple(map(tuple, protos)) == SDXL:
        return ""
    return "\n".join(f"{w}x{h}" for w, h in protos)


def _settings(manifest: Manifest) -> dict[str, Any]:
    """Return the content settings that the manifest records, by their names in Config."""
    rule, crop, jpeg = manifest.bucket_rule, manifest.crop, manifest.jpeg
    variants = tuple(v.name for v in sorted(manifest.captions.variants, key=lambda v: v.priority))
    summary = manifest.summary
    many_dropped = 2 * summary.get("skipped_no_caption", 0) > summary.get("images_seen", 0)
    policy = manifest.captions.missing_policy
    found = {
        **{name: rule.get(name) for name in ("metric", "max_crop", "min_bucket", "rare")},
        "protos": "protos.txt" if custom_protos(manifest) else None,
        "divisible": manifest.divisible,
        "crop": crop.get("strategy"),
        "corners": crop.get("allowed_corners"),
        "corner_jitter": crop.get("corner_jitter"),
        "quality": jpeg.get("quality"),
        "subsampling": jpeg.get("subsampling"),
        "subsampling_threshold": jpeg.get("threshold"),
        "shuffle": manifest.order.get("seed"),
        "caption_column": None if variants == DEFAULT_VARIANTS else variants,
        "missing_caption": policy if policy != "drop" or many_dropped else None,
        "format": manifest.format,
    }
    others = {name: value for name, value in manifest.settings.items() if name in _CONTENT and name not in found}
    return {name: value for name, value in {**found, **others}.items() if value is not None and name not in _ALWAYS}
