"""Text from outside made safe for Markdown (CommonMark with GitHub's tables), and the pieces of a card.

Words of a user, names of sources and ids of buckets are data: whatever they hold, they come out as the reader typed
them and cannot start a heading, close a table, open a tag or swallow what follows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

_BIDI_CONTROLS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They reorder what stands after them, in the source and on the page."""

_LINE_BREAKS: Final = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SPECIAL: Final = re.compile(r"[\\`*\[\]<>|~$]|(?<!\S)#|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
_LINE_START: Final = re.compile(r"(\d{1,9})?([-+=:.)])(?=[-=\s]|$)")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_HTML_BLOCKS: Final = ("script", "style", "pre", "textarea", "details", "div", "center", "table")
"""HTML that takes in what follows it until its end tag."""


def plain(text: str) -> str:
    """Return the text without control characters, with `\\n` as its only line break, in valid Unicode."""
    text = _LINE_BREAKS.sub("\n", text.encode("utf-8", "replace").decode("utf-8"))
    return "".join(c for c in text if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in _BIDI_CONTROLS))


def line(text: str) -> str:
    """Return the text as one line, white space collapsed; not escaped."""
    return " ".join(plain(text).split())


def inline(text: str) -> str:
    """Return the text as one line that Markdown shows as it is: for headings, cells and within sentences.

    Only what has to be escaped is, so that names stay readable in the source and most bare URLs stay links.
    """
    return _SPECIAL.sub(r"\\\g<0>", line(text))


def block(text: str) -> str:
    """Return the text as paragraphs that Markdown shows as they are; blank lines part paragraphs."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(map(_flow, plain(text).split("\n")))).strip("\n")


def code(text: str) -> str:
    """Return the text as one line of inline code, safe in a table cell."""
    text = line(text)
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", "\\|") if text else ""


def web_url(text: str) -> str:
    """Return an http(s) URL with what must not stand in one as `%XX`; nothing for what is none."""
    url = line(text)
    if not re.match(r"https?://[^/]", url):
        return ""
    return re.sub(r"[\s<>()\[\]\\|`\"]", lambda match: f"%{ord(match[0]):02X}", url)


def link(label: str, url: str) -> str:
    """Return a link for an http(s) URL, else the label alone: other schemes and local paths are never links."""
    url, target = line(url), web_url(url)
    if not target:
        return inline(label)
    # Brackets around a bare URL would nest a link in a link.
    return f"<{target}>" if label == url else f"[{inline(label)}]({target})"


def fenced(text: str, language: str = "") -> str:
    """Return a code block whose fence is longer than any run of backticks inside."""
    text = plain(text)
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Return a table of cells that are safe already; the columns in `numbers` are aligned right.

    A column without any content is left out; without rows the result is empty.
    """
    body = [list(row) for row in rows]
    used = [column for column in range(len(header)) if any(row[column] for row in body)]
    if not used:
        return ""
    lines = [[row[column] for column in used] for row in [header, *body]]
    widths = [max(3, *(len(cells[i]) for cells in lines)) for i in range(len(used))]
    right = [column in numbers for column in used]
    rule = ["-" * (width - 1) + (":" if r else "-") for width, r in zip(widths, right, strict=True)]
    padded = [
        [cell.rjust(width) if r else cell.ljust(width) for cell, width, r in zip(cells, widths, right, strict=True)]
        for cells in lines
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [padded[0], rule, *padded[1:]])


def contained(markdown: str) -> str:
    """Return an author's own Markdown, with whatever it leaves open closed, so that what follows it still shows."""
    text = plain(markdown).strip("\n").rstrip()
    prose, fence = _outside_fences(text)
    if fence:
        return f"{text}\n{fence}"
    prose = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", prose)
    if prose.rfind("<!--") > prose.rfind("-->"):
        return f"{text}\n-->"
    for tag in _HTML_BLOCKS:
        if len(re.findall(rf"<{tag}[\s>]", prose, re.I)) > len(re.findall(rf"</{tag}>", prose, re.I)):
            text += f"\n</{tag}>"
    return text


def _outside_fences(text: str) -> tuple[str, str]:
    """Return the lines outside fenced code, and the fence that is still open at the end."""
    prose, fence = [], ""
    for row in text.split("\n"):
        match = _FENCE.fullmatch(row)
        if not fence and match and not (match[1][0] == "`" and "`" in match[2]):
            fence = match[1]
        elif not fence:
            prose.append(row)
        elif match and match[1].startswith(fence) and not match[2].strip():
            fence = ""
    return "\n".join(prose), fence


def _flow(row: str) -> str:
    """Return one line of a paragraph: no list, rule, heading underline or indented code."""
    row = inline(row)
    match = _LINE_START.match(row)
    return f"{match[1] or ''}\\{row[match.start(2) :]}" if match else row


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
