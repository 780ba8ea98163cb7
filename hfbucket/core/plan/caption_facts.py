"""What a plan and a manifest say about captions: their variants with counts, and where they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.core.manifest.model import Captions, CaptionVariant
from hfbucket.core.plan.captions import Choice, characters_of

_LOCAL_PATH: Final = re.compile(r"/[^/]|~[/\\]|[A-Za-z]:[\\/]|\\\\|file:|local:")
_PRIVATE: Final = re.compile(
    r"prompt(?!_sha256)|secret|password|credential|authorization|(api|access|auth)_?(key|token)", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionCounts:
    """Images that can be read, by what captions they have; counts of parts of a table fold with `+`."""

    images: int
    #: int64[universe]: images with a caption of each variant that is not blank, and those for which it is too short.
    having: npt.NDArray[np.int64]
    too_short: npt.NDArray[np.int64]
    #: Images without a caption of any variant of the priority, and with such ones that are all too short.
    without: int
    only_too_short: int

    @classmethod
    def of(cls, captions: pa.ChunkedArray, choice: Choice) -> CaptionCounts:
        """Return the counts of images by their lists of captions, one entry per variant of the universe."""
        characters = characters_of(captions, len(choice.universe))
        having, long_enough = characters > 0, characters >= max(choice.min_chars, 1)
        first = slice(0, len(choice.priority))
        some = having[:, first].any(axis=1)
        return cls(
            images=len(captions),
            having=having.sum(axis=0),
            too_short=(having & ~long_enough).sum(axis=0),
            without=int((~some).sum()),
            only_too_short=int((some & ~long_enough[:, first].any(axis=1)).sum()),
        )

    def __add__(self, other: CaptionCounts) -> CaptionCounts:
        """Return the counts of the images of both."""
        return CaptionCounts(
            images=self.images + other.images,
            having=self.having + other.having,
            too_short=self.too_short + other.too_short,
            without=self.without + other.without,
            only_too_short=self.only_too_short + other.only_too_short,
        )


def captions_entry(
    choice: Choice,
    sources: Iterable[Mapping[str, Any]],
    *,
    with_ok: Mapping[str, int],
    selected: Mapping[str, int],
    missing_policy: str | None,
) -> Captions:
    """Return the manifest's `captions`.

    Args:
        choice: of the samples' captions.
        sources: the manifest's `caption_sources`; a variant that has one source alone names it.
        with_ok: images with a caption of each variant that is not blank, selected or not.
        selected: images for which each variant was selected.
        missing_policy: what becomes of images without a caption.
    """
    ids: dict[str, list[str]] = {}
    for source in sources:
        ids.setdefault(source["variant"], []).append(source["id"])
    variants = tuple(
        CaptionVariant(
            name=name,
            selected=selected.get(name, 0) > 0,
            priority=priority,
            images_with_ok_caption=with_ok.get(name, 0),
            images_selected=selected.get(name, 0),
            source_id=ids[name][0] if len(ids.get(name, ())) == 1 else None,
        )
        for priority, name in enumerate(choice.universe)
    )
    return Captions(
        variants=variants,
        selector="priority" if choice.select == "first" else choice.select,
        seed=choice.seed if choice.select == "weighted" else None,
        missing_policy=missing_policy,
    )


def caption_sources(choice: Choice, sources: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the manifest's `caption_sources`, by id: those of the choice's variants, fit to be published.

    Of a path of some machine only its last part stays; prompts, keys and passwords among the parameters go.

    Args:
        sources: objects with `id`, `variant`, `model`, `prompt_sha256` and `parameters`.
    """
    known = (source for source in sources if source["variant"] in choice.universe)
    names = ("id", "variant", "model", "prompt_sha256", "parameters")
    entries = ({name: _public(source.get(name)) for name in names} for source in known)
    return tuple(sorted(entries, key=lambda entry: str(entry["id"]).encode("utf-8", "surrogatepass")))


def _public(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    if isinstance(value, str):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1] if _LOCAL_PATH.match(value) else value
    if isinstance(value, Mapping):
        return {key: _public(item) for key, item in value.items() if not _PRIVATE.search(key)}
    if isinstance(value, (list, tuple)):
        return [_public(item) for item in value]
    return value
