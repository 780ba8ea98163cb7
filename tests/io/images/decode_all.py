"""Decode the files named on stdin under a memory limit; print one JSON line each, last the peak memory in MiB."""

from __future__ import annotations

import io
import json
import resource
import sys
from pathlib import Path
from typing import Any

from hfbucket.errors import SampleError
from hfbucket.io.images.decode import check_pixels, decode_rgb
from hfbucket.io.images.probe import probe

MAX_PIXELS = 178_000_000


def outcome(path: Path) -> dict[str, Any]:
    """Return what becomes of one file: at the header, and when decoded."""
    data = path.read_bytes()
    found: dict[str, Any] = {"file": path.name, "header": "ok"}
    try:
        header = probe(io.BytesIO(data), name=path.name, size_bytes=len(data))
        found.update(size=[header.width, header.height], orientation=header.orientation)
        check_pixels(header.width, header.height, MAX_PIXELS)
    except SampleError as error:
        found["header"] = error.outcome
    try:
        decoded = decode_rgb(data, max_pixels=MAX_PIXELS)
        found.update(outcome="ok", decoded=decoded.image.size, mode=decoded.image.mode, notes=decoded.notes)
        found["detail"] = ""
    except SampleError as error:
        found.update(outcome=error.outcome, detail=error.detail)
    return found


def main() -> None:
    """Decode every file; the first argument is the limit of the address space in MiB."""
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]) << 20,) * 2)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(outcome(Path(line.rstrip("\n")))) + "\n")
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"peak_mib": peak_kib >> 10}) + "\n")


if __name__ == "__main__":
    main()
