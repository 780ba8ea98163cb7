"""The pieces of an expression of `--where`: words, signs and values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hfbucket.core.filter.tree import Literal
from hfbucket.core.filter.words import MAX_CHARS
from hfbucket.errors import ConfigError

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?!\w))
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")+")
    |(?P<word>[^\W\d]\w*)
    |(?P<sign>::|\|\||<=|>=|<>|!=|==|[-+*/%<>=(),.\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_MAX_INT: Final = 2**63 - 1
_MAX_DIGITS: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A word, a sign or a value."""

    kind: str
    #: Words in lower case; texts and quoted names without their quotes.
    value: str
    #: As it was written.
    raw: str
    at: int


def tokens(expression: str) -> list[Token]:
    """Return the pieces of an expression; the last is its end.

    Raises:
        ConfigError: something in it is no piece of one.
    """
    if len(expression) > MAX_CHARS:
        raise ConfigError(f"where must have at most {MAX_CHARS} characters, got {len(expression)}")
    if found := re.search(r"[\0-\x08\x0e-\x1f\x7f\ud800-\udfff]", expression):
        raise ConfigError(f"where, character {found.start() + 1}: must be printable text, got {found[0]!r}")
    found_all, at = list[Token](), 0
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None:
            raise ConfigError(f"where, character {at + 1}: {_stray(expression, at)}")
        kind, raw = str(found.lastgroup), found[0]
        if kind != "space":
            found_all.append(Token(kind=kind, value=_value(kind, raw), raw=raw, at=at + 1))
        at = found.end()
    return [*found_all, Token(kind="end", value="", raw="the end", at=len(expression) + 1)]


def _value(kind: str, raw: str) -> str:
    if kind in ("text", "quoted"):
        return raw[1:-1].replace(raw[0] * 2, raw[0])
    return raw.lower() if kind == "word" else raw


def _stray(expression: str, at: int) -> str:
    if expression[at] in "'\"":
        return f"a {expression[at]} opens and does not close; inside, write it twice"
    if expression[at] == ";":
        return "it must be one expression, got ';'"
    return f"cannot be read from {expression[at : at + 12]!r} on"


def number(token: Token) -> Literal:
    """Return the value of a number: a whole one exactly, if 64 bits hold it; others as the nearest of 64 bits."""
    if not token.raw.isascii() or len(token.raw) > _MAX_DIGITS:
        raise ConfigError(f"where, character {token.at}: a number must have at most {_MAX_DIGITS} digits")
    if token.raw.isdigit() and int(token.raw) <= _MAX_INT:
        return Literal(family="n", sql=str(int(token.raw)))
    value = float(token.raw)
    if value in (float("inf"), float("-inf")):
        raise ConfigError(f"where, character {token.at}: the number {token.raw[:40]} is too large")
    return Literal(family="n", sql=f"CAST('{value!r}' AS DOUBLE)")
