"""One measurement at a time on a device: a file lock per GPU UUID, with a note that says who holds it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_gpuperf.errors import GpuPerfError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FOLDER = "gpuperf-locks"
_POLL_SECONDS = 0.02
_SOMEBODY = "another process"
# A wait shorter than this is not worth a line on the terminal.
_TELL_AFTER_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Waited:
    """How long a measurement waited for its device, in seconds, and who held it when the wait began."""

    seconds: float
    holder: str


class _FileLock(Protocol):
    def acquire(self, *, timeout: float) -> Any: ...

    def release(self) -> None: ...


@dataclasses.dataclass(slots=True)
class _Held:
    """What this process holds of one lock file: the thread lock keeps its own threads apart, the depth counts re-entries."""

    thread: threading.RLock = dataclasses.field(default_factory=threading.RLock)
    depth: int = 0


#: By process id too: a forked child has the table of its parent, but not its locks.
_HELD: dict[tuple[int, Path], _Held] = {}
_HELD_GUARD = threading.Lock()


class DeviceLock:
    """The lock of one device, for all processes of all users of this machine; re-entrant within a process.

    A holder that is killed frees the lock with it: the kernel does that. `on_wait` is called once a wait, with who is waited for,
    when the wait has lasted half a second.
    """

    def __init__(self, uuid: str, directory: Path | None = None, *, on_wait: Callable[[str], None] | None = None) -> None:
        """Name the lock of the device `uuid`; nothing is opened before it is held.

        The default directory is for all users of the machine: gpuperf-locks in the system's temporary directory.
        """
        self.directory = directory or Path(tempfile.gettempdir()) / _FOLDER
        self._on_wait = on_wait
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", uuid)
        self.path = self.directory / f"{name}.lock"
        self._note = self.directory / f"{name}.json"

    @contextlib.contextmanager
    def held(self, label: str) -> Iterator[Waited | None]:
        """Hold the device for a block; gives how long this waited and for whom, or None where it was free.

        `label` is what others who wait are told, a node id. Ctrl-C during the wait leaves nothing held. GpuPerfError where the
        lock file cannot be used.
        """
        with _HELD_GUARD:
            state = _HELD.setdefault((os.getpid(), self.path), _Held())
        # Another thread of this process waits here.
        with state.thread:
            if state.depth:
                state.depth += 1
                try:
                    yield None
                finally:
                    state.depth -= 1
                return
            lock, waited = self._acquire()
            try:
                state.depth = 1
                self._write_note(label)
                yield waited
            finally:
                state.depth = 0
                # Before the lock: a note never outlives its holder, unless that is killed.
                with contextlib.suppress(OSError):
                    self._note.unlink(missing_ok=True)
                lock.release()

    def holder(self) -> str:
        """Return who holds the lock, as its note says; a note whose process has ended is not believed."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            pid, label, started = int(note["pid"]), str(note["label"]), str(note["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return _SOMEBODY
        return f"pid {pid} {label} (since {started})" if _alive(pid) else _SOMEBODY

    def _acquire(self) -> tuple[_FileLock, Waited | None]:
        import filelock

        self._make_directory()
        lock: _FileLock = filelock.FileLock(self.path, mode=0o666)
        started = time.monotonic()
        holder: str | None = None
        told = False
        while True:
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                # The holder's note may come a moment after its lock: ask again until it names somebody.
                if holder in {None, _SOMEBODY}:
                    holder = self.holder()
            except OSError as error:
                if not isinstance(error, PermissionError) or isinstance(lock, _ReadOnlyLock) or not os.access(self.path, os.R_OK):
                    raise self._cannot(error) from error
                # Somebody else's file that we may only read: a lock needs no more than that.
                lock = _ReadOnlyLock(self.path, filelock.Timeout)
                continue
            else:
                break
            waited = time.monotonic() - started
            if waited >= _TELL_AFTER_SECONDS and not told:
                told = True
                if self._on_wait is not None:
                    self._on_wait(self.holder())
            time.sleep(_POLL_SECONDS)
        return lock, None if holder is None else Waited(time.monotonic() - started, holder)

    def _make_directory(self) -> None:
        if self.directory.is_dir():
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot(error) from error
        # Other users lock here too. No sticky bit: with it, Linux (fs.protected_regular) refuses them the files of others.
        with contextlib.suppress(OSError):
            self.directory.chmod(0o777)

    def _cannot(self, error: OSError) -> GpuPerfError:
        return GpuPerfError(f"cannot lock the device: {self.path}: {error.strerror or error}; make its directory writable or set TMPDIR to another")

    def _write_note(self, label: str) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        temporary = self._note.with_name(f".{self._note.name}.{os.getpid()}")
        # The note is a courtesy: the lock holds without it.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
            with temporary.open("x", encoding="utf-8") as file:
                json.dump({"pid": os.getpid(), "label": label, "started": now}, file)
            temporary.chmod(0o644)
            temporary.replace(self._note)


class _ReadOnlyLock:
    """The same kernel lock on a file that may only be read; it excludes, and is excluded by, those who may write."""

    def __init__(self, path: Path, timeout_error: type[Exception]) -> None:
        self._path = path
        self._timeout_error = timeout_error
        self._descriptor: int | None = None

    def acquire(self, *, timeout: float) -> None:
        """Take the lock at once, or raise the error of a timeout; there is no other `timeout` than 0."""
        import fcntl

        if timeout:
            message = f"a read-only lock does not wait: timeout={timeout} s"
            raise ValueError(message)
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise self._timeout_error(str(self._path)) from None
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _alive(pid: int) -> bool:
    if os.name != "posix" or pid <= 0:
        return pid > 0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
