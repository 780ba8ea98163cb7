"""Build: sources to an export, or with `update` what is new in them to one that is finished."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hfbucket.config import Config
from hfbucket.core.events import OnEvent, ignore
from hfbucket.core.keys import MANIFEST
from hfbucket.core.manifest.model import Manifest
from hfbucket.io.places import place_of
from hfbucket.io.waits import waits_told
from hfbucket.stages.write.build import build as build_anew

__all__ = ["build"]


@waits_told
def build(
    sources: str | Sequence[str],
    output: str | os.PathLike[str],
    config: Config | None = None,
    *,
    on_event: OnEvent = ignore,
) -> Manifest:
    """Write an export, or go on with one, and return its manifest.

    With `config.update`, a finished export keeps its shards byte for byte, and what is new in the sources comes after
    them; without a finished export there it makes no difference.

    Args:
        sources: `PATH` or `name=PATH`, in order; one alone may be given as text.
        output: folder of the export, on this machine or at any fsspec URL.
        config: the settings; without it the defaults.

    Raises:
        SourceError: a source is empty, contradicts itself, or lies inside the output or around it.
        PlanMismatchError: not the plan that was expected, or other settings than the export there was built with.
        TooManyFailuresError: too many images cannot be decoded.
        ChangeError: a finished export cannot be added to, or not where it is.
        BuildError: disk full, permission denied, a source is gone, or another build is at work here.
    """
    sources = (sources,) if isinstance(sources, str) else tuple(sources)
    config = config or Config()
    if config.update and (place_of(output) / MANIFEST).exists():
        from hfbucket.stages.update.run import update  # a build is spared it

        return update(sources, output, config, on_event=on_event)
    return build_anew(sources, output, config, on_event=on_event)
