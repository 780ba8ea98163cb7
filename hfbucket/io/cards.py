"""The dataset card: README.md from a manifest alone, and back to what it promises."""

from __future__ import annotations

import json
import re
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import yaml
from huggingface_hub import CardData, DatasetCard, DatasetCardData

from hfbucket.config import Config
from hfbucket.core import card_command, card_numbers, card_sentences, card_tables, markdown
from hfbucket.core.card import bases, first_shard, front_matter, loader_configs
from hfbucket.core.card_words import SECTIONS, Words, check_words
from hfbucket.core.manifest import Manifest
from hfbucket.core.manifest_json import is_ours
from hfbucket.errors import ConfigError

__all__ = ["card_problems", "read_sections", "read_words", "render_card"]

_TEMPLATES = resources.files("hfbucket.card_templates")


def render_card(manifest: Manifest) -> str:
    """Return README.md: metadata as YAML, then the card's text, ending in one newline."""
    text = (
        _environment()
        .get_template("card.md.jinja")
        .render(
            card_data=DatasetCardData(**front_matter(manifest)).to_yaml(),
            manifest=manifest,
            section=partial(card_sentences.section, manifest),
            ours=is_ours(manifest),
            loads=bool(loader_configs(manifest)),
            first_shard=first_shard(manifest),
        )
    )
    return str(DatasetCard(text.rstrip() + "\n"))


def card_problems(text: str, manifest: Manifest) -> tuple[str, ...]:
    """Return what in a card contradicts its manifest, one readable line each: metadata, bucket table and summary.

    Wording and looks may differ, so that cards of other releases and cards with more text pass.
    """
    try:
        found = _data(DatasetCard(text).data)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        return (f"the metadata is no YAML that the Hub reads: {markdown.line(str(error))}",)
    wanted = _data(DatasetCardData(**front_matter(manifest)))
    problems = [
        f"metadata {key!r} must be {_short(value)}, got {_short(found.get(key))}"
        for key, value in wanted.items()
        if found.get(key) != value
    ]
    rows = {tuple(cells) for cells in _table_rows(text)}
    tables = [card_tables.buckets(manifest, base) for base in bases(manifest)]
    for table in (*tables, card_tables.outcomes(manifest)):
        problems += [
            f"has no table row {' | '.join(cells)}" for cells in _table_rows(table)[1:] if tuple(cells) not in rows
        ]
    return tuple(problems)


def read_words(config: Config) -> Words:
    """Return the words of a config, with the Markdown of its sections folder.

    Raises:
        ConfigError: the folder is missing, has no sections, or one is no UTF-8; or words that cannot stand in a card.
    """
    words = Words(
        title=config.title,
        description=config.description,
        license=config.license,
        license_name=config.license_name,
        license_link=config.license_link,
        language=config.language,
        tags=config.tag,
        citation=config.citation,
        sections=None if config.sections is None else read_sections(Path(config.sections)),
    )
    check_words(words)
    return words


def read_sections(folder: Path) -> dict[str, str]:
    """Return the Markdown files of a folder by their stem.

    Raises:
        ConfigError: the folder is missing, has no Markdown, or a file is no UTF-8.
    """
    if not folder.is_dir():
        raise ConfigError(f"sections: {folder} must be a folder of Markdown files")
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.md")):
        try:
            found[path.stem] = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(f"sections: {path.name} must be UTF-8: {error}") from None
    if not found:
        names = ", ".join(f"{name}.md" for name in SECTIONS)
        raise ConfigError(f"sections: {folder} has no Markdown file; a card takes {names}")
    return found


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701 (Markdown, not HTML: every value goes through core.markdown)
        loader=jinja2.FunctionLoader(lambda name: (_TEMPLATES / name).read_text(encoding="utf-8")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        sentences=card_sentences, tables=card_tables, command=card_command, bases=bases, known_sections=SECTIONS
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
