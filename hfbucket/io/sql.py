"""Conditions in SQL over Arrow tables, asked of DuckDB in a child process that has limits and sees nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.core.filter.columns import ARROW, META, Columns, Kind, read_columns
from hfbucket.core.filter.grammar import parse
from hfbucket.core.filter.meaning import first_unknown, json_type, kind_of, meanings, meta_keys, unknown_name
from hfbucket.core.filter.tree import condition, names
from hfbucket.errors import ConfigError, MissingDependencyError
from hfbucket.io.sql_child import receive, send

TIME_LIMIT_S: Final = 30.0
"""For one batch of rows; a plain condition takes milliseconds."""

MEMORY_LIMIT_BYTES: Final = 2 << 30
"""What a condition may take beside the programs themselves."""

BATCH_ROWS: Final = 16_384
BATCH_BYTES: Final = 16 << 20

_KEYS_AT_ONCE: Final = 50
_MAX_KEYS: Final = 1000

Bools = npt.NDArray[np.bool_]

Tables = Callable[[Sequence[str]], Iterable[pa.Table]]
"""From names of columns to all rows with those columns, in pieces."""

_START: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from hfbucket.io.sql_child import main; main()"
)
_SIGALRM: Final = getattr(signal, "SIGALRM", None)
_TOO_MUCH_MEMORY: Final = "it takes too much memory; make fewer and shorter texts in it"


def require_duckdb() -> None:
    """Check that DuckDB is installed.

    Raises:
        MissingDependencyError: it is not.
    """
    if importlib.util.find_spec("duckdb") is None:
        raise MissingDependencyError("where is read by DuckDB; install it with pip install 'hfbucket[sql]'")


class Where:
    """A condition on the rows of tables, checked and ready to be asked. A context manager: it holds a child process.

    Args:
        expression: one scalar SQL expression, as `core.filter` understands it.
        columns: what may stand in it.
        tables: all rows it is for; read only where it has keys of the metadata, so that each gets one type.

    Raises:
        ConfigError: the expression is no condition on these columns; says where and why.
        MissingDependencyError: DuckDB is not installed.
    """

    #: The columns that a table must have.
    needs: tuple[str, ...]
    #: What a user should be told once.
    notes: tuple[str, ...]

    def __init__(
        self,
        expression: str,
        columns: Columns,
        tables: Tables,
        *,
        time_limit_s: float = TIME_LIMIT_S,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    ) -> None:
        tree = parse(expression)
        wanted = tuple(names(tree))
        keys = meta_keys(wanted)
        self._sandbox = _Sandbox(time_limit_s, memory_limit_bytes)
        try:
            kinds, self.notes = self._kinds(keys if META in columns else (), tables)
            if (unknown := first_unknown(wanted, columns, kinds)) is not None:
                every, _ = self._kinds(self._keys(tables) if META in columns else (), tables)
                raise unknown_name(unknown, columns, every)
            self._called, meant = meanings(wanted, columns, kinds)
            self._columns = {name: columns[name] for name in self._called}
            # A table without columns would have no rows.
            read = self._columns or {name: columns[name] for name in [*columns][:1]}
            self.needs = tuple(dict.fromkeys(need for column in read.values() for need in column.needs))
            self._sql = f"SELECT {condition(tree, meant)} AS keep FROM batch"  # noqa: S608 - of our own words alone
            nothing = {name: pa.array([], ARROW[column.kind]) for name, column in self._columns.items()}
            self._sandbox.ask(self._sql, self._named(pa.table(nothing), 0))
        except BaseException:
            self._sandbox.end()
            raise

    def __enter__(self) -> Where:
        return self

    def __exit__(self, *exception: object) -> None:
        self._sandbox.end()

    def mask(self, table: pa.Table) -> Bools:
        """Return for every row whether the condition is true there; where it is NULL it is not. bool[rows].

        Args:
            table: has the columns that are needed.

        Raises:
            ConfigError: it takes too much time or memory, or numbers become too large.
        """
        rows_at_once = BATCH_ROWS
        if table.nbytes > BATCH_BYTES:
            rows_at_once = max(1, min(BATCH_ROWS, table.num_rows * BATCH_BYTES // table.nbytes))
        kept = [np.zeros(0, dtype=np.bool_)]
        for start in range(0, table.num_rows, rows_at_once):
            piece = table.slice(start, rows_at_once)
            inputs = self._named(read_columns(piece, self._columns), piece.num_rows)
            kept.append(self._sandbox.ask(self._sql, inputs)["keep"].to_numpy())
        return np.concatenate(kept)

    def _named(self, table: pa.Table, rows: int) -> pa.Table:
        """Return a table with the columns as they are called in SQL, and one more, as there must be one."""
        named = {self._called[name]: table[name] for name in table.column_names}
        return pa.table({**named, "nothing": pa.nulls(rows, pa.int8())})

    def _keys(self, tables: Tables) -> tuple[str, ...]:
        """Return every key of the metadata."""
        found: set[str] = set()
        for table in tables((META,)):
            rows = self._sandbox.ask("SELECT DISTINCT unnest(json_keys(meta)) AS key FROM batch", table)
            found.update(rows["key"].to_pylist())
            if len(found) >= _MAX_KEYS:
                break
        return tuple(sorted(found))[:_MAX_KEYS]

    def _kinds(self, keys: Sequence[str], tables: Tables) -> tuple[Mapping[str, Kind], tuple[str, ...]]:
        """Return the one kind of every key that some row has, and what to tell of those with several."""
        types: dict[str, set[str]] = {key: set() for key in keys}
        for table in tables((META,)) if keys else ():
            for first in range(0, len(keys), _KEYS_AT_ONCE):
                some = keys[first : first + _KEYS_AT_ONCE]
                asked = ", ".join(f"list(DISTINCT {json_type(key)}) AS k{at}" for at, key in enumerate(some))
                row = self._sandbox.ask(f"SELECT {asked} FROM batch", table).to_pylist()[0]  # noqa: S608 - keys are quoted
                for key, found in zip(some, row.values(), strict=True):
                    types[key].update(name for name in found or () if name is not None)
        kinds = {key: kind_of(found) for key, found in types.items() if found}
        mixed = [
            f"where: meta.{key} has values of several types; it is taken as text" for key in kinds if kinds[key][1]
        ]
        return {key: kind for key, (kind, _) in kinds.items()}, tuple(mixed)


class _Sandbox:
    """The child process, from its parent's side. What it is asked is SQL of this package, never a user's own."""

    def __init__(self, time_limit_s: float, memory_limit_bytes: int) -> None:
        require_duckdb()
        self._time_limit_s = time_limit_s
        self._timed_out = False
        self._errors = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the process
        limits = [str(memory_limit_bytes), str(time_limit_s)]
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
            [sys.executable, "-c", _START, json.dumps(sys.path), *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},  # others reserve more than they use
        )

    def __enter__(self) -> _Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def ask(self, sql: str, table: pa.Table) -> pa.Table:
        """Return the rows of a statement on a table that it calls `batch`.

        Raises:
            ConfigError: DuckDB refuses, or it takes too much time or memory.
        """
        # The child ends itself in time; this is for systems without alarms and for a child that does not even listen.
        watch = threading.Timer(self._time_limit_s + 10, self._give_up)
        watch.start()
        try:
            send(self._process.stdin, {"sql": sql}, table)  # type: ignore[arg-type]  # pipes, as asked for
            answer, rows = receive(self._process.stdout)  # type: ignore[arg-type]
        except (EOFError, BrokenPipeError):
            raise self._death() from None
        finally:
            watch.cancel()
        if answer["error"] is not None:
            raise _refusal(answer, table)
        return rows

    def end(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(BrokenPipeError):
                file.close()  # type: ignore[union-attr]  # pipes, as asked for

    def _give_up(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _death(self) -> ConfigError:
        code = self._process.wait()
        if self._timed_out or (_SIGALRM is not None and code == -_SIGALRM):
            return ConfigError(
                f"where takes more than {self._time_limit_s:g} seconds for a batch of at most {BATCH_ROWS} images; "
                "make it simpler: patterns with several % and _ are the slowest"
            )
        if code < 0:
            return ConfigError(f"where ended the process that reads it (signal {-code}): {_TOO_MUCH_MEMORY}")
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        return ConfigError(
            f"where cannot be evaluated: DuckDB's process ended with exit code {code}: {''.join(said)[:300]}"
        )


def _refusal(answer: dict[str, Any], table: pa.Table) -> ConfigError:
    """Return the error of a statement. What DuckDB says may hold values of rows, which are not passed on."""
    if answer["error"] == "memory":
        return ConfigError(f"where cannot be evaluated: {_TOO_MUCH_MEMORY}")
    if table.num_rows == 0:
        words = " ".join(answer["text"].partition("\n")[0].split())
        return ConfigError(f"where cannot be evaluated: {words[:300]}")
    if answer["error"] == "OutOfRangeException":
        return ConfigError("where cannot be evaluated: on some row a number in it becomes too large")
    return ConfigError(f"where cannot be evaluated on some row ({answer['error']})")
