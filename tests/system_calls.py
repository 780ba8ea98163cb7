"""Functions of `os` that tests put others in the place of."""

from __future__ import annotations

import io
import os
import pathlib


def tell_pathlib() -> None:
    """Let pathlib call what stands in `os` and `io` now; that of Python 3.10 keeps what was there when it began."""
    if (accessor := getattr(pathlib, "_NormalAccessor", None)) is not None:
        accessor.open = staticmethod(io.open)
        for name in ("replace", "rename", "link", "unlink", "rmdir", "mkdir", "scandir", "listdir"):
            setattr(accessor, name, staticmethod(getattr(os, name)))
