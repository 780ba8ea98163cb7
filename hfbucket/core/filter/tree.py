"""An expression of `--where` as a tree, what it means in SQL, and whether its types go together.

The SQL that is run is written here from words of this package alone; of what a user wrote only quoted texts, checked
numbers and nothing else goes into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hfbucket.core.filter.words import FAMILIES
from hfbucket.errors import ConfigError

NULL = "0"
"""The family of NULL, which goes with every other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Literal:
    """A value that stands in the expression."""

    #: n, t, b, or NULL.
    family: str
    sql: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """A column: one part, or `meta` and a key."""

    parts: tuple[str, ...]
    #: Whether letter case counts, because it was quoted.
    quoted: bool
    #: Its place in the expression, from 1.
    at: int

    @property
    def text(self) -> str:
        """The name as messages show it."""
        return ".".join(self.parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Apply:
    """An operator or function and what it is applied to."""

    #: For messages.
    word: str
    #: As `words` explains them.
    signature: str
    #: SQL with one {} for every argument.
    template: str
    arguments: tuple[Node, ...]
    at: int
    #: How many of these stand within each other here.
    depth: int


Node = Literal | Name | Apply


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """What a name or a whole expression is in SQL."""

    #: n, t, b, or NULL.
    family: str
    sql: str


def names(node: Node) -> Iterator[Name]:
    """Yield the columns of an expression in the order they stand there."""
    if isinstance(node, Name):
        yield node
    elif isinstance(node, Apply):
        for argument in node.arguments:
            yield from names(argument)


def quoted(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def condition(node: Node, columns: Mapping[Name, Meaning]) -> str:
    """Return the SQL of an expression that is true or false, NULL counting as false.

    Args:
        columns: what every name in it stands for.

    Raises:
        ConfigError: it is no condition, or its types do not go together.
    """
    meaning = _meaning(node, columns)
    if meaning.family != "b":
        found = "NULL" if meaning.family == NULL else FAMILIES[meaning.family]
        raise ConfigError(f"where must be true or false for every image, got {found}; compare it with something")
    return f"coalesce({meaning.sql}, false)"


def _meaning(node: Node, columns: Mapping[Name, Meaning]) -> Meaning:
    if isinstance(node, Literal):
        return Meaning(family=node.family, sql=node.sql)
    if isinstance(node, Name):
        return columns[node]
    given = [_meaning(argument, columns) for argument in node.arguments]
    family = _result(node, [meaning.family for meaning in given])
    return Meaning(family=family, sql=node.template.format(*(meaning.sql for meaning in given)))


def _result(node: Apply, given: list[str]) -> str:
    """Return the family that comes out, or raise where what goes in does not fit."""
    taken, _, result = node.signature.partition(":")
    wanted = _letters(taken, len(given))
    same = next(
        (family for family, letter in zip(given, wanted, strict=True) if letter == "x" and family != NULL), NULL
    )
    for number, (family, letter) in enumerate(zip(given, wanted, strict=True)):
        letter = same if letter == "x" else letter
        written = isinstance(node.arguments[number], Literal)
        if letter == "l" and not (written and family == "t"):
            raise _mismatch(node, given, letter, number)
        if family not in (NULL, letter) and letter not in ("a", "l", NULL):
            raise _mismatch(node, given, letter, number)
    return same if result == "x" else result


def _letters(taken: str, count: int) -> str:
    """Return one letter for each of the arguments; their number was checked when the expression was read."""
    letters = taken.replace("?", "")
    if letters.endswith("+"):
        letters = letters[:-1] + letters[-2] * count
    return letters[:count]


def _mismatch(node: Apply, given: list[str], letter: str, number: int) -> ConfigError:
    got = "NULL" if given[number] == NULL else FAMILIES[given[number]]
    hint = "; text becomes a number with CAST(… AS FLOAT)" if {given[number], letter} == {"n", "t"} else ""
    shown = node.arguments[number]
    what = f" ({shown.text})" if isinstance(shown, Name) else ""
    place = f"where, character {node.at}: {node.word}"
    return ConfigError(f"{place} takes {FAMILIES[letter]} in place {number + 1}, got {got}{what}{hint}")
