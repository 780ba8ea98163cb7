"""Content settings: what of a config decides the bytes of an export, resolved to plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from hfbucket.config import Config
from hfbucket.config_values import shown
from hfbucket.core.law.buckets import Protos


def content_settings(config: Config, protos: Protos) -> dict[str, Any]:
    """Return the content settings by name as JSON values without floats, equal for configs of equal meaning.

    The proto table stands in place of its name or file, the defaults in place of what was not given, fractions as
    exact decimals ("0.85") or, where they have none, as "1/3".

    Args:
        protos: the table that `config.protos` names.
    """
    settings = {name: _plain(value) for name, value in config.of_kind("content").items()}
    return settings | {
        "base": sorted(set(config.base), reverse=True),
        "protos": [list(size) for size in protos],
        "caption_column": list(config.variants),
        "missing_caption": config.missing_caption or "drop",
    }


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one readable line for every setting that differs, `quality: 95, not 90`: ours first."""
    names = [*ours, *(name for name in theirs if name not in ours)]
    return tuple(
        f"{name}: {_shown(name, ours.get(name))}, not {_shown(name, theirs.get(name))}"
        for name in names
        if ours.get(name) != theirs.get(name)
    )


def _plain(value: object) -> object:
    if isinstance(value, Fraction):
        return shown(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _shown(name: str, value: object) -> str:
    if name == "protos" and isinstance(value, Sequence):
        return f"a table of {len(value)} sizes"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
