"""What goes wrong on the way to the Hub: waited out where that helps, and told without any secret."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from huggingface_hub import constants, get_token
from huggingface_hub.errors import HfHubHTTPError

from hfbucket.core.events import Notice, OnEvent
from hfbucket.errors import HfBucketError, PushError, SourceError

__all__ = ["BRIEF", "PATIENT", "Patience", "patiently", "reading", "redacted", "told"]

T = TypeVar("T")

_HTTP_ERRORS: Final = tuple(
    kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError" and issubclass(kind, Exception)
)
"""The root of what the client's HTTP library raises; which library that is depends on the client's version."""

_CAUGHT: Final[tuple[type[Exception], ...]] = (*_HTTP_ERRORS, OSError, ValueError, RuntimeError)

_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONFLICT: Final = frozenset({409, 412})
_SECRETS: Final = re.compile(
    r"hf_[A-Za-z0-9]{8,}|(?i:(?<=bearer )[^\s'\",]+)"
    r"|(?i:(?<=[?&])(?:x-amz-[a-z-]+|signature|policy|key-pair-id|token|access_?token)=[^&\s'\"]+)"
)


_XET_STATUS: Final = re.compile(r"HTTP status client error \((\d{3})")
"""How hf_xet says a refusal, inside of what it calls a network error."""

_ADVICE: Final = re.compile(r"\s*For more information check: \S+")


_LOG_IN: Final = "log in with `hf auth login`, with a token that may write there"


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How often and how long to wait; the client's own retries come before each of these."""

    tries: int
    first_s: float
    longest_s: float

    @property
    def pauses_s(self) -> float:
        """Seconds between all tries together, where nobody asks for more."""
        return sum(min(self.first_s * 2.0**number, self.longest_s) for number in range(self.tries - 1))


PATIENT: Final = Patience(tries=8, first_s=1.0, longest_s=60.0)
BRIEF: Final = Patience(tries=2, first_s=1.0, longest_s=60.0)
"""Where nothing was done yet."""


def redacted(text: str, token: str | bool | None) -> str:
    """Return text without this token, the one that is logged in, and what looks like one or like a signature."""
    for secret in (token, _logged_in()):
        if isinstance(secret, str) and secret:
            text = text.replace(secret, "***")
    return _SECRETS.sub("***", text)


def _logged_in() -> str | None:
    """Return the token of the login; of one that this user may not read, nothing can get into a text."""
    try:
        return get_token()
    except OSError:
        return None


@contextmanager
def told(doing: str, token: str | bool | None) -> Iterator[None]:
    """Turn whatever the client raises into a PushError that says what was being done and holds no secret.

    The cause is cut off: a traceback would show the client's own words, with what the server may have echoed.

    Args:
        token: the one that was given; the one that is logged in is kept out, too.
    """
    try:
        yield
    except HfBucketError:
        raise
    except _CAUGHT as error:
        raise PushError(f"{doing}: {redacted(_words(error), token)}") from None


@contextmanager
def reading(what: str, token: str | bool | None) -> Iterator[None]:
    """Turn whatever the client raises into a SourceError that says what was being read and holds no secret."""
    try:
        yield
    except HfBucketError:
        raise
    except _CAUGHT as error:
        words = redacted(_words(error), token)
        if _wait_asked(error) is not None:
            raise SourceError(f"{what}: the Hub at {constants.ENDPOINT} cannot be read now ({words})") from None
        raise SourceError(
            f"{what}: the Hub does not give it; log in with `hf auth login` where it is private or gated ({words})"
        ) from None


def patiently(
    action: Callable[[], T], *, doing: str, token: str | bool | None, patience: Patience, on_event: OnEvent
) -> T:
    """Return what an action gives, tried again after what passes: 429 and 5xx as the server asks, lost connections.

    A conflict is tried again as well, so the action must look first whether its work is done already.
    """
    wait_s = patience.first_s
    for tries_left in range(patience.tries - 1, -1, -1):
        try:
            return action()
        except HfBucketError:
            raise
        except _CAUGHT as error:
            asked_s = _wait_asked(error)
            if not tries_left or asked_s is None:
                raise
            pause_s = max(asked_s, wait_s * random.uniform(0.8, 1.2))  # noqa: S311 (spreads clients, no secret)
            reason = redacted(_words(error), token)
        on_event(Notice(level="warning", text=f"{doing}: {reason}; trying again in {pause_s:.0f} s"))
        time.sleep(pause_s)
        wait_s = min(wait_s * 2, patience.longest_s)
    raise PushError(f"{doing}: given up")


def _wait_asked(error: BaseException) -> float | None:
    """Return how many seconds to wait at least before another try; None where none would help."""
    for found in _chain(error):
        response = getattr(found, "response", None)
        status = getattr(response, "status_code", None)
        if status in _TRANSIENT | _CONFLICT:
            after = str(response.headers.get("Retry-After", "")) if response is not None else ""
            return float(after) if after.isdigit() else 0.0
        if status is not None:
            return None
        refused = _XET_STATUS.search(str(found))
        if refused and int(refused[1]) not in _TRANSIENT:
            return None
        names = {kind.__name__ for kind in type(found).__mro__}
        # httpx and httpx2 call it so alike; hf_xet speaks of its own connections in plain RuntimeErrors.
        if names & {"TransportError", "ConnectionError", "TimeoutError"}:
            return 0.0
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _words(error: BaseException) -> str:
    """Return an error in one line, with the server's own words where it says some."""
    server = next((text for found in _chain(error) if (text := getattr(found, "server_message", None))), None)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = _ADVICE.sub("", " ".join(lines)) or type(error).__name__
    causes = [str(found).splitlines()[0] for found in _chain(error) if found is not error and str(found)]
    if causes and causes[-1] not in words:
        words = f"{words} ({causes[-1]})"
    words = f"{words} ({server})" if server and server not in words else words
    return f"{words}; {_LOG_IN}" if _status(error) in (401, 403) else words


def _status(error: BaseException) -> int | None:
    responses = (getattr(found, "response", None) for found in _chain(error))
    return next((response.status_code for response in responses if response is not None), None)
