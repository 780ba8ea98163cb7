"""What pyarrow does beside its work: at its first use, and with memory that is free again."""

from __future__ import annotations

import sys

import pyarrow as pa


class _NoPandas:
    """A finder of modules that says there is no pandas."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not needed here", name=name)


def give_back() -> None:
    """Give the system the memory that is free: what lies between pieces in use the C library keeps by itself.

    Takes milliseconds, and the pages are zeroed before their next use; for when many megabytes were let go of.
    """
    pa.default_memory_pool().release_unused()


def spare_pandas() -> None:
    """Let pyarrow not import pandas, which it looks for at the first array it makes of Python's values.

    That takes longer than all else that a worker imports. Whoever imports pandas by name still gets it, and `to_pandas`
    looks again. Not for a process that others share: there an array may be made of a pandas Series.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
