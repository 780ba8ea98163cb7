"""Words of a card from settings and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfbucket.config import Config
from hfbucket.core.card.words import Words
from hfbucket.errors import ConfigError
from hfbucket.io.card_words import read_words


def test_sections_are_read_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "about.md").write_bytes(b"\xef\xbb\xbfHello\r\n")
    (tmp_path / "notes.txt").write_text("not read")
    words = read_words(Config(sections=str(tmp_path), title="T", tag=("a",)))
    assert words == Words(title="T", tags=("a",), sections={"about": "Hello\n"})
    (tmp_path / "limits.md").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"limits\.md must be UTF-8"):
        read_words(Config(sections=str(tmp_path)))


def test_sections_must_be_a_folder_with_markdown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no Markdown file; a card takes about\.md, filtering\.md"):
        read_words(Config(sections=str(tmp_path)))
    with pytest.raises(ConfigError, match="must be a folder of Markdown files"):
        read_words(Config(sections=str(tmp_path / "none")))
