"""The index of a history: an SQLite file beside the run files, made from them and thrown away at will. It is never the only place of anything."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Self

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records import runfile
from pytest_gpuperf.records.account import latest
from pytest_gpuperf.reference.pairs import Side, compiled_code
from pytest_gpuperf.reference.slim import executor
from pytest_gpuperf.reference.surroundings import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

Record = dict[str, Any]

NAME = "index.sqlite"
#: The form of the tables: an index of another form is made anew.
FORM = 1
#: A database that another process holds is not waited for.
_PATIENCE_S = 1.0
#: Run files that are read before what they hold is written: a process that ends in the middle loses that much of its work.
_BATCH = 200
#: Cases of one question: SQLite takes a thousand values at once.
_AT_ONCE = 500
#: From so many files on, processes share the reading; more of them than this only wait for the one that writes.
_MANY, _PROCESSES = 64, 8

_TABLES = (
    "create table file (name text primary key, size integer, changed integer, trouble text)",
    "create table run (name text, uuid text, id text, started text, noted text, dirty integer, model text, surroundings text, primary key (name, uuid))",
    "create table point (name text, uuid text, nodeid text, measurement text, quantity text, cache text, unit text, source text, number real, low real, high real, systematic real, reason text, code text)",
    "create index of_case on point (nodeid, quantity)",
    "create index of_file on point (name)",
)
_POINT = "insert into point values (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """What a run file holds for the index, or why it holds nothing."""

    name: str
    size: int
    changed: int
    trouble: str
    runs: list[tuple[Any, ...]]
    points: list[tuple[Any, ...]]


class Index:
    """An index that knows every run file of its directory, as of when it was opened; `said` is what needs saying, a line each."""

    def __init__(self, directory: Path, *, patience: float = math.inf) -> None:
        """Open the index and bring it up to date: in its file, or in memory where that is missing, broken, held by another or not to be written.

        New files are read for so many seconds, the newest first; `said` counts those that are left. RunFileError where the directory itself cannot be read.
        """
        self.directory, self.patience, self.said = directory, patience, list[str]()
        self._files = _listed(directory)
        try:
            self._connection = self._in_file()
        except sqlite3.Error as error:
            self._connection = self._in_memory(error)
        torn = self._connection.execute("select trouble from file where trouble != '' order by name").fetchall()
        self.torn = [f"{trouble}; left out" for (trouble,) in torn]
        self.said += self.torn

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the database."""
        self._connection.close()

    @property
    def runs(self) -> int:
        """How many run files it knows."""
        count: int = self._connection.execute("select count(*) from file where trouble = ''").fetchone()[0]
        return count

    def cases(self) -> list[str]:
        """Return every node id."""
        return [nodeid for (nodeid,) in self._connection.execute("select distinct nodeid from point order by nodeid")]

    def points(self, nodeid: str, quantity: str) -> list[Record]:
        """Return a quantity of a case in every run, oldest first: the point, and of its run `id`, `started`, `commit`, `dirty`, `model`, `surroundings`."""
        cursor = self._connection.execute(
            "select point.*, id, started, noted as 'commit', dirty, model, surroundings from point join run on point.name = run.name and point.uuid = run.uuid"
            " where nodeid = ? and quantity = ? order by started, point.name",
            (nodeid, quantity),
        )
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
        return [row | {"surroundings": json.loads(row["surroundings"])} for row in rows]

    def times(self, nodeids: Sequence[str], before: str) -> list[Record]:
        """Return the times that have a number of some cases, in runs that began before a moment, oldest first: points with `started`, `commit`, `dirty` and `model`."""
        found: list[Record] = []
        for chunk in (nodeids[place : place + _AT_ONCE] for place in range(0, len(nodeids), _AT_ONCE)):
            cursor = self._connection.execute(
                "select nodeid, measurement, cache, source, number, low, high, started, noted as 'commit', dirty, model"  # noqa: S608 - question marks only
                " from point join run on point.name = run.name and point.uuid = run.uuid"
                f" where quantity = 'time' and number is not null and started < ? and nodeid in ({','.join('?' * len(chunk))}) order by started, point.name",
                (before, *chunk),
            )
            names = [column[0] for column in cursor.description]
            found += [dict(zip(names, row, strict=True)) for row in cursor]
        return found

    def quantities(self, nodeid: str) -> list[str]:
        """Return the quantities that a case has in any run."""
        return [name for (name,) in self._connection.execute("select distinct quantity from point where nodeid = ? order by quantity", (nodeid,))]

    def _in_file(self) -> sqlite3.Connection:
        path = self.directory / NAME
        try:
            return self._synchronised(_connected(path))
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # No database, or a broken one: all that it knew stands in the run files.
            self.said.append(f"{path} was broken: made anew")
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise sqlite3.OperationalError(str(error)) from error
            return self._synchronised(_connected(path))

    def _in_memory(self, cause: sqlite3.Error) -> sqlite3.Connection:
        path = self.directory / NAME
        self.said.append(f"{path} cannot be used ({cause}): worked in memory")
        memory = sqlite3.connect(":memory:")
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S)) as there:
            _copy(there, memory)
        try:
            return self._synchronised(memory)
        except sqlite3.Error:
            memory.close()
            return self._synchronised(sqlite3.connect(":memory:"))

    def _synchronised(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        try:
            _prepare(connection)
            known = {name: (size, changed) for name, size, changed in connection.execute("select name, size, changed from file")}
            stale = [name for name in known if name not in self._files]
            fresh = [name for name, stamp in self._files.items() if known.get(name) != stamp]
            if stale:
                with connection:
                    _forget(connection, stale)
            # Read first, then written at once: the database is held for a moment only.
            wanted = {name: self._files[name] for name in fresh}
            for found in _batches(_all(self.directory, wanted) if self.patience == math.inf else self._in_time(wanted)):
                _add(connection, found)
        except BaseException:
            connection.close()
            raise
        return connection


    def _in_time(self, files: dict[str, tuple[int, int]]) -> Iterator[Read]:
        """Read the newest files, by their names, in this process, for as long as there is patience."""
        until = time.monotonic() + self.patience
        for number, (name, stamp) in enumerate(sorted(files.items(), reverse=True)):
            if time.monotonic() > until:
                self.said.append(f"{len(files) - number} run files of {self.directory} are not in its index yet; gpuperf show CASE reads them all")
                return
            yield _read(self.directory / name, *stamp)


def _copy(there: sqlite3.Connection, memory: sqlite3.Connection) -> None:
    """Copy the rows. Not by SQLite's backup, which waits for as long as another process holds the file."""
    _prepare(memory)
    if there.execute("pragma user_version").fetchone() != (FORM,):
        return
    with memory:
        for name, places in (("file", 4), ("run", 8), ("point", 14)):
            memory.executemany(f"insert into {name} values ({','.join('?' * places)})", there.execute(f"select * from {name}"))  # noqa: S608 - our own names


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_PATIENCE_S)


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables where they are not there, or of another form: looked at again once nobody else can make them."""
    if _ready(connection):
        return
    with connection:
        connection.execute("begin immediate")
        if _ready(connection):
            return
        for (name,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
            connection.execute(f'drop table "{name}"')
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"pragma user_version = {FORM}")


def _ready(connection: sqlite3.Connection) -> bool:
    tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    return connection.execute("pragma user_version").fetchone() == (FORM,) and {"file", "run", "point"} <= tables


def _listed(directory: Path) -> dict[str, tuple[int, int]]:
    """Return the run files of a directory with size and time of change."""
    found = {}
    try:
        for path in sorted(directory.iterdir()):
            if path.suffix == ".json" and not path.name.startswith("."):
                with contextlib.suppress(OSError):  # gone meanwhile
                    stat = path.stat()
                    found[path.name] = (stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        message = f"cannot read the history {directory}: {error.strerror or error}"
        raise RunFileError(message) from error
    return found


def _all(directory: Path, files: dict[str, tuple[int, int]]) -> Iterator[Read]:
    """Read files: many of them by several processes."""
    jobs = [(directory / name, *stamp) for name, stamp in files.items()]
    workers = min(os.cpu_count() or 1, _PROCESSES)
    if len(jobs) < _MANY or workers == 1:
        yield from itertools.starmap(_read, jobs)
        return
    with executor(workers) as pool:
        yield from pool.map(_read, *zip(*jobs, strict=True), chunksize=_MANY // 8)


def _batches(found: Iterator[Read]) -> Iterator[list[Read]]:
    while batch := list(itertools.islice(found, _BATCH)):
        yield batch


def _read(path: Path, size: int, changed: int) -> Read:
    try:
        run = runfile.load(path)
    except RunFileError as error:
        return Read(path.name, size, changed, str(error).splitlines()[0], [], [])
    return Read(path.name, size, changed, "", list(_runs(run, path.name)), list(_points(run, path.name)))


def _runs(run: Record, name: str) -> Iterator[tuple[Any, ...]]:
    about = run["run"]
    # A case without a device has a run all the same.
    for device in [*run["devices"], {"uuid": "", "name": ""}]:
        yield name, device["uuid"], about["id"], about["started"], about["commit"], about["dirty"], device["name"], json.dumps(snapshot(run, device))


def _points(run: Record, name: str) -> Iterator[tuple[Any, ...]]:
    for case in latest(run["cases"]):
        for one in case["measurements"]:
            head, tail = (name, case["device"] or "", case["nodeid"], one["name"]), one["code"] or _compiled(case, one)
            for quantity, value in one["values"].items():
                if value["number"] is not None or quantity == "time":
                    yield (*head, quantity, one["cache"], *_numbers(value), (value["reason"] or {}).get("code"), tail)
            for quantity, counted in (one.get("counters") or {}).items():
                if counted["number"] is not None:
                    yield (*head, quantity, one["cache"], *_numbers({"source": "ncu", "low": None, "high": None, "systematic": None} | counted), None, tail)


def _compiled(case: Record, measurement: Record) -> str | None:
    hashes = compiled_code(Side(case, measurement, {}))
    return json.dumps(hashes, sort_keys=True) if hashes else None


def _numbers(value: Record) -> tuple[Any, ...]:
    return tuple(value[key] for key in ("unit", "source", "number", "low", "high", "systematic"))


def _forget(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    for table in ("file", "run", "point"):
        connection.executemany(f"delete from {table} where name = ?", [(name,) for name in names])  # noqa: S608 - our own names


def _add(connection: sqlite3.Connection, found: list[Read]) -> None:
    """Write what files hold, in one transaction: whoever indexes the same files at the same time puts the same rows in their place."""
    with connection:
        connection.execute("begin immediate")
        _forget(connection, [one.name for one in found])
        connection.executemany("insert or replace into file values (?,?,?,?)", [(one.name, one.size, one.changed, one.trouble) for one in found])
        connection.executemany("insert or replace into run values (?,?,?,?,?,?,?,?)", [row for one in found for row in one.runs])
        connection.executemany(_POINT, [row for one in found for row in one.points])
