"""Reading files of an export from where it lies, with the credentials and the retries of its store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from datasets import DownloadConfig
from datasets.utils.file_utils import xlistdir, xopen

from hfbucket.core.manifest.model import Manifest
from hfbucket.errors import FormatError
from hfbucket.io.hub import read as hub_read
from hfbucket.io.hub.file import hub_file
from hfbucket.io.journal import refuse_unfinished
from hfbucket.io.manifest_file import LARGEST_BYTES, parse_manifest, within_limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How files are reached: local ones as they are, the Hub's with a token, others with their store's options."""

    token: str | bool | None = None
    storage_options: dict[str, Any] = field(default_factory=dict)

    def open_run(self, url: str, start: int = 0) -> BinaryIO:
        """Return a local path or URL opened to be read forward from a byte on, without seeking.

        The Hub and web servers send one response then, not many blocks.
        """
        if (at_hub := hub_file(url)) is not None:
            return hub_read.open_hub_file(at_hub, self.token, start=start)
        is_one_response = start == 0 and url.startswith(("http://", "https://"))
        file = self._open(url, **({"block_size": 0} if is_one_response else {}))
        if start:
            file.seek(start)
        return file

    def open_ranges(self, url: str, size_bytes: int) -> BinaryIO:
        """Return a local path or URL opened to be read at any place; its size is known."""
        if (at_hub := hub_file(url)) is not None:
            return hub_read.open_hub_file(at_hub, self.token, size_bytes=size_bytes)
        return self._open(url)

    def here(self, url: str) -> str:
        """Return where the client's cache has a file of the Hub, which is found without the Hub; else the url."""
        at_hub = hub_file(url)
        return (at_hub and hub_read.cached(at_hub)) or url

    def list(self, url: str) -> Sequence[str]:
        """Return the names in a folder."""
        return cast(Sequence[str], xlistdir(url, download_config=self._config()))

    def read_manifest(self, url: str) -> Manifest:
        """Return the manifest at a path or URL; that of a dataset repository goes through the client's cache.

        Raises:
            FormatError: there is none, it breaks the format, or its export was left in the middle of a change.
            SourceError: the Hub does not give it.
        """
        refuse_unfinished(url)
        at_hub = hub_file(url)
        try:
            if at_hub is None or at_hub.is_bucket:
                file = self.open_run(url)
            else:
                file = hub_read.download(at_hub, self.token).open("rb")
            with file:
                data = file.read(LARGEST_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FormatError(
                "no such file: this is no export, or its build has not finished; give the folder that holds it",
                where=url,
            ) from error
        return parse_manifest(within_limit(data, where=url), where=url)

    def _open(self, url: str, **options: int) -> BinaryIO:
        if "://" not in url:
            return open(url, "rb")
        return cast(BinaryIO, xopen(url, "rb", download_config=self._config(), **options))

    def _config(self) -> DownloadConfig:
        return DownloadConfig(token=self.token, storage_options=dict(self.storage_options))
