"""What the columns are in Hugging Face datasets, and the image type that crops when it decodes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import datasets
import pyarrow as pa
from datasets.features.features import register_feature

from hfbucket.config import Config
from hfbucket.core.law.geometry import Geometry
from hfbucket.errors import SampleError
from hfbucket.load.samples import GEOMETRY, JsonText

_WHOLE: Final = dict.fromkeys(GEOMETRY)
_WHOLE_KEYS: Final = {"bytes", "path"}
_CROPPED_KEYS: Final = {*_WHOLE_KEYS, *GEOMETRY}


@dataclass
class CroppedImage(datasets.Image):  # type: ignore[misc]  # datasets is untyped
    """An image whose source bytes are kept and whose resize and crop happen when it is decoded.

    Stored as the bytes and six integers beside them, so nothing is encoded a second time, a cache on disk is as small
    as the shards, and samples that are skipped, shuffled or filtered away are never decoded. Decoding gives the very
    pixels that re-encoding would hand to its encoder. An image without geometry, such as one a `map` returned, is
    given as it is. `cast_column("image", datasets.Image())` turns it into the plain type: the whole source image.

    Args:
        max_pixels: images with more pixels are refused before they are decoded.
    """

    max_pixels: int = Config().max_pixels
    pa_type: ClassVar[Any] = pa.struct(
        {"bytes": pa.binary(), "path": pa.string(), **{name: pa.int32() for name in GEOMETRY}}
    )
    _type: str = field(default="CroppedImage", init=False, repr=False)

    def encode_example(self, value: Any) -> dict[str, Any]:  # noqa: ANN401 (whatever datasets.Image accepts)
        """Return the storage of one image: bytes, path and geometry."""
        if isinstance(value, dict) and value.get("bytes") is not None:
            return {"bytes": value["bytes"], "path": value.get("path"), **{name: value.get(name) for name in GEOMETRY}}
        return {**super().encode_example(value), **_WHOLE}

    def decode_example(self, value: Any, token_per_repo_id: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        """Return the resized and cropped RGB image, a `PIL.Image.Image` of the bucket's size.

        Raises:
            SampleError: the bytes cannot be decoded; the message names the sample.
        """
        if not (self.decode and isinstance(value, dict) and value.get("resized_w")):
            return super().decode_example(value, token_per_repo_id)
        from hfbucket.io.images.decode import decode_rgb
        from hfbucket.io.images.encode import fit

        geometry = Geometry(**{name: value[name] for name in GEOMETRY})
        try:
            image = fit(decode_rgb(value["bytes"], max_pixels=self.max_pixels).image, geometry)
        except SampleError as error:
            raise SampleError(error.outcome, f"{value['path']}: {error.detail}") from error
        if self.mode and self.mode != image.mode:
            return image.convert(self.mode)
        return image.copy() if image.readonly else image

    def cast_storage(self, storage: pa.Array) -> pa.StructArray:
        """Return the array as this type's storage; what has no geometry is a whole image."""
        known = {f.name for f in storage.type} if pa.types.is_struct(storage.type) else set()
        numbers = {
            name: storage.field(name).cast(pa.int32()) if name in known else pa.nulls(len(storage), pa.int32())
            for name in GEOMETRY
        }
        return self._joined(datasets.Image().cast_storage(storage), numbers)

    def embed_storage(self, storage: pa.StructArray, *args: Any, **kwargs: Any) -> pa.StructArray:  # noqa: ANN401
        """Return the storage with the bytes of images that were given as paths."""
        numbers = {name: storage.field(name) for name in GEOMETRY}
        plain = datasets.Image().cast_storage(storage)
        return self._joined(datasets.Image().embed_storage(plain, *args, **kwargs), numbers)

    def _joined(self, image: pa.StructArray, numbers: dict[str, pa.Array]) -> pa.StructArray:
        arrays = [image.field("bytes"), image.field("path"), *numbers.values()]
        return pa.StructArray.from_arrays(arrays, fields=list(self.pa_type), mask=image.is_null())


class LoadedFeatures(datasets.Features):  # type: ignore[misc]
    """Features that take examples as they are whose values have the form already that encoding would give them.

    All that a loader reads has it, and looking for arrays, images and nested values in it is most of what streaming
    costs otherwise. Any other example is encoded as ever.
    """

    def __reduce__(self) -> tuple[type[LoadedFeatures], tuple[dict[str, Any]]]:
        """Return what a copy is made of; `datasets.Features` names itself here."""
        return (LoadedFeatures, (dict(self),))

    def encode_example(self, example: dict[str, Any]) -> dict[str, Any]:
        """Return the example as it is stored."""
        if len(example) == len(self):
            for name, feature in self.items():
                if name not in example or not _is_stored(feature, example[name]):
                    break
            else:
                return example
        encoded: dict[str, Any] = super().encode_example(example)
        return encoded

    def decode_example(
        self, example: dict[str, Any], token_per_repo_id: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the example with its images, and what else is stored in another form, decoded."""
        stored = {name: value for name, value in example.items() if self._column_requires_decoding.get(name)}
        bare = {name: image for name, value in stored.items() if (image := _bare(self[name], value)) is not None}
        others = {name: value for name, value in stored.items() if name not in bare}
        decoded: dict[str, Any] = super().decode_example(others, token_per_repo_id)
        return example | decoded | bare


def _bare(feature: Any, value: Any) -> Any:  # noqa: ANN401 (an image of Pillow, which this layer does not know)
    """Return the image that stock decoding would give, sooner; None where only that knows which."""
    if type(feature) is not datasets.Image or feature.mode or not feature.decode:
        return None
    if type(value) is not dict or not value.get("bytes"):
        return None
    from hfbucket.io.images.decode import decode_bare

    return decode_bare(value["bytes"])


_PYTHON_TYPE: Final = {"string": str, "int32": int}


def _is_stored(feature: object, value: object) -> bool:
    """Return whether a value is what encoding it for this feature would give."""
    kind = type(feature)
    if kind is datasets.Value:
        return value is None or type(value) is _PYTHON_TYPE.get(feature.dtype)  # type: ignore[attr-defined]
    if kind is datasets.Json:
        return type(value) is JsonText
    if kind is datasets.Image or kind is CroppedImage:
        keys = _WHOLE_KEYS if kind is datasets.Image else _CROPPED_KEYS
        return type(value) is dict and type(value.get("bytes")) is bytes and value.keys() == keys
    return False


def features_of(
    columns: Sequence[str], *, crop: bool, decode: bool, max_pixels: int | None = None
) -> datasets.Features:
    """Return the features of the columns.

    Args:
        crop: images are source bytes with geometry beside them.
        decode: images come as PIL images; else as a dict with their bytes.
        max_pixels: the limit the export was built with.
    """
    limit = {} if max_pixels is None else {"max_pixels": max_pixels}
    image = CroppedImage(decode=decode, **limit) if crop else datasets.Image(decode=decode)
    types = {"image": image, "meta": datasets.Json()}
    texts = {"caption", "key", "image_id", "bucket_id", "caption_variant"}
    return LoadedFeatures(
        {name: types.get(name) or datasets.Value("string" if name in texts else "int32") for name in columns}
    )


with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # "experimental": the one way to name a feature type
    register_feature(CroppedImage, "CroppedImage")  # so that features which were saved are found again
