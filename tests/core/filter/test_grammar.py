"""What can be said in a condition, and that nothing else gets through to DuckDB."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.core.filter.columns import index_columns
from hfbucket.core.filter.grammar import parse
from hfbucket.core.filter.meaning import first_unknown, meanings, meta_keys, unknown_name
from hfbucket.core.filter.tree import condition, names, quoted
from hfbucket.core.filter.words import FUNCTIONS
from hfbucket.errors import ConfigError
from hfbucket.io.sql_child import CONFIG

COLUMNS = index_columns(("caption", "text"), ("caption", "text"))


def test_operators_bind_as_in_sql() -> None:
    connection = duckdb.connect(":memory:", config=CONFIG)
    logic = ("and", "or")
    forms = [f"5 {a} 3 {b} 2 {c} 4" for a, b, c in product("+-*%", "+-*%", ("=", "<", ">="))]
    forms += [f"3 {c} 5 {a} 2" for a, c in product("+-*%", ("=", "<>", "!="))]
    forms += [
        f"false {a} true {b} not true {c} false" for a, b, c in product(logic, logic, (*logic, "=", "is distinct from"))
    ]
    forms += ["not 1 = 2 is null", "not null is null", "'a' || 'b' like 'a%'", "1 + 1 in (2)", "- 2 * 3 = -6"]
    forms += ["not 1 in (2) and false", "5 between 1 + 1 and 3 * 3 and 1 = 2", "(1 < 2) = true", "2 - 1::int = 1"]
    forms += ["(-2)::text = '-2'", "1 = 1 is distinct from false", "true or true is null"]
    for form in forms:
        theirs, ours = (connection.execute(f"SELECT {sql}").fetchall() for sql in (form, condition(parse(form), {})))
        assert ours == [(bool(theirs[0][0]),)], form


FORBIDDEN = [
    "(select 1) = 1", "exists (select 1)", "width in (select 1)", "width = any (select 1)", "width > all([1])",
    "width > 1; drop table batch", "1) from batch; attach 'x' as y; select (1", "true) from read_csv('/etc/passwd') --",
    "true) union select (true", "true) over (", "with x as (select 1) select true", "true /* x",
    "read_csv('/etc/passwd') is null", "read_text('/etc/passwd') = ''", "read_parquet('x') = 1", "glob('/*') = ''",
    "getenv('HOME') = ''", "current_setting('threads') = '1'", "getvariable('x') = 1", "query('select 1') = 1",
    "query_table('x') = 1", "set_config('threads', '4') = 1", "pragma_version() = ''", "duckdb_secrets() = ''",
    "version() = ''", "current_database() = ''", "current_user = ''", "current_date > 1", "now() > 1", "random() < 1",
    "nextval('x') = 1", "repeat('x', 1000000000000) = ''", "lpad('x', 1000000000000, 'y') = ''", "range(1000) = 1",
    "generate_series(1, 1000000000000) = 1", "unnest([1]) = 1", "list_transform([1], x -> x) = 1", "[1, 2][1] = 1",
    "[x for x in [1]] = 1", "{'a': 1} = 1", "columns(*) > 1", "columns('w.*') > 1", "*", "batch.*", "batch is null",
    "#1 = 1", "$1 = 1", "? = 1", ":x = 1", "@x = 1", "lambda x: x", "x -> x", "width ** 9 > 1", "width ^ 9 > 1",
    "width // 2 = 1", "width & 1 = 1", "width << 60 > 1", "!width", "~width = 1", "width::blob = 1", "width::int[] = 1",
    "cast(source as json) = 1", "cast(source as regclass) = 1", "source::timestamp > 1", "source::struct(a int) = 1",
    "source::\"int\" = 1", "cast(width as decimal(38, 0)) = 1", "interval '1' day > 1", "date '2020-01-01' > 1",
    "x'ff' = ''", "e'a' = ''", "$$a$$ = ''", "source collate nocase = ''", "source similar to 'a'", "source glob 'a'",
    "source ~ 'a'", "source at time zone 'x' = ''", "count(*) > 1", "sum(width) > 1", "main.lower(source) = ''",
    "system.main.lower(source) = ''", "\"lower\"(source) = ''", "source.lower() = ''", "lower(distinct source) = ''",
    "lower(source order by 1) = ''", "lower(source) filter (where true) = ''", "lower(x := source) = ''",
    "row(1, 2) = 1", "(1, 2) = (1, 2)", "struct_pack(a := 1) = 1", "error('x') = 1", "write_log('x') = 1",
    "sleep(10) = 1", "eval('1') = 1", "json_execute_serialized_sql('x') = 1", "copy batch to 'x'", "attach 'x'",
    "install httpfs", "load httpfs", "set threads = 4", "pragma version", "call x()", "create macro f(x) as x",
    "rowid = 1", "batch.nothing is null", "nothing is null", "c0 is null", "default", "current_schemas(true) = ''",
]  # fmt: skip


@pytest.mark.parametrize("expression", FORBIDDEN)
def test_nothing_else_can_be_said(expression: str) -> None:
    """All of it ends before DuckDB sees a word: there is nothing to parse it there."""
    with pytest.raises(ConfigError):
        condition_of(expression)


def condition_of(expression: str) -> str:
    tree = parse(expression)
    wanted = tuple(names(tree))
    meta_keys(wanted)
    if (unknown := first_unknown(wanted, COLUMNS, {})) is not None:
        raise unknown_name(unknown, COLUMNS, {})
    return condition(tree, meanings(wanted, COLUMNS, {})[1])


ALLOWED = [
    "width >= 512 and height < 3 * width", "caption_original not like '%http%' escape '$'", "not (meta is null)",
    "case source when 'a' then width > 5 else true end", "cast(caption_text as float) / 2 between 1 and 9.5",
    "lower(substr(caption_text, 1, 5)) in ('it''s', 'x', null)", "length(caption_text || '{0}') % 7 <> 0",
    "coalesce(regexp_matches(member, '^a'), false) is not true", "round(width / 7, 1) is distinct from -3e2",
]  # fmt: skip
PIECES = [
    "'", "''", '"', "(", ")", ",", "*", "{}", "{0}", "--", "/*", "*/", ";", "\\", "$", "[", "]", "::", "int", "not",
    "and", "is", "null", "case", "end", "in", "1", "=", "\n", "select", "from", "batch", "read_csv", "(select 1)", "->",
    "caption_text", "width", "like", "escape", "%", "é", "'); drop table batch; --", "::blob", "columns(*)", "#1", "?",
    "lower(", "getenv(", "union all", "over ()", ".", "meta.", "e'", "x'", ":=", "[1]", "{'a':", "}", "||", "+", "true",
]  # fmt: skip
CLASSES = {"CONJUNCTION", "COMPARISON", "COLUMN_REF", "CONSTANT", "FUNCTION", "OPERATOR", "CASE", "CAST", "BETWEEN"}
OPERATORS = {"+", "-", "*", "/", "%", "||", "~~", "~~*", "!~~", "!~~*", "like_escape", "ilike_escape", "nullif"}


@given(st.sampled_from(ALLOWED), st.lists(st.tuples(st.integers(0, 60), st.sampled_from(PIECES)), max_size=2))
@settings(max_examples=800, deadline=None)
def test_whatever_is_said_is_refused_or_is_one_scalar_expression(base: str, put: list[tuple[int, str]]) -> None:
    """What gets through is, in DuckDB's own parse tree, one expression of what is allowed over columns of ours."""
    text = base
    for at, piece in put:
        text = text[:at] + " " * (at % 2) + piece + text[at:]
    try:
        sql = condition_of(text)
    except ConfigError:
        return
    with duckdb.connect(":memory:", config=CONFIG) as connection:
        ((tree,),) = connection.execute("SELECT json_serialize_sql(?::varchar)", [f"SELECT {sql}"]).fetchall()
    (statement,) = json.loads(tree)["statements"]
    node = statement["node"]
    assert (node["type"], node["from_table"]["type"], node["where_clause"]) == ("SELECT_NODE", "EMPTY", None)
    assert len(node["select_list"]) == 1
    for part in parts(node["select_list"][0]):
        assert part["class"] in CLASSES, part
        assert part.get("function_name", "+") in OPERATORS | {*FUNCTIONS}, part
        assert all(name in ("meta", "c0", "c1", "c2", "c3") for name in part.get("column_names", ())), part


@pytest.mark.parametrize("expression", ALLOWED)
def test_what_is_allowed_is_understood(expression: str) -> None:
    assert condition_of(expression).startswith("coalesce((")


def parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every expression in a parse tree."""
    for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from parts(value)
    if isinstance(tree, dict) and "class" in tree and tree["class"] != "TYPE":
        yield tree


def test_texts_are_quoted() -> None:
    assert quoted("it's") == "'it''s'"
