"""Names of files for members of archives that others wrote: on every system, below one folder, each its own."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

from hfbucket.core.keys import text_of

LONGEST_BYTES: Final = 180
"""Of one part of a path: room is left for the name it is written under first."""

_ODD: Final = re.compile(r'[\\:*?"<>|]')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE | re.DOTALL)
_EXTENSION: Final = re.compile(r"(\.[A-Za-z0-9]{1,8}){1,2}$")


class FileNames:
    """Gives names below one folder; asked in the same order, it gives the same ones.

    What some system takes for something else than a plain name is replaced: control characters, `\\ : * ? " < > |`,
    dots and spaces at the end, `..`, names of devices, names too long. What was changed gets a few digits of its
    hash, what another member has already (also but for upper case or composed accents) a number.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: dict[tuple[str, str], str] = {}
        self._taken_by_folders: set[str] = set()

    def give(self, name: bytes) -> str:
        """Return the path for a member, with `/`."""
        *folders, last = [_safe(part) for part in text_of(name).split("/") if part not in ("", ".")] or ["_"]
        below = ""
        for folder in folders:
            known = self._folders.get((below, folder))
            if known is None:
                known = self._folders[below, folder] = self._free(below + folder, is_folder=True)
                self._taken_by_folders.add(_folded(known))
            below = known + "/"
        path = self._free(below + last, is_folder=False)
        self._files.add(_folded(path))
        return path

    def _free(self, path: str, *, is_folder: bool) -> str:
        """Return the path, numbered where a file has it, or for a file a folder."""
        stem, extension = (path, "") if is_folder else _split(path)
        number, free = 1, path
        while _folded(free) in self._files or (not is_folder and _folded(free) in self._taken_by_folders):
            number += 1
            free = f"{stem}~{number}{extension}"
        return free


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _split(name: str) -> tuple[str, str]:
    """Return (stem, extension): `.txt.gz` is one."""
    folder, slash, last = name.rpartition("/")
    match = _EXTENSION.search(last, 1)
    at = match.start() if match else len(last)
    return folder + slash + last[:at], last[at:]


def _safe(part: str) -> str:
    """Return a part of a path that is a plain name everywhere; as it is where it is one already."""
    plain = "".join("_" if unicodedata.category(letter)[0] == "C" else letter for letter in _ODD.sub("_", part))
    plain = plain.rstrip(". ") or "_"
    if _RESERVED.fullmatch(plain):
        plain = f"_{plain}"
    if plain == part and len(part.encode("utf-8")) <= LONGEST_BYTES:
        return part
    stem, extension = _split(plain)
    mark = "~" + hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    room = LONGEST_BYTES - len(mark) - len(extension.encode("utf-8"))
    return stem.encode("utf-8")[:room].decode("utf-8", "ignore") + mark + extension
