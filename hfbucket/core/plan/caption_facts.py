"""What a manifest says about captions: the variants with their counts, how one is selected, where they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hfbucket.core.manifest.model import Captions, CaptionVariant
from hfbucket.core.plan.captions import Choice

_LOCAL_PATH: Final = re.compile(r"/[^/]|~[/\\]|[A-Za-z]:[\\/]|\\\\|file:|local:")
_PRIVATE: Final = re.compile(
    r"prompt(?!_sha256)|secret|password|credential|authorization|(api|access|auth)_?(key|token)", re.IGNORECASE
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
