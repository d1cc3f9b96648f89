"""The base's session: it runs the same cases, stops at each measurement, and takes turns there when the session that started it says so."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pytest_gpuperf.arguments import call_once, listed, read_body, read_cache
from pytest_gpuperf.base.tree import installed
from pytest_gpuperf.base.wire import Closed, Wire
from pytest_gpuperf.case import plain_error
from pytest_gpuperf.child import Child, ChildState
from pytest_gpuperf.child_verbs import ChildGpuPerf, ChildRuntime
from pytest_gpuperf.counters.code import machine_code
from pytest_gpuperf.device.streams import handle_of
from pytest_gpuperf.fixture import OPTIONS
from pytest_gpuperf.items import is_case
from pytest_gpuperf.timing.measure import Request
from pytest_gpuperf.timing.turns import Side, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_gpuperf import relaunch
    from pytest_gpuperf.fixture import GpuPerf
    from pytest_gpuperf.measurement import Measurement
    from pytest_gpuperf.options import Config
    from pytest_gpuperf.work import Work

_ELSEWHERE = "the session that started this one does not measure it, or has gone on"


class Link:
    """This session's end of the wire: what is wanted next, and whether that is here."""

    def __init__(self, wire: Wire) -> None:
        """Nothing is wanted yet."""
        self._wire = wire
        self._want: dict[str, Any] | None = None
        self._passed: list[str] = []
        #: The cases that are still to come, the running one among them.
        self.ahead: list[str] = []

    def tell(self, event: str, **told: Any) -> None:
        """Tell the other session."""
        self._wire.send(event=event, **told)

    def arrive(self, nodeid: str) -> bool:
        """Wait, at the start of a case, until something is wanted; say whether that is in this case."""
        self.ahead = self.ahead[self.ahead.index(nodeid) :] if nodeid in self.ahead else self.ahead
        self._passed.clear()
        while True:
            want = self._wanted()
            if want["nodeid"] in self.ahead:
                return bool(want["nodeid"] == nodeid)
            self.tell("gone", **want)
            self._want = None

    def reach(self, nodeid: str, name: str) -> bool:
        """Wait, at a measurement, until something is wanted; say whether it is this one. Skips the rest of a case that nobody wants anything of."""
        want = self._wanted()
        if want["nodeid"] != nodeid:
            pytest.skip(_ELSEWHERE)
        if want["name"] != name:
            self._passed.append(name)
            return False
        return True

    def serve(self, side: Side, **told: Any) -> None:
        """Offer this side, and take turns until that is over; nothing is wanted then."""
        self.tell("at", offer=dataclasses.asdict(side.offer()), **told)
        self._want = None
        while True:
            asked = self._hear()
            if "turn" not in asked:
                self._want = asked.get("want")
                return
            try:
                samples = side.turn(**asked["turn"])
            except BaseException as error:
                self.tell("ended", outcome="failed", error=plain_error(error).partition("\n")[0])
                raise
            self.tell("turn", samples=samples)

    def rest(self) -> None:
        """Do nothing more on the device before something is wanted."""
        self._wanted()

    def ended(self, nodeid: str, outcome: str, error: str | None) -> None:
        """Tell that a case has ended without the measurement that is wanted of it."""
        if self._want is not None and self._want["nodeid"] == nodeid:
            self.tell("ended", outcome=outcome, error=error, passed=list(self._passed), **self._want)
            self._want = None
        self.ahead = [one for one in self.ahead if one != nodeid]

    def _wanted(self) -> dict[str, Any]:
        while self._want is None:
            # What else is said is for turns that are over.
            self._want = self._hear().get("want")
        return self._want

    def _hear(self) -> dict[str, Any]:
        try:
            return self._wire.receive()
        except Closed:
            pytest.exit("the session that started this one needs nothing more", 0)


class BaseChild(Child):
    """The hooks of the base's session."""

    def __init__(self, task: relaunch.Task) -> None:
        """Look for modules where the other session found its own, but in this tree."""
        super().__init__(task)
        given = task.beside
        self.top, self.root = Path(given["top"]), Path(given["root"])
        self.cache, self.shared = str(given["cache"]), Path(given["shared"])
        end = socket.socket(fileno=int(given["socket"]))
        end.set_inheritable(False)
        self.link = Link(Wire(end))
        self._errors: list[str] = []
        self._looked: set[str] = set()
        self._foreign = ""
        sys.path[:0] = [path for path in given["paths"] if path not in sys.path]

    def state(self, config: pytest.Config, options: Config) -> BaseState:
        """Return the state of this session."""
        return BaseState(config, options, self)

    def _matched(self, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        cases = [item.nodeid for item in items if is_case(item)]
        kept = super()._matched(items)
        place = {key["nodeid"]: number for number, key in enumerate(self.task.items or ())}
        kept.sort(key=lambda item: place.get(self.nodeid_of(item), len(place)))
        self.link.ahead = [self.nodeid_of(item) for item in kept]
        own = {item.nodeid for item in kept}
        self.link.tell("collected", kept=self.link.ahead, others=[nodeid for nodeid in cases if nodeid not in own], errors=self._errors)
        return kept

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember what could not be collected."""
        if report.failed:
            said = [line for line in str(report.longrepr).splitlines() if line.strip()]
            lines = [line.removeprefix("E").strip() for line in said if line.startswith("E ")]
            self._errors.append(f"{report.nodeid}: {(lines or said or ['it said nothing'])[-1]}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Wait until something is wanted; skip, before its fixtures, what nobody wants anything of."""
        if not self.link.arrive(self.nodeid_of(item)):
            pytest.skip(_ELSEWHERE)
        if not item.path.resolve().is_relative_to(self.root):
            self._foreign = f"the test itself came from {item.path}"

    def foreign(self) -> str:
        """Name a module that is not of this tree though it should be: one of the other session's tree, or one that is installed and lies in this tree too."""
        for name in sys.modules.keys() - self._looked:
            self._looked.add(name)
            file = getattr(sys.modules.get(name), "__file__", None)
            if file and not self._foreign and self._is_foreign(name, Path(file).resolve()):
                self._foreign = f"{name} came from {file}"
        return self._foreign

    def _is_foreign(self, name: str, file: Path) -> bool:
        top = name.partition(".")[0]
        # What measures is one and the same on both sides.
        if top == "pytest_gpuperf" or top in sys.stdlib_module_names or file.is_relative_to(self.root):
            return False
        if file.is_relative_to(self.top) and not installed(file):
            return True
        return name == top and any((place / top / "__init__.py").is_file() or (place / f"{top}.py").is_file() for place in (self.root, self.root / "src"))


class BaseRuntime(ChildRuntime):
    """A runtime that takes turns under the lock of the session that started it, with the clock that that one calibrated."""

    child: BaseChild

    def _foreign_load(self) -> str:
        # The device is busy by the other session, which has looked.
        return ""


class BaseGpuPerf(ChildGpuPerf):
    """The `gpuperf` object of a case in the base's session."""

    def measure(
        self, fn: Callable[..., Any], *args: Any, name: str | None = None, work: Work | None = None, outputs: Sequence[Any] = (), inout: Sequence[Any] = (),
        inputs: Sequence[Sequence[Any]] | None = None, varies: bool = False, setup: Callable[[], Any] | None = None, stream: Any = None,
        cache: str | None = None, duty: str = "spaced", clock: str | None = None, samples: int = 0, counters: Sequence[str] = (),
        budget: Mapping[str, Any] | None = None, **kw: Any,
    ) -> Measurement:  # fmt: skip
        """Take turns with the other session's measurement of this name; one that nobody wants is called once."""
        __tracebackhide__ = True
        del clock, samples, counters, budget
        runtime, nodeid = self._runtime, self._case.nodeid
        assert isinstance(runtime, BaseRuntime)
        chosen = self._case.name_for(name)
        body = read_body(fn, args, inputs, kw, work, setup, varies=varies, options=OPTIONS)
        child = runtime.child
        if not child.link.reach(nodeid, chosen):
            return self._made(chosen, call_once(body), work)
        if runtime.hole is not None:
            raise RuntimeError(str(runtime.hole))
        state = read_cache(cache, child.cache)
        handle = runtime.stream if stream is None else handle_of(stream)
        tools = runtime.instruments(handle)
        request = Request(body, state, handle, runtime.config.limit, listed(outputs), listed(inout), ran_before=True)
        with runtime.on_stream(None if stream is None else handle):
            result = serve(tools, request, lambda side: child.link.serve(side, cache=state, duty=duty, code=machine_code(body), foreign=child.foreign(), device=runtime.uuid))
        child.link.rest()
        return self._made(chosen, result, work)


class BaseState(ChildState):
    """The state of the base's session."""

    verbs: ClassVar[type[GpuPerf]] = BaseGpuPerf
    child: BaseChild

    def _made_runtime(self) -> BaseRuntime:
        made = BaseRuntime(self.options, *self._backend(), folder=self.child.shared)
        made.child = self.child
        return made

    def report(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Tell how a case ended that something was wanted of."""
        super().report(item, call, report)
        if is_case(item) and report.when == "teardown":
            nodeid = self.child.nodeid_of(item)
            self.child.link.ended(nodeid, *self._ended.get(nodeid, ("passed", None)))


def made(task: relaunch.Task) -> BaseChild:
    """Return the hooks; a process that a test starts is none of this."""
    os.environ.pop("GPUPERF_CHILD", None)
    return BaseChild(task)
