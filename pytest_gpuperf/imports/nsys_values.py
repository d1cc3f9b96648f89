"""QUANTITIES: what the instances of one range say of each quantity, as the Values of a Measurement."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

from pytest_gpuperf.format import plural
from pytest_gpuperf.measurement import Measurement
from pytest_gpuperf.metrics import TAIL_SAMPLES, metric
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.stats import percentile_interval
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

SOURCE = "nsys"
_NS = 1e-9
#: Grids of the time stamps, in seconds: those of the host, and those of the device.
_HOST_TICK, _DEVICE_TICK = 1e-9, 32e-9


@dataclasses.dataclass(frozen=True, slots=True)
class Quantity:
    """One row of QUANTITIES: a row of METRICS, the column that has it, and what takes it away.

    `inside` rests on single pieces of work, which a collapsed graph hides; `whole` on all work that was launched; `tick` is 0 for counts.
    """

    name: str
    column: str
    inside: bool = False
    whole: bool = False
    tick: float = 0.0


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("time", "span", whole=True, tick=_DEVICE_TICK),
    Quantity("host_time", "host", tick=_HOST_TICK),
    Quantity("launches", "launches", inside=True, whole=True),
    Quantity("kernels", "kernels", inside=True, whole=True),
    Quantity("memcpys", "memcpys", inside=True, whole=True),
    Quantity("memsets", "memsets", inside=True, whole=True),
    Quantity("synchronizations", "synchronizations"),
    Quantity("api_calls", "api_calls"),
    Quantity("api_time", "api_time", tick=_HOST_TICK),
    Quantity("busy_time", "busy", whole=True, tick=_DEVICE_TICK),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What a trace holds of one range: a column of numbers for each quantity, one number an instance; times in ns.

    `untraced` says why no calls are known; `no_kernels` that the trace has no table of kernels; `unfinished` counts instances without an end.
    """

    columns: Mapping[str, Integers]
    untraced: Reason | None = None
    no_kernels: bool = False
    unfinished: int = 0

    @property
    def instances(self) -> int:
        """How many instances have ended."""
        return len(self.columns["host"])


def measurement_of(name: str, seen: Seen, context: str, device: str | None) -> Measurement:
    """Make the Measurement of one range; what a trace does not tell is UNMEASURED."""
    made = Measurement.unmeasured(name, Reason("not-in-trace"), None, None, None, device)
    made.values = {**made.values, **{row.name: value_of(row, seen) for row in QUANTITIES}}
    graphs = int((seen.columns["graphs"] > 0).sum())
    notes = [f"{plural(graphs, 'instance')} with graphs recorded whole: device times count the gaps inside a graph as work"] if graphs else []
    if seen.unfinished:
        notes.append(f"{plural(seen.unfinished, 'instance')} had not ended when the recording did, and {'is' if seen.unfinished == 1 else 'are'} not counted")
    made.context = ", ".join([plural(seen.instances, "instance"), context, *notes])
    made.details = {"notes": notes}
    return made


def value_of(row: Quantity, seen: Seen) -> Value:
    """Return one quantity: a count that all instances agree on, or the median of times with its interval."""
    known = metric(row.name)
    assert known is not None
    reason = _hole(row, seen)
    if reason is not None:
        missing = {one: Value.missing(row.name if one == "p50" else f"{row.name} {one}", known.unit, SOURCE, reason) for one in known.statistics}
        return dataclasses.replace(missing["p50"], statistics=missing)
    column = seen.columns[row.column].tolist()
    if row.tick == 0:
        value = _count(row.name, column)
        return dataclasses.replace(value, statistics={"p50": value})
    samples = [one * _NS for one in column]
    value = _median(row, samples)
    tails = {one: _tail(row, one, samples) for one in known.statistics if one in TAIL_SAMPLES}
    return dataclasses.replace(value, statistics={"p50": value, **tails})


def _hole(row: Quantity, seen: Seen) -> Reason | None:
    """Say why a range has no such number; a number that would be too small is none."""
    total = seen.instances
    if not total:
        return Reason("range-open")
    if row.column == "host":
        return None
    if seen.untraced is not None:
        return seen.untraced
    graphs, lost = (int((seen.columns[name] > 0).sum()) for name in ("graphs", "lost"))
    if row.inside and graphs:
        return Reason("graph-collapsed", f"the trace holds each launch of a graph as one row, without the work inside, in {graphs} of {plural(total, 'instance')}")
    if row.whole and lost:
        launches = plural(int(seen.columns["lost"].sum()), "launch").replace("launchs", "launches")
        where = "the trace has no table CUPTI_ACTIVITY_KIND_KERNEL" if seen.no_kernels else "the trace lacks their work"
        return Reason("trace-incomplete", f"{launches} in {lost} of {plural(total, 'instance')}, but {where}")
    empty = int((seen.columns["span"] < 0).sum())
    if row.column == "span" and empty:
        return Reason("no-device-work", f"nothing ran on the device in {empty} of {plural(total, 'instance')}")
    return None


def _count(name: str, each: list[int]) -> Value:
    reason = None
    if len(set(each)) > 1:
        reason = Reason("counts-differ", f"{len(each)} instances of the range have {min(each)} to {max(each)} {name}")
    return Value(statistics.median_low(each), "1", SOURCE, min(each), max(each), reason=reason, name=name, exact=True, samples=len(each))


def _median(row: Quantity, samples: list[float]) -> Value:
    """Return the median; its interval is that of order statistics, or holds all instances where they are too few for one."""
    interval = percentile_interval(samples, 0.5, row.tick)
    low, high = (interval.low, interval.high) if interval is not None else (min(samples) - row.tick / 2, max(samples) + row.tick / 2)
    made = Value(statistics.median(samples), "s", SOURCE, max(0.0, low), high, name=row.name, samples=len(samples))
    return made if interval is not None else dataclasses.replace(made, interval="all within")


def _tail(row: Quantity, statistic: str, samples: list[float]) -> Value:
    name = f"{row.name} {statistic}"
    interval = percentile_interval(samples, int(statistic[1:]) / 100, row.tick)
    if interval is None:
        why = Reason("too-few-samples", f"{plural(len(samples), 'instance')}, {statistic} needs {TAIL_SAMPLES[statistic]}")
        return Value.missing(name, "s", SOURCE, why)
    return Value(interval.centre, "s", SOURCE, max(0.0, interval.low), interval.high, name=name, samples=len(samples))
