"""The journal: what happened in one process, one JSON line an event, on disk before the next one starts."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records.schema import SCHEMA, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One kind of line: its name, the keys that it must have, and its meaning."""

    name: str
    keys: tuple[str, ...]
    meaning: str


EVENTS: tuple[Event, ...] = (
    Event("session", ("run",), "the record of the run as far as it is known at the start; `worker` names this process"),
    Event("collected", ("items",), "[{nodeid, budgets: [{measurement, quantity, statistic, text, origin}]}] in the order of collection"),
    Event("deselected", ("items",), "[{nodeid, budgets}] of what was found and deselected"),
    Event("budgets", ("file",), "the record of the file of budgets, with how many cases each of its tables is for"),
    Event("device", ("device",), "the record of a device; a later one of the same UUID adds to it"),
    Event("start", ("case",), "as much of the record of a case as is known before it runs; at least its nodeid"),
    Event("part", ("case",), "what has come to the record of a running case: its nodeid, and lists of the record with one entry each"),
    Event("case", ("case",), "the record of a case that has ended"),
    Event("hang", ("case",), "the record of a case that was ended from outside, to which its parts belong"),
    Event("sanitizer", ("sanitizer",), "the record of what --gpuperf-sanitize found"),
    Event("qualification", ("qualification",), "the record of what --gpuperf-qualify found"),
    Event("base", ("base",), "the record of the base of --gpuperf-base"),
    Event("counters", ("counters",), "the record of the run under ncu that counted for all cases"),
    Event("end", ("ended", "exit_status"), "the session reached its end"),
)

_BY_NAME = {row.name: row for row in EVENTS}


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What a journal holds: its events in order, and what of it could not be used."""

    path: Path
    events: tuple[dict[str, Any], ...]
    truncated: bool
    unknown: int
    damaged: int

    @property
    def notes(self) -> list[str]:
        """One line for each kind of line that could not be used."""
        found = (
            (self.truncated, "its last line is cut off and was left out"),
            (self.unknown, f"{self.unknown} events of kinds that this version does not know were left out"),
            (self.damaged, f"{self.damaged} lines that are no events were left out"),
        )
        return [f"journal {self.path.name}: {text}" for there, text in found if there]


class Journal:
    """Append events to a file; the file is opened at once, so that a path that cannot be written is known before any test.

    Every line is handed to the kernel before `append` returns: that is what outlives a killed process (kill -9, a crash of the
    driver). It is not fsynced; a power cut may cost the last lines. A write that fails later (a full disk) loses nothing as long as
    the process lives: the lines are kept, `on_trouble` is told once in one line, and the next append tries them again.
    """

    def __init__(self, path: Path, on_trouble: Callable[[str], None] | None = None) -> None:
        """Open the file for appending; RunFileError, in one line, where that cannot be done."""
        self.path = path
        self._on_trouble = on_trouble
        self._waiting: list[bytes] = []
        self._told = False
        # A test may check and measure in threads of its own.
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a half-written buffer must not follow a line that had failed.
            self._file: BinaryIO | None = path.open("a+b", buffering=0)
        except OSError as error:
            message = f"cannot write journal {path}: {error.strerror or error}"
            raise RunFileError(message) from error
        self._good = os.fstat(self._file.fileno()).st_size
        if self._ends_in_half_a_line():
            # Left by a killed process: without this, the first new line would be lost with it.
            self._waiting.append(b"\n")

    @property
    def lost(self) -> int:
        """Number of lines that are not on disk."""
        return sum(line != b"\n" for line in self._waiting)

    def append(self, event: str, **payload: Any) -> None:
        """Write one event of EVENTS; ValueError for another one or for a missing key, TypeError for what is no plain value."""
        row = _BY_NAME.get(event)
        if row is None:
            near = difflib.get_close_matches(event, _BY_NAME, 1)
            message = f"no event {event!r} in a journal; nearest {near[0]!r}" if near else f"no event {event!r}; one of {', '.join(_BY_NAME)}"
            raise ValueError(message)
        if missing := [key for key in row.keys if key not in payload]:
            message = f"event {event!r} needs {', '.join(missing)}"
            raise ValueError(message)
        head = {"event": event, "schema": SCHEMA} if event == "session" else {"event": event}
        line = json.dumps(head | plain(payload, event), separators=(",", ":"), allow_nan=False)
        with self._lock:
            self._waiting.append(line.encode() + b"\n")
            self.flush()

    def flush(self) -> bool:
        """Try to bring every line to disk; False where some are still only in memory."""
        with self._lock:
            try:
                self._return()
                while self._waiting:
                    self._write(self._waiting[0])
                    del self._waiting[0]
            except (OSError, ValueError) as error:
                self._tell(error)
                return False
            return True

    def close(self) -> int:
        """Try once more, close the file and return `lost`."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None
        return self.lost

    def _return(self) -> None:
        """Where somebody deleted the file meanwhile, put all that it held back in its place: the open file still has it."""
        if self._file is None or os.fstat(self._file.fileno()).st_nlink:
            return
        self._file.seek(0)
        held = self._file.read()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        again = self.path.open("a+b", buffering=0)
        self._file.close()
        self._file, self._good = again, 0
        if held:
            self._waiting.insert(0, held)

    def _write(self, line: bytes) -> None:
        if self._file is None:
            message = "the journal is closed"
            raise ValueError(message)
        written = self._file.write(line)
        if written != len(line):
            # A full disk takes a part of the line: take it back, or the next try would stand behind half a line.
            self._file.truncate(self._good)
            message = "no space left on device"
            raise OSError(message)
        self._good += len(line)

    def _tell(self, error: Exception) -> None:
        if self._told or self._on_trouble is None:
            return
        self._told = True
        cause = getattr(error, "strerror", None) or error
        self._on_trouble(f"cannot write journal {self.path}: {cause}; {self.lost} records are kept in memory and tried again")

    def _ends_in_half_a_line(self) -> bool:
        if self._good == 0:
            return False
        try:
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:
            return False


def read_journal(path: Path) -> Reading:
    """Read a journal, also one whose process was killed: a last line that is cut off is left out.

    RunFileError for a file that cannot be read, that holds no event, or whose schema is not this version's.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"cannot read journal {path}: {error.strerror or error}"
        raise RunFileError(message) from error
    # Without its line end the last line is not whole, even where it happens to read as JSON.
    *lines, rest = data.split(b"\n")
    parsed = [_parse(line) for line in lines if line.strip()]
    if parsed and not any(parsed):
        message = f"{path} is not a journal: none of its {len(parsed)} lines is an event"
        raise RunFileError(message)
    events = [event for event in parsed if event is not None]
    for event in events:
        if event["event"] == "session":
            refuse_other_schema(event.get("schema"), f"journal {path}")
    known = tuple(event for event in events if _usable(event))
    unknown = sum(event["event"] not in _BY_NAME for event in events)
    return Reading(path, known, bool(rest.strip()), unknown, len(parsed) - len(known) - unknown)


def refuse_other_schema(found: Any, what: str) -> None:
    """Raise RunFileError, naming both numbers, where a file's schema is none that this version reads."""
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= SCHEMA:
        newer = "; a newer one wrote it: upgrade" if isinstance(found, int) and found > SCHEMA else ""
        message = f"{what} has schema {found!r}; this version of pytest-gpuperf reads schemas 1 to {SCHEMA}{newer}"
        raise RunFileError(message)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


_SHAPES: dict[str, type] = {"run": dict, "items": list, "device": dict, "case": dict, "file": dict}


def _usable(event: dict[str, Any]) -> bool:
    row = _BY_NAME.get(event["event"])
    if row is None or not all(isinstance(event.get(key), _SHAPES.get(key, object)) for key in row.keys):
        return False
    return all(isinstance(item, dict) and isinstance(item.get("nodeid"), str) for item in _named(event))


def _named(event: dict[str, Any]) -> list[Any]:
    if "items" in event:
        return list(event["items"])
    return [event["case"]] if "case" in event else []
