"""The dataset card: README.md from a manifest alone, and back to what it promises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import jinja2
import yaml
from huggingface_hub import CardData, DatasetCard, DatasetCardData

from hfbucket.core.card import markdown
from hfbucket.core.card import sentences as card_sentences
from hfbucket.core.card import tables as card_tables
from hfbucket.core.card.facts import bases, first_shard, front_matter, loader_configs
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.manifest.plain import is_ours
from hfbucket.errors import ConfigError
from hfbucket.io.card_templates import environment_of

__all__ = ["card_problems", "has_own_templates", "render_card"]

_OWN_TEMPLATES: Final = "<!-- made with templates of its own -->"
"""Stands at the end of a card that templates of its owner made: rendering it without them would lose their text."""

_IN_TEMPLATES: Final = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a mistake in a template raises while it renders."""

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def render_card(manifest: Manifest, templates: Mapping[str, str] = _NONE) -> str:
    """Return README.md: metadata as YAML, then the card's text, ending in one newline.

    Args:
        templates: text by file name, in the place of the packaged ones of these names; as `read_templates` gives it.

    Raises:
        ConfigError: such a template does not render, or leaves out the metadata.
    """
    text = str(DatasetCard(_rendered(manifest, templates).rstrip() + "\n"))
    if not templates:
        return text
    text += f"\n{_OWN_TEMPLATES}\n"
    problems = tuple(_metadata_problems(text, manifest))
    if problems:
        raise ConfigError(f"template: the card that it makes has other metadata than the manifest: {problems[0]}")
    return text


def has_own_templates(text: str) -> bool:
    """Return whether templates of its owner made this card."""
    return _OWN_TEMPLATES in text.splitlines()[-1:]


def _rendered(manifest: Manifest, templates: Mapping[str, str]) -> str:
    environment = environment_of(templates)
    try:
        return environment.get_template("card.md.jinja").render(
            card_data=DatasetCardData(**front_matter(manifest)).to_yaml(),
            manifest=manifest,
            section=partial(card_sentences.section, manifest),
            ours=is_ours(manifest),
            loads=bool(loader_configs(manifest)),
            first_shard=first_shard(manifest),
        )
    except _IN_TEMPLATES as error:
        if not templates:
            raise
        raise ConfigError(f"template: the card does not render: {error}") from error


def card_problems(text: str, manifest: Manifest) -> tuple[str, ...]:
    """Return what in a card contradicts its manifest, one readable line each: metadata, bucket table and summary.

    Wording and looks may differ, so that cards of other releases and cards with more text pass; a card that templates
    of its owner made need not have the tables, only no others.
    """
    try:
        problems = list(_metadata_problems(text, manifest))
    except (yaml.YAMLError, ValueError, TypeError) as error:
        return (f"the metadata is no YAML that the Hub reads: {markdown.line(str(error))}",)
    found = [tuple(cells) for cells in _table_rows(text)]
    tables = [card_tables.buckets(manifest, base) for base in bases(manifest)]
    wanted = [tuple(row) for table in (*tables, card_tables.outcomes(manifest)) for row in _table_rows(table)[1:]]
    if has_own_templates(text):
        others = _other_rows(wanted, found)
        return (*problems, *(f"has the table row {' | '.join(cells)}, the manifest gives another" for cells in others))
    rows = set(found)
    return (*problems, *(f"has no table row {' | '.join(cells)}" for cells in wanted if cells not in rows))


def _metadata_problems(text: str, manifest: Manifest) -> Iterator[str]:
    found = _data(DatasetCard(text).data)
    for key, value in _data(DatasetCardData(**front_matter(manifest))).items():
        if found.get(key) != value:
            yield f"metadata {key!r} must be {_short(value)}, got {_short(found.get(key))}"


def _other_rows(wanted: list[tuple[str, ...]], found: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the rows of a card that look like rows of its manifest's tables, but say something else."""
    known = {(cells[0], len(cells)): cells for cells in wanted if cells[0].startswith("`")}
    return [cells for cells in found if cells and known.get((cells[0], len(cells)), cells) != cells]


def _data(card_data: CardData) -> dict[str, Any]:
    values: dict[str, Any] = card_data.to_dict()  # type: ignore[no-untyped-call]  # huggingface_hub leaves it untyped
    return values


def _table_rows(text: str) -> list[list[str]]:
    """Return the cells of every line that is a table's; `\\|` does not part cells."""
    lines = (row.strip() for row in text.splitlines())
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in lines if re.match(r"\|.*\|$", row)]


def _short(value: Any) -> str:  # noqa: ANN401 (any YAML value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:197] + "..."
