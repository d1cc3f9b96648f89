"""Measurements in a fresh process: what is asked of it, what it answers, how it is started."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.qualify.subject import Bench
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.clock import Calibration
from pytest_gpuperf.timing.instruments import Instruments
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.device.backend import Backend

#: Names the file that says what a process is to measure; pytest then does nothing else.
ENVIRONMENT = "GPUPERF_QUALIFY"
_TIMEOUT = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """What a process is to measure: kernels by iterations, one after the other; `calibration` is the file that the run shares."""

    uuid: str
    iterations: list[int]
    cache: str
    limit: float
    seed: int
    calibration: str
    answer: str


@dataclasses.dataclass(frozen=True, slots=True)
class Processes:
    """Starts processes as this session was started, in the same folder, so that they find the same device."""

    arguments: Sequence[str]
    folder: Path
    calibration: Path
    cwd: Path
    uuid: str
    cache: str
    limit: float

    def measure(self, iterations: Sequence[int], number: int) -> list[Value]:
        """Return the times that a fresh process measured; each UNMEASURED where it did not answer."""
        place = self.folder / f"qualify-{number}"
        answer = place.with_suffix(".answer.json")
        task = Task(self.uuid, list(iterations), self.cache, self.limit, number, str(self.calibration), str(answer))
        place.with_suffix(".task.json").write_text(json.dumps(dataclasses.asdict(task)), encoding="utf-8")
        environment = os.environ | {ENVIRONMENT: str(place.with_suffix(".task.json"))}
        count = len(iterations)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *self.arguments], cwd=self.cwd, env=environment, capture_output=True, text=True, errors="replace",
                timeout=_TIMEOUT, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return _silent(count, f"it took longer than {_TIMEOUT:.0f} s")
        try:
            times = [_read(one, number) for one in json.loads(answer.read_text(encoding="utf-8"))["times"]]
        except (OSError, ValueError, KeyError, TypeError):
            said = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
            return _silent(count, f"exit status {done.returncode}: {said[-1].strip() if said else 'it printed nothing'}")
        return times if len(times) == count else _silent(count, f"it answered {len(times)} times of {count}")


def answer(task: Task, backend: Backend) -> None:
    """Measure what a task asks for and write the answer: the other side of `Processes.measure`."""
    tools = Instruments.open(backend, _calibration(Path(task.calibration)), 0)
    try:
        if backend.facts.uuid != task.uuid:
            message = f"this process found {backend.facts.uuid}, not {task.uuid}"
            raise RuntimeError(message)
        bench = Bench(tools, cache=task.cache, limit=task.limit, seed=task.seed)
        times = [_write(bench.time(iterations)) for iterations in task.iterations]
        bench.close()
    finally:
        tools.close()
    Path(task.answer).write_text(json.dumps({"times": times}), encoding="utf-8")


def read_task(path: str) -> Task:
    """Return the task that a file holds."""
    return Task(**json.loads(Path(path).read_text(encoding="utf-8")))


def _calibration(path: Path) -> Calibration | None:
    """Return what the run shares; None where it shares nothing, so that this process calibrates for itself."""
    try:
        return Calibration(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(time: Value) -> dict[str, Any]:
    reason = time.reason
    return {
        "number": time.number, "low": time.low, "high": time.high, "systematic": dict(time.systematic),
        "reason": None if reason is None else [reason.code, reason.detail],
    }  # fmt: skip


def _read(told: dict[str, Any], number: int) -> Value:
    """Return a time from an answer, with the process's number in its systematic part, which so cancels in no ratio with another process.

    Both take off the same constant where the run shares it, but what it should be wanders from process to process, by up to 0.1 us on an H200.

    >>> _read({"number": 2e-6, "low": 1e-6, "high": 3e-6, "systematic": {"device/kernel": 1e-7}, "reason": None}, 3).systematic
    {'device/kernel/process 3': 1e-07}
    """
    reason = None if told["reason"] is None else Reason(*told["reason"])
    systematic = {f"{name}/process {number}": shift for name, shift in told["systematic"].items()}
    return Value(told["number"], "s", "device", told["low"], told["high"], systematic, reason, "time")


def _silent(count: int, why: str) -> list[Value]:
    return [Value.missing("time", "s", "device", Reason("no-answer", f"a process that was started for a measurement did not answer: {why}")) for _ in range(count)]
