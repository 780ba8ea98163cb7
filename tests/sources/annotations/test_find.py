"""An annotation file beside the images is found by what stands in it, and one that cannot be read is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfbucket.errors import SourceError
from hfbucket.io import store
from hfbucket.sources.annotations.find import find

ROWS = '[{"file_name": "a.jpg", "caption": "a cat"}, {"file_name": "b.jpg", "caption": "a dog"}]'


def test_the_one_that_names_images_and_captions_is_found(tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text(ROWS)
    (tmp_path / "notes.txt").write_text("nothing of that kind")
    urls = [str(tmp_path / name) for name in ("captions.json", "notes.txt", "gone.json")]
    assert find(urls, "s", ()) == urls[0]
    assert find(urls[1:], "s", ()) is None


def test_one_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> bytes:
        raise PermissionError(13, "Permission denied", "captions.json")

    monkeypatch.setattr(store, "read_bytes", refused)
    with pytest.raises(SourceError) as caught:
        find([str(tmp_path / "captions.json")], "s", ())
    assert str(caught.value) == (
        "captions.json may hold the captions and cannot be read: Permission denied; make it readable, or name the file "
        "that has them with --annotations"
    )
