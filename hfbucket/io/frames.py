"""Filters that are a user's own Python: found by name, asked with pandas DataFrames."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.errors import BuildError, ConfigError

Bools = npt.NDArray[np.bool_]


class FrameFilter:
    """The function `MODULE:FUNCTION`, from the current directory or what is installed. It is code of the user's own.

    Raises:
        ConfigError: there is no such module or function, or importing it fails.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        module_name, _, function_name = name.partition(":")
        with _at_home():
            try:
                found: Any = importlib.import_module(module_name)
                for part in function_name.split("."):
                    found = getattr(found, part)
            except Exception as error:
                raise ConfigError(
                    f"filter {name}: cannot be imported: {_said(error)}; it is looked for in the current directory and "
                    "in the installed packages"
                ) from error
        if not callable(found):
            raise ConfigError(f"filter {name}: must be a function, got {type(found).__name__}")
        self._function: Callable[[Any], Any] = found

    def mask(self, table: pa.Table, place: str) -> Bools:
        """Return which rows the function keeps, bool[rows].

        Args:
            table: columns of the types int64, double, bool and string.
            place: which rows these are, for messages.

        Raises:
            BuildError: it raised, or what it returned is no mask of these rows.
        """
        frame = _frame(table)
        index = frame.index
        with _at_home():
            try:
                kept = self._function(frame)
            except Exception as error:
                raise BuildError(f"filter {self.name} raised {_said(error)} on {place}") from error
        return self._checked(kept, index, place)

    def _checked(self, kept: Any, index: Any, place: str) -> Bools:  # noqa: ANN401 - anything may come back
        import pandas as pd

        wanted = f"filter {self.name} must return one True or False for each of {place}"
        if not isinstance(kept, (pd.Series, pd.api.extensions.ExtensionArray, np.ndarray)):
            raise BuildError(f"{wanted}, as a Series or an array; got {type(kept).__name__}")
        if kept.shape != (len(index),):
            raise BuildError(f"{wanted}, {len(index)} in all; got the shape {kept.shape}")
        if isinstance(kept, pd.Series) and not kept.index.equals(index):
            raise BuildError(f"{wanted}, in the order of the frame; got another index")
        if not pd.api.types.is_bool_dtype(kept.dtype):
            raise BuildError(f"{wanted}; got the dtype {kept.dtype}")
        if missing := int(np.count_nonzero(pd.isna(kept))):
            raise BuildError(f"{wanted}; got {missing} missing values: say what becomes of them with .fillna(False)")
        return np.asarray(kept, dtype=np.bool_)


def _frame(table: pa.Table) -> Any:  # noqa: ANN401 - pandas has no types
    """Return the rows as a DataFrame whose dtypes do not depend on what is null in it."""
    import pandas as pd

    dtypes = {
        pa.int64(): pd.Int64Dtype(), pa.float64(): pd.Float64Dtype(), pa.bool_(): pd.BooleanDtype(),
        pa.string(): pd.StringDtype(),
    }  # fmt: skip
    return table.to_pandas(types_mapper=dtypes.get)


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


@contextmanager
def _at_home() -> Iterator[None]:
    """Let a user's code import what lies beside it, and print where it is in nobody's way: stdout is for data."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if here in sys.path:
            sys.path.remove(here)
