"""Planning: from the index's rows to what becomes of each (FORMAT sections 3, 4 and 6). Pure, columnar, exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hfbucket.config import Config
from hfbucket.core.chunks import chunks
from hfbucket.core.duplicates.exact import Int64s, Repeats, find_repeats
from hfbucket.core.duplicates.find import Fingerprints, Twins, find_twins
from hfbucket.core.law.assign import Assignment, assign
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.law.rare import dissolve_rare
from hfbucket.core.law.sizes import Sizes
from hfbucket.core.outcomes import CODE, EXPORTED
from hfbucket.core.plan.layout import Eligible, lay_out
from hfbucket.core.plan.model import Plan
from hfbucket.core.plan.rows import Rows
from hfbucket.core.plan.standing import Standing

Outcomes = npt.NDArray[np.uint8]


def plan_rows(
    rows: Rows,
    buckets: Sequence[Bucket],
    config: Config,
    *,
    plan_id: str = "",
    same_id: Repeats | None = None,
    standing: Standing | None = None,
    fingerprints: Callable[[Int64s], Fingerprints] | None = None,
) -> Plan:
    """Return the plan of the rows; the same whatever machine computes it.

    Reasons to leave a row out apply in the order of FORMAT section 6; the first one counts.

    Args:
        buckets: every bucket of the settings, as `scaled_buckets` orders them.
        same_id: the rows that share their image_id with others; without it they are found by `rows.words`, two each.
        standing: what an export holds already: those rows get no place, the others come after what is there.
        fingerprints: returns what rows are compared by, in the order asked; without it none is looked for.
    """
    outcome = _first_reasons(rows, config, standing)
    eligible = Eligible(rows=rows, outcome=outcome, apart=None if standing is None else standing.apart)
    sizes = rows.numbers.sizes()
    law = assign(sizes.width, sizes.height, buckets, metric=config.metric, max_crop=config.max_crop)
    for at, size in eligible.chunks():
        outcome[at] = law.outcome[size]
    if same_id is None:
        same_id = find_repeats(rows.words[:, 0], lambda positions: rows.words[positions])
    again, _ = same_id.among(eligible.of(same_id.rows))
    outcome[again] = CODE["duplicates_removed"]
    twins = Twins.none() if fingerprints is None else _twins(eligible, sizes, standing, fingerprints, config)
    outcome[twins.rows] = CODE["duplicates_removed"]
    bucket = _dissolved(law, eligible.images(len(sizes.width)), sizes, buckets, config, standing)
    for at, size in eligible.chunks():
        outcome[at[bucket[size] < 0]] = CODE["skipped_rare_bucket"]
    first_shard = np.zeros(len(buckets), dtype=np.int64) if standing is None else standing.next_shard
    plan = lay_out(eligible, sizes, bucket, tuple(buckets), config, plan_id=plan_id, first_shard=first_shard)
    return replace(plan, twins=twins)


def _first_reasons(rows: Rows, config: Config, standing: Standing | None) -> Outcomes:
    """Return the outcomes that are decided before the bucket law."""
    outcome = rows.outcome.copy()
    for here in chunks(len(outcome)):
        if config.missing_caption in (None, "drop"):
            lacks = (outcome[here] == EXPORTED) & (rows.caption_index[here] < 0)
            outcome[here][lacks] = CODE["skipped_no_caption"]
        if standing is not None:
            apart = standing.apart[here]
            outcome[here][apart] = standing.outcome[here][apart]
    return outcome


def _twins(
    eligible: Eligible,
    sizes: Sizes,
    standing: Standing | None,
    fingerprints: Callable[[Int64s], Fingerprints],
    config: Config,
) -> Twins:
    """Return which of the eligible rows go, and for which: what is held already stays and comes first."""
    held = np.zeros(0, dtype=np.int64)
    if standing is not None:
        held = np.flatnonzero(standing.earlier)
        held = held[sizes.width[eligible.rows.size[held]] > 0]
    compared = np.concatenate([held, *(at for at, _ in eligible.chunks())])
    return find_twins(fingerprints(compared), near_threshold=config.near_threshold, kept=len(held)).at(compared)


def _dissolved(
    law: Assignment,
    images: Int64s,
    sizes: Sizes,
    buckets: Sequence[Bucket],
    config: Config,
    standing: Standing | None,
) -> npt.NDArray[np.int16]:
    return dissolve_rare(
        law.bucket, images, sizes.width, sizes.height, buckets,
        min_bucket=config.min_bucket, rare=config.rare, metric=config.metric, max_crop=config.max_crop,
        standing_images=None if standing is None else standing.images,
    )  # fmt: skip
