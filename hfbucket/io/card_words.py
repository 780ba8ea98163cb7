"""The words of a card that its owner gives: settings, and a folder of Markdown."""

from __future__ import annotations

from pathlib import Path

from hfbucket.config import Config
from hfbucket.core.card.words import SECTIONS, Words, check_words
from hfbucket.errors import ConfigError


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
