"""One process under compute-sanitizer: started, watched, ended where a case takes too long, and read."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from pytest_gpuperf import relaunch
from pytest_gpuperf.counters import checker
from pytest_gpuperf.counters.attribution import Left
from pytest_gpuperf.counters.progress import Follower
from pytest_gpuperf.format import shorten, visible
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.sanitized import LOG, PIECES, PRINTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from pytest_gpuperf.counters.attribution import Key

#: Seconds that a case, or the way to the first one, may take under the tool, where --gpuperf-timeout does not say.
TIMEOUT = 600.0
_POLL = 0.05


def run(config: pytest.Config, program: Path, tool: str, keys: list[Key], folder: Path, timeout: float, seed: int | None, tell: Callable[[int, int, str], None] | None = None) -> Left:
    """Run this session's command line once more under a tool, over some of its cases, and return what that process left.

    A case that does not end in `timeout` seconds costs the process. `tell` hears how many cases are done, of how many, and which one runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    task = folder / "task.json"
    relaunch.write(relaunch.Task("sanitize", str(folder), tuple(keys), seed, relaunch.carry(config)), task)
    # Kernels that numba has on disk were compiled without line information, and the parent's are to stay as they are.
    environment = relaunch.environment(task) | {"NUMBA_CACHE_DIR": str(folder / "numba")}
    command = checker.command(program, tool, folder / LOG, relaunch.command(config))
    try:
        with (folder / PRINTED).open("wb") as printed:
            # A group of its own, so that the process below the tool ends with it.
            process = subprocess.Popen(
                command, cwd=relaunch.folder_of(config), env=environment, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True
            )
    except OSError as error:
        return Left(b"", (), (), f"{program.name}: {error.strerror or error}")
    try:
        hung = _watch(process, folder, timeout, len(keys), tell)
    finally:
        _end(process, folder)
    return Left(_bytes(folder / LOG), _lines(folder / PIECES), _lines(folder / "progress.jsonl"), _words(process.returncode, folder / PRINTED), hung)


def _watch(process: subprocess.Popen[bytes], folder: Path, timeout: float, cases: int, tell: Callable[[int, int, str], None] | None) -> Reason | None:
    """Wait for the process's end; return why it has to be ended where nothing moves for too long."""
    size, since = 0, time.monotonic()
    follower = Follower(folder)
    while process.poll() is None:
        time.sleep(_POLL)
        if tell is not None:
            follower.look()
            tell(len(follower.story.ended), cases, follower.story.running or "")
        now = len(_bytes(folder / PIECES))
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > timeout:
            return Reason("sanitizer-hang", f"the case did not end under compute-sanitizer within {timeout:g} s")
    return None


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End what is left of a process and of the one that the tool started; nothing, where both have ended."""
    if process.poll() is not None:
        return
    told = next((line["pid"] for line in _lines(folder / PIECES) if line["event"] == "process"), None)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    if told is not None:
        with contextlib.suppress(OSError):
            os.kill(told, signal.SIGKILL)
    process.wait()


def _words(status: int, printed: Path) -> str:
    """Say how a process ended, with the last line that it printed."""
    how = f"it ended with status {status}" if status >= 0 else f"it was ended by signal {-status}"
    said = [line.strip() for line in _bytes(printed).decode("utf-8", "replace").splitlines() if line.strip(" =")]
    return f"{how}; {shorten(visible(said[-1]), 200)}" if said else how


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _lines(path: Path) -> tuple[dict[str, Any], ...]:
    """Return the events of a file; a last line that is cut off is left out."""
    *whole, _ = _bytes(path).split(b"\n")
    found = []
    for line in whole:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return tuple(one for one in found if isinstance(one, dict) and "event" in one)
