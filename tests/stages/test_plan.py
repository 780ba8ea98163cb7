from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hfbucket.config import Config
from hfbucket.core.events import Event, Progress
from hfbucket.core.law.buckets import SDXL
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.units import SourceSpec, UnitFacts
from hfbucket.errors import ConfigError, SourceError
from hfbucket.io import tables
from hfbucket.io.index_files import Index
from hfbucket.stages.plan import make_plan, plan_id, read_protos
from tests.index_tables import row, write_index

NO_CAPTION: list[str | None] = [None, "", None]


def test_a_plan_of_an_index_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 2)
    index = write_index(tmp_path, [row("a"), row("b"), row("c", 9, 9)], [], [row("d", captions=[None, "x", None])])
    events: list[Event] = []
    plan = make_plan(index, Config(), on_event=events.append)
    assert [OUTCOMES[code] for code in plan.outcome] == [
        "images_exported", "images_exported", "skipped_too_small", "images_exported",
    ]  # fmt: skip
    assert plan.caption_index.tolist() == [0, 0, -1, 1]
    assert [len(members) for _, _, members in plan.shard_rows()] == [3]
    assert events == [Progress(stage="plan", done=done, total=4, unit="images") for done in (2, 3, 4)]
    assert plan.plan_id == plan_id(index, Config(), SDXL)


def test_the_plan_id_follows_content_settings_and_what_the_sources_hold(tmp_path: Path) -> None:
    one = write_index(tmp_path / "1", [row("a"), row("b")])
    same = write_index(tmp_path / "2", [row("a", offset=512, mtime_ns=5, detail="x"), row("b", path=b"b")])
    other = write_index(tmp_path / "3", [row("a"), row("c")])
    ids = [make_plan(index, Config()).plan_id for index in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]
    assert make_plan(one, Config(workers=0, batch_size=7, title="x")).plan_id == ids[0]
    assert make_plan(one, Config(quality=94)).plan_id != ids[0]
    renamed = Index(sources=(SourceSpec(name="z", url="data/part0.tar", kind="tars"),), units=one.units)
    assert make_plan(renamed, Config()).plan_id != ids[0]
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in ids)


def test_empty_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no images in data/part0.tar; check the path") as caught:
        make_plan(write_index(tmp_path, []), Config())
    assert caught.value.exit_code == 2


def test_one_image_id_in_two_sources_is_refused_with_both_and_a_way_out(tmp_path: Path) -> None:
    index = write_index(tmp_path, [row("x"), row("a", member="a.jpg")], [row("a", member="a.png"), row("x")])
    with pytest.raises(SourceError) as caught:
        make_plan(index, Config())
    assert str(caught.value) == (
        "two inputs have the image_id 'a': data/part0.tar: part0.tar/a.jpg and data/part1.tar: part1.tar/a.png "
        "(2 inputs repeat an image_id); prefix the ids with a name of each source, as in first=data/part0.tar "
        "second=data/part1.tar, or keep the first of each with --duplicate-ids first"
    )
    plan = make_plan(index, Config(duplicate_ids="first"))
    assert np.count_nonzero(plan.outcome) == 2


def test_one_image_id_twice_in_one_source(tmp_path: Path) -> None:
    index = write_index(tmp_path, [row("a", 5, 5), row("a")])  # one of them is too small: still an error
    with pytest.raises(SourceError, match="take ids from a metadata column with --id-column, or keep the first"):
        make_plan(index, Config())


def test_mostly_without_captions_stops_unless_a_policy_was_given(tmp_path: Path) -> None:
    facts = UnitFacts(meta_keys=("alt", "url"), sidecars={".json": 3})
    bad = row("bad", None, None, outcome="decode_errors")
    index = write_index(
        tmp_path, [row("a", captions=NO_CAPTION), row("b", captions=NO_CAPTION), row("c"), bad], facts=facts
    )
    with pytest.raises(SourceError) as caught:
        make_plan(index, Config())
    assert caught.value.exit_code == 2
    assert str(caught.value) == (
        "2 of 3 images have no caption. Looked for caption, text, sidecar; columns found: alt, url; sidecar files "
        "found: .json. Name the column with --caption-column NAME, keep images without caption with "
        "--missing-caption empty, or leave them out with --missing-caption drop"
    )
    assert np.count_nonzero(make_plan(index, Config(missing_caption="drop")).outcome == 0) == 1
    assert np.count_nonzero(make_plan(index, Config(missing_caption="empty")).outcome == 0) == 3


def test_half_without_captions_is_no_reason_to_stop(tmp_path: Path) -> None:
    index = write_index(tmp_path, [row("a", captions=NO_CAPTION), row("c")])
    assert np.count_nonzero(make_plan(index, Config()).outcome == 0) == 1
    with pytest.raises(SourceError, match="1 of 2 images have no caption, among them 'a'; --missing-caption error"):
        make_plan(index, Config(missing_caption="error"))


def test_nothing_that_fits_is_refused(tmp_path: Path) -> None:
    index = write_index(
        tmp_path, [row("a", 100, 100), row("b", 120, 90), row("c", None, None, outcome="decode_errors")]
    )
    with pytest.raises(SourceError) as caught:
        make_plan(index, Config(base=(512, 256)))
    assert str(caught.value) == (
        "no image fits any bucket (1 decode_errors, 2 skipped_too_small): the largest too small one has 120x90 "
        "pixels; --base 64 would take 2"
    )
    assert caught.value.exit_code == 2


def test_nothing_is_refused_where_no_base_helps(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="2x2 pixels; no common lower base would take any"):
        make_plan(write_index(tmp_path, [row("a", 2, 2)]), Config())


def test_nothing_that_can_be_read_is_refused(tmp_path: Path) -> None:
    index = write_index(tmp_path, [row("c", None, None, outcome="decode_errors")])
    with pytest.raises(SourceError, match=r"^nothing would be exported: of 1 images 1 decode_errors$"):
        make_plan(index, Config())
    bad = row("c", None, None, outcome="decode_errors", detail="is empty")
    index = write_index(
        tmp_path / "told",
        [row("b", None, None, outcome="source_errors"), bad, row("d", None, None, outcome="decode_errors")],
    )
    with pytest.raises(SourceError, match=r"of 3 images 1 source_errors, 2 decode_errors, such as 'c': is empty$"):
        make_plan(index, Config())


def test_protos_by_name_or_file(tmp_path: Path) -> None:
    assert read_protos(Config()) == SDXL
    file = tmp_path / "protos.txt"
    file.write_text("1024x1024\n640x1536\n")
    assert read_protos(Config(protos=str(file))) == ((1024, 1024), (640, 1536))
    file.write_text("wide")
    with pytest.raises(ConfigError, match=r"protos.txt: protos, line 1: must be WxH in pixels"):
        read_protos(Config(protos=str(file)))
    with pytest.raises(ConfigError, match="protos must be sdxl or a file with one WxH a line, got 'sdxxl'"):
        read_protos(Config(protos="sdxxl"))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"protos.txt cannot be read"):
        read_protos(Config(protos=str(file)))
