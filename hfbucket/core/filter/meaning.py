"""From the names in an expression of `--where` to columns: keys of the metadata get one type over all rows."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from hfbucket.core.filter.columns import META, Columns, Kind
from hfbucket.core.filter.tree import Meaning, Name, quoted
from hfbucket.errors import ConfigError

_FAMILY: Final = {"int": "n", "float": "n", "bool": "b", "text": "t"}
_KIND_OF_JSON: Final[Mapping[str, Kind]] = {
    "UBIGINT": "int", "BIGINT": "int", "HUGE": "float", "DOUBLE": "float", "BOOLEAN": "bool",
}  # fmt: skip
_SHOWN: Final = 100  # names in a message


def pointer(key: str) -> str:
    """Return the JSON pointer of a key (RFC 6901) as a text in SQL."""
    return quoted("/" + key.replace("~", "~0").replace("/", "~1"))


def json_type(key: str) -> str:
    """Return the SQL of a key's JSON type in each row: NULL where it is missing, HUGE where no BIGINT holds it."""
    place = f"meta, {pointer(key)}"
    too_large = f"TRY_CAST(json_extract_string({place}) AS BIGINT) IS NULL"
    return f"CASE WHEN json_type({place}) = 'UBIGINT' AND {too_large} THEN 'HUGE' ELSE json_type({place}) END"


def kind_of(found: Collection[str]) -> tuple[Kind, bool]:
    """Return the one kind of a metadata key, and whether its values are of several that do not go together.

    Args:
        found: the JSON types it has anywhere, as `json_type` gives them.
    """
    kinds: set[Kind] = {_KIND_OF_JSON.get(name, "text") for name in found if name != "NULL"}
    if kinds == {"int", "float"}:
        return "float", False
    return (kinds.pop(), False) if len(kinds) == 1 else ("text", bool(kinds))


def meta_keys(wanted: Sequence[Name]) -> tuple[str, ...]:
    """Return the metadata keys among names, each once.

    Raises:
        ConfigError: a name has more parts than `meta` and a key.
    """
    for name in wanted:
        if len(name.parts) > 1 and (len(name.parts) > 2 or name.parts[0].lower() != META):
            hint = f'{META}."{".".join(name.parts[1:])}"' if name.parts[0].lower() == META else f"{META}.KEY"
            raise ConfigError(
                f"where, character {name.at}: no column is called {name.text!r}: keys of the metadata are {hint}; an "
                "object inside it is JSON text"
            )
    return tuple(dict.fromkeys(name.parts[1] for name in wanted if len(name.parts) == 2))


def first_unknown(wanted: Sequence[Name], columns: Columns, kinds: Mapping[str, Kind]) -> Name | None:
    """Return the first name that stands for nothing, if any.

    Args:
        kinds: of the metadata keys that some row has.
    """
    for name in wanted:
        known = (
            META in columns and name.parts[1] in kinds if len(name.parts) == 2 else _found(name, columns) is not None
        )
        if not known:
            return name
    return None


def meanings(
    wanted: Sequence[Name], columns: Columns, kinds: Mapping[str, Kind]
) -> tuple[dict[str, str], dict[Name, Meaning]]:
    """Return the columns that known names stand for, each with what it is called in SQL, and what every name means."""
    called: dict[str, str] = {}
    meant: dict[Name, Meaning] = {}
    for name in wanted:
        if len(name.parts) == 2:
            called[META] = META
            meant[name] = _of_key(name.parts[1], kinds[name.parts[1]])
        else:
            column = _found(name, columns) or ""
            # DuckDB takes names that differ in letter case for one: numbers are safe.
            sql = called.setdefault(column, META if column == META else f"c{len(called)}")
            meant[name] = Meaning(family=_FAMILY[columns[column].kind], sql=sql)
    return called, meant


def _found(name: Name, columns: Columns) -> str | None:
    text = name.parts[0]
    if text in columns or name.quoted:
        return text if text in columns else None
    alike = [each for each in columns if each.lower() == text.lower()]
    return alike[0] if len(alike) == 1 else None


def _of_key(key: str, kind: Kind) -> Meaning:
    text = f"json_extract_string(meta, {pointer(key)})"
    sql = {
        "int": f"TRY_CAST({text} AS BIGINT)",
        "float": f"TRY_CAST({text} AS DOUBLE)",
        "bool": f"({text} = 'true')",
        "text": text,
    }
    return Meaning(family=_FAMILY[kind], sql=sql[kind])


def unknown_name(name: Name, columns: Columns, kinds: Mapping[str, Kind]) -> ConfigError:
    """Return the error that names the columns there are, with their types, and the nearest."""
    known = {each: column.kind for each, column in columns.items()} | {
        f"{META}.{key}": kinds[key] for key in sorted(kinds)
    }
    lowered = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.text.lower(), lowered, n=1, cutoff=0.6)
    hint = f", maybe {lowered[near[0]]}" if near else ""
    if name.quoted and not near:
        hint = " (text stands in single quotes)"
    listed = ", ".join(f"{each} ({kind})" for each, kind in [*known.items()][:_SHOWN])
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return ConfigError(f"where, character {name.at}: no column is called {name.text!r}{hint}; there are {listed}{more}")
