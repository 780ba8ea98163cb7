"""What a build or an update begins with: settings, words and the index of the sources, all checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfbucket.config import Config
from hfbucket.core.card.words import Words
from hfbucket.core.events import OnEvent
from hfbucket.core.settings import content_settings
from hfbucket.errors import ConfigError
from hfbucket.io.cards import read_templates, read_words
from hfbucket.io.clock import created
from hfbucket.io.index_files import Index
from hfbucket.io.store import is_local, local_path
from hfbucket.stages.captions import with_captions, with_priority
from hfbucket.stages.filters import check_filters
from hfbucket.stages.index import index_of
from hfbucket.stages.plan import read_protos
from hfbucket.stages.survey import survey
from hfbucket.stages.write.forward import settle_first
from hfbucket.stages.write.places import check_apart, check_settings
from hfbucket.stages.write.work import Work, work_of

__all__ = ["Inputs", "read_inputs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What is to be built, from what, and where."""

    export: Path
    work: Work
    config: Config
    #: The resolved content settings.
    settings: Mapping[str, Any]
    words: Words
    #: Of the card, text by file name, in the place of the packaged ones.
    templates: Mapping[str, str]
    index: Index


def read_inputs(sources: Sequence[str], output: str | os.PathLike[str], config: Config, *, on_event: OnEvent) -> Inputs:
    """Return what is to be built, after bringing an interrupted change of the export to its end and scanning.

    Raises:
        ConfigError: a setting does not fit.
        SourceError: a source is empty, contradicts itself, or lies inside the output or around it.
        PlanMismatchError: an export with other settings is there.
    """
    _check_config(output, config)
    export = Path(local_path(os.fspath(output)))
    work = work_of(export, config.work_dir)
    words, templates = read_words(config), read_templates(config)
    check_filters(config)
    settle_first(export, on_event=on_event)
    found = survey(sources, config, on_event=on_event, check=lambda specs: check_apart(specs, export, work))
    config = with_priority(found.config)
    settings = content_settings(config, read_protos(config))
    check_settings(export, work, settings, overwrite=config.overwrite)
    index = with_captions(index_of(found, on_event=on_event, copies=work.copies), config, on_event=on_event)
    return Inputs(
        export=export,
        work=work,
        config=config,
        settings=settings,
        words=words,
        templates=templates,
        index=index,
    )


def _check_config(output: str | os.PathLike[str], config: Config) -> None:
    if not is_local(os.fspath(output)):
        raise ConfigError(
            f"an export is built in a folder on this machine, got {os.fspath(output)}; build, then push it"
        )
    created()  # a wrong SOURCE_DATE_EPOCH is told now, not when all is written
    if config.sample_units is not None:
        raise ConfigError("sample_units is for plans: a build reads every unit; leave it away")
    if config.format == "bucketed_shards_v1" and len(config.base) > 1:
        raise ConfigError(f"format bucketed_shards_v1 has one base, got {', '.join(map(str, config.base))}")
