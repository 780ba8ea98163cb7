"""manifest.json on a disk, the Hub or any fsspec store."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from hfbucket.core.keys import MANIFEST
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.manifest.plain import from_dict, to_dict
from hfbucket.errors import FormatError
from hfbucket.io import store
from hfbucket.io.places import Place, write_bytes

__all__ = ["manifest_bytes", "parse_manifest", "read_manifest", "read_manifest_bytes", "write_manifest"]

LARGEST_BYTES: Final = 100_000_000
"""Room for several hundred thousand shards; what is larger would only fill the memory."""


def read_manifest(path_or_url: str | os.PathLike[str], token: str | bool | None = None) -> Manifest:
    """Return the manifest of an export: a folder that holds manifest.json, or that file, local or any fsspec URL.

    Raises:
        FormatError: there is none, or it breaks the format; the message names the place.
    """
    name = _file(path_or_url)
    return parse_manifest(read_manifest_bytes(name, token), where=name)


def _file(path_or_url: str | os.PathLike[str]) -> str:
    name = os.fspath(path_or_url)
    return name if name.endswith(".json") else name.rstrip("/") + "/" + MANIFEST


def read_manifest_bytes(path_or_url: str | os.PathLike[str], token: str | bool | None = None) -> bytes:
    """Return the bytes of the manifest of an export.

    Raises:
        FormatError: there is none, or it is larger than any manifest.
    """
    name = _file(path_or_url)
    try:
        data = store.read_bytes(name, limit_bytes=LARGEST_BYTES + 1, token=token)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FormatError(
            "no such file: this is no export, or its build has not finished (the manifest is written last); "
            "give the folder that holds it, or run the build again",
            where=name,
        ) from error
    return within_limit(data, where=name)


def within_limit(data: bytes, *, where: str) -> bytes:
    """Return the first bytes of a manifest.json, read up to one more than LARGEST_BYTES.

    Raises:
        FormatError: it is larger than any manifest.
    """
    if len(data) > LARGEST_BYTES:
        raise FormatError(f"has more than {LARGEST_BYTES:,} bytes, so it is none of an export", where=where)
    return data


def parse_manifest(data: bytes, *, where: str = MANIFEST) -> Manifest:
    """Return the manifest that the bytes of a manifest.json stand for.

    Raises:
        FormatError: not JSON, a key twice, or anything `from_dict` refuses.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            twice = sorted({key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1})
            raise FormatError(f"has the key {twice[0]!r} twice", where=where)
        return value

    def refuse(constant: str) -> None:
        raise FormatError(f"has {constant}, which is no JSON", where=where)

    try:
        text = data.decode("utf-8")
        parsed = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
        if "\\u" in text:  # half of a surrogate pair is legal in JSON and cannot be written again
            json.dumps(parsed, ensure_ascii=False).encode("utf-8")
    except FormatError:
        raise
    except UnicodeError as error:
        raise FormatError(f"must be UTF-8: {error}", where=where) from error
    except ValueError as error:
        raise FormatError(f"is no JSON: {error}", where=where) from error
    except RecursionError as error:
        raise FormatError("is nested too deeply to be a manifest", where=where) from error
    return from_dict(parsed, where=where)


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the file's bytes: JSON as UTF-8, indented for people, one trailing newline."""
    return (json.dumps(to_dict(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def write_manifest(folder: Place, manifest: Manifest) -> None:
    """Write `folder`/manifest.json: the whole of it, or what stood there before."""
    write_bytes(folder / MANIFEST, manifest_bytes(manifest))
