"""Images over memory that others filled."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hfbucket.io.images import memory


@pytest.mark.parametrize("is_lent_again", [None, False])
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (64, 48)])
def test_pixels_are_those_of_the_memory(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], is_lent_again: bool | None
) -> None:
    if is_lent_again is not None:  # as with an older Pillow; else as the one that is installed does it
        monkeypatch.setattr(memory, "_IS_LENT_AGAIN", is_lent_again)
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 4), np.uint8)
    for filled in (pixels, pixels.tobytes()):
        image = memory.image_over(filled, size)
        assert (image.mode, image.size) == ("RGB", size)
        assert image.tobytes() == pixels[..., :3].tobytes()
        image.__arrow_c_array__()  # what compiled code reads it by; a crash would end the process
        changed = image.copy()
        changed.paste((1, 2, 3), (0, 0, 1, 1))
        assert image.tobytes() == pixels[..., :3].tobytes()
    assert isinstance(image, Image.Image)
