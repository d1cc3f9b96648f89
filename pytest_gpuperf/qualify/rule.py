"""The rule by which two measurements are held against each other, and what it came to over many pairs. Pure functions."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, PASS, UNMEASURED, Reason, Verdict
from pytest_gpuperf.shares import Share, share
from pytest_gpuperf.stats import decided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.values import Value

#: Shares by which new may be slower than old.
THRESHOLDS = (0.01, 0.02, 0.05)
#: In words, for the terminal, the run file and the page.
RULE = (
    "a pair fails where the whole 95 % interval of new / old lies above 1 + threshold, passes where it lies wholly below, "
    "and is INCONCLUSIVE where it holds the limit, as in any comparison of two measurements"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """Two measurements of one kernel, `new` with `slowdown` more work than `old` (0: A/A): their ratio with its whole interval.

    `kind` says what was fresh for both: allocations or processes. A `reason` keeps a pair from being judged.
    """

    kernel: str
    kind: str
    slowdown: float
    ratio: float | None
    low: float | None
    high: float | None
    reason: Reason | None = None


def pair(kernel: str, kind: str, slowdown: float, old: Value, new: Value) -> Pair:
    """Hold two times against each other as a test does that writes `new.time / old.time`.

    >>> from pytest_gpuperf.values import Value
    >>> old, new = (Value(x, "s", "device", x - 1e-8, x + 1e-8, {"clock": 1e-7}) for x in (2e-6, 2.1e-6))
    >>> one = pair("short", "allocations", 0.05, old, new)
    >>> round(one.ratio, 3), round(one.low, 3), round(one.high, 3), judge(one, 0.02), judge(one, 0.05)
    (1.05, 1.037, 1.063, 'FAIL', 'INCONCLUSIVE')
    """
    ratio = new / old
    if ratio.number is None:
        return Pair(kernel, kind, slowdown, None, None, None, ratio.reason or Reason("no-measurement"))
    return Pair(kernel, kind, slowdown, ratio.number, *ratio.bounds, ratio.reason)


def judge(one: Pair, threshold: float) -> Verdict:
    """Return what the gate says of `new <= (1 + threshold) x old`: FAIL is an alarm.

    >>> [judge(Pair("short", "allocations", 0.0, 1.0, *ends), 0.02) for ends in ((0.99, 1.01), (0.99, 1.03), (1.03, 1.05))]
    ['PASS', 'INCONCLUSIVE', 'FAIL']
    """
    if one.reason is not None:
        return one.reason.verdict
    if one.low is None or one.high is None:
        return UNMEASURED
    answer = decided(one.low - 1 - threshold, one.high - 1 - threshold, "<=")
    return INCONCLUSIVE if answer is None else PASS if answer else FAIL


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve: what became of all pairs of a kernel, kind and slowdown at one threshold.

    `measured` is the slowdown that was really there, the geometric mean of the pairs' ratios less 1; None where no pair has one.
    """

    kernel: str
    kind: str
    slowdown: float
    measured: float | None
    threshold: float
    alarms: Share
    inconclusive: Share
    unmeasured: int


def curve(pairs: Sequence[Pair], thresholds: Sequence[float] = THRESHOLDS) -> list[Point]:
    """Return a point for every kernel, kind and slowdown that pairs have, at every threshold; in the order of the pairs.

    Pairs that were not measured count apart: they are no trial.

    >>> quiet = [Pair("short", "allocations", 0.0, 1.0, 0.99, 1.009)] * 3 + [Pair("short", "allocations", 0.0, 1.0, 0.97, 1.03)]
    >>> [(point.threshold, point.alarms.count, point.inconclusive.count, point.alarms.of) for point in curve(quiet)]
    [(0.01, 0, 1, 4), (0.02, 0, 1, 4), (0.05, 0, 0, 4)]
    """
    groups: dict[tuple[str, str, float], list[Pair]] = {}
    for one in pairs:
        groups.setdefault((one.kernel, one.kind, one.slowdown), []).append(one)
    return [_point(key, members, threshold) for key, members in groups.items() for threshold in thresholds]


def _point(key: tuple[str, str, float], members: Sequence[Pair], threshold: float) -> Point:
    verdicts = [judge(one, threshold) for one in members]
    judged = sum(verdict != UNMEASURED for verdict in verdicts)
    ratios = [math.log(one.ratio) for one in members if one.ratio is not None and one.ratio > 0]
    measured = math.expm1(math.fsum(ratios) / len(ratios)) if ratios else None
    alarms, open_ones = (share(verdicts.count(verdict), judged) for verdict in (FAIL, INCONCLUSIVE))
    return Point(*key, measured, threshold, alarms, open_ones, len(members) - judged)


@dataclasses.dataclass(frozen=True, slots=True)
class Promise:
    """One row of PROMISES: a share that is to be at most, or at least, so much; of all kernels where none is named.

    `outcome` is FAIL or INCONCLUSIVE, `slowdown` that of the pairs that count.
    """

    name: str
    kernel: str
    slowdown: float
    threshold: float
    outcome: Verdict
    op: str
    limit: float


PROMISES: tuple[Promise, ...] = (
    Promise("false alarms", "", 0.0, 0.02, FAIL, "<=", 0.002),
    # Nothing is promised of the short one: a step of an H200's clock is 1.6 % of it.
    Promise("undecided without a change", "medium", 0.0, 0.02, INCONCLUSIVE, "<=", 0.02),
    Promise("undecided without a change", "long", 0.0, 0.02, INCONCLUSIVE, "<=", 0.02),
    Promise("5 % found", "medium", 0.05, 0.02, FAIL, ">=", 0.95),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What became of a promise: the share, and whether its whole interval keeps the limit (PASS), breaks it (FAIL) or holds it."""

    promise: Promise
    share: Share
    verdict: Verdict


def keep(promise: Promise, pairs: Sequence[Pair]) -> Kept:
    """Hold a promise against pairs.

    >>> pairs = [Pair("medium", "allocations", 0.05, 1.05, 1.04, 1.06)] * 80
    >>> keep(PROMISES[3], pairs).verdict, keep(PROMISES[3], pairs[:10]).verdict, keep(PROMISES[3], []).verdict
    ('PASS', 'INCONCLUSIVE', 'UNMEASURED')
    """
    wanted = [one for one in pairs if one.slowdown == promise.slowdown and promise.kernel in {"", one.kernel}]
    verdicts = [verdict for verdict in (judge(one, promise.threshold) for one in wanted) if verdict != UNMEASURED]
    found = share(verdicts.count(promise.outcome), len(verdicts))
    answer = decided(found.low - promise.limit, found.high - promise.limit, promise.op)
    verdict = UNMEASURED if not verdicts else INCONCLUSIVE if answer is None else PASS if answer else FAIL
    return Kept(promise, found, verdict)
