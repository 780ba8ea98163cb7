"""What the Hub refuses, waited out or told; never with a secret in it."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from hfbucket.core.events import Event, Notice
from hfbucket.errors import PushError, SourceError
from hfbucket.io.hub import errors
from hfbucket.io.hub.errors import Patience, patiently, reading, redacted, told

TOKEN = "my-own-secret"


def refusal(status: int, **headers: str) -> HfHubHTTPError:
    request = httpx2.Request("POST", "https://hub.test/x?X-Amz-Signature=abc123&part=1")
    response = httpx2.Response(status, headers=headers, request=request)
    return HfHubHTTPError(f"{status} for {request.url} with {TOKEN}", response=response)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr("hfbucket.io.hub.errors.time.sleep", found.append)
    monkeypatch.setattr("hfbucket.io.hub.errors.random.uniform", lambda low, high: 1.0)
    return found


def failing(*errors: BaseException) -> Callable[[], str]:
    left = list(errors)

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return action


def tried(action: Callable[[], str], events: list[Event] | None = None, tries: int = 4) -> str:
    patience = Patience(tries=tries, first_s=1, longest_s=2)
    on_event = (events if events is not None else []).append
    return patiently(action, doing="pushing", token=TOKEN, patience=patience, on_event=on_event)


def test_secrets_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "another-secret")
    text = f"{TOKEN} another-secret hf_abcdefghijkl Bearer xyz https://s3?a=1&X-Amz-Signature=5f&Signature=6&token=7"
    assert redacted(text, TOKEN) == "*** *** *** Bearer *** https://s3?a=1&***&***&***"


def test_a_login_that_may_not_be_read_hides_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> str:
        raise PermissionError(13, "Permission denied", "token")

    monkeypatch.setattr(errors, "get_token", refused)
    assert redacted("base must be 64 at least, not hf_abcdefghijkl", None) == "base must be 64 at least, not ***"


def test_what_passes_is_waited_out_as_the_server_asks(waits: list[float]) -> None:
    events: list[Event] = []
    action = failing(refusal(429, **{"Retry-After": "7"}), refusal(503), httpx2.ReadError("gone"))
    assert tried(action, events) == "done"
    assert waits == [7, 2, 2]
    assert isinstance(events[0], Notice)
    expected = "pushing: 429 for https://hub.test/x?***&part=1 with ***; trying again in 7 s"
    assert events[0].text == expected


@pytest.mark.parametrize("error", [refusal(403), refusal(400), ValueError("no"), ConnectionError(
    "Network error: HTTP status client error (404 Not Found)")])  # fmt: skip
def test_what_does_not_pass_is_not_tried_again(error: Exception, waits: list[float]) -> None:
    with pytest.raises(type(error)):
        tried(failing(error))
    assert waits == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            httpx2.ConnectError("Connection refused"),
            "the Hub at https://hub.test cannot be read now (Connection refused)",
        ),
        (
            refusal(503),
            "the Hub at https://hub.test cannot be read now (503 for https://hub.test/x?***&part=1 with ***)",
        ),
        (
            refusal(404),
            "the Hub does not give it; log in with `hf auth login` where it is private or gated (404 for "
            "https://hub.test/x?***&part=1 with ***)",
        ),
    ],
)
def test_what_cannot_be_read_now_is_no_matter_of_a_login(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.test")
    with pytest.raises(SourceError) as caught, reading("hf://datasets/a/b", TOKEN):
        raise error
    assert str(caught.value) == f"hf://datasets/a/b: {words}"


def test_the_last_error_is_told_without_its_cause() -> None:
    with pytest.raises(PushError) as raised, told("me/name: committing", TOKEN):
        tried(failing(*[refusal(500)] * 3), tries=3)
    assert str(raised.value) == "me/name: committing: 500 for https://hub.test/x?***&part=1 with ***"
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
