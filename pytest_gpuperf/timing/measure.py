"""One whole measurement: first call, kind of body, host clocks, samples, what they left, and the Values of it all."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

from pytest_gpuperf import stats
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.body import compiled, compiled_before, watch_kind
from pytest_gpuperf.timing.buffers import Buffers
from pytest_gpuperf.timing.calls import check_untimed, found_failure, leave_and_compare
from pytest_gpuperf.timing.clock import GRAPH
from pytest_gpuperf.timing.conduct import is_cached, notes_on, returns_one_array
from pytest_gpuperf.timing.host import HostTaken, take_host
from pytest_gpuperf.timing.launched import once
from pytest_gpuperf.timing.profile import take_profile
from pytest_gpuperf.timing.quantities import bandwidth_of, first_call_of, sampled, tflops_of
from pytest_gpuperf.timing.quiet import quiet_host
from pytest_gpuperf.timing.rotated import needs_inputs
from pytest_gpuperf.timing.sampler import Sampler
from pytest_gpuperf.timing.selfcheck import self_check
from pytest_gpuperf.timing.sources import CUPTI, DEVICE, CuptiWatch
from pytest_gpuperf.timing.steps import Steps, nobody
from pytest_gpuperf.timing.taken import Plan, Taken
from pytest_gpuperf.timing.telling import FIRST, after_rounds, begin
from pytest_gpuperf.timing.verdicts import clock_of, find_reason, no_tails, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from pytest_gpuperf.progress import Telling
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.timing.launched import Launch
    from pytest_gpuperf.timing.profile import Profile
    from pytest_gpuperf.timing.selfcheck import SelfCheck
    from pytest_gpuperf.values import Listener, Value

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: How much longer than an idle wait the device may stay busy after the body's own stream is done: seconds, or a share of the call. A host that has slept
#: through a long call is slow at its next one (36 us after 60 ms, seen beside an H200).
_STILL_BUSY, _BUSY_SHARE = 20e-6, 1e-3
#: How many calls are looked at, at most, before it is believed: a busy host was 20 us late three times in a row.
_LOOKS = 10
_HOST_SHARE = 0.2
_CLOCKS = {"device": "device clock", "cupti": "CUPTI records", "graph": "graph clock"}
#: Numbers for bodies of unknown kind, each its own: an id() may come again.
_STRANGERS = itertools.count()


@dataclasses.dataclass(frozen=True)
class Request:
    """What is wanted of a measurement; `samples` says, for each quantity, how many samples its budgets need.

    A `roof` is a body of our own: its `kind` is known, it rotates enough by itself, and nobody asks for its host times.
    """

    body: Body
    cache: str
    stream: int
    limit: float
    outputs: Sequence[Any] = ()
    inout: Sequence[Any] = ()
    samples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    ran_before: bool = False
    kind: str = ""
    roof: bool = False
    foreign: str = ""
    duty: str = "spaced"
    #: The source of the time, and for `graph` what gives, for a block, a body that replays one, and the calls in each.
    clock: str = DEVICE
    graphed: Callable[[], AbstractContextManager[Body]] | None = None
    calls: int = 1
    #: Whether this measurement holds the sources against each other, and whether a profiled pass follows the samples.
    selfcheck: bool = False
    profiled: bool = False
    listener: Listener | None = None
    telling: Telling | None = None
    steps: Steps = dataclasses.field(default_factory=nobody)
    #: Takes turns with another process once the samples are taken, from the entry state; is given what this process knows of the body.
    turns: Callable[[Instruments, Request, Buffers, First], None] | None = None


@dataclasses.dataclass
class Timed:
    """What came out: the last result, Values by quantity, the drift, one line about how, and plain details for the record."""

    result: Any
    values: dict[str, Value]
    drift: stats.Drift | None
    context: str
    details: dict[str, Any]
    failure: Exception | None = None
    profile: Profile | None = None
    #: The kernels of numba's that a call was seen to launch.
    launches: Sequence[Launch] = ()


@dataclasses.dataclass(frozen=True)
class First:
    """What the untimed calls told: wall time of the first, host time of a later one, the kind of body, and reasons."""

    wall: float
    host: float
    known: bool | None
    kind: str
    other_stream: str
    entry: Sequence[int] = ()
    changed: Sequence[int] = ()
    #: How many kernels had been compiled when these calls were done, where that can be told, and whether all of them returned one and the same array.
    compiled: int | None = None
    same_result: bool = False
    launches: Sequence[Launch] = ()


def measure(instruments: Instruments, request: Request) -> Timed:
    """Measure one body; the caller holds the device's lock.

    On return the buffers hold exactly one call from the entry state. A body whose timed calls differ, or which leaves outputs unwritten, comes
    back with its NotIdentical as `failure`, after its values.
    """
    backend, body = instruments.backend, request.body
    backend.synchronize()
    buffers = Buffers(backend, instruments.operations, body, request.outputs, request.inout)
    try:
        buffers.prepare(request.stream)
        buffers.snapshot(request.stream)
        with quiet_host():
            first = first_calls(instruments, request, buffers)
            request.steps.done("early calls")
            begin(request.telling, "host")
            host = HostTaken() if request.roof else take_host(
                backend, body, buffers, request.stream, limit=_HOST_SHARE * request.limit,
                samples=max(request.samples.get("host_time", 0), request.samples.get("wall_time", 0)),
            )  # fmt: skip
            request.steps.done("host clock")
            hole = needs_inputs(instruments, request)
            taken = Taken() if hole else _sample(instruments, request, buffers, first)
            request.steps.done("samples")
            buffers.inputs.last(request.stream)
            if not taken.rounds and not request.roof:
                taken.checked = check_untimed(instruments, request, buffers)
            elif request.calls > 1:
                # A graph of many calls hides one that leaves something else: what calls leave alone must be what the graphs left.
                check_untimed(instruments, request, buffers)
            failure = found_failure(request, buffers)
            begin(request.telling, "checking" if request.selfcheck and taken.rounds else "")
            checked = _self_check(instruments, request, buffers, first, taken) if request.selfcheck and taken.rounds else None
            if request.turns is not None and failure is None:
                request.turns(instruments, request, buffers, first)
            request.steps.done("checks")
            begin(request.telling, "profiling" if request.profiled else "")
            profile = take_profile(backend, body, buffers, request.stream, request.steps) if request.profiled else None
            result, failure = leave_and_compare(instruments, request, buffers, failure)
            failure = failure or (buffers.given_up(first.entry, first.changed, request.stream) if not request.roof else None)
        timed = assemble(instruments, request, buffers, first, host, taken, hole, result, failure, checked)
        timed.profile = profile
        return timed
    finally:
        buffers.close()


def first_calls(instruments: Instruments, request: Request, buffers: Buffers) -> First:
    """Make the calls that no clock of the device runs beside, and learn from them what the others need to know."""
    backend, body, stream = instruments.backend, request.body, request.stream
    if request.roof:
        for index in range(body.sets):
            body(index)
        backend.synchronize()
        return First(0.0, 0.0, None, request.kind, "")
    known = True if request.ran_before else compiled_before(body)
    begin(request.telling, FIRST[known])

    def prepare(index: int) -> None:
        if body.setup is not None:
            body.setup()
        buffers.restore(stream)
        buffers.poison(index, stream, index)
        backend.synchronize()

    prepare(0)
    entry = buffers.look_at_inouts(stream)
    buffers.inputs.before(stream)
    with request.steps.heard():
        start = backend.now()
        result = body(0)
    # The whole device, as for wall_time: work on another stream is part of the call.
    backend.synchronize()
    wall = backend.now() - start
    request.steps.done("first call")
    buffers.expect(0, result)
    changed = buffers.look_at_inouts(stream)
    buffers.early.look(0, result, stream)
    prepare(0)
    launches: list[Launch] = []
    watched, kind = watch_kind(lambda: body(0), launches)
    backend.synchronize()
    buffers.early.look(0, watched, stream)
    del watched
    host = 0.0
    busy: list[float] = []
    same = True
    for index in range(max(body.sets, _LOOKS)):
        # One call that leaves the device idle shows that no call has to keep it busy: a slow host only seems to.
        if index >= max(body.sets, 3) and not min(busy):
            break
        prepare(index % body.sets)
        start = backend.now()
        before, result = result, body(index)
        host = backend.now() - start
        same = same and returns_one_array(before, result)
        buffers.expect(index % body.sets, result)
        backend.synchronize(stream)
        took = backend.now() - start
        backend.synchronize(stream)
        done = backend.now()
        backend.synchronize()
        all_done = backend.now()
        backend.synchronize()
        extra = (all_done - done) - (backend.now() - all_done)
        busy.append(extra if extra > max(_STILL_BUSY, _BUSY_SHARE * took) else 0.0)
        buffers.early.look(index % body.sets, result, stream)
    other = f"the device stays busy for {min(busy) * 1e6:.0f} us more after the stream {stream:#x} is idle" if min(busy) else ""
    buffers.inputs.first(stream)
    return First(wall, host, known, kind, other, entry, changed, compiled(body), same, once(launches))


def _sample(instruments: Instruments, request: Request, buffers: Buffers, first: First) -> Taken:
    with contextlib.ExitStack() as stack:
        backend, body, watch = instruments.backend, request.body, instruments.watch
        if request.graphed is not None:
            body = stack.enter_context(request.graphed())
        if request.clock == CUPTI:
            watch = CuptiWatch(watch, stack.enter_context(backend.profiler.recording()))
        plan = Plan(request.cache, request.limit, max(request.samples.get("time", 0), 0), max(1.0, 4 * first.host * request.calls), request.duty)
        sampler = Sampler(
            backend, watch, instruments.flusher, body, buffers, plan, request.stream,
            tick=instruments.limits.tick, witness=instruments.witness, sm_clock=backend.facts.sm_clock,
            sentinel=instruments.sentinel, progress=after_rounds(request.telling, _constant(instruments, request, first)[0], instruments.limits.tick, request.calls),
        )  # fmt: skip
        instruments.sentinel.long.clear()
        instruments.sentinel.rounds = 0
        begin(request.telling, "warming" if request.duty == "sustained" else "sampling")
        taken = sampler.take(instruments.calibration.constant(first.kind)[1])
    taken.batch *= request.calls
    return taken


def _constant(instruments: Instruments, request: Request, first: First) -> tuple[float, float]:
    """Return what the source of the time adds to a reading, and its half-width; CUPTI's records are what a profiler says, by definition."""
    if request.clock == CUPTI:
        return 0.0, 0.0
    return instruments.calibration.constant(GRAPH if request.graphed is not None else first.kind)


def _self_check(instruments: Instruments, request: Request, buffers: Buffers, first: First, taken: Taken) -> SelfCheck | None:
    constant, half = _constant(instruments, request, first)
    calls = [[(raw - constant) / taken.batch for raw in one] for one in taken.rounds]
    return self_check(instruments, request, buffers, calls, instruments.limits.tick, half / taken.batch)


def assemble(
    instruments: Instruments,
    request: Request,
    buffers: Buffers,
    first: First,
    host: HostTaken,
    taken: Taken,
    hole: Reason | None,
    result: Any,
    failure: Exception | None,
    checked: SelfCheck | None = None,
) -> Timed:
    """Make the Values of what was taken, and the details for its record."""
    tick = instruments.limits.tick / taken.batch
    constant, half = _constant(instruments, request, first)
    calls = [[(raw - constant) / taken.batch for raw in one] for one in taken.rounds]
    listener = request.listener
    drifted = stats.drift(calls, tick) if calls else None
    if taken.synchronises:
        hole = taken.stall.reason if taken.stall is not None else Reason("sync")
    # Two bodies of unknown kind need not be of the same one: what spans the kinds is shared with nobody.
    shared = f"{request.clock}/{first.kind}" + (f"/{next(_STRANGERS)}" if first.kind == "unknown" else "")
    changes = buffers.inputs.reason
    sm_clock = instruments.backend.facts.sm_clock
    reason = hole or changes or find_reason(taken.evidence, first.other_stream, request.foreign or instruments.sentinel.foreign, sm_clock)

    def timed(why: Reason | None) -> Value:
        tails = no_tails(taken)
        return sampled("time", request.clock, calls, tick, {shared: half / taken.batch}, why, listener, steady=request.cache == "steady", tails=tails)

    time = timed(reason)
    if time.reason is None and checked is not None and checked.reason is not None:
        time = timed(checked.reason)
    values = {
        "time": time,
        "bandwidth": bandwidth_of(time, request.body.work, listener),
        "tflops": tflops_of(time, request.body.work, listener),
        "host_time": sampled("host_time", "host", host.host, 0.0, {}, None, listener),
        "wall_time": sampled("wall_time", "host", host.wall, 0.0, {}, changes, listener),
        "first_call": first_call_of(first.wall, first.known, listener),
    }
    count = sum(map(len, calls))
    left_out = [one for one in taken.seen if one.discarded]
    state = state_of(taken.evidence, sm_clock)
    told = [_CLOCKS[request.clock], request.cache, request.duty if request.duty != "spaced" else "", state or "", clock_of(taken.evidence)]
    context = f"{count} samples in {len(calls)} rounds{f' ({len(left_out)} more discarded)' if left_out else ''}, {', '.join(filter(None, told))}"
    details = {
        "cache": request.cache,
        "body": first.kind,
        "stream": request.stream,
        "samples": None
        if not calls
        else {
            "unit_s": 1e-10,
            "constant": round(constant * 1e10),
            "batch": taken.batch,
            "rounds": [[round(raw * 1e10) for raw in one] for one in taken.rounds],
            "discarded": sum(len(one.samples) for one in left_out),
        },
        "duty": request.duty,
        "state": state,
        "evidence": [{**dataclasses.asdict(one.evidence), "discarded": one.discarded or None} for one in taken.seen],
        "digest": buffers.combined,
        "checked": taken.checked if buffers.checked and not is_cached(first, time, buffers) else "unchecked",
        "varies": request.body.varies,
        "inputs": request.body.sets,
        "selfcheck": None if checked is None else checked.record(),
        "notes": [] if request.roof else [*taken.notes, *notes_on(request, first, taken, time, buffers)],
    }
    return Timed(result, values, drifted, context, details, failure, launches=first.launches)
