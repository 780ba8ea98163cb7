"""The image type that crops when it decodes, through everything datasets does to a column."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image, ImageChops

from hfbucket.core.keys import digest_of
from hfbucket.core.law.geometry import Geometry, geometry
from hfbucket.errors import SampleError
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.encode import fit
from hfbucket.load.features import CroppedImage, LoadedFeatures, features_of
from hfbucket.load.samples import COLUMNS, GEOMETRY, JsonText


def source(number: int, mode: str = "RGB", **save: Any) -> bytes:
    image = Image.effect_noise((90 + number, 70), 90).convert("RGB")
    image.paste((200, 30, 60), (5, 5, 40, 30))
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "JPEG", quality=92, **save)
    return buffer.getvalue()


def geometry_of(number: int) -> Geometry:
    return geometry(90 + number, 70, 64, 32, digest_of(str(number)))


def stored(number: int, mode: str = "RGB") -> dict[str, Any]:
    numbers = {name: getattr(geometry_of(number), name) for name in GEOMETRY}
    return {"bytes": source(number, mode), "path": f"{number}.jpg", **numbers}


def pixels_before_encoding(value: dict[str, Any]) -> Image.Image:
    wanted = Geometry(**{name: value[name] for name in GEOMETRY})
    return fit(decode_rgb(value["bytes"], max_pixels=1 << 30).image, wanted)


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and a.mode == b.mode and ImageChops.difference(a, b).getbbox() is None


ROWS = [stored(number, mode) for number, mode in enumerate(("RGB", "L", "CMYK", "RGB"))]
FEATURES = datasets.Features({"image": CroppedImage(), "n": datasets.Value("int32")})


@pytest.fixture
def dataset() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"image": ROWS, "n": [0, 1, 2, 3]}, features=FEATURES)


def check(images: list[Image.Image]) -> None:
    assert [image.size for image in images] == [(64, 32)] * 4
    assert all(same(image, pixels_before_encoding(row)) for image, row in zip(images, ROWS, strict=True))


def test_decodes_to_the_pixels_that_encoding_would_get(dataset: datasets.Dataset) -> None:
    check(dataset["image"][:])
    check([dataset[number]["image"] for number in range(4)])


def test_an_oriented_source_is_upright_before_it_is_cropped() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    value = {**stored(0), "bytes": source(0, exif=exif.tobytes())}
    upright = geometry(70, 90, 32, 64, digest_of("x"))
    value |= {name: getattr(upright, name) for name in GEOMETRY}
    image = CroppedImage().decode_example(value)
    assert image.size == (32, 64)
    assert same(image, pixels_before_encoding(value))


def test_nothing_is_encoded_again(dataset: datasets.Dataset) -> None:
    assert dataset.data.column("image").to_pylist() == ROWS


def test_streams_filters_and_shuffles(dataset: datasets.Dataset) -> None:
    check([row["image"] for row in dataset.to_iterable_dataset(2)])
    kept = dataset.filter(lambda n: n % 2, input_columns="n")
    assert [same(row["image"], pixels_before_encoding(ROWS[row["n"]])) for row in kept] == [True, True]
    assert all(same(row["image"], pixels_before_encoding(ROWS[row["n"]])) for row in dataset.shuffle(seed=1))


def test_a_map_that_leaves_the_image_alone_keeps_it(dataset: datasets.Dataset) -> None:
    mapped = dataset.map(lambda row: {"m": row["n"] + 1})
    assert mapped.features["image"] == CroppedImage()
    check(mapped["image"][:])


def test_a_map_that_gives_an_image_keeps_what_it_gave(dataset: datasets.Dataset) -> None:
    mapped = dataset.map(lambda row: {"image": row["image"].rotate(180)})
    for image, row in zip(mapped["image"], ROWS, strict=True):
        assert same(image, pixels_before_encoding(row).rotate(180))
    streamed = dataset.to_iterable_dataset().map(lambda row: {"image": row["image"].rotate(180)}, features=FEATURES)
    for row, original in zip(streamed, ROWS, strict=True):
        assert same(row["image"], pixels_before_encoding(original).rotate(180))


def test_nulls_and_whole_images_live_beside_cropped_ones() -> None:
    whole = {"bytes": source(0), "path": None}
    mixed = datasets.Dataset.from_dict(
        {"image": [None, whole, ROWS[0]]}, features=datasets.Features(image=CroppedImage())
    )
    assert mixed[0]["image"] is None
    assert mixed[1]["image"].size == (90, 70)
    assert mixed[2]["image"].size == (64, 32)
    assert mixed[1:3]["image"][1].size == (64, 32)


def test_casts_to_and_from_the_plain_image(dataset: datasets.Dataset) -> None:
    plain = dataset.cast_column("image", datasets.Image())
    assert [image.size for image in plain["image"]] == [(90, 70), (91, 70), (92, 70), (93, 70)]
    assert plain.cast_column("image", CroppedImage())[0]["image"].size == (90, 70)
    part = dataset.select(range(1, 4)).cast_column("image", CroppedImage(max_pixels=9000))  # a slice of the storage
    assert all(same(row["image"], pixels_before_encoding(ROWS[row["n"]])) for row in part)


def test_decoding_can_be_switched_off_and_on(dataset: datasets.Dataset) -> None:
    stream = dataset.to_iterable_dataset().decode(False)
    assert [row["image"] for row in stream] == ROWS
    check([row["image"] for row in stream.decode(True)])
    assert dataset.cast_column("image", CroppedImage(decode=False))[0]["image"] == ROWS[0]


def test_threads_decode() -> None:
    with ThreadPoolExecutor(2) as pool:
        check(list(pool.map(CroppedImage().decode_example, ROWS)))


def test_array_formats_get_the_cropped_pixels(dataset: datasets.Dataset) -> None:
    array = dataset.with_format("numpy")[0]["image"]
    assert np.array_equal(array, np.asarray(pixels_before_encoding(ROWS[0])))


def test_mode_converts_after_the_crop() -> None:
    assert CroppedImage(mode="L").decode_example(ROWS[0]).mode == "L"


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(SampleError, match=r"skipped_too_large: 0\.jpg: 90x70 is 6300 pixels, over 6299"):
        CroppedImage(max_pixels=6299).decode_example(ROWS[0])


def test_saved_datasets_are_read_in_a_new_process(dataset: datasets.Dataset, tmp_path: Path) -> None:
    dataset.save_to_disk(tmp_path / "saved")
    dataset.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "pickled").write_bytes(pickle.dumps(dataset))
    code = (
        "import pickle, sys, hfbucket, datasets\n"
        "from pathlib import Path\n"
        "folder = Path(sys.argv[1])\n"
        "rows = datasets.Dataset.from_parquet(str(folder / 'rows.parquet'))\n"
        "sent = pickle.loads((folder / 'pickled').read_bytes())\n"
        "for d in (datasets.load_from_disk(folder / 'saved'), rows, sent):\n"
        "    assert type(d.features['image']).__name__ == 'CroppedImage', d.features\n"
        "    assert [image.size for image in d['image']] == [(64, 32)] * 4\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_features_say_what_the_columns_are() -> None:
    plain = features_of(COLUMNS, crop=False, decode=True)
    assert plain == {
        "image": datasets.Image(),
        **{name: datasets.Value("string") for name in ("caption", "key", "image_id", "bucket_id", "caption_variant")},
        **{name: datasets.Value("int32") for name in COLUMNS[5:13]},
        "meta": datasets.Json(),
    }
    assert tuple(plain) == COLUMNS
    cropped = features_of(("image",), crop=True, decode=False, max_pixels=9)
    assert cropped == {"image": CroppedImage(decode=False, max_pixels=9)}
    assert datasets.Features.from_dict(cropped.to_dict()) == cropped
    assert datasets.Features._from_yaml_list(cropped._to_yaml_list()) == cropped


def test_only_what_is_stored_already_passes_as_it_is() -> None:
    features = features_of(("image", "caption", "width", "meta"), crop=True, decode=True)
    plain = datasets.Features(dict(features))
    as_read = {"image": stored(1), "caption": None, "width": 64, "meta": JsonText('{"a":1}')}
    assert features.encode_example(as_read) is as_read
    assert plain.encode_example(as_read) == as_read
    picture = Image.new("RGB", (3, 2))
    for given in (
        {"image": {"bytes": source(2), "path": None}},
        {"image": picture},
        {"caption": 7},
        {"width": "64"},
        {"width": np.int32(64)},
        {"width": True},
        {"meta": "no JSON"},
        {"meta": {"a": [1, 2]}},
    ):
        example = as_read | given
        assert features.encode_example(example) == plain.encode_example(example)
    assert features.decode_example(as_read)["meta"] == plain.decode_example(as_read)["meta"] == {"a": 1}


def test_copies_of_the_features_know_it_as_well() -> None:
    features = features_of(COLUMNS, crop=False, decode=True)
    for copied in (pickle.loads(pickle.dumps(features)), features.copy()):
        assert type(copied) is LoadedFeatures
        assert copied == features
        assert copied._column_requires_decoding == features._column_requires_decoding


@pytest.mark.parametrize("save", [{}, {"progressive": True}, {"exif": Image.Exif()}, {"comment": b"hello"}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_streamed_images_are_those_of_stock_decoding(mode: str, save: dict[str, Any]) -> None:
    value = {"bytes": source(0, mode, **save), "path": None}
    for feature in (datasets.Image(), datasets.Image(mode="L")):
        seen = LoadedFeatures({"image": feature}).decode_example({"image": value})["image"]
        stock = feature.decode_example(value)
        assert same(seen, stock)
        assert seen.format == stock.format


def test_a_decoded_image_can_be_drawn_on() -> None:
    whole = source(0)
    uncropped = {"resized_w": 90, "resized_h": 70, "crop_left": 0, "crop_top": 0, "w": 90, "h": 70}
    streamed = LoadedFeatures({"image": datasets.Image()}).decode_example({"image": {"bytes": whole, "path": None}})
    cropped = CroppedImage().decode_example({"bytes": whole, "path": "0.jpg", **uncropped})
    for image in (streamed["image"], cropped):
        image.load()[1, 1] = (1, 2, 3)
        assert image.getpixel((1, 1)) == (1, 2, 3)
