"""The words of `--where`: every operator and function there is. What is not here cannot be said.

A signature names what goes in and what comes out: `n` number, `t` text, `l` text that is written in the expression
itself, `b` true or false, `x` all of one of these, `a` anything. `?` marks what may be left out, `+` what may be
repeated. All are functions of one row alone, and give the same on every machine: no clock, no chance, no powers and
logarithms, whose last digit is the math library's.
"""

from __future__ import annotations

from typing import Final

FAMILIES: Final = {"n": "a number", "t": "text", "l": "text in quotes", "b": "true or false", "a": "anything"}
"""What the letters of a signature mean; `x` is any of n, t and b."""

MAX_CHARS: Final = 4000
"""The longest expression, in characters."""

MAX_DEPTH: Final = 60
"""The deepest nesting of an expression."""

FUNCTIONS: Final = {
    "abs": "n:n", "ceil": "n:n", "floor": "n:n", "round": "nn?:n", "sign": "n:n", "sqrt": "n:n",
    "greatest": "x+:x", "least": "x+:x", "coalesce": "x+:x", "nullif": "xx:x",
    "length": "t:n", "lower": "t:t", "upper": "t:t", "trim": "tl?:t", "ltrim": "tl?:t", "rtrim": "tl?:t",
    "left": "tn:t", "right": "tn:t", "substr": "tnn?:t", "substring": "tnn?:t", "split_part": "ttn:t",
    "replace": "tll:t", "concat": "t+:t", "strpos": "tt:n", "contains": "tt:b", "starts_with": "tt:b",
    "ends_with": "tt:b", "regexp_matches": "tll?:b", "regexp_full_match": "tll?:b", "regexp_extract": "tln?:t",
    "md5": "t:t", "sha256": "t:t",
}  # fmt: skip
"""Every function by its name in DuckDB, with its signature."""

COMPARISONS: Final = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

ARITHMETIC: Final = {
    "+": (5, "({} + {})"),
    "-": (5, "({} - {})"),
    "*": (6, "({} * {})"),
    "/": (6, "(CAST({} AS DOUBLE) / nullif(CAST({} AS DOUBLE), 0))"),
    "%": (6, "({} % nullif({}, 0))"),
}
"""Operators between numbers: how tightly they bind, and what stands for them. By zero is NULL."""

TYPES: Final = {
    **dict.fromkeys(("int", "integer", "bigint"), ("n", "BIGINT")),
    **dict.fromkeys(("float", "real", "double"), ("n", "DOUBLE")),
    **dict.fromkeys(("text", "varchar", "string"), ("t", "VARCHAR")),
    **dict.fromkeys(("bool", "boolean"), ("b", "BOOLEAN")),
}
"""What may be cast to, by its names: family, and type in DuckDB."""

RESERVED: Final = frozenset(
    ["and", "or", "not", "is", "null", "true", "false", "in", "between", "like", "ilike", "escape", "distinct",
     "case", "when", "then", "else", "end", "cast", "try_cast", "as"]
)  # fmt: skip
"""Words that are no names unless they are quoted or follow a dot."""

QUERIES: Final = frozenset(["select", "from", "with", "exists", "over", "values", "union", "any", "all"])
"""Words of queries: reserved as well, so that what uses them is told that it may not."""
