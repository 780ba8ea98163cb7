"""Conditions asked of DuckDB: what they mean, what they may not do, and that limits hold."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from hfbucket.core.filter.columns import Kind, index_columns, read_columns, sample_columns
from hfbucket.core.filter.grammar import parse
from hfbucket.core.filter.meaning import meanings
from hfbucket.core.filter.tree import condition, names
from hfbucket.core.filter.words import FUNCTIONS
from hfbucket.errors import ConfigError, MissingDependencyError
from hfbucket.io.sql import BATCH_ROWS, Where, _Sandbox

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


def test_patterns_are_no_bombs() -> None:
    """Regular expressions take time in proportion to the text; those that would grow large are refused."""
    with Where("regexp_matches(caption_original, '^(a+)+$') and caption_original ilike '%a%a%a%b' is false", COLUMNS,
               lambda _: [], time_limit_s=10) as where:  # fmt: skip
        assert where.mask(long_texts(100, 10_000)).all()
    with pytest.raises(ConfigError, match="where cannot be evaluated: Invalid Input Error"):
        Where("regexp_matches(caption_original, '(((a{100}){100}){100}){100}')", COLUMNS, lambda _: [])


def test_numbers_that_become_too_large_are_an_error() -> None:
    with Where("width * width > 5", COLUMNS, lambda _: []) as where, pytest.raises(ConfigError, match="too large"):
        where.mask(pa.table({"width": [2**62]}))


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
