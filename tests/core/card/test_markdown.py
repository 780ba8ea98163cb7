"""Text from outside comes out as it went in, whatever it holds: checked with a Markdown parser of its own."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hfbucket.core.card import markdown

PARSER = MarkdownIt("commonmark").enable("table").enable("strikethrough")

NASTY = st.text(alphabet=st.sampled_from("\\`*_[]()<>#|~$&;!-+=.:1 ab\n\t\"'{}/é日\U0001f600"), max_size=30)


def kinds(text: str) -> list[str]:
    """Return the kinds of all tokens of a Markdown text but plain text and line ends."""
    tokens = PARSER.parse(text)
    children = [child.type for token in tokens for child in token.children or []]
    inner = [kind for kind in children if kind not in ("text", "softbreak")]
    return [token.type for token in tokens if not token.type.endswith("_close") and token.type != "inline"] + inner


def shown(text: str) -> list[str]:
    """Return what a reader sees of each block of a Markdown text."""
    blocks = [token.children or [] for token in PARSER.parse(text) if token.type == "inline"]
    return ["".join(child.content if child.type != "softbreak" else "\n" for child in block) for block in blocks]


@given(NASTY)
@example("# Title\n\n## Injected")
@example("](javascript:alert(1)) <script>alert(1)</script> &lt; ![x](y)")
@example("C# #")
@example("snake_case and _emphasis_ and a\\")
def test_inline_text_is_a_heading_of_that_text(text: str) -> None:
    heading = f"# {markdown.inline(text)}"
    if markdown.line(text):
        assert kinds(heading) == ["heading_open"]
        assert shown(heading) == [markdown.line(text)]


@given(st.lists(NASTY, min_size=4, max_size=4))
@example(["a|b", "`", "|", "\\|"])
def test_table_cells_hold_what_they_are_given(texts: list[str]) -> None:
    escaped = [markdown.inline(text) for text in texts]
    text = markdown.table(("first", "second"), [("x", "y"), escaped[:2], escaped[2:]])
    assert shown(text) == ["first", "second", "x", "y", *map(markdown.line, texts)]


@given(NASTY, NASTY)
def test_code_in_a_cell_is_that_text(one: str, two: str) -> None:
    text = markdown.table(("a", "b"), [("x", "y"), (markdown.code(one), markdown.code(two))])
    assert shown(text)[4:] == [markdown.line(one), markdown.line(two)]


@given(NASTY)
@example("a\n===\n- b\n1. c\n+ d\n    code\n> quote\n***\n```\nfence")
@example("a\n:-")
@example("first line\nsecond line\n\n\n\nsecond paragraph")
def test_block_is_paragraphs_of_that_text(text: str) -> None:
    paragraphs = markdown.block(text)
    assert set(kinds(paragraphs)) <= {"paragraph_open"}
    assert "\n".join(shown(paragraphs)).split() == text.split()


@given(NASTY)
def test_fenced_code_is_that_text(text: str) -> None:
    text = markdown.plain(text)
    (token,) = PARSER.parse(markdown.fenced(text, "text"))
    assert (token.type, token.content) == ("fence", text.rstrip() + "\n")


@pytest.mark.parametrize(
    "opened",
    ["```\ncode", "~~~~text\n```\n~~~\n", "text <!-- x", "<pre>\ntext", "<details>\n\nmore", "<!-- a --> <!-- b", ""],
)
def test_author_markdown_ends_where_it_ends(opened: str) -> None:
    tokens = PARSER.parse(f"{markdown.contained(opened)}\n\n## Next")
    assert tokens[-3].type == "heading_open"
    assert markdown.contained(opened).count("<details>") == markdown.contained(opened).count("</details>")


@pytest.mark.parametrize("closed", ["```\n<!-- code\n```", "A `<!--` and `<pre>` in code.", "- list\n\n| a |\n| - |"])
def test_whole_author_markdown_is_kept(closed: str) -> None:
    assert markdown.contained(closed + "\n\n") == closed


def test_control_and_direction_characters_are_dropped() -> None:
    assert markdown.plain("a\x00b\x1b[31m\u202ec\r\nd\u2028e\ud800") == "ab[31mc\nd\ne?"


@pytest.mark.parametrize(
    ("label", "url", "expected"),
    [
        ("my license", "https://example.org/a b(c)", "[my license](https://example.org/a%20b%28c%29)"),
        ("https://a.org", "https://a.org", "<https://a.org>"),
        ("a", "javascript:alert(1)", "a"),
        ("a", "file:///home/me/x", "a"),
        ("a", "/home/me", "a"),
    ],
)
def test_only_web_links_are_links(label: str, url: str, expected: str) -> None:
    assert markdown.link(label, url) == expected


def test_table_leaves_out_empty_columns_and_aligns_numbers() -> None:
    text = markdown.table(("name", "nothing", "n"), [("a", "", "1"), ("b", "", "10")], numbers=(2,))
    assert text == "| name |   n |\n| ---- | --: |\n| a    |   1 |\n| b    |  10 |"
    assert markdown.table(("name",), []) == ""
