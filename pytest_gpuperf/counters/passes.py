"""The profiled run: one child under ncu for all cases; where one case ends it, another child for those that are left."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.counters import ncu
from pytest_gpuperf.counters.progress import Follower, Story
from pytest_gpuperf.counters.results import hole_of
from pytest_gpuperf.errors import ReportError
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Key = Mapping[str, Any]
    #: The keys of the cases of one child and its folder: its command line and its environment.
    Start = Callable[[Sequence[Key], Path], tuple[list[str], dict[str, str]]]
    #: How many cases are done, of how many, and the one that runs.
    Tell = Callable[[int, int, str], None]
    #: A report: the kernels of each slug, in order, as the results file has them, and by which road it was read; raises ReportError.
    Read = Callable[[Path], tuple[Mapping[str, list[dict[str, Any]]], str]]

#: An app range counts no kernels; where no warp was launched there was none.
WARPS = "sm__warps_launched.sum"
_POLL_SECONDS = 0.05
#: How long ncu may take to write its report once its target is gone.
_WRITES_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be profiled: cases by key, full names of counters, where everything goes, and how long a case may take."""

    program: str
    metrics: tuple[str, ...]
    items: tuple[Key, ...]
    folder: Path
    report: Path
    cwd: Path
    limit: float
    replay: str = ncu.KERNEL


@dataclasses.dataclass
class Taken:
    """What came of a plan: the cases as the results file has them, the reports, and how often a child was started."""

    cases: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    reports: list[str] = dataclasses.field(default_factory=list)
    road: str | None = None
    starts: int = 0

    def add(self, key: Key, hole: Reason | None, measurements: Sequence[dict[str, Any]] = ()) -> None:
        """Add a case."""
        self.cases.append({**key, "hole": hole_of(hole), "measurements": list(measurements)})


@dataclasses.dataclass(frozen=True)
class Ended:
    """How one child ended: its story, ncu's messages, its own last words, and whether it was ended for taking too long."""

    story: Story
    log: str
    said: str
    late: bool


def take(plan: Plan, start: Start, read: Read, tell: Tell | None = None) -> Taken:
    """Profile every case of a plan and return what came of it; `tell` hears how far it is: cases done, of how many, and the one that runs."""
    taken = Taken()
    _remove_old(plan.report)
    left = list(plan.items)
    while left:
        taken.starts += 1
        beside = plan.report if taken.starts == 1 else plan.report.with_stem(f"{plan.report.stem}-{taken.starts}")
        folder = plan.folder / f"ncu-{taken.starts}"
        # In the run's own folder: nothing that lies there is of another run.
        report = folder / f"profiled{plan.report.suffix}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            child, environment = start(left, folder)
            line = ncu.command(plan.program, plan.metrics, report, folder / "ncu.log", child, plan.replay)
            watch = Watch(len(taken.cases), len(plan.items), plan.limit, tell)
            ended = run(line, environment, plan.cwd, folder, watch)
        except OSError as error:
            for key in left:
                taken.add(key, Reason("ncu-failed", f"the profiled process cannot be started: {error}"))
            break
        left = _settle(taken, ended, left, report, beside, read)
    return taken


def _remove_old(report: Path) -> None:
    """Remove the reports that an earlier run left beside the page: this one may write fewer."""
    with contextlib.suppress(OSError):
        for old in report.parent.iterdir():
            number = old.stem.removeprefix(report.stem)
            if old.suffix == report.suffix and old.stem.startswith(report.stem) and (not number or (number[0] == "-" and number[1:].isdigit())):
                with contextlib.suppress(OSError):
                    old.unlink()


def _published(report: Path, beside: Path) -> str | None:
    """Move a report that was read beside the page, and return its name there; None where it cannot be."""
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(report, beside)
    except OSError:
        return None
    return beside.name


@dataclasses.dataclass
class Watch:
    """Says how far a child is, and when one of its cases takes too long."""

    before: int
    whole: int
    limit: float
    tell: Tell | None = None
    _running: str | None = None
    _since: float = 0.0

    def late(self, story: Story, now: float) -> bool:
        """Look at a child's story; say whether its case has taken more than the limit. Starting up counts as a case."""
        at = f"{story.running or ''} {len(story.ended)}"
        if at != self._running:
            self._running, self._since = at, now
        if self.tell is not None:
            self.tell(self.before + len(story.ended), self.whole, story.running or "")
        return now - self._since > self.limit


def run(line: Sequence[str], environment: Mapping[str, str], cwd: Path, folder: Path, watch: Watch) -> Ended:
    """Run one child to its end; where a case takes too long, the child is ended and ncu may write what it has.

    Ctrl-C ends both before it goes on.
    """
    follower = Follower(folder)
    late = False
    with (folder / "child.log").open("wb") as output:
        process = subprocess.Popen(line, cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        try:
            while process.poll() is None:
                follower.look()
                if watch.late(follower.story, time.monotonic()):
                    late = True
                    _end(process, follower.story.pid)
                time.sleep(_POLL_SECONDS)
        except BaseException:
            _kill_group(process)
            raise
    follower.look()
    _kill_group(process)
    return Ended(follower.story, _text(folder / "ncu.log"), _text(folder / "child.log"), late)


def _end(process: subprocess.Popen[bytes], pid: int | None) -> None:
    """End the target, so that ncu writes its report; then ncu, where it does not end by itself."""
    # 0 and less would be groups of processes, this session's own among them.
    pid = pid if pid is not None and pid > 0 else None
    if pid is not None:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    try:
        process.wait(_WRITES_SECONDS if pid is not None else 0)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        process.wait()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the child's own process group."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _settle(taken: Taken, ended: Ended, left: Sequence[Key], report: Path, beside: Path, read: Read) -> list[Key]:
    """Take over what one child found; return the cases that need another one."""
    story = ended.story
    known = ncu.explain(ended.log)
    unread = name_there = None
    kernels: Mapping[str, list[dict[str, Any]]] = {}
    if report.exists():
        try:
            kernels, taken.road = read(report)
            name_there = _published(report, beside)
            taken.reports += [] if name_there is None else [name_there]
        except (ReportError, OSError) as error:
            unread = Reason("ncu-failed", str(error))
    elif ncu.NOTHING not in ended.log:
        # Whoever was ended before it wrote has not seen that there was no kernel.
        unread = Reason("ncu-failed", f"ncu left no report: {_words(ended)}")
    trouble = ncu.trouble(ended.log)
    if unread is None and trouble and (not kernels or story.status is not None):
        # Where ncu complained and the child came to its end all the same, nobody knows which kernels are missing: a part is never taken for the whole.
        unread, kernels = Reason("ncu-failed", f"ncu: {trouble}"), {}
    if known is not None and known[1] and not kernels:
        for key in left:
            taken.add(key, known[0])
        return []
    missing = {one["nodeid"] for one in story.missing}
    again: list[Key] = []
    for key in left:
        name = story.known_as(key)
        if name is None:
            if key["nodeid"] in missing:
                taken.add(key, Reason("not-in-child"))
            else:
                again.append(key)
            continue
        outcome = story.ended.get(name)
        hole = _hole_of(outcome) if outcome is not None else _death(ended, known)
        lost = unread or (Reason("ncu-failed", f"ncu: {trouble}") if trouble else None)
        found = [_measured(one, kernels, lost, hole, name_there) for one in story.measured[name].values()]
        taken.add(key, hole, found)
    if len(again) < len(left) or not again:
        return again
    # Nothing was reached, so another child would come no farther.
    why = known[0] if known is not None else Reason("ncu-hang" if ended.late else "ncu-failed", _words(ended))
    for key in again:
        taken.add(key, why)
    return []


def _hole_of(outcome: tuple[str, str]) -> Reason | None:
    """Say why measurements of a case that ended were not reached; None where it passed, and so reached what it reaches."""
    how, error = outcome
    if how == "passed":
        return None
    return Reason("ncu-body-failed", f"the test {'was skipped' if how == 'skipped' else 'failed'} in the profiled process: {error or 'it said nothing'}")


def _death(ended: Ended, known: tuple[Reason, bool] | None) -> Reason:
    """Say what became of the case that a child ended in."""
    if ended.late:
        return Reason("ncu-hang", "the case did not end under ncu in its time, and the profiled process was ended")
    if known is not None:
        return Reason("ncu-died", f"the profiled process ended in this case: {known[0].detail}")
    return Reason("ncu-died", f"the profiled process ended in this case: {_words(ended)}")


def _words(ended: Ended) -> str:
    said = [line.strip() for line in ended.said.splitlines() if line.strip()]
    last = ncu.last_error(ended.log)
    return "; ".join(dict.fromkeys(part for part in (last, said[-1] if said else "") if part)) or "neither it nor ncu said why"


def _measured(event: Mapping[str, Any], kernels: Mapping[str, list[dict[str, Any]]], unread: Reason | None, hole: Reason | None, report: str | None) -> dict[str, Any]:
    """Return one measurement as the results file has it."""
    found = [one for one in kernels.get(event["slug"], []) if one["name"] != "range" or one["values"].get(WARPS, [1])[0]]
    why = None
    if not found:
        # The body ran to its end: what was told of is told after its range is closed.
        why = (hole if hole is not None and hole.code in {"ncu-died", "ncu-hang"} else None) or unread or Reason("no-kernel")
    return {
        "name": event["name"], "slug": event["slug"], "inputs": event.get("inputs"), "written": event.get("written"), "code": event.get("code"),
        "hole": hole_of(why), "report": report if found else None, "kernels": found,
    }  # fmt: skip
