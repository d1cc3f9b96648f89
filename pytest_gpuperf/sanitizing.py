"""--gpuperf-sanitize: the selected cases once under compute-sanitizer, in sessions of their own; each case reports what was found in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf import checking, relaunch
from pytest_gpuperf.case import Check, Undecided
from pytest_gpuperf.counters import checker
from pytest_gpuperf.counters.attribution import Outcome, refused, settle
from pytest_gpuperf.errors import NotClean, Unmeasured
from pytest_gpuperf.format import plural
from pytest_gpuperf.items import is_case, place_of
from pytest_gpuperf.reasons import FAIL, PASS, Reason
from pytest_gpuperf.records.keys import bare_nodeid
from pytest_gpuperf.running import CASE
from pytest_gpuperf.timing.telling import begin

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.counters.attribution import Key
    from pytest_gpuperf.counters.sanitizer import Finding
    from pytest_gpuperf.options import Config
    from pytest_gpuperf.state import State

_UNTIMED = Reason("under-sanitizer")
_LATE = Reason("under-sanitizer", "the test asks for gpuperf while it runs, so that nobody could know it for a case that is to be checked")


def register(config: pytest.Config, options: Config, state: Callable[[], State]) -> None:
    """Let a session check its cases, or, in a session that was started to be checked, note whose each finding is; UsageError for what does not go together."""
    child = config.pluginmanager.get_plugin("gpuperf-child")
    if child is not None:
        if child.task.kind == "sanitize":
            from pytest_gpuperf import sanitized

            config.pluginmanager.register(sanitized.Pieces(child.folder, state, child.nodeid_of), "gpuperf-sanitized")
        return
    option = f"--gpuperf-sanitize={options.sanitize}"
    if options.qualify:
        message = f"{option} measures nothing, and --gpuperf-qualify measures: run one after the other"
        raise pytest.UsageError(message)
    if getattr(config.option, "numprocesses", None) or getattr(config.option, "tx", None):
        message = f"{option} checks all cases in one process of its own, so xdist has nothing to share out: run it with -n0"
        raise pytest.UsageError(message)
    config.pluginmanager.register(Sanitizing(options, state), "gpuperf-sanitizing")


class Sanitizing:
    """The hooks of a session that checks: first all cases in child sessions, then each case gives its own verdict, without its fixtures and its body."""

    def __init__(self, options: Config, state: Callable[[], State]) -> None:
        """Start nothing yet."""
        self._tool, self._timeout, self._state = options.sanitize, options.timeout or checking.TIMEOUT, state
        self._outcomes: dict[str, Outcome] = {}
        self._outside: list[Finding] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Check all cases before the first test reports."""
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            return
        cases = [item for item in session.items if is_case(item)]
        if not cases:
            return
        for item in cases:
            # What its fixtures and its body do was done in the checked process.
            item.setup = _nothing  # type: ignore[method-assign]
        self._check([relaunch.key_of(item) for item in cases])

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Give the verdict of a case in place of calling it."""
        __tracebackhide__ = True
        if not is_case(pyfuncitem) or CASE not in pyfuncitem.stash:
            return None
        case = pyfuncitem.stash[CASE].case
        case.untimed = _UNTIMED
        outcome = self._outcomes.get(bare_nodeid(pyfuncitem.nodeid), Outcome(hole=Reason("not-run", "a hook took this case out of the session before it was checked")))
        if outcome.findings:
            for one in outcome.findings:
                case.checked(Check("sanitizer", self._tool, FAIL, one.story))
            case.raised = NotClean("\n".join(_told(one, self._tool, pyfuncitem.path.name) for one in outcome.findings))
            raise case.raised
        if outcome.skipped is not None:
            pytest.skip(outcome.skipped)
        if outcome.hole is not None:
            place = place_of(pyfuncitem)
            case.undecideds.append(Undecided(outcome.hole, str(outcome.hole), f"{place['file']}:{place['line']}"))
            raise Unmeasured(outcome.hole)
        case.checked(Check("sanitizer", self._tool, PASS, f"{self._tool} clean: nothing was found in one call of each body"))
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> None:
        """Keep a test that asks for the fixture in its body from measuring here."""
        if fixturedef.argname == "gpuperf":
            pytest.skip(str(_LATE))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a session in which something was found that belongs to none of its cases."""
        if self._outside and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _check(self, keys: list[Key]) -> None:
        """Run child sessions until each case has its outcome."""
        state = self._state()
        program = checker.find()
        hole = state.runtime.hole or (Reason("no-compute-sanitizer") if program is None else None)
        began, processes, version = time.perf_counter(), 0, None
        if program is not None and hole is None:
            version = checker.version(program)
            state.say(f"{plural(len(keys), 'case')} under compute-sanitizer {version or ''}, {self._tool}")
            with state.runtime.locked(f"--gpuperf-sanitize={self._tool}"):
                processes = self._run(state, program, keys)
        elif hole is not None:
            self._outcomes = {key["nodeid"]: Outcome(hole=hole) for key in keys}
        if state.recorder is not None:
            record = {"tool": self._tool, "version": version, "processes": processes, "wall_s": time.perf_counter() - began}
            state.recorder.journal.append("sanitizer", sanitizer=record | self._record())

    def _run(self, state: State, program: Any, keys: list[Key]) -> int:
        """Return how many processes it took: after a death, another one checks the rest."""
        number = 0
        assert state.recorder is not None
        while keys:
            number += 1
            folder = state.recorder.folder / "sanitizer" / str(number)
            with state.shown.telling() as telling:
                begin(telling, "sanitizing")
                left = checking.run(state.config, program, self._tool, keys, folder, self._timeout, state.options.seed, None if telling is None else telling.count)
            settled = settle(keys, left, self._tool)
            self._outside += settled.outside
            if not settled.outcomes:
                why = refused(left, self._tool)
                self._outcomes |= {key["nodeid"]: Outcome(hole=why) for key in keys}
                break
            self._outcomes |= settled.outcomes
            keys = list(settled.rest)
        return number

    def _record(self) -> dict[str, Any]:
        found = [{"nodeid": nodeid, "findings": [one.record() for one in outcome.findings]} for nodeid, outcome in self._outcomes.items() if outcome.findings]
        clean = sum(outcome == Outcome() for outcome in self._outcomes.values())
        return {"checked": len(self._outcomes), "clean": clean, "cases": found, "outside": [one.record() for one in self._outside]}


def _told(finding: Finding, tool: str, file: str) -> str:
    """Return a finding as it stands in a failure: its story, and which line of the test's own file called, or else which lines at all."""
    own = [frame for frame in finding.frames if f" in {file}:" in frame][:1] or list(finding.frames[:3])
    return f"{tool}: {finding.story}" + (f"\n    called by {', '.join(own)}" if own else "")


def _nothing() -> None:
    """Set nothing up."""
