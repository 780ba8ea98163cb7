"""Content settings as the manifest tells them, and back: what a rerun is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hfbucket.config import Config
from hfbucket.core.law.buckets import PROTO_BASE, SDXL
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.settings import content_settings

_PLAIN: Final = ("image_mode", "divisible", "format")
_GROUPS: Final[dict[str, dict[str, str]]] = {
    "bucket_rule": {name: name for name in ("protos", "metric", "max_crop", "min_bucket", "rare")},
    "crop": {"strategy": "crop", "allowed_corners": "corners", "corner_jitter": "corner_jitter"},
    "jpeg": {"quality": "quality", "subsampling": "subsampling", "threshold": "subsampling_threshold"},
}
"""Manifest object to its keys and the settings that stand there."""

_PLACED: Final = frozenset(
    {*_PLAIN, "base", "shuffle", "missing_caption", *(name for group in _GROUPS.values() for name in group.values())}
)


def manifest_fields(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of Manifest that say the content settings, all but `captions.missing_policy`.

    Args:
        settings: as `core.settings.content_settings` gives them.
    """
    groups = {field: {key: settings[name] for key, name in group.items()} for field, group in _GROUPS.items()}
    seed = settings["shuffle"]
    return {
        **{name: settings[name] for name in _PLAIN},
        **groups,
        "base_resolutions": tuple(settings["base"]),
        "proto_base": PROTO_BASE,
        "resize": {"filter": "bicubic", "antialias": True},
        "order": {"kind": "source" if seed is None else "shuffle", "seed": seed},
        "settings": {name: value for name, value in settings.items() if name not in _PLACED},
    }


def settings_of(manifest: Manifest) -> dict[str, Any]:
    """Return the content settings an export was built with, as `content_settings` gives them.

    Settings that are newer than the export are at their defaults: they were not there to change anything.
    """
    grouped = {
        name: getattr(manifest, field).get(key) for field, group in _GROUPS.items() for key, name in group.items()
    }
    return {
        **content_settings(Config(), SDXL),
        **manifest.settings,
        **{name: getattr(manifest, name) for name in _PLAIN},
        **grouped,
        "base": list(manifest.base_resolutions),
        "shuffle": manifest.order.get("seed"),
        "missing_caption": manifest.captions.missing_policy,
    }
