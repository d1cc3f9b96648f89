"""How the verb `measure` runs: under the device's lock, with its range, its lazy quantities and its record's details."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.streams import handle_of
from pytest_gpuperf.measurement import Measurement
from pytest_gpuperf.nvtx_ranges import measurement_range, slug

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.budgets.collect import Budget
    from pytest_gpuperf.case import Case
    from pytest_gpuperf.device.lock import Waited
    from pytest_gpuperf.runtime import Runtime
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.values import Value

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


def run_measurement(runtime: Runtime, case: Case, wanted: Wanted) -> Measurement:
    """Measure one body on the device of a runtime; its NotIdentical, if any, is `details["failure"]`."""
    from pytest_gpuperf.timing.graph import Graph, count_launches, kernels_of, not_alone
    from pytest_gpuperf.timing.measure import Request, measure

    body, cache = wanted.body, wanted.cache
    handle = runtime.stream if wanted.stream is None else handle_of(wanted.stream)
    needed = case.samples_for(wanted.name, wanted.own)
    key = runtime.key_of(body.function.body.function if isinstance(body.function, Graph) else body.function)
    label = slug(case.nodeid, wanted.name)
    assert runtime.backend is not None
    with runtime.locked(case.nodeid) as waited:
        began = runtime.backend.now()
        tools = runtime.instruments(handle)
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
            listener=case,
        )
        runtime.ran.add(key)
        with measurement_range(label), runtime.on_stream(handle if wanted.stream is not None else None):
            timed = measure(tools, request)
        seconds = runtime.backend.now() - began

    def roof_of() -> Value:
        assert body.work is not None
        with runtime.locked(case.nodeid):
            return dataclasses.replace(runtime.roofs(handle).of(body.work, cache), listener=case)

    def launches() -> Value:
        assert runtime.backend is not None
        hole = runtime.hole or not_alone(timed.values["time"].reason)
        return kernels_of(hole, case) if hole else count_launches(runtime.backend, runtime.on_stream, body, timed.details["body"], handle, case)

    lazy = {"launches": launches}
    made = Measurement(wanted.name, timed.result, timed.values, body.work, timed.context, runtime.device, timed.drift, case, roof_of, lazy=lazy)
    made.details = {
        **timed.details,
        "slug": label,
        "nvtx": label,
        "waited": _waited(waited),
        "wall_s": seconds,
        "failure": timed.failure,
    }
    return made


def _waited(waited: Waited | None) -> dict[str, Any] | None:
    return None if waited is None else {"seconds": waited.seconds, "for": waited.holder}
