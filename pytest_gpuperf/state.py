"""The state of one pytest session in one process, and what its hooks do with it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pytest_gpuperf import relaunch
from pytest_gpuperf.budgets.collect import Marks, read_marks
from pytest_gpuperf.case import Case, Undecided, plain_error, undecided_verdict
from pytest_gpuperf.counting import Counting
from pytest_gpuperf.errors import BadBudget, Inconclusive, Unmeasured
from pytest_gpuperf.faults import Faults
from pytest_gpuperf.fixture import GpuPerf
from pytest_gpuperf.gating import Gated, held_against
from pytest_gpuperf.hardware import lacks_required
from pytest_gpuperf.items import ASKED, MARKS, budgets_of, counters_of, is_case, levels, place_of, skipped_at
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, UNMEASURED, Reason, Verdict, reason_record
from pytest_gpuperf.recorder import Recorder, reference_of, simulator_on
from pytest_gpuperf.records.keys import bare_nodeid
from pytest_gpuperf.running import CASE, Running, ended_by
from pytest_gpuperf.runtime import Runtime
from pytest_gpuperf.showing import Shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.budgets.lookup import BudgetFile
    from pytest_gpuperf.options import Config


class State:
    """What the hooks share."""

    #: What the fixture's object is made of.
    verbs: ClassVar[type[GpuPerf]] = GpuPerf

    def __init__(self, config: pytest.Config, options: Config) -> None:
        """Read nothing and open nothing yet."""
        self.config, self.options = config, options
        self.recorder: Recorder | None = None
        self.deselected: list[dict[str, Any]] = []
        self._runtime: Runtime | None = None
        self.run: dict[str, Any] | None = None
        self.gate = Gated()
        self.trouble: list[str] = []
        self.counting = Counting(self)
        self.shown = Shown(config, enabled=options.enabled)
        self.budgets: BudgetFile | None = None
        self.faults = Faults(options.timeout if options.enabled else None)

    @property
    def worker(self) -> str:
        """The name of this process: main, or xdist's worker."""
        return os.environ.get("PYTEST_XDIST_WORKER", "main") if hasattr(self.config, "workerinput") else "main"

    @property
    def runtime(self) -> Runtime:
        """The runtime, made at its first use: by then a conftest has had its say about the backend."""
        if self._runtime is None:
            backend, why = self._backend()
            self._runtime = Runtime(
                self.options,
                backend,
                why,
                folder=self.recorder.folder if self.recorder is not None else None,
                on_device=self._device_seen, on_wait=self._waits,
                on_go=self.faults.resume,
                root=self.config.rootpath,
            )
            self._runtime.profiled = lambda: self.counting.found
            if self.options.enabled:
                self._runtime.telling = self.shown.telling
        return self._runtime

    def _backend(self) -> tuple[Any, Reason | None]:
        found = self.config.hook.pytest_gpuperf_backend(config=self.config)
        if found is not None:
            return found, None
        if simulator_on():
            return None, Reason("no-gpu", "numba's simulator is on, so kernels run on the CPU")
        from pytest_gpuperf.device.discovery import open_backend

        opened = open_backend()
        return (None, opened) if isinstance(opened, Reason) else (opened, None)

    def _waits(self, holder: str) -> None:
        """A case waits for another process: that is not its own time."""
        self.faults.pause()
        self.say(f"waiting for the device, held by {holder}")

    def _device_seen(self, record: dict[str, Any]) -> None:
        if self.recorder is not None:
            self.recorder.journal.append("device", device=record)

    def say(self, text: str) -> None:
        """Print one line on the terminal, where this process has one."""
        self.shown.say(text)

    def read_item(self, item: pytest.Item) -> None:
        """Read the markers of one collected test; BadBudget for what could not be judged later."""
        marks = list(levels(item))
        uses = is_case(item)
        if not marks and not uses:
            return
        device = self.runtime.device if self.options.enabled else None
        asked = (*self.options.counters, *counters_of(item)) if self.options.enabled and uses else ()
        read = read_marks(marks, device, item.nodeid, asked, self.budgets.of(bare_nodeid(item.nodeid), device) if self.budgets is not None and uses else None)
        own = [budget for budget in read.budgets if budget.origin in {"function marker", "parameter marker"}]
        if own and not uses:
            message = f"{item.nodeid}: has limits ({own[0].limit.quantity} {own[0].limit}) but does not use the gpuperf fixture, so nothing would judge them"
            raise BadBudget(message)
        item.stash[MARKS] = read if uses else Marks((), read.gpu)

    def collected(self, items: list[pytest.Item]) -> None:
        """Write down which budgets are to be accounted for, those of markers that a conftest added among them."""
        for item in items:
            self.read_item(item)
        if self.recorder is None:
            return
        self.recorder.journal.append("collected", items=[budgets_of(item) for item in items if is_case(item)])
        if self.deselected:
            self.recorder.journal.append("deselected", items=self.deselected)

    def drop(self, items: list[pytest.Item]) -> None:
        """Remember what was deselected, with the limits that a conftest gave it before."""
        for item in items:
            with contextlib.suppress(BadBudget):
                self.read_item(item)
        self.deselected += [budgets_of(item) for item in items if is_case(item)]

    def taken_out(self, before: list[pytest.Item], after: list[pytest.Item]) -> None:
        """Remember what a hook removed from the list of tests without calling pytest_deselected."""
        kept = {id(item) for item in after}
        told = {one["nodeid"] for one in self.deselected}
        self.drop([item for item in before if id(item) not in kept and bare_nodeid(item.nodeid) not in told])

    def begin(self, item: pytest.Item) -> None:
        """Start a case; end it as UNMEASURED where it needs a GPU and there is none."""
        marks = item.stash.get(MARKS, None)
        if marks is None:
            return
        runtime = self.runtime
        running = Running(Case(bare_nodeid(item.nodeid), marks, runtime.device, item.path))
        running.case.key = relaunch.key_of(item)
        item.stash[CASE] = running
        if self.recorder is not None and is_case(item):
            self.recorder.journal.append("start", case=self._place(item, running))
            running.case.timeline.begin(runtime.backend.now if runtime.backend is not None else None)
            running.case.tell = self.recorder.parts_of(running.case.nodeid)
            self.faults.arm(self.recorder, running.case, self._place(item, running))
        if is_case(item) and issubclass(getattr(item, "cls", None) or object, getattr(sys.modules.get("unittest"), "TestCase", ())):
            message = f"{item.nodeid}: is a method of a unittest.TestCase, around which no limit can be judged: write it as a function, or in a plain class"
            raise BadBudget(message)
        if marks.gpu and runtime.hole is not None:
            running.unmeasured_setup = runtime.hole
            running.case.undecideds.append(Undecided(runtime.hole, str(runtime.hole), "gpu=True"))
            if self._strict(UNMEASURED) or lacks_required(runtime, running.case):
                running.error = str(runtime.hole)
                pytest.fail(str(runtime.hole), pytrace=False)
            running.skip(str(runtime.hole))

    @contextlib.contextmanager
    def judging(self, item: pytest.Item) -> Iterator[None]:
        """Run the body, then judge all budgets together; the body's own error comes first."""
        __tracebackhide__ = True
        body: BaseException | None = None
        self._look_again(item)
        try:
            yield
        except BaseException as error:
            # Only now: a body may ask for the fixture while it runs.
            if not is_case(item) or CASE not in item.stash:
                raise
            body = error
        if not is_case(item) or CASE not in item.stash:
            return
        running = item.stash[CASE]
        case = running.case
        if isinstance(body, (Inconclusive, Unmeasured)):
            if not any(one.reason == body.reason for one in case.undecideds):
                case.undecided(body)
            body = None
        if body is None:
            self._look_again(item)
        running.body_failed = body is not None and not isinstance(body, pytest.skip.Exception)
        if not self.options.enabled:
            self._end_unenabled(running, body)
            return
        case.judge(case.untimed or ended_by(body, case))
        exceeded = case.exceeded()
        if body is not None:
            # A skip says that the case does not count, but what it measured before has failed: that must not pass.
            if isinstance(body, pytest.skip.Exception):
                unseen = case.settle()
                if exceeded is not None or unseen is not None:
                    raise exceeded or unseen or body from None
            if exceeded is not None:
                body.add_note(f"and its budgets: {exceeded}")
            raise body
        unseen = case.settle()
        if exceeded is not None:
            raise exceeded from None
        if unseen is not None:
            raise unseen from None
        lacking = lacks_required(self.runtime, case)
        verdict = case.verdict(body_failed=False)
        if lacking or self._strict(verdict):
            running.strict = pytest.fail.Exception(case.why(verdict), pytrace=False)
            raise running.strict from None

    def _look_again(self, item: pytest.Item) -> None:
        """Read the markers of a case again: a fixture or the test itself may have added one."""
        running = item.stash.get(CASE, None)
        if running is not None and self.options.enabled and is_case(item):
            self.read_item(item)
            running.case.marks = item.stash[MARKS]

    def _end_unenabled(self, running: Running, body: BaseException | None) -> None:
        __tracebackhide__ = True
        if body is not None:
            raise body
        unseen = running.case.settle()
        if unseen is not None:
            raise unseen from None
        if running.case.undecideds:
            running.skip("needs --gpuperf")

    def _strict(self, verdict: Verdict) -> bool:
        strict = self.options.strict
        return (verdict == UNMEASURED and strict in {"unmeasured", "all"}) or (verdict == INCONCLUSIVE and strict == "all")

    def report(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Give a phase's report the case's verdict, shorten our own errors, and write the case down after its last phase."""
        running = item.stash.get(CASE, None)
        if running is None:
            return
        if call.excinfo is not None and call.excinfo.value is running.case.raised:
            report.longrepr = call.excinfo.getrepr(style="value")
            if report.longrepr.reprcrash is not None:
                # The short summary has little room: the numbers, not the name of the error.
                report.longrepr.reprcrash.message = str(running.case.raised)
        if call.excinfo is not None and call.excinfo.value is running.skipping:
            report.longrepr = skipped_at(report, str(running.skipping))
        self._undecided_fixture(running, call, report)
        if self.options.enabled:
            self._decorate(running, call, report)
        if report.failed:
            running.outcome = "failed"
            running.error = "\n".join(filter(None, (running.error, plain_error(call.excinfo.value) if call.excinfo else str(report.longrepr))))
            if running.case.device is not None:
                self.runtime.probe()
        elif report.skipped and running.outcome == "passed":
            running.outcome = "skipped"
        if report.when == "teardown" and self.recorder is not None and is_case(item) and not running.written:
            running.written = True
            self.faults.disarm()
            self.recorder.journal.append("case", case=self._record(item, running))
            running.case.timeline.end()

    def _undecided_fixture(self, running: Running, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Let a comparison in a fixture end the case as one in its body does: undecided is no error."""
        error = None if call.excinfo is None else call.excinfo.value
        if report.when != "setup" or not isinstance(error, (Inconclusive, Unmeasured)):
            return
        running.unmeasured_setup = error.reason
        if not self.options.enabled or not self._strict(error.reason.verdict):
            report.outcome = "skipped"
            report.longrepr = skipped_at(report, str(error) if self.options.enabled else "needs --gpuperf")

    def _decorate(self, running: Running, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        case = running.case
        if report.when == "setup" and running.unmeasured_setup is not None:
            report.gpuperf_verdict = running.unmeasured_setup.verdict  # type: ignore[attr-defined]
            return
        if report.when != "call":
            return
        verdict = case.verdict(body_failed=running.body_failed)
        xfail = hasattr(report, "wasxfail") or (call.excinfo is None and report.failed)
        if undecided_verdict(verdict) and call.excinfo is None and xfail:
            # An undecided case has neither kept nor broken its promise: pytest would call it XPASS.
            report.outcome = "skipped"
            if hasattr(report, "wasxfail"):
                del report.wasxfail
            report.longrepr = skipped_at(report, case.why(verdict))
        if hasattr(report, "wasxfail") and call.excinfo is not None and call.excinfo.value is running.strict:
            # Strict asks for a decision, and an expected failure that was not seen is none.
            del report.wasxfail
            report.outcome, report.longrepr = "failed", call.excinfo.getrepr(style="value")
        report.gpuperf_verdict = verdict  # type: ignore[attr-defined]
        report.gpuperf_simulator = simulator_on() and self.runtime.backend is None and not case.only_compiled  # type: ignore[attr-defined]

    def _place(self, item: pytest.Item, running: Running) -> dict[str, Any]:
        simulates = simulator_on() and not running.case.only_compiled
        source = "device" if self.runtime.backend is not None else "simulator" if simulates else "host"
        return place_of(item) | {"device": self.runtime.uuid, "source": source, "worker": self.worker, "started": running.started}

    def _record(self, item: pytest.Item, running: Running) -> dict[str, Any]:
        case = running.case
        if not case.judgements and case.marks.budgets:
            # The body never ran: a skip, a failed fixture, no GPU. Its budgets are accounted for all the same.
            reason = running.unmeasured_setup or Reason("skipped" if running.outcome == "skipped" else "error")
            case.unreached(reason)
        record = self._place(item, running) | case.record()
        verdict = FAIL if running.outcome == "failed" else case.verdict(body_failed=False)
        if running.outcome == "skipped" and verdict == "PASS":
            verdict = UNMEASURED
            record["reasons"].append(reason_record(Reason("skipped")))
        return record | {
            "duration_s": time.perf_counter() - running.began,
            "outcome": running.outcome,
            "verdict": verdict,
            "error": running.error,
        }

    def finish(self, exit_status: int) -> None:
        """End this process's part; in the main process write the run file and the page."""
        self.faults.close()
        if self._runtime is not None:
            self._runtime.close()
        if self.recorder is not None:
            self.recorder.finish(int(exit_status))
        if self.recorder is None or self.worker != "main":
            return
        self.run = self.recorder.whole()
        self.gate = held_against(self)
        self.trouble += self.run["problems"] + self.recorder.publish(self.run, reference_of(self.options, self.config.rootpath, gpu=bool(self._runtime and self._runtime.device)), self.gate.comparison)


def fixture_object(state: State, item: pytest.Item) -> GpuPerf:
    """Return the `gpuperf` object of one test."""
    if not is_case(item):
        item.stash[ASKED] = True
        state.read_item(item)
        running = item.stash.get(CASE, None)
        if running is None:
            state.begin(item)
        else:
            running.case.marks = item.stash[MARKS]
    return state.verbs(state.runtime, item.stash[CASE].case)
