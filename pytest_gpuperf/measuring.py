"""How the verb `measure` runs: under the device's lock, with its range, its lazy quantities and its record's details."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.compiling import resources_of, seen_by
from pytest_gpuperf.counters.code import code_hash, machine_code
from pytest_gpuperf.counters.results import Profiled
from pytest_gpuperf.counters.stored import same_code
from pytest_gpuperf.device.profiler import ProfilerError
from pytest_gpuperf.device.streams import handle_of
from pytest_gpuperf.errors import NoSource, NotCapturable
from pytest_gpuperf.hardware import attach, profiled, same_inputs
from pytest_gpuperf.measurement import Measurement
from pytest_gpuperf.nvtx_ranges import measurement_range, slug
from pytest_gpuperf.roofline import Roofline
from pytest_gpuperf.timing.telling import begin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.budgets.collect import Budget
    from pytest_gpuperf.case import Case
    from pytest_gpuperf.device.lock import Waited
    from pytest_gpuperf.runtime import Runtime
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.rates import Roof

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What `measure` was given, read; see GpuPerf.measure."""

    name: str
    body: Body
    cache: str
    outputs: Sequence[Any]
    inout: Sequence[Any]
    own: list[Budget]
    stream: Any
    samples: int
    clock: str
    duty: str = "spaced"
    counters: Sequence[str] = ()


def run_measurement(runtime: Runtime, case: Case, wanted: Wanted) -> Measurement:
    """Measure one body on the device of a runtime; its NotIdentical, if any, is `details["failure"]`."""
    from pytest_gpuperf.profiling import Profiling, wants_profile
    from pytest_gpuperf.timing.fingerprint import inputs_record
    from pytest_gpuperf.timing.graph import Graph
    from pytest_gpuperf.timing.measure import Request, measure
    from pytest_gpuperf.timing.sources import DEVICE, GRAPH, calls_of, graphed

    body, cache = wanted.body, wanted.cache
    handle = runtime.stream if wanted.stream is None else handle_of(wanted.stream)
    needed = case.samples_for(wanted.name, wanted.own)
    key = runtime.key_of(body.function.body.function if isinstance(body.function, Graph) else body.function)
    label = slug(case.nodeid, wanted.name)
    assert runtime.backend is not None
    found = profiled(runtime, case, wanted.name)
    calls = calls_of(body, cache, changes=bool(wanted.inout))
    base: dict[str, Any] = {}
    with runtime.locked(case.nodeid) as waited, runtime.telling(case.nodeid, wanted.name, runtime.config.limit) as telling:
        began = runtime.backend.now()
        tools = runtime.instruments(handle, telling)
        if isinstance(found, Profiled):
            found = same_inputs(found, inputs_record(runtime.backend, tools.operations, body, wanted.inout, handle, wanted.outputs))
        request = Request(
            body,
            cache,
            handle,
            runtime.config.limit,
            wanted.outputs,
            wanted.inout,
            {**needed, "time": max(needed.get("time", 0), wanted.samples)},
            ran_before=key in runtime.ran,
            foreign=runtime.foreign,
            duty=wanted.duty,
            clock=wanted.clock,
            graphed=partial(graphed, runtime.backend, runtime.on_stream, body, calls, handle) if wanted.clock == GRAPH else None,
            calls=calls if wanted.clock == GRAPH else 1,
            selfcheck=wanted.clock == DEVICE and not case.selfchecked,
            profiled=wants_profile(runtime, case, wanted.name, wanted.own),
            listener=case,
            telling=telling,
            steps=case.timeline.of(wanted.name),
            turns=None if runtime.paired is None else partial(runtime.paired, base, case.nodeid, wanted.name),
        )
        runtime.ran.add(key)
        with measurement_range(label), runtime.on_stream(handle if wanted.stream is not None else None):
            try:
                timed = measure(tools, request)
            except ProfilerError as error:
                cause = error.reason.cause
                message = f"clock={wanted.clock!r}: {cause.code}: {error.reason.detail or cause.sentence}\nNext: {cause.next_step}, or ask for another source."
                raise NoSource(message) from error
            except NotCapturable as error:
                # Of the frames up to here only contextlib's would show; where the body was stopped is in its cause.
                raise error.with_traceback(None) from error.__cause__
        case.selfchecked = case.selfchecked or (request.selfcheck and timed.details["samples"] is not None)
        seconds = runtime.backend.now() - began

    def roof_of(what: str, clock: str = wanted.clock) -> Roof:
        assert body.work is not None
        with runtime.locked(case.nodeid), runtime.telling(case.nodeid, wanted.name, runtime.config.limit) as telling:
            begin(telling, "roof")
            return runtime.roofs(handle, clock).find(what, body.work, cache, wanted.duty)

    # A graph's time has no roof; what the device clock knows to be beyond the device is beyond it in a graph too.
    fastest = partial(roof_of, clock=DEVICE) if wanted.clock == GRAPH else None

    profiling = Profiling(runtime, case, wanted.name, body, [*wanted.outputs, *wanted.inout], handle, timed)
    roofline = None if body.work is None else Roofline(body.work, cache, roof_of, case, fastest)
    lazy = profiling.lazy()
    made = Measurement(wanted.name, timed.result, timed.values, body.work, timed.context, runtime.device, timed.drift, case, roofline, lazy=lazy)
    made.details = {
        **timed.details,
        "code": machine_code(body),
        "slug": label,
        "nvtx": label,
        "waited": _waited(waited),
        "wall_s": seconds,
        "failure": timed.failure,
        **({"base": base} if base else {}),
    }
    profiling.details = made.details
    made.compiled = resources_of(runtime, case, wanted.name, seen_by(body, timed.launches, case))
    found = same_code(found, code_hash(body)) if isinstance(found, Profiled) and found.stored else found
    attach(made, runtime, case, found, tools.limits.l2_bytes, wanted.counters)
    return made


def _waited(waited: Waited | None) -> dict[str, Any] | None:
    return None if waited is None else {"seconds": waited.seconds, "for": waited.holder}
