"""The card's pictures: the same bytes for the same input, bars as high as they say, crops where they are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hfbucket.core.card.pictures import Bar, Panel, SheetRow
from hfbucket.core.card.previews import CELL_H_PX, CELL_W_PX, PREVIEWS
from hfbucket.core.law.geometry import Geometry
from hfbucket.errors import SampleError
from hfbucket.io.images.chart import draw_chart
from hfbucket.io.images.contact_sheet import draw_sheet
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.drawing import BLUE, shortened, text_width
from hfbucket.io.images.preview import make_preview, preview_of


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def panel(*images: int) -> Panel:
    return Panel(title="Base 64: images", bars=tuple(Bar(w=64 + i, h=64, images=n) for i, n in enumerate(images)))


def photo(width: int, height: int, **options: object) -> bytes:
    """Return a picture whose left half is red and right half green."""
    image = Image.new("RGB", (width, height), (200, 0, 0))
    image.paste((0, 200, 0), (width // 2, 0, width, height))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("bars", [1, 2, 12, 40, 200])
def test_charts_of_any_number_of_bars(bars: int) -> None:
    drawn = panel(*(1 + n * 10**6 // bars for n in range(bars)))
    data = draw_chart([drawn])
    assert data == draw_chart([drawn])
    assert len(data) < 100_000
    image = opened(data)
    columns = [x for x in range(image.width) if image.getpixel((x, 36 + 60 + 300 - 1)) == BLUE]
    starts = [x for x, before in zip(columns, [-9, *columns], strict=False) if x != before + 1]
    assert len(starts) == bars


def test_bars_are_as_high_as_their_numbers() -> None:
    image = opened(draw_chart([panel(50, 100)]))
    heights = [sum(image.getpixel((x, y)) == BLUE for y in range(image.height)) for x in range(image.width)]
    assert sorted(set(heights)) == [0, 135, 270]


def test_every_base_has_its_panel() -> None:
    one, two = (opened(draw_chart([panel(3)] * count)).height for count in (1, 2))
    assert two > one * 3 // 2


@pytest.mark.parametrize("images", [1, 9, 10, 999, 1000, 12_345, 10**6, 18_455_504, 10**9])
def test_numbers_of_any_size(images: int) -> None:
    assert opened(draw_chart([panel(images, 1, images)])).width == 1600


def test_previews_are_upright_and_as_the_crop_lies() -> None:
    geometry = Geometry(resized_w=800, resized_h=600, crop_left=400, crop_top=0, w=400, h=600)
    preview = make_preview(photo(1600, 1200), geometry, max_pixels=10**7)
    assert opened(preview.jpeg).size == (CELL_W_PX, CELL_H_PX)
    assert preview.box == (100, 0, 200, 150)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = make_preview(photo(1200, 1600, exif=exif), geometry, max_pixels=10**7)
    assert opened(turned.jpeg).size == (CELL_W_PX, CELL_H_PX)
    red, green, _ = opened(turned.jpeg).getpixel((100, 10))  # type: ignore[misc]  # RGB
    assert red > green


@pytest.mark.parametrize("orientation", [1, 6])
def test_jpegs_may_be_decoded_smaller_but_not_too_small(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = photo(1200, 1600, exif=exif) if orientation == 6 else photo(1600, 1200)
    whole = decode_rgb(source, max_pixels=10**7).image
    small = decode_rgb(source, max_pixels=10**7, at_least=(200, 150)).image
    assert small.size == (200, 150)
    assert whole.size == decode_rgb(source, max_pixels=10**7, at_least=(801, 3)).image.size == (1600, 1200)
    assert abs(np.asarray(small, dtype=int)[20, 20] - np.asarray(whole, dtype=int)[160, 160]).max() < 8


def test_a_preview_is_the_same_by_any_codec_and_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = Geometry(resized_w=320, resized_h=240, crop_left=10, crop_top=0, w=300, h=240)
    source, seen = photo(640, 480), set()
    for kernel in ("auto", "pillow"):
        monkeypatch.setenv("HFBUCKET_KERNEL", kernel)
        image = decode_rgb(source, max_pixels=10**7).image
        seen.add((preview_of(image, geometry).jpeg, make_preview(source, geometry, max_pixels=10**7).jpeg))
    assert len(seen) == 1


@pytest.mark.parametrize("source", [b"", b"no image", photo(64, 64)[:-20]])
def test_what_cannot_be_decoded_has_no_preview(source: bytes) -> None:
    geometry = Geometry(resized_w=64, resized_h=64, crop_left=0, crop_top=0, w=64, h=64)
    with pytest.raises(SampleError):
        make_preview(source, geometry, max_pixels=10**7)
    with pytest.raises(SampleError):
        make_preview(photo(64, 64), geometry, max_pixels=100)


def test_sheets_show_what_is_kept_and_dim_the_rest() -> None:
    geometry = Geometry(resized_w=800, resized_h=600, crop_left=400, crop_top=0, w=400, h=600)
    row = SheetRow(
        lines=("p512x1024", "400 x 600"), previews=(make_preview(photo(800, 600), geometry, max_pixels=10**7),)
    )
    data = draw_sheet([row], "Base 400")
    assert data == draw_sheet([row], "Base 400")
    image = opened(data)
    left, top = 24 + 212, 24 + 44
    dimmed, kept = (image.getpixel((left + x, top + 75)) for x in (50, 150))
    assert isinstance(dimmed, tuple)
    assert isinstance(kept, tuple)
    assert max(dimmed) < 110 < 180 < max(kept)
    outline = image.getpixel((left + 101, top + 75))
    assert isinstance(outline, tuple)
    assert outline[0] > 180 > 100 > outline[2]


def test_sheets_grow_by_rows_and_show_no_more_than_fit() -> None:
    geometry = Geometry(resized_w=64, resized_h=64, crop_left=0, crop_top=0, w=64, h=64)
    preview = make_preview(photo(64, 64), geometry, max_pixels=10**7)
    row = SheetRow(lines=("a bucket with a very long name that does not fit",), previews=(preview,) * (PREVIEWS + 3))
    one, three = (opened(draw_sheet([row] * count, "x" * 500)) for count in (1, 3))
    assert one.width == three.width
    assert three.height - one.height == 2 * (CELL_H_PX + 20)


def test_long_text_is_shortened_in_the_middle() -> None:
    assert shortened("short", 20, 200) == "short"
    text = shortened("beginning and " * 20 + "end", 20, 200)
    assert text_width(text, 20) <= 200
    assert text.startswith("begin")
    assert text.endswith("end")
    assert "..." in text
