from __future__ import annotations

import pyarrow as pa
import pytest

from hfbucket.config import Config
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.plan.captions import choice_of, own_variants
from hfbucket.core.plan.encoding import ENCODE_BUCKET, ENCODE_FULL, ENCODE_NONE
from hfbucket.core.plan.rows import Rows, columns_for
from tests.index_tables import index_table, planning_rows, row

KINDS = [
    row("plain.jpg"),
    row("gray.jpg", color="gray"),
    row("rotated.jpg", orientation=6),
    row("cmyk.jpg", color="cmyk"),
    row("ycck.jpg", color="ycck", orientation=3),
    row("a.png", format="png"),
    row("a.webp", format="webp", orientation=None),
]


def encodes(**settings: object) -> list[int]:
    config = Config(image_mode="passthrough_jpeg", **settings)  # type: ignore[arg-type]
    return [int(encode) for encode in planning_rows(KINDS, config).encode]


def test_passthrough_encodes_what_does_not_mean_the_same_to_every_reader() -> None:
    keep, full = ENCODE_NONE, ENCODE_FULL
    assert encodes() == [keep, keep, full, full, full, full, full]
    assert encodes(oriented="keep") == [keep, keep, keep, full, full, full, full]
    # Stripping takes the orientation away: keeping a rotated image's bytes would turn it.
    assert encodes(oriented="keep", strip_metadata=True) == [keep, keep, full, full, full, full, full]
    assert set(planning_rows(KINDS, Config()).encode.tolist()) == {ENCODE_BUCKET}


def test_not_jpeg_skip() -> None:
    rows = planning_rows(KINDS, Config(image_mode="passthrough_jpeg", not_jpeg="skip"))
    assert [OUTCOMES[code] for code in rows.outcome] == ["images_exported"] * 5 + ["skipped_not_jpeg"] * 2
    assert not planning_rows(KINDS, Config(not_jpeg="skip")).outcome.any()  # re-encoding takes every format


def test_outcomes_of_the_scan_stand() -> None:
    rows = planning_rows(
        [
            row("a.jpg", None, None, outcome="decode_errors", detail="truncated", format=None, captions=None),
            row("b.jpg", 2**40, 2**40, outcome="skipped_too_large"),
            row("c.jpg", 2**31, 5),
            row("d.jpg", 2**31 - 1, 5),
        ],
        Config(),
    )
    assert [OUTCOMES[code] for code in rows.outcome] == [
        "decode_errors", "skipped_too_large", "skipped_too_large", "images_exported",
    ]  # fmt: skip
    assert rows.numbers.sizes().width[rows.size].tolist() == [0, 0, 0, 2**31 - 1]
    assert rows.caption_index.tolist() == [-1, 0, 0, 0]


def test_pieces_and_chunks_make_no_difference() -> None:
    many = [row(f"{n}.jpg", 600 + n, captions=[None, f"{n}" * (n % 2), None]) for n in range(7)]
    config = Config(image_mode="passthrough_jpeg")
    whole, pieces = (planning_rows(many, config, pieces=pieces) for pieces in (1, 3))
    chunked = Rows.empty(7, config, words=2)
    choice = choice_of(config, own_variants(config), ())
    table = index_table(many).select(list(columns_for(config)))
    chunked.put(0, pa.concat_tables([table.slice(0, 2), table.slice(2, 0), table.slice(2)]), config, choice)
    for other in (pieces, chunked):
        for name in ("words", "size", "size_bytes", "outcome", "caption_index", "encode"):
            assert getattr(other, name).tolist() == getattr(whole, name).tolist()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (row("a", outcome="eaten"), r"outcome must be null or one of images_exported, .*, got \['eaten'\]"),
        (row("a", None), "a row without an outcome must have a width and a height of at least 1 pixel"),
        (row("a", 5, 0), "at least 1 pixel"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(broken: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planning_rows([row("ok"), broken], Config())
