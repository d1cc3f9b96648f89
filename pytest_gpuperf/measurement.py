"""Measurement: what one named measured body of a case is known by."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.budgets.collect import choose, read_limits
from pytest_gpuperf.budgets.grammar import RELATIVE
from pytest_gpuperf.budgets.judge import Judgement, judge, raise_undecided, unjudged
from pytest_gpuperf.counters.names import counter, nearest_counter
from pytest_gpuperf.errors import BadBudget, BudgetExceeded, StaticError
from pytest_gpuperf.format import plural
from pytest_gpuperf.metrics import METRICS, is_compiled, metric, metric_names, nearest
from pytest_gpuperf.reasons import FAIL, Reason
from pytest_gpuperf.resources import SOURCE, Resources
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_gpuperf.budgets.collect import Budget
    from pytest_gpuperf.counters.names import Counter
    from pytest_gpuperf.roofline import Roofline
    from pytest_gpuperf.stats import Drift
    from pytest_gpuperf.values import Listener
    from pytest_gpuperf.work import Work

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


#: Quantities that rest on Work, and on which parts of it.
_RESTS_ON: dict[str, tuple[str, ...]] = {"bandwidth": ("bytes",), "tflops": ("flops",)}
_ALL_WORK = ("bytes", "flops")
#: What records of single calls tell, whatever the source of the time is.
_PROFILED = {row.name for row in METRICS if row.source == "cupti"}
#: The source of hardware counters.
COUNTED = "ncu"
_ARGUMENTS = {"bytes": "reads=..., writes=...", "flops": "flops=..., kind=..."}


@dataclasses.dataclass(repr=False)
class Measurement:
    """One measured body: `m.time`, `m.time.p99`, `m.bandwidth`, `m["host_time"]` are Values; `m.result` is what the last call returned.

    Hardware counters are Values too, `m.dram_write` by the short name and `m["dram__bytes_write.sum"]` by that of Nsight Compute.

    `m.roof` is the time of our own kernels with the bytes and the operations of `work`, `m.percent` and `m.x_roof` the time held against it, and `m.bound`
    says which of the two the roof is of, as "bytes" or "bf16 FLOP".
    """

    name: str
    result: Any = None
    values: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    work: Work | None = None
    context: str = ""
    device: str | None = None
    drift: Drift | None = None
    listener: Listener | None = None
    roofline: Roofline | None = None
    account: Callable[[Judgement], None] | None = None
    #: Quantities that are measured at their first use only, by name.
    lazy: Mapping[str, Callable[[], Value]] = dataclasses.field(default_factory=dict)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    #: Makes the Value of a hardware counter at its first use; None where nobody profiled the body.
    count: Callable[[Counter], Value] | None = None
    #: Makes what the record holds of hardware counters; it is given those that were asked for so far.
    count_record: Callable[[Iterable[Counter]], dict[str, Any]] | None = None
    #: The hardware counters that were asked for so far, by the name that asked. They are no `values`: a record without counters holds none of them.
    counted: dict[str, Value] = dataclasses.field(default_factory=dict)
    #: Compiles what the body launches, at the first use of a quantity of machine code; None where nobody saw it launch.
    compiled: Callable[[], Resources] | None = None
    #: Why nothing of it is known.
    hole: Reason | None = None
    _roof: Value | None = None

    @classmethod
    def unmeasured(cls, name: str, reason: Reason, result: Any, work: Work | None, listener: Listener | None, device: str | None = None) -> Measurement:
        """Make a measurement of which nothing is known, for one reason."""
        values = {row.name: missing(row.name, row.source, reason, listener) for row in METRICS if row.source not in {COUNTED, SOURCE}}
        return cls(name, result, values, work, device=device, listener=listener, hole=reason)

    def __repr__(self) -> str:
        """Say the time, or why there is none; never raise."""
        time = self.values.get("time")
        return f"Measurement({self.name!r})" if time is None else f"Measurement({self.name!r}: {time})"

    def __deepcopy__(self, _memo: Any) -> Measurement:
        """Return itself: a copy would tell a copy of the case what it could not decide."""
        return self

    def __getitem__(self, quantity: str) -> Value:
        """Return a quantity by name, as `m["time"]`, `m["time.p99"]` or `m["dram__bytes_write.sum"]`; KeyError with the nearest name."""
        row = counter(quantity.removesuffix(".p50"))
        if row is not None:
            return self._counter(row)
        name, _, statistic = quantity.partition(".")
        if name in ("roof", "percent", "x_roof") and not statistic:
            return {"roof": lambda: self.roof, "percent": lambda: self.percent, "x_roof": lambda: self.x_roof}[name]()
        if name not in self.values and is_compiled(name):
            self.values = {**self.values, name: self._resources().value(name)}
        if name not in self.values and name in self.lazy:
            self.values = {**self.values, name: self.lazy[name]()}
        if name not in self.values:
            near = nearest_counter(quantity) if "__" in name else nearest(name, metric_names())
            message = f"measurement {self.name!r} has no quantity {quantity if '__' in name else name!r}{near}"
            raise KeyError(message)
        value = self.values[name]
        if name in _RESTS_ON:
            value = self._possible(value, _RESTS_ON[name])
            # Its one statistic is the value itself: no way around what was said of it.
            value = dataclasses.replace(value, statistics={one: dataclasses.replace(value, statistics={}) for one in value.statistics})
        if not statistic:
            return value
        if statistic not in value.statistics:
            message = f"{name!r} has no statistic {statistic!r}{nearest(statistic, tuple(value.statistics) or ('p50',))}"
            raise KeyError(message)
        return value.statistics[statistic]

    def __getattr__(self, name: str) -> Value:
        """Return a quantity by attribute; AttributeError with the nearest name."""
        if name.startswith("_") or "values" not in self.__dict__:
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def _counter(self, row: Counter) -> Value:
        """Return a hardware counter; where nobody profiled the body, with the reason."""
        if row.name not in self.counted:
            reason = self.hole or Reason("not-collected")
            value = self.count(row) if self.count is not None else Value.missing(row.name, row.unit, COUNTED, reason, self.listener)
            self.counted[row.name] = dataclasses.replace(value, statistics={"p50": dataclasses.replace(value, statistics={})})
        return self.counted[row.name]

    def _resources(self) -> Resources:
        return Resources(hole=self.hole, listener=self.listener) if self.compiled is None else self.compiled()

    def judged_code(self, budgets: Iterable[Budget]) -> list[Judgement]:
        """Judge limits on machine code: each for every kernel that the body launches, and for every architecture."""
        resources = self._resources()
        judgements = resources.judged(self.name, budgets)
        # What was judged is written down with the other values; of a kernel that is not compiled there is no number.
        with contextlib.suppress(StaticError):
            self.values = {**self.values, **{one.budget.limit.quantity: resources.value(one.budget.limit.quantity) for one in judgements}}
        return judgements

    @property
    def kernels_by_name(self) -> dict[str, tuple[int, float]]:
        """How often one call launches each kernel, and the seconds that it takes by CUPTI; Unmeasured where `kernels` is."""
        _ = self["kernels"].point
        return {one["name"]: (one["count"], one["seconds"]) for one in self.details["profile"]["kernels"]}

    @property
    def roof(self) -> Value:
        """The time that our own kernels need for the bytes and for the operations of Work, the later one, in the same cache state; measured at its first use."""
        if self._roof is None:
            self._roof = self._measured_roof("")
        return self._roof

    @property
    def bound(self) -> str:
        """What the roof is of: "bytes", or operations, as "bf16 FLOP"; the roofs are measured for it."""
        return self.roofline.bound if self.roofline is not None and self.roof.number is not None else "unknown"

    def _measured_roof(self, what: str) -> Value:
        """Return the roof of `bytes`, of `flops`, or the later one; with the reason of the time where that has no number."""
        if self.work is None or not {"bytes": self.work.bytes, "flops": self.work.flops}.get(what, self.work.bytes or self.work.flops):
            message = f"measurement {self.name!r} has no roof: pass work=Work({_ARGUMENTS.get(what, _ARGUMENTS['bytes'])})"
            raise BadBudget(message)
        source = self.values["time"]
        gone = source.reason if source.number is None else None
        if gone is not None or self.roofline is None:
            return missing("roof", "device", gone, self.listener)
        return self.roofline.of(what) if what else self.roofline.roof

    @property
    def percent(self) -> Value:
        """Roof time over time, in percent; INCONCLUSIVE where no device does this work so fast."""
        return self._possible(self._percent(), _ALL_WORK)

    @property
    def x_roof(self) -> Value:
        """Time over roof time; INCONCLUSIVE where no device does this work so fast."""
        return self._possible(self._x_roof(), _ALL_WORK)

    def _percent(self) -> Value:
        ratio = self.roof / self.values["time"] * 100.0
        return dataclasses.replace(ratio, unit="%", source=self.values["time"].source, name=f"{self.name} percent of roof", listener=self.listener)

    def _x_roof(self) -> Value:
        ratio = self.values["time"] / self.roof
        return dataclasses.replace(ratio, unit="x roof", source=self.values["time"].source, name=f"{self.name} x roof", listener=self.listener)

    def _possible(self, value: Value, parts: tuple[str, ...], *, known: bool = False) -> Value:
        """Return a value that rests on Work, INCONCLUSIVE where the body is faster than the device can do these parts of it, by `known` roofs or by all."""
        if value.reason is not None or value.number is None or self.roofline is None:
            return value
        reason = self.roofline.impossible(self.values["time"], parts, known=known)
        return value if reason is None else dataclasses.replace(value, reason=reason)

    def held(self, quantity: str, statistic: str, unit: str) -> Value:
        """Return what a limit is held against: the statistic itself, or its ratio to the roof."""
        value = self[quantity if statistic == "p50" else f"{quantity}.{statistic}"]
        if unit not in RELATIVE or unit == value.unit:
            return value
        parts = _RESTS_ON.get(quantity, _ALL_WORK)
        roof = self._measured_roof(parts[0]) if len(parts) == 1 else self.roof
        time = value if quantity == "time" else self.values["time"]
        ratio = roof / time * 100.0 if unit == "%" else time / roof
        return self._possible(dataclasses.replace(ratio, unit=unit, source=time.source, name=quantity, listener=None), parts)

    def judged(self, budget: Budget) -> Judgement:
        """Judge one budget on this measurement; BadBudget where it needs Work and there is none."""
        limit = budget.limit
        parts = _RESTS_ON.get(limit.quantity, _ALL_WORK)
        if limit.relative and (self.work is None or not any(getattr(self.work, part) for part in parts)):
            message = f"'{limit.unit}' needs work=Work({_ARGUMENTS[parts[0]]}) in measure({self.name!r})"
            raise BadBudget(message)
        if budget.applies and self.device is not None:
            value = self.held(limit.quantity, limit.statistic, limit.unit)
        else:
            value = self[limit.quantity]
        context = self._context_of(value)
        if limit.relative and limit.quantity == "time" and self.work is not None and self.work.flops and value.number is not None:
            context += f", bound by {self.bound}"
        return judge(budget, self.name, value, context, self._drift_of(limit.quantity, limit.unit))

    def _context_of(self, value: Value) -> str:
        """Say how a value was taken: what is known of the device clock's samples is not true of the host's."""
        if value.source == "nsys":
            return self.context
        if value.source == COUNTED:
            return "profiled run"
        if value.source == SOURCE:
            return "the compiler's"
        if value.exact:
            return f"counted exactly, source {value.source}"
        if value.name in _PROFILED:
            return f"{plural(value.samples, 'call')} recorded by {value.source.upper()}"
        if value.source != "host":
            return self.context
        return f"{plural(value.samples, 'sample')}, host clock"

    def _drift_of(self, quantity: str, unit: str) -> Drift | None:
        """Return the drift of the time in the unit of a limit."""
        if self.drift is None or quantity not in {"time", *_RESTS_ON}:
            return None
        centre = self.values["time"].number
        if not centre:
            return None
        low, high = self.drift.low / centre, self.drift.high / centre
        if quantity == "time" and unit == "s":
            return self.drift
        held = self.held(quantity, "p50", unit).number
        if held is None:
            return None
        faster_is_more = quantity in _RESTS_ON or unit == "%"
        ends = (held / high, held / low) if faster_is_more else (held * low, held * high)
        return dataclasses.replace(self.drift, low=min(ends), high=max(ends))

    def require(self, **limits: Any) -> None:
        """Judge limits on the spot, as `m.require(time="<= 12 us")`; raises BudgetExceeded, Inconclusive or Unmeasured."""
        budgets = choose(read_limits(limits, "require", "require"), self.device, "require")
        judgements: list[Judgement] = []
        errors: list[Exception] = []
        code = [budget for budget in budgets if is_compiled(budget.limit.quantity)]
        judgements += self.judged_code(code)
        for budget in (budget for budget in budgets if budget not in code):
            try:
                judgement = self.judged(budget)
            except Exception as cause:  # noqa: BLE001 - raised below, once every limit is in the account: a test that swallows it must not take them along
                errors.append(cause)
                bad = f"{budget.limit.quantity} {budget.limit}: {cause}"
                gone = Reason("body-failed", f"{type(cause).__name__} when this was to be measured: {cause}")
                judgement = Judgement(budget, self.name, FAIL, bad) if isinstance(cause, BadBudget) else unjudged(budget, self.name, gone)
            judgements.append(judgement)
        if self.account is not None:
            for judgement in judgements:
                self.account(judgement)
        failed = [judgement.message for judgement in judgements if judgement.verdict == FAIL]
        # A limit that is broken comes first: who waits for the other error has not asked for this one.
        if len(failed) > sum(isinstance(one, BadBudget) for one in errors):
            raise BudgetExceeded("\n".join(failed)) from (errors[0] if errors else None)
        if errors:
            raise errors[0]
        raise_undecided(judgements, self.name, self.listener)

    def record(self) -> dict[str, Any]:
        """Return plain values for the run file."""
        values: dict[str, Any] = {}
        for name, value in self.values.items():
            if name in _RESTS_ON:
                # Nothing is measured for a record: what the roofs so far say is written down.
                value = self._possible(value, _RESTS_ON[name], known=True)  # noqa: PLW2901
            values[name] = value.record()
            values |= {f"{name}.{statistic}": one.record() for statistic, one in value.statistics.items() if statistic != "p50"}
        if self._roof is not None:
            values["roof"] = self._roof.record()
            values["percent"], values["x_roof"] = (self._possible(one, _ALL_WORK, known=True).record() for one in (self._percent(), self._x_roof()))
        work = None if self.work is None else dataclasses.asdict(self.work)
        roofs = {} if self.roofline is None else self.roofline.record()
        asked = [row for row in map(counter, self.counted) if row is not None]
        counters = {} if self.count_record is None else self.count_record(asked)
        return {"name": self.name, "work": work, "values": values, **roofs, **counters, **self.details}


def missing(name: str, source: str, reason: Reason | None, listener: Listener | None) -> Value:
    """Make the Value of a quantity that was not measured, with its statistics."""
    reason = reason or Reason("no-measurement")
    row = metric(name)
    unit = row.unit if row is not None else "s"
    statistics = {one: Value.missing(f"{name} {one}", unit, source, reason, listener) for one in (row.statistics if row is not None else ())}
    return dataclasses.replace(Value.missing(name, unit, source, reason, listener), statistics=statistics)
