"""Numbers as people read them: computed in integers, rounded half up, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable


def number(value: int) -> str:
    """Return a number with commas between thousands."""
    return f"{value:,}"


def share(part: int, whole: int) -> str:
    """Return a part in percent with one decimal, rounded half up; but only nothing is `0.0%` and only all `100.0%`."""
    tenths = (2000 * part + whole) // (2 * whole) if whole else 0
    if part and not tenths:
        return "< 0.1%"
    return "> 99.9%" if tenths == 1000 and part < whole else f"{tenths // 10}.{tenths % 10}%"


def size(size_bytes: int) -> str:
    """Return a size in decimal units with one decimal, rounded half up: `20.1 GB`."""
    exponent = min(max((len(str(size_bytes)) - 1) // 3, 0), 5)
    if not exponent:
        return f"{size_bytes} bytes"
    tenths = (20 * size_bytes + 1000**exponent) // (2 * 1000**exponent)
    return f"{tenths // 10}.{tenths % 10} {('', 'kB', 'MB', 'GB', 'TB', 'PB')[exponent]}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Return words as a list in a sentence: `a, b and c`."""
    *first, end = list(words) or [""]
    return f"{', '.join(first)} {last} {end}" if first else end


def plural(noun: str, count: int) -> str:
    """Return the noun, in the plural unless there is one."""
    return noun if count == 1 else f"{noun}s"


def decimal(value: int, unit: int) -> str:
    """Return a whole number of parts of a unit (a power of ten) as a decimal without trailing zeros: `1.25`."""
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
