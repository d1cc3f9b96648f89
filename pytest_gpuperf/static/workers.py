"""Child processes that compile, as many as are asked for: each is given one task at a time, and one that dies or hangs is replaced."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: Seconds for one task, which is one kernel for all architectures, or the imports of a module.
TIMEOUT = 120.0
#: How often who waits for the answers is told how many there are.
_TELL_SECONDS = 0.2
_MODULE = "pytest_gpuperf.static.child"


class Gone(Exception):
    """A child that gave no answer: a code of REASONS, and what became of it."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class Worker:
    """One child. `hello` is its first answer: `versions`, and `missing` where it cannot compile."""

    def __init__(self, cache: Path | None, timeout: float) -> None:
        kept = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
        here = os.pathsep.join(path or "." for path in sys.path)
        command = [sys.executable, "-m", _MODULE]
        self._timeout = timeout
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=kept | {"PYTHONPATH": here}
        )
        self._said: collections.deque[bytes] = collections.deque(maxlen=20)
        self._drain = threading.Thread(target=self._listen, daemon=True)
        self._drain.start()
        self.hello = self.ask({"path": [path or "." for path in sys.path], "cache": None if cache is None else str(cache)})

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        """Give the child one task and return its answer; Gone where there is none in time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        hung = threading.Event()

        def stop() -> None:
            hung.set()
            self._process.kill()

        timer = threading.Timer(self._timeout, stop)
        timer.start()
        try:
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = b""
        finally:
            timer.cancel()
        if line.endswith(b"\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        status = self.close()
        if hung.is_set():
            raise Gone("compile-hang", f"no answer in {self._timeout:.0f} s")
        raise Gone("compile-died", f"exit status {status}: {self._last_words()}")

    def close(self) -> int:
        """End the child and return its exit status."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._drain.join(timeout=5)
        return status

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            self._said.extend(pipe)

    def _last_words(self) -> str:
        said = [line.decode(errors="replace").strip() for line in self._said]
        return next((line for line in reversed(said) if line), "it said nothing")


class Pool:
    """Children that wait for tasks: one that has answered is kept for the next ones. `versions` are those of the compilers, once there was a child."""

    def __init__(self, cache: Path | None, *, most: int = 2, timeout: float = TIMEOUT) -> None:
        self.cache = cache
        self.most = max(1, min(most, os.cpu_count() or 1))
        self.timeout = timeout
        self.versions: dict[str, str] = {}
        self._idle: list[Worker] = []

    def run(
        self, tasks: Sequence[dict[str, Any]], *, workers: int | None = None, told: Callable[[int, int], None] | None = None
    ) -> list[dict[str, Any] | Gone]:
        """Return the answer to each task, or why there is none; by `workers` children at most. `told` hears how many are answered, of how many."""
        found: list[dict[str, Any] | Gone] = [Gone("compile-died", "")] * len(tasks)
        waiting = collections.deque(range(len(tasks)))
        count = min(workers or self.most, len(tasks))
        threads = [threading.Thread(target=self._work, args=(tasks, waiting, found)) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while told is not None and thread.is_alive():
                thread.join(_TELL_SECONDS)
                told(max(0, len(tasks) - len(waiting) - sum(one.is_alive() for one in threads)), len(tasks))
            thread.join()
        return found

    def close(self) -> None:
        """End the children."""
        while self._idle:
            self._idle.pop().close()

    def _work(self, tasks: Sequence[dict[str, Any]], waiting: collections.deque[int], found: list[dict[str, Any] | Gone]) -> None:
        worker: Worker | None = None
        while waiting:
            try:
                place = waiting.popleft()
            except IndexError:
                break
            try:
                worker = worker or self._worker()
                if worker.hello["missing"] is not None:
                    raise Gone(*worker.hello["missing"])
                found[place] = worker.ask(tasks[place])
            except Gone as gone:
                found[place] = gone
                worker = worker if gone.code not in {"compile-hang", "compile-died"} else None
        if worker is not None:
            self._idle.append(worker)

    def _worker(self) -> Worker:
        try:
            return self._idle.pop()
        except IndexError:
            made = Worker(self.cache, self.timeout)
        self.versions |= made.hello["versions"]
        return made
