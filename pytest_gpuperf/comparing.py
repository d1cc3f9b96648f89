"""How the verb `compare` runs: what it was given, the versions in turns, and what came of them in the case."""

from __future__ import annotations

import dataclasses
import inspect
import zlib
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.arguments import read_body, read_cache, takes
from pytest_gpuperf.case import Check
from pytest_gpuperf.comparison import Comparison
from pytest_gpuperf.compiling import resources_of, seen_by
from pytest_gpuperf.counters.code import code_hash
from pytest_gpuperf.counters.results import Profiled
from pytest_gpuperf.counters.stored import same_code
from pytest_gpuperf.device.streams import handle_of
from pytest_gpuperf.errors import NoSource, NotIdentical
from pytest_gpuperf.hardware import attach, profiled, same_inputs
from pytest_gpuperf.identity.bits import identical
from pytest_gpuperf.measurement import Measurement
from pytest_gpuperf.nvtx_ranges import measurement_range, slug
from pytest_gpuperf.profiling import Profiling
from pytest_gpuperf.reasons import FAIL, PASS, Reason
from pytest_gpuperf.roofline import Roofline
from pytest_gpuperf.timing.launched import seen_launches
from pytest_gpuperf.timing.telling import begin
from pytest_gpuperf.timing.untimed import Untimed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gpuperf.case import Case
    from pytest_gpuperf.runtime import Runtime
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.compare import Difference
    from pytest_gpuperf.timing.rates import Roof
    from pytest_gpuperf.work import Work

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


@dataclasses.dataclass(frozen=True)
class Given:
    """What `compare` was given; see GpuPerf.compare."""

    versions: Mapping[str, Callable[..., Any]]
    args: Sequence[Any]
    kw: Mapping[str, Any]
    name: str
    work: Work | None
    outputs: Sequence[Any]
    inout: Sequence[Any]
    inputs: Sequence[Sequence[Any]] | None
    varies: bool
    setup: Callable[[], Any] | None
    stream: Any
    cache: str | None

    def bodies(self) -> dict[str, Body]:
        """Return the body of every version; TypeError or ValueError, in one line, for what cannot be compared."""
        if not isinstance(self.versions, Mapping):
            message = f"compare({type(self.versions).__name__}): name the versions, as compare({{'loop': f, 'kernel': g}}, ...)"
            raise TypeError(message)
        if len(self.versions) < 2:
            message = f"compare: needs at least two versions, as {{'loop': f, 'kernel': g}}; got {', '.join(map(repr, self.versions)) or 'none'}"
            raise ValueError(message)
        for version, function in self.versions.items():
            if not isinstance(version, str) or not version.strip():
                message = f"compare: {version!r} is no name of a version; a name is a text such as 'kernel'"
                raise ValueError(message)
            if not callable(function):
                message = f"compare: version {version!r} is {type(function).__name__}, which cannot be called; pass the function itself"
                raise TypeError(message)
            for word in _NOT_HERE & self.kw.keys():
                # Handed on to a body that takes any word, it would be dropped in silence.
                if not takes(function, word, any_word=False):
                    message = f"compare: no option {word!r}, which is measure's, and version {version!r} takes no such argument"
                    raise TypeError(message)
        return {
            version: read_body(
                function, self.args, self.inputs, self.kw, self.work, self.setup, varies=self.varies, options=_OPTIONS, verb="compare"
            )
            for version, function in self.versions.items()
        }


#: Options of measure() that compare() does not have.
_NOT_HERE = frozenset({"duty", "clock", "budget", "samples"})
#: What compare() takes by name for itself.
_OPTIONS = tuple(name for name in inspect.signature(Given).parameters if name not in {"versions", "args", "kw"})


def run_comparison(runtime: Runtime, case: Case, given: Given) -> Comparison:
    """Run a comparison and enter it into the case; raises NotIdentical where versions, or calls of one, leave different bits."""
    __tracebackhide__ = True
    bodies = given.bodies()
    if given.name in {one.name for one in case.comparisons}:
        message = f"compare: this case has compared {given.name!r} already; give the second one a name="
        raise ValueError(message)
    names = {version: case.name_for(f"{given.name}/{version}") for version in bodies}
    cache = read_cache(given.cache, runtime.config.cache)
    if runtime.config.clock != "device" and runtime.config.enabled:
        raise NoSource(f"compare: versions alternate on the device clock, which --gpuperf-clock={runtime.config.clock} does not ask for\nRun comparisons with --gpuperf-clock=device.")
    hole = runtime.hole if runtime.config.enabled else Reason("needs-gpuperf")
    seed = zlib.crc32(f"{case.nodeid}::{given.name}".encode("utf-8", "backslashreplace"))
    if hole is not None:
        made, failure, checked = _once(runtime, case, given, bodies, names, cache, hole)
    else:
        made, failure, checked = _timed(runtime, case, given, bodies, names, cache, seed)
    made.seed, made.device, made.listener, made.account = seed, runtime.device, case, case.require
    for version, one in made.measurements.items():
        one.account = case.require
        if failure is None:
            # Now, while what the versions work on is there: the limits themselves are judged after the test.
            for quantity in one.lazy:
                if case.has_limit(quantity, names[version], []):
                    _ = one[quantity]
        case.measurements[names[version]] = one
        case.tell(measurements=one.record())
    case.comparisons.append(made)
    case.tell(comparisons=made.record())
    if hole is not None and runtime.config.enabled and (given.outputs or given.inout) and checked == "unchecked":
        case.unchecked.append((given.name, hole))
    if failure is not None:
        case.checked(Check("outputs", given.name, FAIL, str(failure)))
        raise failure
    if given.varies:
        case.checked(Check("outputs", given.name, PASS, "outputs of the versions may differ, as declared"))
    elif checked != "unchecked":
        case.checked(Check("outputs", given.name, PASS, f"outputs of {len(bodies)} versions and of their calls hold the same bits ({checked})"))
    return made


def _once(
    runtime: Runtime, case: Case, given: Given, bodies: Mapping[str, Body], names: Mapping[str, str], cache: str, hole: Reason
) -> tuple[Comparison, Exception | None, str]:
    """Run every version once, from the same bits, and hold against each other what they leave."""
    untimed = Untimed(runtime.operations, given.outputs, given.inout)
    failure: Exception | None = None
    measurements = {}
    kept: dict[str, dict[str, Any]] = {}
    try:
        for version, body in bodies.items():
            untimed.restore()
            with runtime.telling(case.nodeid, names[version]) as telling:
                begin(telling, "once")
                (result, left), launches = seen_launches(partial(untimed.call, body))
            kept[version] = left
            one = Measurement.unmeasured(names[version], hole, result, given.work, case, runtime.device)
            one.compiled = resources_of(runtime, case, names[version], launches)
            one.details = {"cache": cache, "checked": "unchecked", "varies": given.varies, "inputs": body.sets}
            measurements[version] = one
    finally:
        untimed.close()
    first, *others = bodies
    compared = set()
    for other in () if given.varies else others:
        for array in kept[first].keys() & kept[other].keys():
            compared.add(array)
            failure = failure or _differ(first, other, array, kept[first][array], kept[other][array])
    return Comparison(given.name, measurements, reason=hole), failure, "one call of each" if compared else "unchecked"


def _timed(
    runtime: Runtime, case: Case, given: Given, bodies: Mapping[str, Body], names: Mapping[str, str], cache: str, seed: int
) -> tuple[Comparison, Exception | None, str]:
    from pytest_gpuperf.timing.compare import compare
    from pytest_gpuperf.timing.fingerprint import inputs_record
    from pytest_gpuperf.timing.measure import Request

    handle = runtime.stream if given.stream is None else handle_of(given.stream)
    assert runtime.backend is not None
    label = slug(case.nodeid, given.name)
    with runtime.locked(case.nodeid) as waited, runtime.telling(case.nodeid, given.name, len(bodies) * runtime.config.limit) as telling:
        began = runtime.backend.now()
        tools = runtime.instruments(handle, telling)
        keys = {version: runtime.key_of(body.function) for version, body in bodies.items()}
        requests = {
            version: Request(
                body, cache, handle, runtime.config.limit, given.outputs, given.inout, case.samples_for(names[version], []),
                ran_before=keys[version] in runtime.ran, foreign=runtime.foreign, listener=case, telling=telling,
            )
            for version, body in bodies.items()
        }  # fmt: skip
        runtime.ran.update(keys.values())
        counted = {version: profiled(runtime, case, name) for version, name in names.items()}
        for version, found in counted.items():
            if isinstance(found, Profiled):
                counted[version] = same_inputs(found, inputs_record(runtime.backend, tools.operations, bodies[version], given.inout, handle, given.outputs))
        with measurement_range(label):
            steps = case.timeline.of(given.name)
            compared = compare(tools, requests, seed)
            steps.done("blocks in turns")
        seconds = runtime.backend.now() - began

    def roof(what: str) -> Roof:
        assert given.work is not None
        with runtime.locked(case.nodeid), runtime.telling(case.nodeid, given.name, runtime.config.limit) as telling:
            begin(telling, "roof")
            return runtime.roofs(handle).find(what, given.work, cache)

    notes = [str(compared.hole.detail)] if compared.hole is not None else []
    if compared.synchronises:
        notes.append(compared.synchronises)
    reasons = [one.values["time"].reason for one in compared.timed.values()]
    notes += [f"{one.detail}; all versions met that in the same blocks, so their ratios stand" for one in reasons[:1] if one is not None and one.code == "throttled"]
    measurements = {}
    roofline = None if given.work is None else Roofline(given.work, cache, roof, case)
    for version, timed in compared.timed.items():
        profiling = Profiling(runtime, case, names[version], bodies[version], [*given.outputs, *given.inout], handle, timed)
        lazy = profiling.lazy()
        made = Measurement(names[version], timed.result, timed.values, given.work, timed.context, runtime.device, timed.drift, case, roofline, lazy=lazy)
        others = ", ".join(repr(one) for one in bodies if one != version)
        told = {"seconds": waited.seconds, "for": waited.holder} if waited is not None else None
        extra = {"slug": label, "nvtx": label, "notes": [f"ran in turns with {others}", *notes, *timed.details["notes"]], "waited": told, "wall_s": seconds}
        made.details = {**timed.details, **extra}
        profiling.details = made.details
        made.compiled = resources_of(runtime, case, names[version], seen_by(bodies[version], timed.launches, case))
        found = counted[version]
        found = same_code(found, code_hash(bodies[version])) if isinstance(found, Profiled) and found.stored else found
        attach(made, runtime, case, found, tools.limits.l2_bytes, ())
        measurements[version] = made
    failure: Exception | None = None
    if compared.failure is not None:
        failure = NotIdentical(f"version {compared.failed!r}: {compared.failure}")
    elif compared.difference is not None:
        failure = _described(compared.difference)
    comparison = Comparison(
        given.name, measurements, compared.quantity, compared.blocks if compared.order else {}, compared.ticks, compared.order, reason=compared.hole,
        notes=notes,
    )  # fmt: skip
    return comparison, failure, compared.checked


def _described(found: Difference) -> NotIdentical:
    told = _differ(found.first, found.second, found.array, found.left, found.right)
    # Called once more, alone, they may agree: then it is what the timed calls left that differs.
    return told or NotIdentical(
        f"versions {found.first!r} and {found.second!r} left different bits in {found.array} after their timed calls, and the same ones when called again"
    )


def _differ(first: str, second: str, array: str, left: Any, right: Any) -> NotIdentical | None:
    """Say how two arrays differ that two versions left; None where they do not."""
    try:
        identical(left, right)
    except NotIdentical as error:
        return NotIdentical(f"versions {first!r} and {second!r} leave different bits in {array}: {error} (pass varies=True where that is meant)")
    return None
