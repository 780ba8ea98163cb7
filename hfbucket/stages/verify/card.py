"""The card of an export, checked against its manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from hfbucket import __version__
from hfbucket.core.card.croissant import croissant_bytes, croissant_problems
from hfbucket.core.checks.problems import Problem, capped, problem
from hfbucket.core.keys import CARD, CROISSANT, MANIFEST
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.manifest.plain import is_ours
from hfbucket.errors import FormatError
from hfbucket.io import store
from hfbucket.io.cards import card_problems, has_own_templates, render_card
from hfbucket.io.export_files import viewed
from hfbucket.io.manifest_file import read_manifest
from hfbucket.load.location import locate

__all__ = ["check_card", "check_card_files"]


def check_card(export: str | os.PathLike[str], templates: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    """Return where the card of an export and its manifest disagree; no shard or table is read.

    Args:
        export: its folder, `user/name` (or `user/name@revision`) of a dataset on the Hub, or any fsspec URL.
        templates: what the card was made with, where its owner has own ones.

    Raises:
        FormatError: there is no finished export, or another tool's.
        ConfigError: a template does not render.
    """
    url = store.absolute(locate(export).url)
    manifest = read_manifest(url)
    if not is_ours(manifest):
        raise FormatError("was written by another tool; check the card with that one", where=f"{url}/{MANIFEST}")
    return capped(check_card_files(url, manifest, templates or {}))


def check_card_files(url: str, manifest: Manifest, templates: Mapping[str, str]) -> Iterator[Problem]:
    """Yield where README.md or croissant.json say other than the manifest: facts always, wording where it is known."""
    yield from _croissant(url, manifest)
    yield from _card(url, manifest, templates)


def _croissant(url: str, manifest: Manifest) -> Iterator[Problem]:
    try:
        with viewed(url, CROISSANT) as view:
            data = bytes(view)
    except FileNotFoundError:
        return  # exports of earlier releases have none
    except OSError as error:
        yield problem("croissant", f"cannot be read: {error.strerror or error}", file=CROISSANT)
        return
    contradictions = tuple(croissant_problems(data, manifest))
    yield from (problem("croissant", message, file=CROISSANT) for message in contradictions)
    if not contradictions and _same_release(manifest) and data != croissant_bytes(manifest):
        yield problem("croissant", "is not what the manifest gives", file=CROISSANT)


def _same_release(manifest: Manifest) -> bool:
    return manifest.generator is not None and manifest.generator.version == __version__


def _card(url: str, manifest: Manifest, templates: Mapping[str, str]) -> Iterator[Problem]:
    try:
        with viewed(url, CARD) as view:
            text = bytes(view).decode("utf-8")
    except FileNotFoundError:
        yield problem("card", "there is none; stock loaders find their configs in it", file=CARD)
        return
    except OSError as error:
        yield problem("card", f"cannot be read: {error.strerror or error}", file=CARD)
        return
    except UnicodeDecodeError as error:
        yield problem("card", f"must be UTF-8: {error.reason} at byte {error.start}", file=CARD)
        return
    contradictions = card_problems(text, manifest)
    yield from (problem("card", message, file=CARD) for message in contradictions)
    # Text of an owner's templates can be compared only with these templates at hand.
    if not contradictions and _same_release(manifest) and (templates or not has_own_templates(text)):
        yield from _difference(text, render_card(manifest, templates))


def _difference(text: str, expected: str) -> Iterator[Problem]:
    """Yield the first line in which a card is not what its manifest gives."""
    if text == expected:
        return
    got, must = text.split("\n"), expected.split("\n")
    pairs = enumerate(zip(got, must, strict=False))
    at = next((i for i, (one, other) in pairs if one != other), min(len(got), len(must)))
    shown = [repr(lines[at][:120]) if at < len(lines) else "the end" for lines in (must, got)]
    message = f"is not what the manifest gives; line {at + 1} must be {shown[0]}, got {shown[1]}"
    yield problem("card", message, file=CARD)
