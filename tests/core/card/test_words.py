"""Words: checked when they are given, kept until they are changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hfbucket.core.card.words import Words, changed_words, with_words
from hfbucket.core.manifest.model import License, Manifest
from hfbucket.errors import ConfigError

EMPTY = Manifest(format="bucketed_shards_v2")
FULL = with_words(
    EMPTY,
    Words(
        title="Birds",
        description="Birds of the\n\nisland.",
        license="other",
        license_name="Island license",
        license_link="https://example.org/license",
        language=("en", "zh"),
        tags=("birds",),
        citation="@misc{birds}",
        sections={"about": "Taken by hand.", "limits": "Few owls."},
    ),
)


def test_words_stay_until_they_are_given() -> None:
    assert with_words(FULL, Words()) == FULL
    assert changed_words(FULL, FULL) == ()


def test_empty_text_takes_a_word_out() -> None:
    words = Words(title="", description=" ", license="", language=("",), tags=("",), citation="")
    words = replace(words, sections={"about": ""})
    assert with_words(FULL, words) == with_words(EMPTY, Words(sections={"limits": "Few owls."}))


def test_a_section_not_given_stays() -> None:
    assert with_words(FULL, Words(sections={"about": "New."})).sections == {"about": "New.", "limits": "Few owls."}


def test_a_new_license_does_not_keep_the_old_name_and_link() -> None:
    assert with_words(FULL, Words(license="cc0-1.0")).license == License(id="cc0-1.0")
    assert with_words(FULL, Words(license_name="Isle")).license == License(
        id="other", name="Isle", link="https://example.org/license"
    )


def test_changes_are_named() -> None:
    assert changed_words(EMPTY, with_words(EMPTY, Words(title="Birds", tags=("a",)))) == ("title", "tags")


def test_one_line_words_become_one_line() -> None:
    assert with_words(EMPTY, Words(title=" a\n# b\x00 ", tags=(" x\ny ", "x y"))).title == "a # b"
    assert with_words(EMPTY, Words(tags=(" x\ny ", "x y"))).tags == ("x y",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (Words(description="[More Information Needed]"), r"description must be finished text, got '\[More Information"),
        (Words(title="TODO"), "title must be finished text, got 'TODO'"),
        (Words(sections={"limits": "Lorem ipsum dolor"}), "sections: limits.md must be finished text, got 'Lorem"),
        (Words(citation="{{ citation_bibtex }}"), "citation must be finished text"),
        (Words(sections={"abuot": "x"}), "abuot.md is no section of a card; known are about.md, filtering.md"),
        (Words(language=("English",)), "language must be an ISO 639 code such as en or zh, got 'English'"),
    ],
)
def test_words_that_cannot_stand_in_a_card_are_refused(words: Words, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_words(EMPTY, words)


@pytest.mark.parametrize("text", ["Fotos de todo el mundo", "add a short walk", "[1] A reference", "{one} {{"])
def test_ordinary_words_are_no_placeholders(text: str) -> None:
    assert with_words(EMPTY, Words(description=text)).description == text
