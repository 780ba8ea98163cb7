"""Files at an fsspec URL: what a build asks of a store, and what it makes of a store's errors."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

import hfbucket
from hfbucket.errors import BuildError, SourceError
from hfbucket.io import patience
from hfbucket.io.remote import Remote
from hfbucket.io.urls import filesystem


class ClientError(Exception):
    """What a store's client may raise: no OSError."""


class NoCredentialsError(Exception):
    """As that of S3 is called."""


class ReadTimeoutError(Exception):
    """What a store's client may raise of one that is there and late."""


class Flaky(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Does nothing so often, and says why by the errors that stand here."""

    protocol = "flaky"
    errors: ClassVar[list[Exception]] = []

    def info(self, path: str, **options: Any) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return super().info(path.replace("flaky://", "/"), **options)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(patience, "WAIT_S", 0.0)
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    yield
    Flaky.errors.clear()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_a_file_is_written_read_and_deleted(tmp_path: Path) -> None:
    place = Remote("memory://data/export") / "buckets/a.tar"
    assert (str(place), place.name, str(place.parent), place.protocol) == (
        "memory://data/export/buckets/a.tar", "a.tar", "memory://data/export/buckets", "memory",
    )  # fmt: skip
    assert not place.exists()
    place.put(b"bytes")
    assert (place.exists(), place.read_bytes(), place.size_bytes()) == (True, b"bytes", 5)
    (tmp_path / "a.tar").write_bytes(b"others")
    place.put(tmp_path / "a.tar")
    assert place.read_bytes() == b"others"
    with place.open() as file:
        assert (file.seek(2), file.read(3), file.read()) == (2, b"her", b"s")
    assert place.open_random().pread(4, 100) == b"rs"
    assert place.open_random().pread(9, 1) == b""
    place.unlink()
    place.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        place.unlink()


def test_folders_are_listed_and_deleted() -> None:
    folder = Remote("memory://data/export")
    for name in ("a/1.tar", "a/2.tar", "b/3.txt"):
        (folder / name).put(name.encode())
    (Remote("memory://data/export2") / "a").put(b"")
    assert folder.sizes() == {"a/1.tar": 7, "a/2.tar": 7, "b/3.txt": 7}
    assert folder.exists()
    (folder / "a").remove_tree()
    assert folder.sizes() == {"b/3.txt": 7}
    folder.remove_tree()
    folder.remove_tree()
    assert Remote("memory://data").sizes() == {"export2/a": 0}
    assert not Remote("memory://data/export").is_relative_to(Remote("memory://data/exp"))
    assert (folder / "a").is_relative_to(folder)


NAMES = st.text(string.ascii_lowercase[:3] + ".-", min_size=1, max_size=6).filter(lambda name: name.strip("."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = ("*/*.c", "a/*/*.c", "a/b*.c", "*", "a/*")


@given(st.sets(PATHS, max_size=12), st.sampled_from(PATTERNS))
def test_patterns_mean_what_they_mean_to_pathlib(paths: set[str], pattern: str) -> None:
    files = sorted(path for path in paths if not any(other.startswith(f"{path}/") for other in paths))
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    folder = Remote("memory://data/export")
    filesystem(folder.url)[0].pipe({f"/data/export/{path}": b"x" for path in files})
    expected = [path for path in files if path.count("/") == pattern.count("/") and _fits(path, pattern)]
    assert [str(found).removeprefix(f"{folder}/") for found in folder.glob(pattern)] == expected


def _fits(path: str, pattern: str) -> bool:
    return Path(path).match(pattern)


def test_a_half_sent_file_is_hidden_and_goes() -> None:
    folder = Remote("memory://data/export")
    (folder / "a.tar").put(b"whole")
    (folder / f".b.tar.{socket.gethostname()}.{os.getpid()}.tmp").put(b"half")
    (folder / "c.tmp").put(b"somebody's")
    folder.remove_temporaries()
    assert list(folder.sizes()) == ["a.tar", "c.tmp"]


def test_a_file_that_cannot_be_moved_into_place_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Remote("memory://data/a")

    def fail(*paths: str, **options: Any) -> None:
        raise ClientError("busy")

    place.put(b"before")
    monkeypatch.setattr(patience, "TRIES", 1)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", fail)
    with pytest.raises(OSError, match="memory://data/a: busy"):
        place.put(b"after")
    assert place.read_bytes() == b"before"


@pytest.mark.parametrize("error", [ClientError("503"), OSError("reset"), TimeoutError(), ConnectionResetError()])
def test_what_a_client_raises_is_tried_again_and_told_as_an_error_of_the_store(error: Exception) -> None:
    place = Remote("flaky://data/a")
    Flaky.errors.extend([error] * (patience.TRIES - 1))
    assert not place.exists()
    assert not Flaky.errors
    Flaky.errors.extend([error] * patience.TRIES)
    with pytest.raises(OSError, match=f"flaky://data/a: {str(error) or type(error).__name__}") as caught:
        place.exists()
    assert caught.value.__cause__ is error


def test_at_first_nobody_is_waited_for_who_may_not_be_there() -> None:
    place = Remote("flaky://data/a")
    Flaky.errors.extend([ClientError("nobody answers")] * 2)
    with pytest.raises(OSError, match="flaky://data/a: nobody answers"):
        place.exists(is_first=True)
    assert not Flaky.errors
    for error in (ReadTimeoutError("late"), OSError("503")):  # somebody is there
        Flaky.errors.extend([error] * (patience.TRIES - 1))
        assert not place.exists(is_first=True)
        assert not Flaky.errors


def test_a_machine_without_keys_is_named_at_once() -> None:
    Flaky.errors.extend([NoCredentialsError("Unable to locate credentials"), ClientError("never met")])
    with pytest.raises(SourceError) as caught:
        Remote("flaky://data/a").exists()
    assert str(caught.value) == (
        f"flaky://data/a: Unable to locate credentials: this machine, {socket.gethostname()}, has no keys for it; "
        "every machine that runs tasks needs them in its environment, or where the store's package looks for them"
    )
    assert len(Flaky.errors) == 1


@pytest.fixture
def dead_s3(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No S3 is at its endpoint; the requests that were sent there."""
    pytest.importorskip("s3fs", reason="needs s3fs")
    monkeypatch.delenv("AWS_MAX_ATTEMPTS", raising=False)
    for name, value in (("ENDPOINT_URL", "http://127.0.0.1:9"), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(f"AWS_{name}", value)
    from aiobotocore.httpsession import AIOHTTPSession

    sent: list[str] = []
    send = AIOHTTPSession.send

    async def noted(self: Any, request: Any) -> Any:
        sent.append(request.url)
        return await send(self, request)

    monkeypatch.setattr(AIOHTTPSession, "send", noted)
    return sent


def test_a_dead_s3_is_asked_twice(dead_s3: list[str], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(SourceError, match=r"^s3://b/x: cannot be looked at: s3://b/x: Could not connect to the endp"):
        hfbucket.plan("s3://b/x")
    assert len(dead_s3) == 2
    with pytest.raises(BuildError, match=r'^s3://b/x: Could not connect to the endpoint URL: "http://127.0.0.1:9/b/x"'):
        hfbucket.build([str(tmp_path / "photos")], "s3://b/x")
    assert len(dead_s3) == 4


def test_settings_of_s3_are_kept_where_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="needs s3fs")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"signature_version": "v4", "retries": {}}})
    fs, path = filesystem("s3://b/x", asks_once=True)
    assert (fs.config_kwargs, path) == ({"signature_version": "v4", "retries": {"total_max_attempts": 1}}, "b/x")
    assert filesystem("s3://b/x")[0].config_kwargs == {"signature_version": "v4", "retries": {}}


@pytest.mark.parametrize(
    ("error", "number"), [(PermissionError("denied"), errno.EACCES), (IsADirectoryError("a folder"), errno.EISDIR)]
)
def test_what_no_second_try_changes_is_told_at_once(error: OSError, number: int) -> None:
    Flaky.errors.extend([error, ClientError("never met")])
    with pytest.raises(type(error), match=str(error)) as caught:
        Remote("flaky://data/a").exists()
    assert (caught.value.errno, caught.value.filename) == (number, "flaky://data/a")
    assert len(Flaky.errors) == 1


def test_faults_of_programs_are_no_faults_of_stores() -> None:
    Flaky.errors.append(TypeError("no such argument"))
    with pytest.raises(TypeError, match="no such argument"):
        Remote("flaky://data/a").exists()


def test_a_place_takes_nothing_but_its_url_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-mine")
    place = Remote("memory://data/a")
    place.put(b"x")
    assert pickle.loads(pickle.dumps(place)) == place
    assert b"secret-of-mine" not in pickle.dumps(place)


def test_a_package_that_is_missing_is_named() -> None:
    known = {"gs": "gcsfs", "oss": "ossfs", "abfs": "adlfs"}
    protocol = next(name for name, package in known.items() if not _installed(package))
    with pytest.raises(SourceError, match=f"{protocol}://a/b: cannot be opened: .*: pip install {known[protocol]}"):
        Remote(f"{protocol}://a/b").exists()


def _installed(package: str) -> bool:
    try:
        __import__(package)
    except ImportError:
        return False
    return True
