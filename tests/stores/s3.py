"""An S3 on the loopback that can be told to fail: moto's server, in a process of its own.

    python -m tests.stores.s3

prints its port. `/_fail/<kind>/<count>` lets so many of the next uploads fail: `error` by what the server answers,
`reset` by a connection that ends in the middle of them.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_ERROR = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We encountered an error.</Message></Error>"


class Failing:
    """A WSGI application before another one, that lets some uploads fail."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app, self._kind, self._left = app, "", 0
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        words = environ["PATH_INFO"].split("/")
        if words[1] == "_fail":
            left, self._kind, self._left = self._left, words[2], int(words[3])
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(left).encode()]
        if environ["REQUEST_METHOD"] != "PUT" or not self._take():
            return self._app(environ, start_response)
        size_bytes = int(environ.get("CONTENT_LENGTH") or 0)
        if self._kind == "reset":
            environ["wsgi.input"].read(size_bytes // 2)
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        environ["wsgi.input"].read(size_bytes)
        start_response("503 Service Unavailable", [("Content-Type", "application/xml")])
        return [_ERROR]

    def _take(self) -> bool:
        """Return whether this upload is one that fails."""
        with self._lock:
            fails = self._left > 0
            self._left -= fails
        return fails


def main() -> None:
    """Serve until this process is ended."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, Failing(DomainDispatcherApplication(create_backend_app)), threaded=True)
    print(server.port, flush=True)  # noqa: T201 (what the parent waits for)
    server.serve_forever()


@contextmanager
def serving() -> Iterator[str]:
    """Yield the endpoint of such a server."""
    command = [sys.executable, "-m", "tests.stores.s3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout is not None else ""
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def fail(endpoint: str, kind: str, count: int) -> int:
    """Let the next uploads fail; return how many of those before are still to fail."""
    with urllib.request.urlopen(f"{endpoint}/_fail/{kind}/{count}") as answer:
        return int(answer.read())


if __name__ == "__main__":
    main()
