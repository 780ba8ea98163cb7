"""The words of a card: what people say about an export, beside what the manifest knows by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from hfbucket.core.card.markdown import line, plain
from hfbucket.core.manifest.model import License, Manifest
from hfbucket.errors import ConfigError

SECTIONS: Final = {
    "about": "About",
    "filtering": "Filtering",
    "source_and_license": "Source and license",
    "limits": "Limits",
    "removal": "Removal",
}
"""Sections that people may write, by file name and key in the manifest, with their headings."""

_PLACEHOLDER: Final = re.compile(
    r"\[more information needed\]|\[(?:add|insert|your|describe|edit)\b[^\]]*\]|\b(?-i:TODO|TBD|FIXME|XXX)\b"
    r"|\{\{.*?\}\}|\blorem ipsum\b|\bedit this section\b|\badd a (?:short )?description\b",
    re.IGNORECASE,
)
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*|code|multilingual")


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """Words to put into a manifest. None and empty tuples leave what stands there; an empty text takes it out."""

    title: str | None = None
    description: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    language: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    citation: str | None = None
    #: Markdown by section name; an empty text takes the section out, a section not named here stays.
    sections: Mapping[str, str] | None = None


def with_words(manifest: Manifest, words: Words) -> Manifest:
    """Return the manifest with these words.

    Raises:
        ConfigError: a word is a placeholder, a language no code, or a section unknown.
    """
    check_words(words)
    sections = {**manifest.sections, **{name: plain(text).strip() for name, text in (words.sections or {}).items()}}
    return replace(
        manifest,
        title=_text(words.title, manifest.title, one_line=True),
        description=_text(words.description, manifest.description),
        license=_license(words, manifest.license),
        language=_several(words.language) if words.language else manifest.language,
        tags=_several(words.tags) if words.tags else manifest.tags,
        citation=_text(words.citation, manifest.citation),
        sections={name: text for name, text in sections.items() if text},
    )


def changed_words(old: Manifest, new: Manifest) -> tuple[str, ...]:
    """Return the names of the words that differ, in the order of the manifest."""
    names = ("title", "description", "license", "language", "tags", "citation", "sections")
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))


def check_words(words: Words) -> None:
    """Check that words can stand in a card; cheap, so that a build can ask before it starts.

    Raises:
        ConfigError: a word is a placeholder, a language no code, or a section unknown.
    """
    for name in words.sections or {}:
        if name not in SECTIONS:
            known = ", ".join(f"{section}.md" for section in SECTIONS)
            raise ConfigError(f"sections: {name}.md is no section of a card; known are {known}")
    for code in words.language:
        if code.strip() and not _LANGUAGE.fullmatch(code.strip()):
            raise ConfigError(f"language must be an ISO 639 code such as en or zh, got {code!r}")
    texts = {"title": words.title, "description": words.description, "citation": words.citation}
    texts |= {f"sections: {name}.md": text for name, text in (words.sections or {}).items()}
    for place, text in texts.items():
        found = placeholder_in(text or "")
        if found:
            raise ConfigError(f"{place} must be finished text, got {found!r}; write it out or leave it away")


def placeholder_in(text: str) -> str | None:
    """Return what in a text still waits to be written, such as `TODO`, or None."""
    found = _PLACEHOLDER.search(text)
    return None if found is None else found[0]


def _license(words: Words, old: License) -> License:
    if words.license is None and words.license_name is None and words.license_link is None:
        return old
    # A new identifier speaks of another license: the name and link of the old one do not follow it.
    base = old if words.license is None else License()
    return License(
        id=_text(words.license, base.id, one_line=True),
        name=_text(words.license_name, base.name, one_line=True),
        link=_text(words.license_link, base.link, one_line=True),
    )


def _text(new: str | None, old: str | None, *, one_line: bool = False) -> str | None:
    if new is None:
        return old
    return (line(new) if one_line else plain(new).strip()) or None


def _several(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in map(line, values) if text))
