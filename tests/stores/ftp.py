"""An FTP server on the loopback: a store that shows half of an upload, and moves files."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Yield the url of a folder of this machine."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    who = DummyAuthorizer()
    with warnings.catch_warnings():  # anyone may write, in a folder of a test
        warnings.simplefilter("ignore")
        who.add_anonymous(str(folder), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": who})
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"handle_exit": False}, daemon=True)
    thread.start()
    try:
        yield f"ftp://127.0.0.1:{server.address[1]}"
    finally:
        server.close_all()
        thread.join(10)
