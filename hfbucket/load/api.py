"""`hfbucket.load_dataset`: an export as a Hugging Face dataset, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import datasets
from datasets.data_files import DataFilesDict, DataFilesList

from hfbucket.builders.bucketed_shards import BucketedShards
from hfbucket.core.keys import MANIFEST
from hfbucket.core.manifest.plain import content_sha256
from hfbucket.errors import ConfigError
from hfbucket.load.access import Access
from hfbucket.load.location import Location, locate
from hfbucket.load.registration import BUILDER_HASH


def load_dataset(
    path_or_repo: str | os.PathLike[str],
    name: str | None = None,
    *,
    split: str | None = "train",
    streaming: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
    buckets: Sequence[str] | None = None,
    decode: bool = True,
    crop: bool = True,
    columns: Sequence[str] | None = None,
    num_proc: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    download_mode: str | None = None,
    storage_options: dict[str, Any] | None = None,
) -> datasets.Dataset | datasets.IterableDataset:
    """Return an export as a `datasets.IterableDataset` (streaming) or a `datasets.Dataset` (cached on disk first).

    Columns: image, caption, key, image_id, bucket_id, width, height (of the bucket), original_width, original_height,
    resized_width, resized_height, crop_left, crop_top, caption_variant, meta. Shards come bucket after bucket, so
    `shuffle(seed, buffer_size=1, max_buffer_input_shards=1)` keeps sizes together.

    Args:
        path_or_repo: the folder of an export, `user/name` on the Hub, `buckets/user/name/folder`, or any fsspec URL.
        name: `all` (the default), or one base: `r512`.
        split: `train`, the only one; None gives a dict of splits.
        revision: branch, tag or commit of a dataset on the Hub.
        token: access token of the Hub; without it the one you logged in with.
        buckets: only these bucket ids, such as `r512_p1152x832`.
        decode: False gives the images' bytes.
        crop: source images (passthrough) come resized and cropped, with the pixels re-encoding would give.
        columns: only these, in this order; images that are not asked for are not read.
        num_proc: processes that fill the cache; not for streaming.
        cache_dir, download_mode, storage_options: as in `datasets.load_dataset`.

    Raises:
        ConfigError: a name, bucket or column does not exist.
        SourceError: there is no such folder or repository.
        FormatError: the export breaks the format.
    """
    if streaming and num_proc is not None:
        raise ConfigError("num_proc must be left out when streaming; a DataLoader's workers read in parallel")
    builder = _builder(
        locate(path_or_repo, revision, token),
        Access(token=token, storage_options=storage_options or {}),
        config_name=name,
        cache_dir=None if cache_dir is None else os.fspath(cache_dir),
        decode=decode,
        crop=crop,
        **{key: list(value) for key, value in (("buckets", buckets), ("columns", columns)) if value is not None},
    )
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(num_proc=num_proc, download_mode=download_mode)
    return builder.as_dataset(split=split)


def _builder(location: Location, access: Access, **options: object) -> datasets.DatasetBuilder:
    url = f"{location.url}/{MANIFEST}"
    # A cache is reused while what tells the contents apart is the same: the commit, or a hash of all that matters.
    manifest = None if location.commit else access.read_manifest(url)
    content = location.commit if manifest is None else manifest.content_sha256 or content_sha256(manifest)
    return BucketedShards(
        base_path=location.url,
        repo_id=location.repo_id,
        hash=location.commit or BUILDER_HASH,
        token=access.token,
        storage_options=access.storage_options,
        data_files=DataFilesDict({"train": DataFilesList([url], [(content,)])}),
        manifest=manifest,
        **options,
    )
