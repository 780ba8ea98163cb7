"""One file of the Hub: its name in URLs, and the words for what stands between it and us."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from huggingface_hub import constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError

from hfbucket.errors import SourceError
from hfbucket.io import waits
from hfbucket.io.hub.errors import redacted

__all__ = [
    "LOST", "TRYING", "HubFile", "Token", "hub_file", "hub_host", "not_here", "passes", "refused", "wait_longer",
]  # fmt: skip

Token = str | bool | None

LOST: Final[type[Exception]] = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
"""The root of what the client's HTTP library raises; which library that is depends on the client's version."""

_URL: Final = re.compile(
    r"hf://(?P<kind>datasets|buckets)/(?P<repo_id>[^/@]+/[^/@]+)"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?/(?P<path>.+)"
)

_TRIES: Final = 10
"""How often in a row nothing may come; the client's own tries, which wait as the Hub asks, come before each."""
_TOLD_FROM: Final = 3
"""The try from which on it is told that they fail."""
_PASSING: Final = frozenset({"NetworkError", "TimeoutException", "RemoteProtocolError", "ConnectionError"})
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 60.0


def _pause_s(tries: int) -> float:
    return min(_FIRST_WAIT_S * 2.0 ** (tries - 1), _LONGEST_WAIT_S)


TRYING: Final = waits.tries(_TRIES, sum(map(_pause_s, range(1, _TRIES))))
"""How long that is, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubFile:
    """One file of a dataset repository, or of a Storage Bucket, which has no revisions."""

    repo_id: str
    path: str
    revision: str | None = None
    is_bucket: bool = False

    def __str__(self) -> str:
        kind, revision = "buckets/" if self.is_bucket else "", f"@{self.revision}" if self.revision else ""
        return f"{kind}{self.repo_id}{revision}/{self.path}"

    @property
    def http_url(self) -> str:
        """Where the Hub gives it."""
        if self.is_bucket:
            return f"{constants.ENDPOINT}/buckets/{self.repo_id}/resolve/{quote(self.path)}"
        return hf_hub_url(self.repo_id, self.path, repo_type="dataset", revision=self.revision)


def hub_file(url: str) -> HubFile | None:
    """Return the file that an `hf://` URL names; None where it is none of a dataset repository or Storage Bucket."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    revision = match["revision"] and unquote(match["revision"])
    return HubFile(
        repo_id=match["repo_id"], path=match["path"], revision=revision, is_bucket=match["kind"] == "buckets"
    )


def not_here(file: HubFile) -> str:
    """Return the words for a file that is neither in the client's cache nor to be had from the Hub."""
    state = "is switched off (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "cannot be reached"
    words = f"the Hub {state}, and its cache on this machine has no {file.path}; "
    if file.is_bucket:
        return words + "go online"
    revision = f" --revision {file.revision}" if file.revision else ""
    return words + f"go online, where `hf download --repo-type dataset {file.repo_id}{revision}` fetches all for later"


def refused(answer: HfHubHTTPError, token: Token) -> str:
    """Return the Hub's no in words, or that of the server it sends to for bytes.

    Those of the client may hold what the server echoed, so they end no error whole.
    """
    response = answer.response
    host = urlsplit(str(response.url)).hostname
    if host != urlsplit(constants.ENDPOINT).hostname:  # the address is left out: it is a key for some time
        return (
            f"{host}, to which the Hub sends for the bytes, refuses them ({response.status_code} "
            f"{response.reason_phrase}); the signed address may have expired, so run the same command again; if that "
            "does not help, look at this machine's clock, and whether a firewall or proxy keeps you from that server"
        )
    words = redacted(str(answer), token)
    if response.status_code not in (401, 403, 404):
        return f"the Hub does not give it ({words})"
    return (
        "the Hub has no such dataset for you; check the name and the revision, and log in with `hf auth login` where "
        f"it is private or gated ({words})"
    )


def passes(error: Exception) -> bool:
    """Return whether trouble is worth another try: the network's, too many requests, or the Hub's own."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    # Not, for one, a header that cannot be sent. httpx and httpx2 have the same names.
    return any(kind.__name__ in _PASSING for kind in type(error).__mro__)


def hub_host() -> str:
    """Return the Hub's host, with its port."""
    return waits.host_of(constants.ENDPOINT)


def wait_longer(tries: int, where: object, reason: Exception, token: Token, host: str) -> None:
    """Wait longer with every try in a row that brought nothing; tell that.

    Args:
        host: that was asked.

    Raises:
        SourceError: they are too many, or the reason is not one that passes.
    """
    if tries >= _TRIES or not passes(reason):
        after = f", after {tries} tries" if tries > 1 else ""
        raise SourceError(f"{where}: the Hub cannot be read{after} ({redacted(str(reason), token)})") from None
    if tries >= _TOLD_FROM:
        waits.trouble(host, redacted(str(reason), token), TRYING)
    time.sleep(_pause_s(tries))
