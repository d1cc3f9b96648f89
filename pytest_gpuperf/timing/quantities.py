"""Values of what was taken: sampled quantities with their percentiles, bandwidth, the first call."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_gpuperf import stats
from pytest_gpuperf.metrics import TAIL_SAMPLES
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_gpuperf.values import Listener
    from pytest_gpuperf.work import Work

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_FRACTIONS = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def sampled(
    name: str,
    source: str,
    rounds: Sequence[Sequence[float]],
    tick: float,
    systematic: Mapping[str, float],
    reason: Reason | None,
    listener: Listener | None,
    *,
    steady: bool = False,
    tails: Reason | None = None,
) -> Value:
    """Make the Value of a sampled quantity, with its percentiles; `tails` says why p95 and p99 cannot be judged."""
    samples = [sample for one in rounds for sample in one]
    if not samples or (reason is not None and reason.verdict == "UNMEASURED"):
        gone = reason or Reason("no-measurement")
        statistics = {one: Value.missing(f"{name} {one}", "s", source, gone, listener) for one in _FRACTIONS}
        return dataclasses.replace(Value.missing(name, "s", source, gone, listener), statistics=statistics)
    centre = stats.centre_interval(rounds, tick)
    if reason is None and source in {"device", "graph"} and centre.low - sum(systematic.values()) <= 0:
        reason = Reason("below-clock", f"{centre.centre * 1e6:.3f} us is not above the clock's own uncertainty of {sum(systematic.values()) * 1e6:.2f} us")
    main = Value(centre.centre, "s", source, centre.low, centre.high, systematic, reason, name, listener=listener, samples=len(samples))
    statistics = {"p50": main}
    for statistic, needed in TAIL_SAMPLES.items():
        full = f"{name} {statistic}"
        interval = None if steady else stats.percentile_interval(samples, _FRACTIONS[statistic], tick)
        if interval is None:
            why = Reason("no-tails") if steady else Reason("too-few-samples", f"{len(samples)} samples, {statistic} needs {needed}")
            statistics[statistic] = Value.missing(full, "s", source, why, listener)
        else:
            statistics[statistic] = Value(
                interval.centre, "s", source, interval.low, interval.high, systematic, reason or tails, full, listener=listener, samples=len(samples)
            )
    return dataclasses.replace(main, statistics=statistics)


def bandwidth_of(time: Value, work: Work | None, listener: Listener | None) -> Value:
    """Make the Value of bytes of Work over time."""
    return _rate_of("bandwidth", "B/s", 0 if work is None else work.bytes, time, Reason("needs-work"), listener)


def tflops_of(time: Value, work: Work | None, listener: Listener | None) -> Value:
    """Make the Value of operations of Work over time, in FLOP/s."""
    return _rate_of("tflops", "FLOP/s", 0 if work is None else work.flops, time, Reason("needs-flops"), listener)


def _rate_of(name: str, unit: str, amount: int, time: Value, without: Reason, listener: Listener | None) -> Value:
    if not amount:
        made = Value.missing(name, unit, time.source, without, listener)
    elif time.number is None or time.number <= 0:
        made = Value.missing(name, unit, time.source, time.reason or Reason("below-clock"), listener)
    else:
        made = dataclasses.replace(float(amount) / time, unit=unit, name=name, source=time.source, listener=listener, samples=time.samples)
    return dataclasses.replace(made, statistics={"p50": made})


def first_call_of(wall: float, known: bool | None, listener: Listener | None) -> Value:
    """Make the Value of the first call's wall time, where this process had not run the body before."""
    if known is None or known:
        reason = Reason("already-warm" if known else "first-call-unknown")
        return Value.missing("first_call", "s", "host", reason, listener)
    return Value(wall, "s", "host", name="first_call", listener=listener, samples=1)
