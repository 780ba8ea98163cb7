"""The content settings of an export as a command: nothing of the machine that ran it."""

from __future__ import annotations

import shlex
from typing import Any, Final

from hfbucket.config import DEFAULT_VARIANTS, ORIGINAL, Config
from hfbucket.core.card.markdown import line
from hfbucket.core.law.buckets import SDXL
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.manifest.plain import is_ours
from hfbucket.core.manifest.settings import settings_of
from hfbucket.errors import ConfigError

_ALWAYS: Final = ("base", "image_mode")
"""Settings that the command names even where they are at their defaults."""

_OTHERS: Final = frozenset(Config().of_kind("content")) - {*_ALWAYS}


def build_command(manifest: Manifest) -> str:
    """Return the command that builds this content from the same sources, or nothing for exports of other tools."""
    if not is_ours(manifest) or manifest.image_mode is None:
        return ""
    try:
        config = Config(**_settings(manifest))
    except ConfigError:  # a setting of a newer release
        return ""
    names = [line(source.name) for source in manifest.sources]
    always = [word for base in manifest.base_resolutions for word in ("--base", str(base))]
    always += ["--image-mode", manifest.image_mode]
    # Captions that are not the sources' own come from a workspace, wherever that lies.
    own = (ORIGINAL, *config.caption_column)
    written = bool(config.priority) and any(variant.name not in own for variant in manifest.captions.variants)
    always += ["--captions", "captions.sqlite"] if written else []
    return shlex.join(["hfbucket", "build", *names, "-o", "export", *always, *config.flags("content")])


def custom_protos(manifest: Manifest) -> str:
    """Return the proto table as `--protos` reads it, or nothing where it is the default one."""
    protos = tuple(tuple(size) for size in manifest.bucket_rule.get("protos") or ())
    return "" if protos in ((), SDXL) else "\n".join("x".join(map(str, size)) for size in protos)


def _settings(manifest: Manifest) -> dict[str, Any]:
    """Return the content settings in the words of Config, without those that need no flag."""
    found = settings_of(manifest)
    found["protos"] = "protos.txt" if custom_protos(manifest) else None
    if tuple(found.get("caption_column") or ()) == DEFAULT_VARIANTS:
        del found["caption_column"]
    summary = manifest.summary
    # Only where most images have no caption must a build be told to drop them.
    if found["missing_caption"] == "drop" and 2 * summary.get("skipped_no_caption", 0) <= summary.get("images_seen", 0):
        del found["missing_caption"]
    return {name: value for name, value in found.items() if name in _OTHERS and value is not None}
