"""Filters in a plan and a build: what they leave out, that it is told, and that nothing depends on how rows lie."""

from __future__ import annotations

import importlib.util
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.core.events import Event, Notice
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.plan.captions import choice_of
from hfbucket.core.plan.variants import merge_of
from hfbucket.errors import BuildError, ConfigError, MissingDependencyError
from hfbucket.io import tables
from hfbucket.io.index_files import Index, IndexCaptions
from hfbucket.stages import filters
from hfbucket.stages.plan import make_plan
from hfbucket.stages.report import plan as plan_report
from hfbucket.stages.verify.run import verify
from hfbucket.stages.why import why
from hfbucket.stages.write.build import build
from tests.index_tables import row, write_index
from tests.io.workspace.made import make_workspace, write_captions
from tests.stages.pictures import draw_folder

SMALL: dict[str, Any] = {"base": (128, 64), "workers": 0}
_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def outcomes(index: Index, **settings: Any) -> list[str]:
    return [OUTCOMES[code] for code in make_plan(index, Config(**settings)).outcome]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return write_index(
        tmp_path,
        [row("a", 700, 700, meta='{"score":5}'), row("b", meta='{"score":"high"}'), row("c", 9, 9, meta='{"score":6}')],
        [row("d", None, None, outcome="decode_errors", detail="broken", captions=None, meta=None),
         row("e", captions=[None, None, None]), row("f", 700, 600, captions=[None, "see http", None])],
    )  # fmt: skip


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a module into the current directory and returns its name, which no other test uses."""
    monkeypatch.chdir(tmp_path)

    def write(body: str) -> str:
        name = f"users_filter_{next(_NUMBERS)}"
        Path(f"{name}.py").write_text(f"import numpy as np\nimport pandas as pd\n{body}\n", encoding="utf-8")
        return name

    return write


def test_filters_come_after_what_cannot_be_read_and_before_captions(index: Index) -> None:
    assert outcomes(index, where="width >= 700") == [
        "images_exported", "filtered", "filtered", "decode_errors", "filtered", "images_exported",
    ]  # fmt: skip
    assert outcomes(index, where="caption_original not like '%http%'") == [
        "images_exported", "images_exported", "skipped_too_small", "decode_errors", "filtered", "filtered",
    ]  # fmt: skip
    assert outcomes(index, where="source = 'part1'")[:3] == ["filtered"] * 3
    assert outcomes(index, where="archive = 'part0.tar' and member = 'b'")[1] == "images_exported"


def test_a_key_has_one_type_over_all_units(tmp_path: Path, index: Index) -> None:
    events: list[Event] = []
    plan = make_plan(index, Config(where="meta.score = '5'"), on_event=events.append)
    assert np.flatnonzero(plan.outcome == 0).tolist() == [0]
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "where: meta.score has values of several types; it is taken as text"
    ]
    with pytest.raises(ConfigError, match=r"> takes text in place 2, got a number; text becomes a number with CAST"):
        make_plan(index, Config(where="meta.score > 5"))
    with pytest.raises(ConfigError, match=r"no column is called 'meta.skore', maybe meta.score; there are image_id"):
        make_plan(index, Config(where="meta.skore > 5"))
    numbers = write_index(tmp_path / "n", [row("a", meta='{"score":5}')], [row("b", meta='{"score":5.5}'), row("c")])
    assert outcomes(numbers, where="meta.score > 5") == ["filtered", "images_exported", "filtered"]


def test_captions_are_those_that_the_index_serves(index: Index) -> None:
    config = Config(
        caption_column=("gpt-4", "alt", "old"), where="\"caption_gpt-4\" is null and caption_alt like 'see%'"
    )
    assert np.flatnonzero(make_plan(index, config).outcome == 0).tolist() == [5]
    config = Config(priority=("original",), where="caption_original = 'see http' and caption_chars = 8")
    choice = choice_of(config, ("original",), ())
    served = Index(
        sources=index.sources,
        units=index.units,
        captions=IndexCaptions(choice=choice, merge=merge_of(config, choice, ("original",), ())),
    )
    assert np.flatnonzero(make_plan(served, config).outcome == 0).tolist() == [5]
    with pytest.raises(ConfigError, match="no column is called 'caption_text', maybe caption_"):
        make_plan(served, Config(priority=("original",), where="caption_text is null"))


def test_a_function_sees_documented_columns_in_batches_of_one_size(
    tmp_path: Path, module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a function sees does not follow from how the index is cut, even where it looks at a batch as a whole."""
    name = module(
        "seen = []\ndef keep(df):\n    print('!')\n    seen.append(df)\n    return df['width'] >= df['width'].mean()"
    )
    monkeypatch.setattr(filters, "BATCH_IMAGES", 3)
    rows = [row(f"{number}", 600 + number) for number in range(11)]
    rows[2] |= {"outcome": "source_errors", "width": None}
    whole = write_index(tmp_path / "whole", rows)
    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 2)
    cut = write_index(tmp_path / "cut", rows[:5], rows[5:6], rows[6:])
    plans = [make_plan(each, Config(filter=f"{name}:keep")) for each in (whole, cut)]
    kept = [np.flatnonzero(plan.outcome == 0).tolist() for plan in plans]
    assert kept == [[3, 5, 6, 8, 9, 10]] * 2
    frames = __import__(name).seen
    assert [len(frame) for frame in frames] == [3, 3, 3, 1] * 2
    assert {column: str(dtype) for column, dtype in frames[0].dtypes.items()} == {
        "image_id": "string", "width": "Int64", "height": "Int64", "size_bytes": "Int64", "format": "string",
        "orientation": "Int64", "color": "string", "archive": "string", "member": "string", "source": "string",
        "caption_caption": "string", "caption_text": "string", "caption_sidecar": "string",
        "caption_original": "string", "caption_chars": "Int64", "meta": "string",
    }  # fmt: skip
    assert capsys.readouterr() == ("", "!\n" * 8)
    assert frames[4]["source"].tolist() == ["part0"] * 3


def test_a_plan_is_named_after_what_was_filtered(index: Index, module: Any) -> None:
    """A function keeps its name when it changes; its plan does not."""
    first, second, same = (module(f"def keep(df):\n    return df.width > {edge}") for edge in (100, 650, 600))
    config, ids = Config(filter="chosen:keep"), []
    for name in (first, second, same):
        os.replace(f"{name}.py", "chosen.py")
        importlib.invalidate_caches()
        for cached in Path("__pycache__").glob("chosen*"):
            cached.unlink()
        __import__("sys").modules.pop("chosen", None)
        ids.append(make_plan(index, config).plan_id)
    assert ids[0] != ids[1] == ids[2]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 1 / 0", "raised ZeroDivisionError: division by zero on images 1 to 5, from 'a' on"),
        ("return df['nothing']", "raised KeyError: 'nothing' on images 1 to 5"),
        (
            "return df.width[1:] > 5",
            r"each of images 1 to 5, from 'a' on, 5 in all; got the shape \(4,\)",
        ),
        ("return np.ones((5, 1), dtype=bool)", r"got the shape \(5, 1\)"),
        ("return df.width", "got the dtype Int64"),
        ("return np.array([1, 0, 1, 0, 1])", "got the dtype int64"),
        ("return pd.Series([True, None] * 2 + [False])", "got the dtype object"),
        ("return df.caption_text.str.contains('see')", r"got 4 missing values: say what becomes of them with .fillna"),
        ("return (df.width > 5)[::-1]", "in the order of the frame; got another index"),
        ("return True", "as a Series or an array; got bool"),
        ("return [True] * 5", "as a Series or an array; got list"),
        ("pass", "as a Series or an array; got NoneType"),
    ],
)
def test_what_a_function_does_wrong_is_told(index: Index, module: Any, body: str, message: str) -> None:
    name = module(f"def keep(df):\n    {body}")
    with pytest.raises(BuildError, match=message) as caught:
        make_plan(index, Config(filter=f"{name}:keep"))
    assert f"filter {name}:keep" in str(caught.value)


def test_a_function_that_is_not_there_is_told_before_anything_is_read(module: Any) -> None:
    broken, fine = module("raise RuntimeError('boom')"), module("number = 5")
    for name, message in (
        (
            "no_such_module:keep",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'; it is looked",
        ),
        (f"{fine}:keep", f"cannot be imported: AttributeError: module '{fine}' has no attribute 'keep'"),
        (f"{fine}:number", "must be a function, got int"),
        (f"{broken}:keep", "cannot be imported: RuntimeError: boom"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan_report("no/such/source", Config(filter=name))
    for name in ("module", "module:", ":f", "a b:c", "a:b:c", "../a:b"):
        with pytest.raises(ConfigError, match="filter must be MODULE:FUNCTION, got"):
            Config(filter=name)


def test_an_expression_that_is_none_is_told_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for refused in (plan_report, lambda source, config: build(source, "export", config)):
        with pytest.raises(ConfigError, match="character 8: expected a column, a value or a function, got the end"):
            refused("no/such/source", Config(where="width >"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hfbucket\[sql\]'"):
        plan_report("no/such/source", Config(where="width > 5"))


def test_a_build_records_what_was_filtered_and_why(tmp_path: Path, module: Any) -> None:
    photos, export = draw_folder(tmp_path / "photos", 10), tmp_path / "export"
    name = module("def keep(df):\n    return df.caption_original.str.contains('picture [0-5]').fillna(False)")
    config = Config(**SMALL, where="width >= 160", filter=f"{name}:keep")
    report = plan_report(str(photos), config)
    (line,) = (line for line in report.funnel if line.outcome == "filtered")
    assert (line.images, [example.detail for example in line.examples]) == (7, ["where: width >= 160"] * 3)
    manifest = build(str(photos), export, config)
    assert (manifest.settings["where"], manifest.settings["filter"]) == ("width >= 160", f"{name}:keep")
    assert (manifest.summary["filtered"], manifest.summary["images_exported"]) == (7, 3)
    details = {each["image_id"]: each["detail"] for each in pq.read_table(export / "ledger").to_pylist()}
    assert [details[f"{number:04d}.jpg"] for number in (0, 1, 5, 7)] == [
        None, "where: width >= 160", None, f"filter: {name}:keep",
    ]  # fmt: skip
    (answer,) = why(export, "0001.jpg")
    assert (answer.outcome, answer.detail) == ("filtered", "where: width >= 160")
    assert verify(export, depth="full").problems == ()
    events: list[Event] = []
    assert build(str(photos), export, config, on_event=events.append) == manifest
    assert any("nothing was written" in event.text for event in events if isinstance(event, Notice))


def test_captions_of_a_workspace_are_columns(tmp_path: Path) -> None:
    photos, export = draw_folder(tmp_path / "photos", 8), tmp_path / "export"
    ids = [f"{number:04d}.jpg" for number in range(8)]
    captions = make_workspace(tmp_path / "captions.sqlite", ids)
    write_captions(captions, "short-1", {name: f"a {name}" for name in ids[:5]})
    where = "\"caption_short-1\" not like '%0002%' and caption_original like 'picture%'"
    config = Config(**SMALL, captions=str(captions), priority=("short-1", "original"), where=where)
    manifest = build(str(photos), export, config)
    assert (manifest.summary["filtered"], manifest.summary["skipped_too_small"]) == (4, 1)
    exported = pq.read_table(export / "samples")
    assert sorted(exported["image_id"].to_pylist()) == ["0000.jpg", "0001.jpg", "0003.jpg"]
    assert set(exported["caption_variant"].to_pylist()) == {"short-1"}


def test_long_expressions_are_cut_in_the_ledger_alone(index: Index) -> None:
    where = "width > 5 or " * 100 + "true"
    plan = make_plan(index, Config(where=f"not ({where})" + " or image_id = 'a'"))
    (detail,) = plan.filtered.details(np.array([1])).to_pylist()
    assert len(detail) == 200
    assert detail.startswith("where: not (width > 5 or")
