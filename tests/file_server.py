"""A plain file server on the loopback, as far away as is wished: ranges, listings, late answers, faults.

    python -m tests.file_server FOLDER --late-s 0.02 --rate 50000000

It prints its URL. `GET /.log` gives what was asked since the last time, as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import json
import mimetypes
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import quote, unquote, urlsplit

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE_BYTES = 1 << 18

Fault = Literal["status", "denied", "drop", "cut", "whole", "other", "shifted"]
"""What happens to an answer.

status: an error, 503. denied: another, 403. drop: none comes. cut: its body breaks off in the middle. whole: the range
is not heeded. other: one byte less than was asked for, told as all. shifted: a range one byte further on, and told so.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request, and how many bytes of body were sent."""

    method: str
    path: str
    range: str | None
    #: Which one it came by.
    connection: int
    headers: dict[str, str]
    sent_bytes: int


@dataclass
class FileServer:
    """A running server, from inside."""

    folder: Path
    url: str = ""
    #: Seconds that every answer is late, and the bytes a second that a connection gives at most; 0 for any.
    late_s: float = 0.0
    rate: float = 0.0
    #: Files come in chunks, whole, and nothing says how long they are.
    chunked: bool = False
    log: list[Request] = field(default_factory=list)
    #: What happens to the next GETs of files, one after another; None for nothing.
    faults: list[Fault | None] = field(default_factory=list)
    #: The same of HEADs.
    head_faults: list[Fault | None] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Requests that are being answered.
    at_work: set[int] = field(default_factory=set)

    def fault(self, *, with_body: bool) -> Fault | None:
        faults = self.faults if with_body else self.head_faults
        with self.lock:
            return faults.pop(0) if faults else None

    def requests(self) -> list[Request]:
        """Return all requests so far; what is being answered is waited for, as clients know before it is in the log."""
        while self.at_work:
            time.sleep(0.001)
        return list(self.log)

    def forget(self) -> None:
        self.requests()
        self.log.clear()

    def sent_bytes(self) -> int:
        return sum(request.sent_bytes for request in self.requests())


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def __init__(self, files: FileServer, port: int, certificate: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.files = files
        files.url = f"http://127.0.0.1:{self.server_address[1]}"
        if certificate is not None:
            self.socket = certificate.wrap_socket(self.socket, server_side=True)
            files.url = files.url.replace("http:", "https:")

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients go away when they know enough


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.respond(with_body=False)

    def do_GET(self) -> None:
        self.respond(with_body=True)

    def respond(self, *, with_body: bool) -> None:
        assert isinstance(self.server, _Server)
        files, path = self.server.files, unquote(urlsplit(self.path).path)
        if path == "/.log":
            told, files.log[:] = list(files.log), []
            self.small(json.dumps([asdict(request) for request in told]).encode(), with_body)
            return
        files.at_work.add(id(self))
        sent = 0
        try:
            time.sleep(files.late_s)
            sent = self.answer(files, path, with_body)
        finally:
            files.log.append(Request(
                method=self.command, path=path, range=self.headers.get("Range"), connection=self.client_address[1],
                headers=dict(self.headers.items()), sent_bytes=sent,
            ))  # fmt: skip
            files.at_work.discard(id(self))

    def answer(self, files: FileServer, path: str, with_body: bool) -> int:
        place = files.folder / path.lstrip("/")
        if place.is_dir():
            names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in place.iterdir())
            links = (f'<a href="{quote(name)}">{html.escape(name)}</a><br>' for name in names)
            return self.small("\n".join(links).encode(), with_body)
        if not place.is_file():
            return self.small(b"no such file", with_body, status=404)
        fault = files.fault(with_body=with_body)
        if fault in ("status", "denied"):
            return self.small(b"a fault of the server", with_body, status=503 if fault == "status" else 403)
        if fault == "drop":
            self.hang_up()
            return 0
        return self.chunks(place, with_body) if files.chunked else self.file(place, files.rate, fault, with_body)

    def small(self, content: bytes, with_body: bool, *, status: int = 200) -> int:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        if not with_body:
            return 0
        self.wfile.write(content)
        return len(content)

    def chunks(self, place: Path, with_body: bool) -> int:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        content = place.read_bytes() if with_body else b""
        if content:
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content))
        return len(content)

    def file(self, place: Path, rate: float, fault: Fault | None, with_body: bool) -> int:
        with place.open("rb") as file:
            status = os.fstat(file.fileno())
            start, stop = 0, status.st_size
            asked = _RANGE.fullmatch(self.headers.get("Range", "")) if fault != "whole" else None
            if asked:
                start, stop = int(asked[1]), min(stop, int(asked[2] or stop) + 1)
                stop -= fault == "other"
                start, stop = start + (fault == "shifted"), stop + (fault == "shifted")
            if asked and start >= status.st_size:
                return self.small(b"", with_body, status=416)
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{status.st_size}")
            self.send_header("Content-Length", str(stop - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Type", mimetypes.guess_type(place.name)[0] or "application/octet-stream")
            self.send_header("ETag", f'"{status.st_size:x}-{status.st_mtime_ns:x}"')
            self.end_headers()
            self.wfile.flush()
            if not with_body:
                return 0
            end = start + (stop - start) // 2 if fault == "cut" else stop
            sent = self.body(file, start, end, rate)
        if fault == "cut":
            self.hang_up()
        return sent

    def body(self, file: BinaryIO, start: int, stop: int, rate: float) -> int:
        began, position = time.monotonic(), start
        with contextlib.suppress(ConnectionError):
            while position < stop:
                size = min(_PIECE_BYTES, stop - position)
                sent = self.connection.sendfile(file, position, size)
                if not sent:
                    break
                position += sent
                if rate:
                    time.sleep(max(0.0, (position - start) / rate - (time.monotonic() - began)))
        return position - start

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving_files(folder: Path, port: int = 0, *, certificate: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """Serve the files of a folder from this process; with a certificate by https."""
    server = _Server(FileServer(folder), port, certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--late-s", type=float, default=0.0, help="seconds that every answer is late")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second of a connection at most")
    options = parser.parse_args()
    server = _Server(FileServer(options.folder, late_s=options.late_s, rate=options.rate), options.port)
    print(server.files.url, flush=True)  # noqa: T201 - its output
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
