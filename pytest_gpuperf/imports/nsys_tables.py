"""The tables of an `nsys export` database: which of them are read, and their columns as arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_gpuperf.errors import TraceError
from pytest_gpuperf.metrics import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

#: What every SQLite database begins with.
MAGIC = b"SQLite format 3\0"
#: Reports that nsys has not exported yet.
REPORTS = (".nsys-rep", ".qdrep")
#: Any of these says that nsys wrote the database: tables without events are not there.
_MARKS = ("META_DATA_EXPORT", "TARGET_INFO_SYSTEM_ENV", "StringIds", "NVTX_EVENTS")
_ROWS = 100_000


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """One row of TABLES: a table, the columns without which it cannot be used, and those that older or newer exports may lack."""

    name: str
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()


_WORK = ("start", "end", "correlationId")
_PLACE = ("globalPid", "deviceId")
NVTX = Table("NVTX_EVENTS", ("start", "end", "eventType", "globalTid"), ("text", "textId", "domainId"))
CALLS = Table("CUPTI_ACTIVITY_KIND_RUNTIME", ("start", "end", "globalTid", "correlationId", "nameId"), ("returnValue",))
KERNELS = Table("CUPTI_ACTIVITY_KIND_KERNEL", _WORK, (*_PLACE, "demangledName", "shortName", "mangledName"))
MEMCPYS = Table("CUPTI_ACTIVITY_KIND_MEMCPY", _WORK, _PLACE)
MEMSETS = Table("CUPTI_ACTIVITY_KIND_MEMSET", _WORK, _PLACE)
GRAPHS = Table("CUPTI_ACTIVITY_KIND_GRAPH_TRACE", _WORK, _PLACE)
STRINGS = Table("StringIds", ("id", "value"))
# What these add can be done without: names of calls tell most waits, and the rest is a heading.
WAITED = Table("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", (), ("correlationId", "syncType", "globalPid"))
PROCESSES = Table("PROCESSES", (), ("globalPid", "name"))
GPUS = Table("TARGET_INFO_GPU", (), ("name",))

TABLES: tuple[Table, ...] = (NVTX, CALLS, KERNELS, MEMCPYS, MEMSETS, GRAPHS, WAITED, STRINGS, PROCESSES, GPUS)


class Export:
    """An open database; nothing in it is changed, and of large tables only the named columns are read."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection = path, connection
        self._columns = {table.name: self._columns_of(table) for table in TABLES}

    def _columns_of(self, table: Table) -> frozenset[str]:
        # PRAGMA answers nothing for a table that is not there. A view with the name of a table reads as the table does.
        found = frozenset(row[1] for row in self._connection.execute(f"PRAGMA table_info({table.name})"))
        missing = [one for one in table.needed if found and one not in found]
        if missing:
            near = nearest(missing[0], sorted(found)) if len(found) < 50 else ""
            message = f"{self.path}: table {table.name} has no column {missing[0]}{near}"
            raise TraceError(message)
        return found

    def has(self, table: Table) -> bool:
        """Say whether a table is there; a table without rows is."""
        return bool(self._columns[table.name])

    def has_column(self, table: Table, column: str) -> bool:
        """Say whether a column is there."""
        return column in self._columns[table.name]

    def is_whole(self, table: Table) -> bool:
        """Say whether a table is there with all columns that are read of it."""
        return {*table.needed, *table.optional} <= self._columns[table.name]

    def first_column(self, table: Table, *names: str) -> str:
        """Return the first of some optional columns that is there, in quotes; NULL where none is."""
        return next((f'"{one}"' for one in names if self.has_column(table, one)), "NULL")

    def rows(self, sql: str, *values: Any) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a query, some at a time."""
        cursor = self._connection.execute(sql, values)
        while rows := cursor.fetchmany(_ROWS):
            yield rows

    def integers(self, sql: str, width: int) -> Integers:
        """Return the rows of a query of `width` integer columns, one array a column."""
        parts = [np.array(rows, dtype=np.int64).reshape(len(rows), width) for rows in self.rows(sql)]
        return np.ascontiguousarray(np.concatenate(parts).T) if parts else np.empty((width, 0), dtype=np.int64)

    def strings(self, ids: Integers) -> dict[int, str]:
        """Return the texts of some ids; an id without a text is not there."""
        if not ids.size:
            return {}
        if not self.has(STRINGS):
            message = f"{self.path}: it has no table StringIds, which holds the names of its calls and kernels"
            raise TraceError(message)
        wanted = np.unique(ids).tolist()
        found: dict[int, str] = {}
        for begin in range(0, len(wanted), 500):
            some = wanted[begin : begin + 500]
            marks = ",".join("?" * len(some))
            for rows in self.rows(f"SELECT id, value FROM StringIds WHERE id IN ({marks})", *some):  # noqa: S608 - only question marks are put in
                found.update(rows)
        return found


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Export]:
    """Open an exported database read-only for a block; TraceError, in one line, for what is none, and for one that is broken."""
    if path.suffix in REPORTS:
        message = f"{path} is a report, not a database: nsys export --type sqlite {path.name}"
        raise TraceError(message)
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
    except OSError as error:
        message = f"cannot read trace {path}: {error.strerror or error}"
        raise TraceError(message) from error
    if head != MAGIC:
        message = f"{path} is not an SQLite database; make one with nsys export --type sqlite REPORT.nsys-rep"
        raise TraceError(message)
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            # Names are any program's: bytes that are no UTF-8 must not cost the whole trace.
            connection.text_factory = lambda text: text.decode(errors="replace")
            names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            if not names & set(_MARKS):
                message = f"{path} is an SQLite database, but no nsys export: it has no table StringIds; make one with nsys export --type sqlite REPORT.nsys-rep"
                raise TraceError(message)
            yield Export(path, connection)
    except sqlite3.Error as error:
        message = f"cannot read trace {path}: {error}"
        raise TraceError(message) from error
