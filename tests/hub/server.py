"""The HTTP server under the loopback Hub: takes requests apart, lets faults happen, writes the log."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tests.hub.blobs import CHUNK_BYTES
from tests.hub.faults import Fault, Request
from tests.hub.history import Refused
from tests.hub.messages import Call, CutOff, Reply, answer
from tests.hub.routes import Route, find_route

if TYPE_CHECKING:
    from tests.hub.loopback import LoopbackHub


class Server(ThreadingHTTPServer):
    """Serves one loopback Hub, every connection in a thread of its own."""

    request_queue_size = 128

    def __init__(self, hub: LoopbackHub, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.hub = hub
        hub.endpoint = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Remember mistakes of the Hub's own; clients that go away are none, they are killed on purpose here."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            self.hub.log.mistakes.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.respond()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def respond(self) -> None:
        assert isinstance(self.server, Server)
        hub, parts = self.server.hub, urlsplit(self.path)
        route, groups = find_route(self.command, parts.path)
        fault = hub.faults.at(route.name, unquote(self.path))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        call = Call(
            hub=hub, method=self.command, path=parts.path, query=Call.parse_query(parts.query),
            headers={name.lower(): value for name, value in self.headers.items()}, stream=self.rfile,
            user=hub.users.get(token), has_token=bool(token), wrong=fault is not None and fault.kind == "wrong",
        )  # fmt: skip
        reply = self.fail(call, fault) if fault and fault.kind in ("drop", "status") else find(call, route, groups)
        if fault and fault.kind == "lost":
            reply = None
        elif fault and fault.kind == "late":
            time.sleep(fault.pause_s)
        hub.log.requests.append(Request(
            endpoint=route.name, method=self.command, path=unquote(parts.path), query=parts.query,
            range=self.headers.get("Range"), token=bool(token), status=reply.status if reply else None,
            answer_bytes=reply.length if reply and self.command != "HEAD" else 0, fault=fault.kind if fault else None,
            connection=self.client_address[1], is_proxied=self.path.startswith("http://"),
        ))  # fmt: skip
        if reply is None:
            self.hang_up()
        else:
            self.send(call, reply, fault)

    def fail(self, call: Call, fault: Fault) -> Reply | None:
        if fault.kind == "drop":
            half = int(self.headers.get("Content-Length") or 0) // 2
            self.rfile.read(min(half, CHUNK_BYTES))
            return None
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        return answer({"error": "a fault of the loopback Hub"}, fault.status, {**headers, **fault.headers})

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may be gone
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def send(self, call: Call, reply: Reply, fault: Fault | None) -> None:
        if not call.drained:
            for _ in call.pieces():
                pass
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(reply.length), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in faulty(reply, fault) if fault else reply.pieces():
            self.wfile.write(piece)
            self.wfile.flush()
        if fault and fault.kind == "cut":
            self.hang_up()


def find(call: Call, route: Route, groups: list[str]) -> Reply | None:
    """Return an endpoint's answer, None where the client went away before it had asked."""
    try:
        if call.has_token and call.user is None:
            raise Refused(401, "Invalid credentials in Authorization header")
        return route.answer(call, *groups)
    except Refused as no:
        headers = {"X-Error-Message": no.message} | ({"X-Error-Code": no.code} if no.code else {}) | no.headers
        return answer({"error": no.message}, no.status, headers)
    except CutOff:
        return None


def faulty(reply: Reply, fault: Fault) -> Iterator[bytes]:
    """Yield the body of an answer as a fault leaves it."""
    left = reply.length // 2 if fault.kind == "cut" else reply.length
    for number, piece in enumerate(reply.pieces()):
        if fault.kind == "wrong" and number == 0 and piece:
            yield piece[:-1] + bytes([piece[-1] ^ 1])
        elif fault.kind == "slow":
            step = max(1, len(piece) // 8)
            for start in range(0, len(piece), step):
                time.sleep(fault.pause_s)
                yield piece[start : start + step]
        else:
            yield piece[:left]
            left -= len(piece[:left])
