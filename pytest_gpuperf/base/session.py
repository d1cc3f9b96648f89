"""`--gpuperf-base` in the session that measures: it starts the base's session, takes turns with it at each measurement, and writes down what came of it."""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf import relaunch
from pytest_gpuperf.base.process import Gone, Process
from pytest_gpuperf.base.tree import BaseError, Source, Tree, counterpart, find
from pytest_gpuperf.case import plain_error
from pytest_gpuperf.items import is_case
from pytest_gpuperf.reasons import Reason, reason_record
from pytest_gpuperf.stats import grouped_percentile
from pytest_gpuperf.timing.taken import Synchronises
from pytest_gpuperf.timing.telling import begin
from pytest_gpuperf.timing.turns import DEVICE, Offer, Side, alternate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.options import Config
    from pytest_gpuperf.state import State
    from pytest_gpuperf.timing.buffers import Buffers
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.timing.measure import First, Request
    from pytest_gpuperf.timing.turns import Turns

#: How long the base may take from one answer to the next, where --gpuperf-timeout does not say.
_PATIENCE = 300.0
_TENTH = 1e-10
DEVICE_CLOCK = "device"


def register(config: pytest.Config, options: Config, state: Callable[[], State]) -> None:
    """Let a session measure in turns with a base; UsageError, in one line, for a base that cannot be had and for what does not go together."""
    if config.pluginmanager.hasplugin("gpuperf-child") or hasattr(config, "workerinput"):
        return
    option = f"--gpuperf-base={options.base}"
    refused = (
        (options.qualify, "measures tests, and --gpuperf-qualify the gate itself: run one after the other"),
        (bool(options.sanitize), f"measures, and --gpuperf-sanitize={options.sanitize} measures nothing: run one after the other"),
        (options.clock != "device", f"takes turns on the device clock, which --gpuperf-clock={options.clock} does not ask for"),
        (bool(getattr(config.option, "numprocesses", None) or getattr(config.option, "tx", None)), "takes turns with one process on the device, so xdist has nothing to share out: run it with -n0"),
        (os.name != "posix", "needs sockets that a child process inherits, which this system does not have"),
    )
    for wrong, why in refused:
        if wrong:
            message = f"{option} {why}"
            raise pytest.UsageError(message)
    try:
        source = find(options.base, config.rootpath, config.invocation_params.dir)
    except BaseError as error:
        raise pytest.UsageError(str(error)) from None
    if counterpart(config.rootpath.resolve(), source.top, source.top / "\0") is None:
        message = f"{option}: the root of the tests, {config.rootpath}, is not inside of {source.top}"
        raise pytest.UsageError(message)
    config.pluginmanager.register(Base(options, source, state), "gpuperf-base")


class _Unfinished(Exception):
    """The base's test ended in the middle of its turns; its session goes on."""


class Base:
    """The hooks of a session with a base, and its turns."""

    def __init__(self, options: Config, source: Source, state: Callable[[], State]) -> None:
        """Make and start nothing yet."""
        self._options, self._source, self._state = options, source, state
        self._tree: Tree | None = None
        self._process: Process | None = None
        self._hole: Reason | None = None
        self._kept: set[str] = set()
        self._missing: list[str] = []
        self._errors: list[str] = []
        self._seconds = 0.0

    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Start the base before the first test, after what profiles."""
        cases = [item for item in session.items if is_case(item)]
        if not cases or session.config.option.collectonly or (session.testsfailed and not session.config.option.continue_on_collection_errors):
            return
        state = self._state()
        self._hole = state.runtime.hole
        if self._hole is None:
            began = time.perf_counter()
            state.say(f"base: {self._source.title}")
            try:
                with state.shown.telling() as telling:
                    begin(telling, "base-start")
                    self._start(state, session)
            except (BaseError, OSError, Gone) as error:
                self._lose(f"{error}")
            self._seconds = time.perf_counter() - began
        state.runtime.paired = self.pair

    def _start(self, state: State, session: pytest.Session) -> None:
        self._tree = Tree(self._source)
        self._tree.make()
        keys = [relaunch.key_of(item) for item in session.items if is_case(item)]
        assert state.recorder is not None
        patience = self._options.timeout or _PATIENCE
        self._process = Process(
            session.config, self._tree, keys, seed=self._options.seed, cache=self._options.cache, shared=state.recorder.folder, patience=patience
        )
        told = self._process.hear("collected", seconds=_PATIENCE)
        self._kept, self._errors = set(told["kept"]), list(told["errors"])
        known = {key["nodeid"] for key in keys} | {item["nodeid"] for item in state.deselected}
        # A session that runs what failed last does not even open the files of the others.
        self._missing = [] if getattr(session.config.option, "lf", False) else [nodeid for nodeid in told["others"] if nodeid not in known]

    def _lose(self, why: str) -> Reason:
        """Give the base up, and return why: what is measured from here on is held against nothing."""
        self._hole = reason = Reason("base-failed", f"the session of {self._source.title}: {why}")
        self._state().say(f"base: {why}; what is measured from here on is not held against it")
        return reason

    def pair(self, found: dict[str, Any], nodeid: str, name: str, tools: Instruments, request: Request, buffers: Buffers, first: First) -> None:
        """Take turns with the base for one measurement and fill `found`, whatever the base does; the caller holds the device's lock."""
        faults = self._state().faults
        # Its time is not this case's own.
        faults.pause()
        try:
            found |= self._held(nodeid, name, tools, request, buffers, first)
        finally:
            faults.resume()

    def _held(self, nodeid: str, name: str, tools: Instruments, request: Request, buffers: Buffers, first: First) -> dict[str, Any]:
        if self._hole is not None:
            return _without(self._hole)
        if nodeid not in self._kept:
            file = nodeid.partition("::")[0]
            broken = next((error for error in self._errors if error.startswith(file)), None)
            return {"new": True} if broken is None else _without(Reason("base-failed", f"the base cannot collect it: {broken}"))
        if request.clock != DEVICE_CLOCK or request.duty != "spaced":
            what = f"clock={request.clock!r}" if request.clock != DEVICE_CLOCK else f"duty={request.duty!r}"
            return _without(Reason("measured-otherwise", f"turns are taken by the device clock on a device that rests between them, and this measurement has {what}"))
        try:
            return self._turns(nodeid, name, tools, request, buffers, first)
        except Gone as error:
            return _without(self._lose(str(error)))
        except _Unfinished as error:
            return _without(Reason("base-failed", f"the test failed in the base, in the middle of its turns: {error}"))
        except Synchronises:
            tools.backend.synchronize()
            return _without(Reason("sync", "the body waited for the device in one of its turns"))
        except Exception as error:  # noqa: BLE001 - what was measured before stands, whatever the body does in further calls
            return _without(Reason("body-failed", f"the body failed in one of its turns: {plain_error(error)}"))

    def _turns(self, nodeid: str, name: str, tools: Instruments, request: Request, buffers: Buffers, first: First) -> dict[str, Any]:
        process = self._process
        assert process is not None
        process.ask(want={"nodeid": nodeid, "name": name})
        told = process.hear("at")
        if told["event"] != "at":
            return _unreached(told, name)
        try:
            why = _otherwise(told, request, tools.backend.facts.uuid)
            if why is not None:
                return _without(why)
            offers = (Offer(**told["offer"]), (side := Side(tools, request, buffers, first)).offer())

            def base(quantity: str, primers: int, count: int) -> list[float]:
                process.ask(turn={"quantity": quantity, "primers": primers, "count": count})
                answer = process.hear("turn")
                if answer["event"] != "turn":
                    raise _Unfinished(str(answer.get("error")))
                samples: list[float] = answer["samples"]
                return samples

            seed = zlib.crc32(f"{nodeid}::{name}".encode("utf-8", "backslashreplace"))
            turns = alternate(base, side.turn, offers, 2 * request.limit, seed, tools.backend, request.telling)
            return _record(turns, offers, told["code"], seed)
        finally:
            # What ends this now is not to be hidden by a base that ended too.
            with contextlib.suppress(Gone):
                process.ask(done=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """End the base, and write down which it was and what it has that this session does not."""
        state = self._state()
        self._end()
        if state.recorder is not None:
            reason = None if self._hole is None else reason_record(self._hole, "base")
            source = self._source
            record = {
                "title": source.title, "commit": source.commit, "limits": self._options.fail_on, "reason": reason, "cases": len(self._kept),
                "missing": self._missing, "errors": self._errors, "start_s": self._seconds,
            }  # fmt: skip
            state.recorder.journal.append("base", base=record)

    def pytest_unconfigure(self) -> None:
        """Leave neither process nor files."""
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._tree is not None:
            self._tree.remove()
            self._tree = None



def _without(reason: Reason) -> dict[str, Any]:
    return {"reason": reason_record(reason, "base")}


def _unreached(told: dict[str, Any], name: str) -> dict[str, Any]:
    """Say why the base did not come to a measurement: it has none of this name, or its test ended before."""
    if told["event"] == "gone":
        return _without(Reason("base-failed", "the base's session had gone past this case: it was run twice here, or in another order"))
    if name in told["passed"]:
        return _without(Reason("base-failed", "the base's test had measured this before it was wanted: the two measure in another order"))
    if told["outcome"] == "passed":
        return {"new": True}
    return _without(Reason("base-failed", f"the test {'was skipped' if told['outcome'] == 'skipped' else 'failed'} in the base: {told['error'] or 'it said nothing'}"))


def _otherwise(told: dict[str, Any], request: Request, device: str) -> Reason | None:
    """Say why a base that is there is not measured: it is not the base, or it measures otherwise."""
    if told["foreign"]:
        return Reason("base-imports-head", f"in the base's session {told['foreign']}")
    if told["device"] != device:
        return Reason("base-failed", f"the base's session measures on {told['device']}, and this one on {device}")
    for what, there, here in (("cache state", told["cache"], request.cache), ("duty", told["duty"], request.duty)):
        if there != here:
            return Reason("measured-otherwise", f"another {what}: {there} -> {here}")
    if told["offer"]["other_stream"]:
        return Reason("other-stream", f"in the base {told['offer']['other_stream']}")
    return None


def _record(turns: Turns, offers: tuple[Offer, Offer], code: str | None, seed: int) -> dict[str, Any]:
    """Return what a measurement's record holds of its base: medians by block, the ratio head / base, and its whole interval."""
    device = turns.quantity == DEVICE
    halves = [one.half if device else 0.0 for one in offers]
    old, new = (grouped_percentile([sample for block in side for sample in block], 0.5, one.tick if device else 0.0) for side, one in zip((turns.base, turns.head), offers, strict=True))
    medians = [[round(grouped_percentile(block, 0.5, 0.0) / _TENTH) for block in side] for side in (turns.base, turns.head)]
    record = {
        "quantity": turns.quantity, "old": old, "new_s": new, "code": code, "seed": seed, "primers": turns.primers, "samples": len(turns.base[0]),
        "unit_s": _TENTH, "base_blocks": medians[0], "head_blocks": medians[1], "notes": [one.why for one in offers if one.why and not device],
    }  # fmt: skip
    ratio = turns.ratio
    if ratio is None or old <= halves[0]:
        return record | _without(Reason("below-clock"))
    # What the clocks of two processes are off by is not shared: it is taken off one side and put on the other.
    least = ratio.low * max(0.0, 1 - halves[1] / new) / (1 + halves[0] / old)
    most = ratio.high * (1 + halves[1] / new) / (1 - halves[0] / old)
    return record | {"ratio": ratio.centre, "low": least, "high": most}
