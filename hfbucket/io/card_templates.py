"""The templates of a card: the packaged ones, and those that its owner puts in their place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import jinja2

from hfbucket.config import Config
from hfbucket.core.card import command as card_command
from hfbucket.core.card import markdown, pictures
from hfbucket.core.card import numbers as card_numbers
from hfbucket.core.card import sentences as card_sentences
from hfbucket.core.card import tables as card_tables
from hfbucket.core.card.facts import bases
from hfbucket.core.card.limits import known_limits
from hfbucket.core.card.words import SECTIONS
from hfbucket.errors import ConfigError

__all__ = ["environment_of", "read_templates"]

_TEMPLATES = resources.files("hfbucket.card_templates")
_ENDING: Final = ".jinja"


def read_templates(config: Config) -> dict[str, str]:
    """Return the templates of the config's folder by file name, in the place of the packaged ones of these names.

    Raises:
        ConfigError: the folder is missing or has no template, or one has no such name, is no UTF-8 or no Jinja.
    """
    if not config.template:
        return {}
    folder = Path(config.template)
    known = sorted(path.name for path in _TEMPLATES.iterdir() if path.name.endswith(_ENDING))
    if not folder.is_dir():
        raise ConfigError(f"template: {folder} must be a folder of templates; a card has {', '.join(known)}")
    found: dict[str, str] = {}
    for path in sorted(folder.glob(f"*{_ENDING}")):
        if path.name not in known:
            raise ConfigError(f"template: {path.name} is no template of a card; these are {', '.join(known)}")
        try:
            found[path.name] = path.read_text(encoding="utf-8-sig")
            _environment().parse(found[path.name])
        except UnicodeDecodeError as error:
            raise ConfigError(f"template: {path.name} must be UTF-8: {error}") from None
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(f"template: {path.name} line {error.lineno}: {error.message}") from None
    if not found:
        raise ConfigError(f"template: {folder} has no template; a card has {', '.join(known)}")
    return found


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701 (Markdown, not HTML: every value goes through core.card.markdown)
        loader=jinja2.FunctionLoader(lambda name: (_TEMPLATES / name).read_text(encoding="utf-8")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        sentences=card_sentences,
        tables=card_tables,
        command=card_command,
        pictures=pictures,
        limits=known_limits,
        bases=bases,
        known_sections=SECTIONS,
    )
    environment.filters.update(
        inline=markdown.inline,
        block=markdown.block,
        code=markdown.code,
        fenced=markdown.fenced,
        number=card_numbers.number,
        literal=lambda text: json.dumps(text, ensure_ascii=False),
        spaced=lambda text: f" {text}" if text else "",
        part=lambda text: f"{text.strip()}\n\n" if text.strip() else "",
    )
    return environment


def environment_of(templates: Mapping[str, str]) -> jinja2.Environment:
    """Return what renders a card, with these templates in the place of the packaged ones of their names."""
    packaged = _environment()
    if not templates:
        return packaged
    loaders = [jinja2.DictLoader(templates), *([packaged.loader] if packaged.loader else [])]
    return packaged.overlay(loader=jinja2.ChoiceLoader(loaders))
