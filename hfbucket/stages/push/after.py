"""After a push: what was published is opened as a stranger would, and its first samples compared with those here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from hfbucket.core.card.facts import LoaderConfig, loader_configs
from hfbucket.core.events import OnEvent, Progress
from hfbucket.core.manifest.model import Manifest
from hfbucket.errors import PushError
from hfbucket.io.hub.errors import PATIENT, patiently, told
from hfbucket.load.stock import StockSample, first_samples, shard_samples, table_samples
from hfbucket.stages.push.target import Published

__all__ = ["check_after"]

SAMPLES: Final = 3
"""Samples of every config that are compared."""


def check_after(
    folder: Path,
    manifest: Manifest,
    published: Published,
    *,
    token: str | bool | None,
    sent: bool,
    on_event: OnEvent,
) -> tuple[str, ...]:
    """Return the configs that stock `datasets` opens and whose first samples are those here.

    Args:
        sent: something was sent; otherwise the sample tables stand for the shards, which are not read again.

    Raises:
        PushError: one cannot be opened, or holds other samples.
    """
    configs = loader_configs(manifest)
    for place, config in enumerate(configs):
        on_event(Progress(stage="open", done=place, total=len(configs), unit="configs"))
        doing = f"{published.url}: is there, but opening {config.name} with stock datasets failed; push again"
        with told(doing, token):
            found = patiently(
                lambda config=config: first_samples(  # type: ignore[misc]
                    published.loads_as, config, SAMPLES, revision=published.commit, token=token
                ),
                doing=f"{published.loads_as}: opening {config.name}", token=token, patience=PATIENT, on_event=on_event,
            )  # fmt: skip
        _compare(folder, manifest, config, found, published, sent=sent)
    on_event(Progress(stage="open", done=len(configs), total=len(configs), unit="configs"))
    return tuple(config.name for config in configs)


def _compare(
    folder: Path,
    manifest: Manifest,
    config: LoaderConfig,
    found: list[StockSample],
    published: Published,
    *,
    sent: bool,
) -> None:
    if not found:
        raise PushError(f"{published.url}: {config.name} gives no sample to stock datasets; push again")
    first = found[0].file
    of_first = [one for one in found if one.file == first]
    if sent:
        expected = shard_samples(str(folder), first, len(of_first))
    else:
        expected = table_samples(str(folder), [table.file for table in manifest.samples], first, len(of_first))
        of_first = [replace(one, jpg=None) for one in of_first]
    if of_first != expected:
        keys = ", ".join(one.key for one in expected)
        got = ", ".join(one.key for one in of_first)
        raise PushError(
            f"{published.url}: the first samples of {config.name} must be those of {first} here ({keys}), "
            f"got others ({got}); push again"
        )
