"""Planning: from the index's rows to what becomes of each (FORMAT sections 3, 4 and 6). Pure, columnar, exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hfbucket.config import Config
from hfbucket.core.duplicates.exact import Int64s, repeats
from hfbucket.core.duplicates.find import Fingerprints, Twins, find_twins
from hfbucket.core.law.assign import assign
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.law.rare import dissolve_rare
from hfbucket.core.law.sizes import distinct_sizes
from hfbucket.core.outcomes import CODE, EXPORTED
from hfbucket.core.plan.layout import Kept, lay_out
from hfbucket.core.plan.model import Plan
from hfbucket.core.plan.rows import Rows
from hfbucket.core.plan.standing import Bools, Standing


def plan_rows(
    rows: Rows,
    buckets: Sequence[Bucket],
    config: Config,
    *,
    plan_id: str = "",
    standing: Standing | None = None,
    fingerprints: Callable[[Int64s], Fingerprints] | None = None,
) -> Plan:
    """Return the plan of the rows; the same whatever machine computes it.

    Reasons to leave a row out apply in the order of FORMAT section 6; the first one counts.

    Args:
        buckets: every bucket of the settings, as `scaled_buckets` orders them.
        standing: what an export holds already: those rows get no place, the others come after what is there.
        fingerprints: returns what rows are compared by, in the order asked; without it none is looked for.
    """
    outcome = rows.outcome.copy()
    if config.missing_caption in (None, "drop"):
        outcome[(outcome == EXPORTED) & (rows.caption_index < 0)] = CODE["skipped_no_caption"]
    planned = np.ones(len(outcome), dtype=bool)
    if standing is not None:
        outcome = np.where(standing.apart, standing.outcome, outcome)
        planned = ~standing.apart
    eligible = np.flatnonzero((outcome == EXPORTED) & planned)
    sizes = distinct_sizes(rows.width[eligible], rows.height[eligible])
    first = assign(sizes.width, sizes.height, buckets, metric=config.metric, max_crop=config.max_crop)
    outcome[eligible] = first.outcome[sizes.of_image]
    again, _ = repeats(rows.words, np.flatnonzero((outcome == EXPORTED) & planned))
    outcome[again] = CODE["duplicates_removed"]
    twins = Twins.none()
    if fingerprints is not None:
        held = np.zeros(len(outcome), dtype=bool) if standing is None else standing.earlier & (rows.width > 0)
        twins = _twins(held, (outcome == EXPORTED) & planned, fingerprints, config)
        outcome[twins.rows] = CODE["duplicates_removed"]

    stays = outcome[eligible] == EXPORTED
    images = np.bincount(sizes.of_image[stays], minlength=len(sizes.width))
    bucket = dissolve_rare(
        first.bucket, images, sizes.width, sizes.height, buckets,
        min_bucket=config.min_bucket, rare=config.rare, metric=config.metric, max_crop=config.max_crop,
        standing_images=None if standing is None else standing.images,
    )  # fmt: skip
    homeless = stays & (bucket[sizes.of_image] < 0)
    outcome[eligible[homeless]] = CODE["skipped_rare_bucket"]
    stays &= ~homeless
    kept = Kept(rows=eligible[stays], size=sizes.of_image[stays], sizes=sizes, bucket=bucket)
    first_shard = np.zeros(len(buckets), dtype=np.int64) if standing is None else standing.next_shard
    plan = lay_out(rows, kept, outcome, tuple(buckets), config, plan_id=plan_id, first_shard=first_shard)
    return replace(plan, twins=twins)


def _twins(held: Bools, eligible: Bools, fingerprints: Callable[[Int64s], Fingerprints], config: Config) -> Twins:
    """Return which of the eligible rows go, and for which: what is held already stays and comes first."""
    compared = np.concatenate([np.flatnonzero(held), np.flatnonzero(eligible)])
    kept = int(np.count_nonzero(held))
    return find_twins(fingerprints(compared), near_threshold=config.near_threshold, kept=kept).at(compared)
