"""Conditions asked of DuckDB: what they mean, what they may not do, and that limits hold."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.core.filter.columns import Kind, index_columns, read_columns, sample_columns
from hfbucket.core.filter.grammar import parse
from hfbucket.core.filter.meaning import first_unknown, meanings, meta_keys, unknown_name
from hfbucket.core.filter.tree import condition, names, quoted
from hfbucket.core.filter.words import FUNCTIONS
from hfbucket.errors import ConfigError, MissingDependencyError
from hfbucket.io.sql import BATCH_ROWS, Where, _Sandbox
from hfbucket.io.sql_child import CONFIG

TABLE = pa.table(
    {
        "image_id": list("abcd"),
        "width": pa.array([100, 600, None, 800], pa.int64()),
        "height": pa.array([50, 600, 7, 0], pa.int64()),
        "captions": pa.array([["a cat", "http b"], [None, "c"], None, [" ", "It's 100%"]], pa.list_(pa.string())),
        "source": ["one", "one", "two", "two"],
        "meta": [
            '{"Odd \\"key\\"/~":1,"big":18446744073709551615,"f":2,"mixed":"x","none":null,"o":{"k":[1]},"ok":true}',
            '{"f":2.5,"mixed":3,"ok":false}', None, '{"big":-5,"f":null,"mixed":"3","tüte":"é"}',
        ],
    }
)  # fmt: skip
COLUMNS = index_columns(("caption", "text"), ("caption", "text"))

KINDS: dict[str, Kind] = {
    'Odd "key"/~': "int", "big": "float", "f": "float", "mixed": "text", "none": "text", "o": "text", "ok": "bool",
    "tüte": "text",
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[_Sandbox]:
    with _Sandbox(30, 1 << 30) as running:
        yield running


def asked(expression: str, table: pa.Table = TABLE) -> str:
    """Which rows are kept, as in "0110"."""

    def tables(names: Sequence[str]) -> Iterable[pa.Table]:
        return [table.slice(0, 1).select(list(names)), table.slice(1).select(list(names))]

    with Where(expression, COLUMNS, tables) as where:
        return "".join("01"[kept] for kept in where.mask(table.select(list(where.needs))).tolist())


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("width >= 512", "0101"),
        ("not width >= 512", "1000"),
        ("WIDTH >= 512 and (meta.f > 2 or source = 'two')", "0101"),
        ("width / height >= 2", "1000"),
        ("width % 7 = 2 -- a comment\n", "1001"),
        ("height between 7 and 50", "1010"),
        ("height not between 7 and 50", "0101"),
        ("width is null", "0010"),
        ("(width > 1) is not true", "0010"),
        ("width is not distinct from null", "0010"),
        ("width in (100, 600, null)", "1100"),
        ("caption_caption is null", "0110"),
        ("caption_text like '%b'", "1000"),
        ("caption_original = 'a cat'", "1000"),
        ("caption_original not like '%http%'", "1101"),
        ("caption_original like '%100$%' escape '$'", "0001"),
        ("caption_original like '%it''s%' or caption_original ilike '%IT''S%'", "0001"),
        ("caption_chars = 5", "1000"),
        ("length(caption_text) > 5 and regexp_matches(caption_text, '^h')", "1000"),
        ("case when width > 700 then true when height = 50 then true else false end", "1001"),
        ("case source when 'two' then height = 7 end", "0010"),
        ("1 = 1", "1111"),
        ("width = 1e2 or width = .6e3", "1100"),
        ("-width < -700", "0001"),
        ("width - 50 - 25 = 25", "1000"),
        ("2 + 3 * 4 = 14 and (2 + 3) * 4 = 20 and 7 - -2 = 9", "1111"),
        ("cast(meta.mixed as int) = 3", "0101"),
        ("meta.mixed::float >= 3", "0101"),
        ("width::text || 'x' = '100x'", "1000"),
        ("true or width > 1 and false", "1111"),
        ("meta.ok", "1000"),
        ("meta.none is null", "1111"),
        ("meta.f = 2 or meta.f = 2.5", "1100"),
        ("meta.big < 0", "0001"),
        ("meta.o = '{\"k\":[1]}'", "1000"),
        ("meta.\"Odd \"\"key\"\"/~\" = 1", "1000"),
        ("meta['Odd \"key\"/~'] = 1", "1000"),
        ("meta.tüte = 'é'", "0001"),
        ("contains(meta, 'Odd')", "1000"),
        ("substr(md5(source), 1, 1) = 'f'", "1100"),
    ],
)  # fmt: skip
def test_what_is_kept(expression: str, kept: str, sandbox: _Sandbox) -> None:
    tree = parse(expression)
    called, meant = meanings(tuple(names(tree)), COLUMNS, KINDS)
    inputs = read_columns(TABLE, {name: COLUMNS[name] for name in called or ("image_id",)})
    batch = inputs.rename_columns([called.get(name, name) for name in inputs.column_names])
    rows = sandbox.ask(f"SELECT {condition(tree, meant)} AS keep FROM batch", batch)["keep"].to_pylist()
    assert "".join("01"[row] for row in rows) == kept


def test_metadata_is_typed_over_all_rows() -> None:
    assert asked('meta.mixed = \'3\' and meta."Odd ""key""/~" is null and meta.big < 0.5 or meta.f = 2.5') == "0101"
    assert asked("1 = 1") == "1111"


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


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("widht > 5", "character 1: no column is called 'widht', maybe width; there are image_id (text), "),
        ("meta.ff > 5", "no column is called 'meta.ff', maybe meta.f; there are .* meta.f (float), meta.mixed (text)"),
        ("source = \"one\"", "character 10: no column is called 'one' (text stands in single quotes); there are "),
        ("meta.o.k = 1", "no column is called 'meta.o.k': keys of the metadata are meta.\"o.k\"; an object "),
        ("source.x = 1", "keys of the metadata are meta.KEY"),
        ("width", "must be true or false for every image, got a number; compare it with something"),
        ("null", "must be true or false for every image, got NULL"),
        ("source > 5", "character 8: > takes text in place 2, got a number; text becomes a number with CAST"),
        ("width and true", "AND takes true or false in place 1, got a number (width)"),
        ("length(width) > 1", "length takes text in place 1, got a number (width)"),
        ("source like meta.mixed", "LIKE takes text in quotes in place 2, got text (meta.mixed)"),
        ("regexp_matches(source, caption_text)", "takes text in quotes in place 2, got text"),
        ("regexp_matches(source, '[')", "where cannot be evaluated: "),
        ("round(1, 2, 3) = 1", "round takes 1 to 2 arguments, got 3"),
        ("lower() = ''", "lower takes 1 arguments, got 0"),
        ("width >", "character 8: expected a column, a value or a function, got the end"),
        ("width > 5 5", "character 11: expected the end of the expression, or AND or OR, got 5"),
        ("source = 'x", "character 10: a ' opens and does not close; inside, write it twice"),
        ("1 < width < 3", "character 11: expected AND or OR, as comparisons are no chains, got <"),
        ("", "expected a column, a value or a function, got the end"),
        ("width > 1e999", "the number 1e999 is too large"),
        ("width > " + "9" * 400, "a number must have at most 300 digits"),
        ("width > 1_000", "cannot be read from '1_000' on"),
        ("source = 'a\0'", r"must be printable text, got '\\x00'"),
        ("source = '\ud800'", "must be printable text"),
        ("(" * 200 + "true" + ")" * 200, "must be nested at most 60 deep"),
        ("not " * 200 + "true", "must be nested at most 60 deep"),
        ("width" + " + 1" * 200 + " > 1", "must be nested at most 60 deep"),
        ("width > 1 or " * 500 + "true", "must have at most 4000 characters, got 6504"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(expression: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        asked(expression)
    plain = str(caught.value)
    assert all(part in plain for part in message.replace("\\\\", "\\").split(" .* ")), plain


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


@given(st.lists(st.sampled_from([
    "width", "source", "meta", ".", "'", "''", '"', "(", ")", ",", "*", "{}", "{0}", "--", "/*", "*/", ";", "\\", "$",
    "[", "]", "::", "int", "not", "and", "is", "null", "case", "when", "then", "end", "in", "between", "lower", "1",
    "=", "\n", "select", "from", "batch", "read_csv", "caption_text", "like", "escape", "%", "é",
    "'); drop table batch; --",
]), max_size=12))  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_whatever_is_said_is_refused_or_is_one_scalar_expression(pieces: list[str]) -> None:
    """What gets through is, for DuckDB's own parser, one SELECT of one expression over known columns."""
    try:
        sql = condition_of(" ".join(pieces))
    except ConfigError:
        return
    statements = duckdb.extract_statements(f"SELECT {sql} AS keep FROM batch")
    assert [statement.type.name for statement in statements] == ["SELECT"]
    with duckdb.connect(":memory:", config=CONFIG) as connection:
        batch = pa.table({name: pa.nulls(1, pa.string()) for name in ("meta", "c0", "c1", "c2", "c3", "c4", "c5")})
        connection.register("batch", batch)
        with suppress(duckdb.BinderException, duckdb.ConversionException):  # all columns are text here
            assert connection.sql(f"SELECT {sql} AS keep FROM batch").columns == ["keep"]


def test_the_connection_itself_reaches_nothing(tmp_path: Path, sandbox: _Sandbox) -> None:
    """Were a word to get through, the database it comes to has no files, no settings and no network."""
    (tmp_path / "a.csv").write_text("a\n1\n")
    for sql in (
        f"SELECT * FROM '{tmp_path}/a.csv'", f"SELECT * FROM read_csv('{tmp_path}/a.csv')",
        f"SELECT * FROM glob('{tmp_path}/*')", f"ATTACH '{tmp_path}/x.db'", f"COPY batch TO '{tmp_path}/x.csv'",
        f"EXPORT DATABASE '{tmp_path}/x'", "INSTALL httpfs", "LOAD httpfs", "SET threads = 8", "RESET memory_limit",
        "SET enable_external_access = true", "SELECT * FROM sys", "SELECT getenv('HOME')",
        "PRAGMA threads = 8",
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="where cannot be evaluated"):
            sandbox.ask(sql, TABLE)
    assert sandbox.ask("SELECT 1 AS one", TABLE).to_pydict() == {"one": [1]}
    assert sorted(os.listdir(tmp_path)) == ["a.csv"]


def long_texts(count: int, chars: int) -> pa.Table:
    rows = pa.array([["a" * chars, None]] * count, pa.list_(pa.string()))
    return pa.table({"captions": rows, "meta": pa.nulls(count, pa.string()), "width": pa.nulls(count, pa.int64())})


def explosion(calls: int) -> str:
    return "length(" + "replace(" * calls + "caption_original" + ", 'a', 'aaaaaaaaaaaaaaaa')" * calls + ") > 0"


def test_too_much_memory_is_an_error() -> None:
    with (
        Where(explosion(8), COLUMNS, lambda _: [], memory_limit_bytes=200 << 20) as where,
        pytest.raises(ConfigError, match=r"where .*too much memory; make fewer and shorter texts"),
    ):
        where.mask(long_texts(1, 10))


def test_too_much_time_is_an_error() -> None:
    digests = " or ".join(f"sha256(caption_original || '{number}') = ''" for number in range(40))
    with Where(digests, COLUMNS, lambda _: [], time_limit_s=1) as where:
        with pytest.raises(ConfigError, match="where takes more than 1 seconds for a batch of at most 16384 images"):
            where.mask(long_texts(1, 60 << 20))
        with pytest.raises(ConfigError, match="where"):
            where.mask(long_texts(1, 1))


def test_rows_are_asked_for_in_batches_that_change_nothing() -> None:
    rows = 2 * BATCH_ROWS + 7
    table = pa.table({"width": range(rows), "meta": [f'{{"k":{row}}}' for row in range(rows)]})
    with Where("width % 3 = 0 and meta.k % 2 = 0", COLUMNS, lambda names: [table.select(list(names))]) as where:
        assert where.needs == ("width", "meta")
        assert where.mask(table).nonzero()[0].tolist() == list(range(0, rows, 6))
        assert where.mask(table.slice(0, 0)).tolist() == []
    with Where("length(upper(caption_original)) = 1000000", COLUMNS, lambda _: []) as where:
        assert where.mask(long_texts(40, 1_000_000)).all()  # more than one batch of bytes


def test_keys_of_several_types_are_text_and_told() -> None:
    with Where("meta.mixed = '3' or meta.f > 1", COLUMNS, lambda _: [TABLE.select(["meta"])]) as where:
        assert where.notes == ("where: meta.mixed has values of several types; it is taken as text",)


def test_values_of_rows_do_not_stand_in_errors() -> None:
    table = pa.table({"meta": ["a secret that is no JSON"]})
    with pytest.raises(ConfigError) as caught:
        Where("meta.k = 1", COLUMNS, lambda _: [table])
    assert "secret" not in str(caught.value)


def test_sample_tables_have_columns_too() -> None:
    captions = pa.array(
        [
            [{"variant": "b", "text": "x"}, {"variant": "A", "text": "y"}],
            None,
            [{"variant": "A", "text": None}],
            [{"variant": "sidecar", "text": "z"}, {"variant": "text", "text": None}],
        ],
        pa.list_(pa.struct([("variant", pa.string()), ("text", pa.string())])),
    )
    table = pa.table({"captions": captions, "caption": ["x", None, "abc", ""], "source_w": pa.array([1, 2, 3, 4])})
    columns = sample_columns(("A", "b", "text", "sidecar"))
    assert "caption_original" not in sample_columns(("A", "b"))
    for expression, kept in (
        ("caption_A = 'y'", [True, False, False, False]),
        ("caption_b is null", [False, True, True, True]),
        ("caption_chars >= 1 and width < 3", [True, False, False, False]),
        ("caption_original = 'z'", [False, False, False, True]),
    ):
        with Where(expression, columns, lambda _: []) as where:
            assert where.mask(table.select(list(where.needs))).tolist() == kept


def test_captions_of_uneven_lists_and_slices() -> None:
    lists = pa.array([None, ["a"], [None, "b"], [], ["c", "d", "e"]], pa.list_(pa.string()))
    table = pa.table({"captions": pa.chunked_array([lists.slice(1, 2), lists.slice(3), lists.slice(0, 1)])})
    with Where("caption_text is not null", COLUMNS, lambda _: []) as where:
        assert where.mask(table).tolist() == [False, True, False, True, False]


def test_without_duckdb_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"install it with pip install 'hfbucket\[sql\]'"):
        Where("true", COLUMNS, lambda _: [])


def test_a_duckdb_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "duckdb.py").write_text("raise ImportError('a broken installation')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="process ended with exit code 1: ImportError: a broken installation"):
        Where("true", COLUMNS, lambda _: [])


def test_the_readme_lists_what_there_is() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (functions,) = (line for line in readme.splitlines() if line.startswith("| functions |"))
    assert set(functions.split("`")[1].split()) == set(FUNCTIONS) - {"substring"}
    (columns,) = (line for line in readme.splitlines() if line.startswith("| columns |"))
    listed = set(" ".join(columns.split("`")[1::2]).split()) - {"_"}
    variants = {f"caption_{name}" for name in ("caption", "text")}
    assert {*COLUMNS} - variants - {"meta"} <= listed


def test_texts_are_quoted() -> None:
    assert quoted("it's") == "'it''s'"
