"""Reading files of an export from where it lies, with the credentials and the retries of datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from datasets import DownloadConfig
from datasets.utils.file_utils import xlistdir, xopen

from hfbucket.core.manifest import Manifest
from hfbucket.errors import FormatError
from hfbucket.io.manifest_file import parse_manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How files are reached: local ones as they are, the Hub's with a token, others with their store's options."""

    token: str | bool | None = None
    storage_options: dict[str, Any] = field(default_factory=dict)

    def open(self, url: str, in_one_run: bool = False) -> BinaryIO:
        """Return a local path or URL opened for reading.

        Args:
            in_one_run: it is read from its start without seeking. Then the Hub sends one response, not many blocks.
        """
        if "://" not in url:
            return open(url, "rb")
        whole = {"block_size": 0} if in_one_run and url.startswith(("hf://", "http://", "https://")) else {}
        return cast(BinaryIO, xopen(url, "rb", download_config=self._config(), **whole))

    def list(self, url: str) -> Sequence[str]:
        """Return the names in a folder."""
        return cast(Sequence[str], xlistdir(url, download_config=self._config()))

    def read_manifest(self, url: str) -> Manifest:
        """Return the manifest at a path or URL.

        Raises:
            FormatError: there is none, or it breaks the format.
        """
        try:
            with self.open(url, in_one_run=True) as file:
                data = file.read()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FormatError(
                "no such file: this is no export, or its build has not finished; give the folder that holds it",
                where=url,
            ) from error
        return parse_manifest(data, where=url)

    def _config(self) -> DownloadConfig:
        return DownloadConfig(token=self.token, storage_options=dict(self.storage_options))
