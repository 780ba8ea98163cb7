"""The records of a JSON file of any size, one after the other: memory for one record and a piece of the file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn, TextIO

from hfbucket.errors import SourceError

ARRAYS: Final = ("annotations", "images")
"""Members of a top-level object whose items are records."""

LONGEST_CHARACTERS: Final = 32 << 20
"""The longest record that is read."""

_PIECE: Final = 1 << 20
_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\n\r]*")


def json_items(file: TextIO, where: str) -> Iterator[tuple[str, Any]]:
    """Yield (name of the array it stands in, item) of a JSON file.

    A list, or objects one after the other (JSONL), stand in the array ``""``; of one object with the list
    `annotations` (and `images`, as COCO has it) the items of these.

    Raises:
        SourceError: it is no JSON, or another kind of it; tells file and line.
    """
    text = _Text(file, where)
    first = text.peek()
    if first == "[":
        yield from (("", item) for item in text.items())
    elif first == "{" and text.is_container():
        yield from _members(text)
    elif first == "{":
        while text.peek():
            yield "", text.value()
        return
    else:
        text.refuse("must be a JSON list, an object with the list 'annotations', or one object a line")
    if text.peek():
        text.refuse("goes on after its end")


def first_items(head: str) -> tuple[tuple[str, Any], ...] | None:
    """Return the first item of every array that a file's beginning shows; None where it is no JSON of records."""
    found: dict[str, Any] = {}
    try:
        for name, item in json_items(io.StringIO(head), ""):
            found.setdefault(name, item)
            if name != "images":
                break
    except SourceError:
        if not found:
            return None
    return tuple(found.items())


def _members(text: _Text) -> Iterator[tuple[str, Any]]:
    text.expect("{")
    while True:
        name = text.value()
        text.peek()
        text.expect(":")
        if text.peek() != "[":
            text.value()
        elif name in ARRAYS:
            yield from ((name, item) for item in text.items())
        else:
            for _ in text.items():
                pass
        if text.peek() != ",":
            break
        text.expect(",")
        text.peek()
    text.expect("}")


class _Text:
    """A JSON text that is read as far as it is looked at."""

    def __init__(self, file: TextIO, where: str) -> None:
        self._file, self._where = file, where
        self._text, self._at, self._lines = "", 0, 1

    def peek(self) -> str:
        """Go to the next character that is no space and return it; nothing at the end."""
        while True:
            self._at = self._past_space(self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def expect(self, character: str) -> None:
        """Go past a character, which must be there."""
        if self.peek() != character:
            self.refuse(f"must have {character!r} here, got {self._text[self._at : self._at + 20]!r}")
        self._at += 1

    def items(self) -> Iterator[Any]:
        """Yield the items of a list, going past it."""
        self.expect("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self.peek() != ",":
                break
            self._at += 1
        self.expect("]")

    def value(self) -> Any:  # noqa: ANN401 - JSON is anything
        """Go past a value and return it."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                self.refuse("is nested too deeply")
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > LONGEST_CHARACTERS:
                    self.refuse(f"has a record of more than {LONGEST_CHARACTERS:,} characters, or is no JSON")
                if not self._more():
                    self._at = min(error.pos, len(self._text))
                    self.refuse(f"is no JSON: {error.msg}")
                continue
            except ValueError as error:  # a number of thousands of digits
                self.refuse(f"cannot be read: {error}")
            if end == len(self._text) and self._more():  # a number may go on
                continue
            self._at = end
            return value

    def is_container(self) -> bool:
        """Return whether the object here has one of ARRAYS, or is longer than any record: else it is a record."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                if len(self._text) - self._at > _PIECE or not self._more():
                    return True
                continue
            has_more = self._past_space(end) < len(self._text) or self._more()
            return not has_more and isinstance(value, dict) and any(isinstance(value.get(a), list) for a in ARRAYS)

    def refuse(self, words: str) -> NoReturn:
        """Raise the error of what stands here."""
        line = self._lines + self._text.count("\n", 0, self._at)
        raise SourceError(f"{self._where}: line {line} {words}")

    def _past_space(self, at: int) -> int:
        space = _SPACE.match(self._text, at)
        return at if space is None else space.end()

    def _more(self) -> bool:
        """Read on, twice as far each time that was not enough; return whether there was more."""
        piece = self._file.read(max(_PIECE, len(self._text) - self._at))
        if piece:
            self._lines += self._text.count("\n", 0, self._at)
            self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)
