"""Taking samples out, against tars cut by hand."""

from __future__ import annotations

import io
import tarfile
from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.key_sets import keys_of
from hfbucket.core.keys import MEMBERS, digest_of, key_of
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.removal import Cut, entomb, with_removed
from hfbucket.io.ustar import END, header, padding, read_members
from hfbucket.schemas import LEDGER

COLUMNS = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),
        *((f"{member}_{what}", pa.int64()) for member in MEMBERS for what in ("offset", "size")),
    ]
)
sizes = st.tuples(*[st.integers(0, 1300)] * 3)
exports = st.lists(st.lists(st.tuples(sizes, st.booleans()), min_size=1, max_size=6), min_size=1, max_size=5)


def write(shard: list[tuple[str, tuple[int, ...]]]) -> tuple[bytes, list[dict[str, int]]]:
    """A tar of samples, and where the members of each lie."""
    data, places = b"", []
    for key, members in shard:
        place: dict[str, int] = {}
        for extension, size in zip(MEMBERS, members, strict=True):
            data += header(f"{key}.{extension}", size)
            place |= {f"{extension}_offset": len(data), f"{extension}_size": size}
            data += key[-1].encode() * size + bytes(padding(size))
        places.append(place)
    return data + END, places


@given(export=exports, step=st.integers(1, 7))
def test_what_stays_is_what_would_have_been_written(
    export: list[list[tuple[tuple[int, ...], bool]]], step: int
) -> None:
    rows, keep, old, new, expected = [], [], {}, {}, []
    for number, samples in enumerate(export):
        file = f"shard-{number}"
        named = [(f"{number}-{at}", size) for at, (size, _) in enumerate(samples)]
        stays = [sample for sample, (_, kept) in zip(named, samples, strict=True) if kept]
        old[file], places = write(named)
        new[file], moved = write(stays)
        rows += [{"key": key, "shard": file, **place} for (key, _), place in zip(named, places, strict=True)]
        expected += [{"key": key, "shard": file, **place} for (key, _), place in zip(stays, moved, strict=True)]
        keep += [kept for _, kept in samples]
    table = pa.Table.from_pylist(rows, schema=COLUMNS)
    cut = Cut()
    pieces = [cut.rows(table.slice(at, step), np.array(keep[at : at + step])) for at in range(0, table.num_rows, step)]
    assert pa.concat_tables([COLUMNS.empty_table(), *pieces]).to_pylist() == expected
    hit = {f"shard-{number}" for number, samples in enumerate(export) if not all(kept for _, kept in samples)}
    assert cut.parts.keys() == hit
    for file, parts in cut.parts.items():
        data = b"".join(old[file][start:stop] for start, stop in parts) + END
        assert data == new[file]
        assert len(parts) <= len([*read_members(data)]) // 3
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            assert len(archive.getnames()) % 3 == 0


def detail(name: int) -> str:
    """What may be said of a duplicate: its twin is the one before."""
    words = ("same bytes as name {}", "same pixels as name {}", "near name {}, distance 3", "name {}x", "of name {}")
    return words[name % len(words)].format(name - 1)


def forgets(name: int, outcome: str, ids: set[int]) -> bool:
    return outcome == "duplicates_removed" and name - 1 in ids and name % 5 < 3


@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.sampled_from(OUTCOMES)), max_size=20), ids=st.sets(st.integers(0, 8))
)
def test_the_ledger_forgets_names_and_the_summary_adds_up(rows: list[tuple[int, str]], ids: set[int]) -> None:
    ledger = pa.Table.from_pylist(
        [{"image_id": f"name {name}", "outcome": outcome, "detail": detail(name)} for name, outcome in rows], LEDGER
    )
    counted = Counter(outcome for _, outcome in rows)
    summary = {"images_seen": len(rows), **{name: counted[name] for name in OUTCOMES}, "ignored_members": 3}
    names = pa.chunked_array([[f"name {name}" for name in ids]], pa.string())
    changed, former = entomb(ledger, np.sort(keys_of(names)))
    for (name, outcome), row in zip(rows, changed.to_pylist(), strict=True):
        gone = name in ids and outcome != "removed"
        assert row == {
            "image_id": key_of(digest_of(f"name {name}")) if gone else f"name {name}",
            "outcome": "removed" if gone else outcome,
            "detail": None
            if gone
            else "like an image that was removed"
            if forgets(name, outcome, ids)
            else detail(name),
        }
    after = with_removed(summary, Counter(former.to_pylist()))
    assert after == {**summary, **{name: changed["outcome"].to_pylist().count(name) for name in OUTCOMES}}
    assert sum(after[name] for name in OUTCOMES) == after["images_seen"]
