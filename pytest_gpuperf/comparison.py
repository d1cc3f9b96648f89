"""Comparison: what interleaved versions of one computation are known by: a measurement of each, and their speedups."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.budgets.collect import Budget, choose
from pytest_gpuperf.budgets.grammar import parse_limit
from pytest_gpuperf.budgets.judge import Judgement, judge
from pytest_gpuperf.errors import BadBudget, BudgetExceeded, Inconclusive, Unmeasured
from pytest_gpuperf.metrics import SPEEDUP, nearest
from pytest_gpuperf.ratios import levelled, ratio_drift, ratio_interval
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, UNMEASURED, Reason
from pytest_gpuperf.stats import DIVIDE, Spread, propagate
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_gpuperf.measurement import Measurement
    from pytest_gpuperf.stats import Interval
    from pytest_gpuperf.values import Listener

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: What every block of all versions met alike is no reason against their ratio.
_COMMON = "throttled"


@dataclasses.dataclass(repr=False)
class Comparison:
    """Versions that ran in turns: `c["kernel"]` is the Measurement of one, `c.speedup(of=, over=)` the ratio of two.

    `quantity` is what the speedups are of: `time`, or `wall_time` where a version synchronises; `order` the versions of each block, by number.

    >>> c = gpuperf.compare({"loop": fake.kernel(40e-6), "kernel": fake.kernel(10e-6)})
    >>> c.quantity, list(c), c["kernel"].name
    ('time', ['loop', 'kernel'], 'compare/kernel')
    """

    name: str
    measurements: Mapping[str, Measurement]
    quantity: str = "time"
    blocks: Mapping[str, Sequence[Sequence[float]]] = dataclasses.field(default_factory=dict)
    ticks: Mapping[str, float] = dataclasses.field(default_factory=dict)
    order: Sequence[Sequence[int]] = ()
    seed: int = 0
    reason: Reason | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    device: str | None = None
    listener: Listener | None = None
    account: Callable[[Judgement], None] | None = None
    _ratios: dict[tuple[str, str], Value] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        """Say the speedups over the first version, or why there are none; never raise."""
        first, *others = self.measurements
        return f"Comparison({self.name!r}: {'; '.join(f'{one} over {first}: {self._ratio(one, first)}' for one in others)})"

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the versions, as they were given."""
        return iter(self.measurements)

    def __getitem__(self, version: str) -> Measurement:
        """Return the measurement of a version; KeyError with the nearest name."""
        if version not in self.measurements:
            message = f"comparison {self.name!r} has no version {version!r}{nearest(str(version), tuple(self.measurements))}"
            raise KeyError(message)
        return self.measurements[version]

    def speedup(self, *, of: str, over: str) -> Value:
        """Return how many times as fast `of` is as `over`: the ratio of their medians, time of `over` by time of `of`, as a Value in x.

        Its random interval is a bootstrap over the blocks; the clock's calibration counts as far as the two do not share it.

        >>> c = gpuperf.compare({"loop": fake.kernel(40e-6), "kernel": fake.kernel(10e-6)}, name="speedup")
        >>> c.speedup(of="kernel", over="loop") > 3.5
        True
        >>> c.speedup(of="kernal", over="loop")
        Traceback (most recent call last):
        pytest_gpuperf.errors.BadBudget: speedup: comparison 'speedup' has no version 'kernal'; nearest 'kernel'
        """
        self._refuse_unknown("speedup", of, over)
        return self._ratio(of, over)

    def require(self, *, speedup: Any, of: str, over: str) -> None:
        """Judge a limit on a speedup on the spot; raises BudgetExceeded, Inconclusive or Unmeasured, and enters the budget account.

        >>> c = gpuperf.compare({"loop": fake.kernel(40e-6), "kernel": fake.kernel(10e-6)}, name="require")
        >>> c.require(speedup=">= 2.5 x", of="kernel", over="loop")
        >>> c.require(speedup=">= 5", of="kernel", over="loop")
        Traceback (most recent call last):
        pytest_gpuperf.errors.BudgetExceeded: require/kernel over loop speedup: 3.8... x is below 5.000 x by 2... % (95 % interval ...)
        """
        self._refuse_unknown("require", of, over)
        label = f"{self.name}/{of} over {over}"
        judgements = [self._judged(budget, label, of, over) for budget in self._budgets(speedup)]
        for judgement in judgements:
            if self.account is not None:
                self.account(judgement)
        failed = [judgement.message for judgement in judgements if judgement.verdict == FAIL]
        if failed:
            raise BudgetExceeded("\n".join(failed))
        for verdict, error in ((INCONCLUSIVE, Inconclusive), (UNMEASURED, Unmeasured)):
            for judgement in judgements:
                if judgement.verdict == verdict and judgement.reason is not None:
                    raised = error(judgement.reason, f"{label} speedup {judgement.budget.limit}")
                    if self.listener is not None:
                        self.listener.undecided(raised)
                    raise raised

    def _budgets(self, given: Any) -> list[Budget]:
        by_glob = given if isinstance(given, dict) else {"*": given}
        found = []
        for glob, texts in by_glob.items():
            if not isinstance(glob, str) or not glob:
                message = f"require: speedup: {glob!r} is no device glob; write as 'H200' or '*'"
                raise BadBudget(message)
            listed = texts if isinstance(texts, (list, tuple)) else [texts]
            found += [Budget(parse_limit(SPEEDUP.name, text, "require", SPEEDUP), glob, "require", None) for text in listed]
        if not found:
            message = f"require: speedup={given!r} holds no limit"
            raise BadBudget(message)
        return choose(found, self.device, "require")

    def _judged(self, budget: Budget, label: str, of: str, over: str) -> Judgement:
        value = self._ratio(of, over)
        clock = self.measurements[of].context if self.quantity == "time" else f"{value.samples} samples, wall_time"
        drift = None
        if value.number is not None:
            drift = ratio_drift(self.blocks[over], self.blocks[of])
        return judge(budget, label, value, f"{len(self.order)} ABBA blocks, {clock}" if self.order else clock, drift)

    def _refuse_unknown(self, verb: str, of: str, over: str) -> None:
        for version in (of, over):
            if version not in self.measurements:
                message = f"{verb}: comparison {self.name!r} has no version {version!r}{nearest(str(version), tuple(self.measurements))}"
                raise BadBudget(message)
        if of == over:
            message = f"{verb}: of= and over= are both {of!r}; name two versions of {', '.join(map(repr, self.measurements))}"
            raise BadBudget(message)

    def _ratio(self, of: str, over: str) -> Value:
        if (of, over) not in self._ratios:
            self._ratios[of, over] = self._made(of, over)
        return self._ratios[of, over]

    def _made(self, of: str, over: str) -> Value:
        """Make a speedup: the interval of the bootstrap, and what the calibrations of both do to it."""
        name = f"speedup of {of} over {over}" + ("" if self.quantity == "time" else f" by {self.quantity}")
        parts = [self.measurements[one].values[self.quantity] for one in (over, of)]
        source = parts[0].source
        reasons = [one.reason for one in parts if one.reason is not None and one.reason.code != _COMMON]
        gone = self.reason or next((one for one in reasons if one.verdict == UNMEASURED), None)
        if gone is None and reasons and reasons[0].code == "below-clock":
            gone = reasons[0]
        interval = None if gone is not None or not self.blocks else self._interval(of, over)
        centre = parts[1].number
        if interval is None or centre is None:
            return Value.missing(name, SPEEDUP.unit, source, gone or Reason("zero-ratio"), self.listener)
        # As a quotient of two times whose random parts are the bootstrap's: what their calibrations share then cancels as in any other quotient.
        top = Spread(interval.centre * centre, interval.low * centre, interval.high * centre, parts[0].systematic)
        spread = propagate(DIVIDE, top, Spread(centre, centre, centre, parts[1].systematic))
        if spread is None:
            return Value.missing(name, SPEEDUP.unit, source, Reason("zero-ratio"), self.listener)
        reason = reasons[0] if reasons else None
        samples = min(sum(map(len, self.blocks[one])) for one in (of, over))
        return Value(
            spread.number, SPEEDUP.unit, source, spread.low, spread.high, spread.systematic, reason, name, listener=self.listener, samples=samples
        )

    def _interval(self, of: str, over: str) -> Interval | None:
        blocks = dict(zip(self.blocks, levelled(list(self.blocks.values())), strict=True))
        return ratio_interval(blocks[over], blocks[of], (self.ticks[over], self.ticks[of]), self.seed)

    def record(self) -> dict[str, Any]:
        """Return plain values for the run file: the speedups of all versions over the first, and those that were asked for."""
        first, *others = self.measurements
        for one in others:
            self._ratio(one, first)
        return {
            "name": self.name,
            "quantity": self.quantity,
            "source": self.measurements[first].values[self.quantity].source,
            "versions": list(self.measurements),
            "seed": self.seed,
            "blocks": len(self.order),
            "order": [list(block) for block in self.order],
            "ratios": [{"of": of, "over": over, "value": value.record()} for (of, over), value in self._ratios.items()],
            "notes": self.notes,
        }
