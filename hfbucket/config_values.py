"""Single values of settings: read from what a flag, TOML or Python gives, and shown as a flag takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

from hfbucket.errors import ConfigError

_MULTIPLES: Final = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40,
}  # fmt: skip


JOINED: Final = ("corners", "priority", "weights")
"""Settings of several values that stand in one flag, with commas between."""


def flag(name: str) -> str:
    """Return the command line flag of a setting: `--max-crop` for `max_crop`."""
    return "--" + name.replace("_", "-")


def read(name: str, hint: object, limits: Mapping[str, Any], value: object) -> object:
    """Return a setting's value in the type of its annotation `hint`.

    `limits` may hold `low`, `high` (both allowed values) and `size_in_bytes` (then "500MB" is a number, too).

    Raises:
        ConfigError: the value is of another type or out of range; says what it must be and what was got.
    """
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        return tuple(_read_one(name, kind, limits, item) for item in _items(kind, value))
    if get_origin(hint) is not Literal and NoneType in get_args(hint):
        if value is None:
            return None
        hint = next(part for part in get_args(hint) if part is not NoneType)
    return _read_one(name, hint, limits, value)


def flag_words(name: str, limits: Mapping[str, Any], value: object) -> list[str]:
    """Return the words on a command line that give a setting this value."""
    if isinstance(value, bool):
        return [flag(name) if value else "--no-" + flag(name)[2:]]
    if name in JOINED:
        return [flag(name), shown(value)]
    values = value if isinstance(value, tuple) else (value,)
    return [word for item in values for word in (flag(name), shown(item, size="size_in_bytes" in limits))]


def shown(value: object, *, size: bool = False) -> str:
    """Return a value as its flag takes it, exactly: a fraction as a decimal where it is one, a size in MB."""
    if isinstance(value, tuple):
        return ",".join(map(shown, value))
    if size and isinstance(value, int) and value % 10**6 == 0:
        return f"{value // 10**6}MB"
    if isinstance(value, Fraction) and 10**18 % value.denominator == 0:
        whole, rest = divmod(value.numerator * (10**18 // value.denominator), 10**18)
        return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")
    return str(value)


def _items(kind: object, value: object) -> list[object]:
    """Return the values of a setting that takes several: a list, one, or numbers with commas between."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if kind is not int:
        return values
    return [part for item in values for part in (item.split(",") if isinstance(item, str) else [item])]


def _read_one(name: str, kind: object, limits: Mapping[str, Any], value: object) -> object:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise _wrong(name, f"one of {', '.join(get_args(kind))}", value)
    elif kind is int or kind is Fraction:
        return _number(name, value, whole=kind is int, **limits)
    elif not isinstance(value, kind):  # type: ignore[arg-type]  # the annotations left are bool and str
        raise _wrong(name, "true or false" if kind is bool else "text", value)
    return value


def _number(
    name: str,
    value: object,
    *,
    whole: bool,
    low: int | None = None,
    high: int | None = None,
    size_in_bytes: bool = False,
    **_: object,
) -> int | Fraction:
    wanted = "a size such as 500MB" if size_in_bytes else "a whole number" if whole else "a number"
    if high is not None:
        wanted += f" from {low} to {high}"
    elif low is not None:
        wanted += f", at least {low}"
    try:
        number = _size_bytes(str(value)) if size_in_bytes else Fraction(str(value).strip())
    except (ValueError, ZeroDivisionError):
        raise _wrong(name, wanted, value) from None
    right_type = isinstance(value, (int, str) if whole else (int, float, str, Fraction))
    in_range = (low is None or number >= low) and (high is None or number <= high)
    if not right_type or not in_range or (whole and number.denominator != 1):
        raise _wrong(name, wanted, value)
    return int(number) if whole else number


def _size_bytes(text: str) -> Fraction:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", text.strip().lower().replace("_", ""))
    if match is None or match[2] not in _MULTIPLES:
        raise ValueError(text)
    return Fraction(match[1]) * _MULTIPLES[match[2]]


def _wrong(name: str, wanted: str, got: object) -> ConfigError:
    return ConfigError(f"{name} must be {wanted}, got {got!r}")
