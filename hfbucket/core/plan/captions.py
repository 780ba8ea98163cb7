"""Captions: which variants an image may have, and which of them its sample gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import DEFAULT_VARIANTS, ORIGINAL, Config
from hfbucket.core.plan.order import shuffle_keys
from hfbucket.errors import ConfigError

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

MOST_VARIANTS: Final = 127


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The caption variants of a build, and how one of them is selected for each image."""

    #: Every variant, those of `priority` first: the order of `captions` in every table of the build.
    universe: tuple[str, ...]
    #: The variants that may be selected, best first.
    priority: tuple[str, ...]
    #: first, longest or weighted.
    select: str = "first"
    #: Of each variant of `priority`; nothing unless `select` is weighted.
    weights: tuple[int, ...] = ()
    seed: int = 0
    #: Captions with fewer characters are not selected.
    min_chars: int = 0


def own_variants(config: Config) -> tuple[str, ...]:
    """Return the names of the source's own captions.

    They are the columns that were asked for. Without any, what is found in the usual places is one variant,
    `original`, as soon as there is a priority to place it in.
    """
    return (ORIGINAL,) if config.priority and config.variants == DEFAULT_VARIANTS else config.variants


def priority_of(config: Config, workspace: Sequence[str]) -> tuple[str, ...]:
    """Return the priority of a build with the captions of a workspace: as given, or the one order there can be.

    Args:
        workspace: the variants of the workspace.

    Raises:
        ConfigError: none was given and several orders are possible; lists the variants.
    """
    if config.priority:
        return config.priority
    if len(workspace) == 1:
        return (workspace[0], ORIGINAL)
    known = ", ".join([*_sorted(workspace), ORIGINAL])
    raise ConfigError(f"captions needs a priority, the variants to choose from, best first: --priority NAME,NAME…; "
                      f"there are {known}")  # fmt: skip


def choice_of(config: Config, own: Sequence[str], workspace: Sequence[str]) -> Choice:
    """Return how captions are selected, from the settings and the variants that exist.

    `original` in the priority or the weights stands for the source's own captions: where those are named columns, for
    the columns that the priority does not name itself, in their order. Variants that the priority leaves out are kept
    after it, the workspace's by their UTF-8 bytes, then the source's own.

    Args:
        own: names of the source's own captions, as `own_variants` gives them.
        workspace: the variants of the workspace; nothing without one.

    Raises:
        ConfigError: a variant is named that there is not, or twice, or the weights do not fit the priority; lists the
            variants that exist.
    """
    if twice := sorted({*own} & {*workspace}):
        raise ConfigError(f"captions: {', '.join(twice)} is a caption of the source and one of the workspace; give the "
                          "one of the workspace another name")  # fmt: skip
    known = (*_sorted(workspace), *own)
    if workspace and not config.priority:
        priority_of(config, workspace)
    priority = _expanded(config.priority or tuple(own), own)
    if unknown := [name for name in priority if name not in known]:
        raise ConfigError(f"priority must name caption variants, got {', '.join(unknown)}; {_there(known)}")
    universe = (*priority, *(name for name in known if name not in priority))
    if len(universe) > MOST_VARIANTS:
        raise ConfigError(f"a build has at most {MOST_VARIANTS} caption variants, got {len(universe)}")
    return Choice(
        universe=universe,
        priority=priority,
        select=config.select,
        weights=_weights(config, priority, own, known),
        seed=config.caption_seed,
        min_chars=config.min_caption_chars,
    )


def _sorted(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: name.encode("utf-8", "surrogatepass"))


def _there(known: Sequence[str]) -> str:
    return f"there are {', '.join(known)}"


def _expanded(names: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """Return the names with the source's own captions in the place of `original`."""
    rest = tuple(name for name in own if name == ORIGINAL or name not in names)
    return tuple(part for name in names for part in (rest if name == ORIGINAL else (name,)))


def _weights(config: Config, priority: Sequence[str], own: Sequence[str], known: Sequence[str]) -> tuple[int, ...]:
    given = config.weight_of
    if (config.select == "weighted") != bool(given):
        raise ConfigError(f"weights and select weighted need one another, got select {config.select} and "
                          f"{'weights' if given else 'no weights'}; {_there(known)}")  # fmt: skip
    if ORIGINAL in given and ORIGINAL not in own:
        weight = given.pop(ORIGINAL)
        given = {**{name: weight for name in own if name in priority}, **given}
    if unknown := [name for name in given if name not in priority]:
        raise ConfigError(f"weights must name variants of the priority {', '.join(priority)}, got "
                          f"{', '.join(unknown)}; {_there(known)}")  # fmt: skip
    if missing := [name for name in priority if given and name not in given]:
        raise ConfigError(f"weights must name every variant of the priority, {', '.join(missing)} is missing; give it "
                          f"a weight, or leave it out of --priority; {_there(known)}")  # fmt: skip
    return tuple(given[name] for name in priority if given)


def select(captions: pa.ChunkedArray, digests: Words, choice: Choice) -> npt.NDArray[np.int8]:
    """Return the selected variant of every sample, int8[n]: its place in the priority, -1 for none.

    A caption can be selected if it is neither null nor blank and has `min_chars` Unicode characters. Of those of an
    image, `first` takes the first by priority, `longest` the one with most characters, of equals the first, and
    `weighted` draws: with w = digest[8:16], big-endian, and mix = splitmix64, number = mix(w ^ mix(seed)) modulo the
    sum of their weights; the first by priority at which the weights so far sum up to more than the number is taken.

    Args:
        captions: list<string>, one entry per variant of the universe; missing entries count as null.
        digests: uint64[n, >= 2], the first bytes of the digests, each 8 bytes read big-endian.
    """
    characters = characters_of(captions, len(choice.priority), choice.min_chars)
    ok = characters > 0
    if choice.select == "longest":
        chosen = characters.argmax(axis=1)
    elif choice.select == "weighted":
        sums = np.cumsum(ok * np.array(choice.weights, dtype=np.int64), axis=1)
        most = np.maximum(sums[:, -1], 1).astype(np.uint64)
        drawn = shuffle_keys(digests[:, 1], choice.seed) % most
        chosen = (sums.astype(np.uint64) > drawn[:, None]).argmax(axis=1)
    else:
        chosen = ok.argmax(axis=1)
    return np.where(ok.any(axis=1), chosen, -1).astype(np.int8)


def characters_of(captions: pa.ChunkedArray, variants: int, min_chars: int = 0) -> Ints:
    """Return how many Unicode characters every caption that can be selected has, int64[n, variants]; 0 for others.

    Args:
        captions: list<string>, one entry per variant; missing entries count as null, further ones do not count.
    """
    characters = np.zeros((len(captions), variants), dtype=np.int64)
    start = 0
    for chunk in captions.chunks:
        _count(characters[start : start + len(chunk)], chunk, max(min_chars, 1))
        start += len(chunk)
    return characters


def _count(characters: Ints, captions: pa.ListArray, least: int) -> None:
    texts = pc.list_flatten(captions)
    length = pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False)
    blank = pc.fill_null(pc.utf8_is_space(texts), True).to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.list_value_length(captions), 0).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(captions)), lengths)
    variant = np.arange(len(texts)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    good = ~blank & (length >= least) & (variant < characters.shape[1])
    characters[row[good], variant[good]] = length[good]


def selected(lists: pa.ChunkedArray, index: npt.NDArray[np.int8]) -> pa.Array:
    """Return the entry of every list at the selected variant, null where there is none.

    Args:
        lists: list<string>, captions or the ids of their sources.
        index: int8[n], as `select` gives it.
    """
    array = lists.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # older pyarrow keeps several chunks apart, or none
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], lists.type)
    lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    places = array.offsets.to_numpy()[:-1] + index.astype(np.int64)
    return array.values.take(pa.array(places, mask=(index < 0) | (index >= lengths)))
