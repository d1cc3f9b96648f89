"""What the kernels of one body are compiled to: quantities of machine code as Values, and their limits judged, kernel by kernel and architecture by architecture."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.budgets.architectures import for_arch, glob_matches, names_architecture
from pytest_gpuperf.budgets.judge import Judgement, judge, unjudged
from pytest_gpuperf.errors import BadBudget, StaticError
from pytest_gpuperf.metrics import is_compiled, metric
from pytest_gpuperf.reasons import FAIL, Reason
from pytest_gpuperf.static.architectures import ARCHITECTURES, architecture
from pytest_gpuperf.static.versions import differs
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_gpuperf.budgets.collect import Budget
    from pytest_gpuperf.static.model import Compiled
    from pytest_gpuperf.values import Listener

SOURCE = "compiler"


def value_of(one: Compiled, quantity: str, listener: Listener | None = None) -> Value:
    """Return a quantity of one compiled kernel as an exact Value; with the reason where there is no number. StaticError where the compiler refused the kernel."""
    row = metric(quantity)
    assert row is not None
    if one.error is not None:
        raise StaticError(one.error)
    name = f"{quantity} of {one.kernel} on {one.arch}"
    if quantity in one.quantities:
        number = one.quantities[quantity]
        return Value(number, row.unit, SOURCE, name=name, exact=True, listener=listener, samples=1)
    return Value.missing(name, row.unit, SOURCE, Reason(*one.reasons[quantity]), listener)


def _missing(quantity: str, reason: Reason, listener: Listener | None) -> Value:
    row = metric(quantity)
    assert row is not None
    value = Value.missing(quantity, row.unit, SOURCE, reason, listener)
    return dataclasses.replace(value, statistics={"p50": value})


@dataclasses.dataclass(frozen=True)
class Resources:
    """The kernels that one body launches, each for each architecture; or why nothing is known of them.

    `device` is the name of the device that they were compiled for, None where there is none.
    """

    compiled: tuple[Compiled, ...] = ()
    hole: Reason | None = None
    device: str | None = None
    listener: Listener | None = None

    def value(self, quantity: str) -> Value:
        """Return the worst of a quantity over kernels and architectures; its interval is what lies between the best and the worst."""
        row = metric(quantity)
        assert row is not None
        if self.hole is not None or not self.compiled:
            return _missing(quantity, self.hole or Reason("no-launch-seen"), self.listener)
        found = [value_of(one, quantity) for one in self.compiled]
        gone = next((one.reason for one in found if one.number is None), None)
        if gone is not None:
            return _missing(quantity, gone, self.listener)
        numbers = [one.point for one in found]
        low, high = min(numbers), max(numbers)
        number = high if row.better == "less" else low
        within = "all architectures within" if len({one.kernel for one in self.compiled}) == 1 else "all kernels within"
        value = Value(
            number, row.unit, SOURCE, low, high, name=quantity, exact=low == high, listener=self.listener, samples=1, interval=within
        )
        return dataclasses.replace(value, statistics={"p50": value})

    def judged(self, measurement: str, budgets: Iterable[Budget]) -> list[Judgement]:
        """Judge limits on machine code: each for every kernel, on every architecture for which it is the limit that counts."""
        groups: dict[str, list[Budget]] = {}
        for budget in budgets:
            groups.setdefault(budget.limit.quantity, []).append(budget)
        return [one for group in groups.values() for one in self._group(measurement, group)]

    def _group(self, measurement: str, group: Sequence[Budget]) -> list[Judgement]:
        strange = [(one, message) for one in group if (message := unknown(one.glob))]
        if strange:
            # It would never be judged anywhere.
            return [Judgement(one, measurement, FAIL, f"{one.limit.quantity}: {message}") for one, message in strange]
        if self.hole is not None or not self.compiled:
            general = for_any(group)
            return [unjudged(one, measurement, self.hole or Reason("no-launch-seen")) for one in general]
        found = []
        for one in self.compiled:
            try:
                chosen = for_arch(group, one.arch, self.device)
            except BadBudget as error:
                return [Judgement(group[0], measurement, FAIL, str(error))]
            found += [judge_one(budget, measurement, one) for budget in chosen]
        if found:
            return found
        archs = ", ".join(dict.fromkeys(one.arch for one in self.compiled))
        return [unjudged(one, measurement, self._not_here(one, archs)) for one in for_any(group)]

    def _not_here(self, budget: Budget, archs: str) -> Reason:
        if self.device is None and not names_architecture(budget.glob):
            return Reason("no-gpu", f"the limit is for {budget.glob}, and there is no GPU; a limit for {archs} has its name as the key")
        return Reason("other-device", f"the limit is for {budget.glob}, compiled was {archs}")


def unknown(glob: str) -> str | None:
    """Return what is wrong with a glob that is meant for architectures and matches none of them; None for every other one.

    >>> unknown("sm_9*"), unknown("H200*")
    (None, None)
    >>> unknown("sm90").partition(";")[0]
    "unknown architecture 'sm90'"
    >>> unknown("sm_90a")
    "unknown architecture 'sm_90a'; nearest 'sm_90'; known: sm_75, sm_80, sm_86, sm_87, sm_89, sm_90, sm_100, sm_103, sm_110, sm_120, sm_121"
    """
    if not re.match(r"sm_|sm\d", glob.casefold()) or any(glob_matches(glob, row.name, None) for row in ARCHITECTURES):
        return None
    try:
        architecture(glob)
    except StaticError as error:
        return str(error)
    return None


def for_any(group: Sequence[Budget]) -> list[Budget]:
    """Return the limits of the first of some globs: what there is to account for where none of them counts."""
    return [one for one in group if one.glob == group[0].glob and one.origin == group[0].origin]


def judge_one(budget: Budget, measurement: str, one: Compiled) -> Judgement:
    """Judge one limit on one compiled kernel; the message names kernel, architecture and numbers."""
    quantity, subject = budget.limit.quantity, f"{one.kernel} on {one.arch}"
    try:
        value = value_of(one, quantity)
    except StaticError as error:
        return Judgement(budget, measurement, FAIL, f"{quantity} {budget.limit}: {error}", subject=subject)
    aged = differs(recorded_with(budget), one.toolchain)
    if aged is not None and value.number is not None:
        value = dataclasses.replace(value, reason=aged)
    made = judge(budget, measurement, value, subject)
    if made.reason is None:
        return dataclasses.replace(made, subject=subject)
    return dataclasses.replace(made, message=made.message.replace(": ", f" ({subject}): ", 1), subject=subject)


def recorded_with(budget: Budget) -> Mapping[str, str] | None:
    """Return the toolchain that a limit was recorded with, as the file of budgets notes it; None for one that somebody wrote."""
    note = getattr(budget, "note", None)
    found: Mapping[str, str] | None = getattr(note, "toolchain", None)
    return found or None


def resource_judgements(
    case: Any,
    targets: Callable[[Budget, Reason | None], list[tuple[str, Reason | None]]],
    judged: Callable[[Budget, str], Judgement],
    ended: Reason | None,
) -> list[Judgement]:
    """Judge every limit on machine code of a case, of its markers and of `budget=`.

    `targets` gives the measurements that a limit is for, `judged` what becomes of one whose measurement is not there; `ended` says why the body did not
    reach its end.
    """
    found: list[Judgement] = []
    wanted: dict[str, list[Budget]] = {
        name: [one for one in own if is_compiled(one.limit.quantity)] for name, own in case.overrides.items()
    }
    for budget in (one for one in case.marks.budgets if is_compiled(one.limit.quantity)):
        for name, reason in targets(budget, ended):
            if reason is not None:
                found.append(unjudged(budget, name, reason))
            else:
                wanted.setdefault(name, []).append(budget)
    for name, budgets in wanted.items():
        if name in case.measurements:
            found += case.measurements[name].judged_code(budgets)
        else:
            found += [judged(one, name) for one in budgets]
    return found
