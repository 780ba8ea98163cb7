"""The Hugging Face datasets builder of exports; thin over `hfbucket.load`.

One class per module, and no file is opened here by name: `datasets` looks the class up in this module and replaces
`open`, `os.path.join` and their like in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import datasets
from datasets.builder import Key

from hfbucket.core.keys import MANIFEST
from hfbucket.core.manifest.model import Manifest
from hfbucket.errors import ConfigError
from hfbucket.load.access import Access
from hfbucket.load.features import features_of
from hfbucket.load.offsets import sample_starts
from hfbucket.load.plan import ShardRef, select_buckets, shard_refs, split_ref
from hfbucket.load.samples import check_columns, read_examples
from hfbucket.load.tables import SampleTables, TableRef, table_refs


@dataclass
class BucketedShardsConfig(datasets.BuilderConfig):  # type: ignore[misc]  # datasets is untyped
    """What to load of an export: `all`, or one base such as `r512`."""

    name: str = "all"
    #: Only these bucket ids.
    buckets: Sequence[str] | None = None
    #: Images as PIL images; else as a dict with their bytes.
    decode: bool = True
    #: Source images come resized and cropped to their bucket's size. Re-encoded ones are it anyway.
    crop: bool = True
    #: Only these columns, in this order.
    columns: Sequence[str] | None = None


class BucketedShards(datasets.GeneratorBasedBuilder):  # type: ignore[misc]
    """Loads exports: one split, `train`; every shard the manifest names is a shard of the dataset."""

    BUILDER_CONFIG_CLASS = BucketedShardsConfig
    DEFAULT_CONFIG_NAME = "all"
    VERSION = datasets.Version("1.0.0", "raise it when features or values change, so that caches are made anew")
    DEFAULT_WRITER_BATCH_SIZE = 100

    _manifest: Manifest | None = None
    _starts: dict[str, Any] | None = None
    _tables: SampleTables | None = None

    def __init__(self, *args: Any, manifest: Manifest | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        self._manifest = manifest  # where it has been read already
        super().__init__(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what can be read again; workers need no manifest."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_manifest", "_starts", "_tables")}

    def _info(self) -> datasets.DatasetInfo:
        manifest = self._read_manifest()
        chosen = select_buckets(manifest, self.config.name, self.config.buckets).values()
        size = sum(entry.bytes or 0 for entry in chosen)
        split = datasets.SplitInfo(
            name="train", num_bytes=size, num_examples=sum(entry.count for entry in chosen), dataset_name=self.name
        )
        return datasets.DatasetInfo(
            description=manifest.description or "",
            license=manifest.license.id or manifest.license.name or "",
            citation=manifest.citation or "",
            features=features_of(
                check_columns(self.config.columns),
                crop=self._crops(manifest),
                decode=self.config.decode,
                max_pixels=_max_pixels(manifest),
            ),
            splits=datasets.SplitDict({"train": split}, dataset_name=self.name),
            dataset_size=size,
        )

    def _split_generators(
        self, dl_manager: datasets.DownloadManager | datasets.StreamingDownloadManager
    ) -> list[datasets.SplitGenerator]:
        manifest, base_url = self._read_manifest(), self._base_url()
        refs = shard_refs(
            manifest,
            self.config.name,
            base_url=base_url,
            list_folder=lambda folder: self._access().list(f"{base_url}/{folder}"),
            buckets=self.config.buckets,
        )
        columns = check_columns(self.config.columns)
        if not dl_manager.is_streaming and ("image" in columns or any(ref.row is None for ref in refs)):
            here = self._access().here
            urls = dl_manager.download([here(ref.url) for ref in refs])
            refs = [replace(ref, url=url) for ref, url in zip(refs, urls, strict=True)]
        # The one list is what datasets shards; the rest goes to every worker as it is.
        gen_kwargs = {
            "shards": refs,
            "columns": columns,
            "crop": self._crops(manifest),
            "tables": table_refs(manifest, base_url),
        }
        return [datasets.SplitGenerator(name="train", gen_kwargs=gen_kwargs)]

    def _generate_shards(self, shards: list[ShardRef], **_: object) -> Iterator[str]:
        yield from (shard.url for shard in shards)

    def _generate_examples(
        self, shards: list[ShardRef], columns: tuple[str, ...], crop: bool, tables: tuple[TableRef, ...]
    ) -> Iterator[tuple[Key, dict[str, Any]]]:
        access = self._access()
        if self._tables is None:
            self._tables = SampleTables(tables, access.open_ranges)
        for number, shard in enumerate(shards):
            if self._tables.serve(shard, columns):
                examples = self._tables.read_examples(shard, columns, crop=crop)
            else:
                examples = read_examples(shard, access.open_run, columns=columns, crop=crop)
            for position, example in enumerate(examples):
                yield Key(number, position), example

    def _generate_more_gen_kwargs(self, shards: list[ShardRef], **same: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
        """Yield the keyword arguments of pieces of the shards: what `reshard` reads instead."""
        if self._starts is None:
            access = self._access()
            self._starts = sample_starts(access.open_ranges(table.url, table.size_bytes) for table in same["tables"])
        for shard in shards:
            starts = self._starts.get(shard.file)
            yield {"shards": [shard] if starts is None else split_ref(shard, starts), **same}

    def _crops(self, manifest: Manifest) -> bool:
        return bool(self.config.crop) and manifest.image_mode == "passthrough_jpeg"

    def _read_manifest(self) -> Manifest:
        if self._manifest is None:
            self._manifest = self._access().read_manifest(self._manifest_url())
        return self._manifest

    def _base_url(self) -> str:
        return self._manifest_url().removesuffix(f"/{MANIFEST}")

    def _manifest_url(self) -> str:
        """Return the manifest among the data files: the uppermost, as `data_dir` names every file below it."""
        files = [file for files in (self.config.data_files or {}).values() for file in files]
        found = sorted((file for file in files if file.endswith(f"/{MANIFEST}")), key=lambda file: file.count("/"))
        if not found or (len(found) > 1 and found[0].count("/") == found[1].count("/")):
            raise ConfigError(
                f"data_files must be the {MANIFEST} of one export, got {len(found)} of that name among {len(files)} "
                f'files; write load_dataset("bucketed_shards", data_files=".../{MANIFEST}")'
            )
        return str(found[0])

    def _access(self) -> Access:
        return Access(token=self.token, storage_options=self.storage_options)


def _max_pixels(manifest: Manifest) -> int | None:
    limit = manifest.settings.get("max_pixels")
    return limit if type(limit) is int else None
