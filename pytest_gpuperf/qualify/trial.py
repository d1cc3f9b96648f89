"""Take the measurements of a qualification, hold them against each other, and say what came of it as a record."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import plural
from pytest_gpuperf.qualify.plan import LEVELS, planned, process_pairs, turns
from pytest_gpuperf.qualify.rule import PROMISES, RULE, THRESHOLDS, Kept, Pair, curve, judge, keep, pair
from pytest_gpuperf.qualify.subject import SUBJECTS, Bench
from pytest_gpuperf.reasons import Reason, reason_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_gpuperf.shares import Share
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.values import Value

    #: Measures kernels of so many iterations, one after the other, in a process of its own; the number of the process is its seed.
    Elsewhere = Callable[[Sequence[int], int], list[Value]]

INTERRUPTED = Reason("interrupted", "the qualification was interrupted")
ALLOCATIONS, PROCESSES = "allocations", "processes"


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """How it is measured: cache state, seconds a measurement, pairs a kernel, seed of the order."""

    cache: str
    limit: float
    pairs: int
    seed: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel as it was taken: iterations by slowdown, and its time at none."""

    name: str
    iterations: dict[float, int]
    time: Value


def qualify(tools: Instruments, setting: Setting, elsewhere: Elsewhere, say: Callable[[str], None], tell: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Run the whole qualification and return its record; the caller holds the device's lock.

    `elsewhere` measures in a fresh process; `tell` hears after each pair how many are taken, and of how many.
    """
    began = tools.backend.now()
    bench = Bench(tools, cache=setting.cache, limit=setting.limit, seed=setting.seed)
    try:
        kernels = _kernels(bench)
        say(f"qualification: {', '.join(f'{one.name} {one.time.point * 1e6:.2f} us' for one in kernels.values())}, {plural(setting.pairs, 'pair')} each")
        pairs: list[Pair] = []
        whole = planned(setting.pairs)
        reason = None
        try:
            # One by one, so that an interrupt takes none along that was measured.
            for one in itertools.chain(_here(bench, kernels, setting), _there(kernels, setting, elsewhere)):
                pairs.append(one)
                if tell is not None:
                    tell(len(pairs), whole)
        except KeyboardInterrupt:
            reason = reason_record(INTERRUPTED, "qualification")
    finally:
        bench.close()
    return record(pairs, list(kernels.values()), setting, tools.backend.now() - began) | {"reason": reason}


def _kernels(bench: Bench) -> dict[str, Kernel]:
    pace = bench.pace()
    made = {}
    for subject in SUBJECTS:
        plain = pace.iterations(subject.seconds)
        # The middle of three: some places in memory cost such a kernel tenths of a microsecond.
        time = sorted((bench.time(plain) for _ in range(3)), key=lambda one: one.point)[1]
        # The line is not quite straight at few iterations: a slowdown is a share of what the kernel really takes.
        steps = {level.slowdown: plain + (max(1, round(time.point * level.slowdown / pace.step)) if level.slowdown else 0) for level in LEVELS}
        made[subject.name] = Kernel(subject.name, steps, time)
    return made


def _here(bench: Bench, kernels: dict[str, Kernel], setting: Setting) -> Iterator[Pair]:
    """Yield the pairs of fresh allocations: in a turn one measurement is old, and each other one is new to it; so a point of a curve has each once."""
    for turn in turns(setting.pairs, setting.seed):
        kernel = kernels[turn.kernel]
        old = bench.time(kernel.iterations[0.0])
        for slowdown in turn.slowdowns:
            yield pair(kernel.name, ALLOCATIONS, slowdown, old, bench.time(kernel.iterations[slowdown]))


def _there(kernels: dict[str, Kernel], setting: Setting, elsewhere: Elsewhere) -> Iterator[Pair]:
    """Yield the pairs of fresh processes: one measures every kernel, the next one measures each again, and slower."""
    slowdowns = [level.slowdown for level in LEVELS if level.processes]
    for number in range(process_pairs(setting.pairs)):
        first = [(name, 0.0) for name in kernels]
        second = [(name, slowdown) for name in kernels for slowdown in slowdowns]
        old, new = (
            dict(zip(wanted, elsewhere([kernels[name].iterations[slowdown] for name, slowdown in wanted], place), strict=True))
            for wanted, place in ((first, 2 * number + 1), (second, 2 * number + 2))
        )
        for name, slowdown in second:
            yield pair(name, PROCESSES, slowdown, old[name, 0.0], new[name, slowdown])


def record(pairs: Sequence[Pair], kernels: Sequence[Kernel], setting: Setting, wall_s: float) -> dict[str, Any]:
    """Return the record of a qualification: its pairs, what became of them at every threshold, and the promises."""
    return {
        "cache": setting.cache, "limit": setting.limit, "pairs_asked": setting.pairs, "seed": setting.seed,
        "rule": RULE,
        "wall_s": wall_s,
        "reason": None,
        "kernels": [
            {"name": one.name, "time": one.time.record(), "iterations": {f"{slowdown:g}": count for slowdown, count in one.iterations.items()}}
            for one in kernels
        ],
        "pairs": [
            {**dataclasses.asdict(one), "reason": one.reason and reason_record(one.reason),
             "verdicts": {f"{threshold:g}": judge(one, threshold) for threshold in THRESHOLDS}}
            for one in pairs
        ],
        "points": [
            {**{name: getattr(one, name) for name in ("kernel", "kind", "slowdown", "measured", "threshold", "unmeasured")},
             "alarms": _share(one.alarms), "inconclusive": _share(one.inconclusive)}
            for one in curve(pairs)
        ],
        "promises": [_kept(keep(promise, pairs)) for promise in PROMISES],
    }  # fmt: skip


def unmeasured(reason: Reason, setting: Setting) -> dict[str, Any]:
    """Return the record of a qualification that could not be run."""
    return record([], [], setting, 0.0) | {"reason": reason_record(reason, "qualification")}


def _share(one: Share) -> dict[str, Any]:
    return {"count": one.count, "of": one.of, "low": one.low, "high": one.high}


def _kept(one: Kept) -> dict[str, Any]:
    return {**dataclasses.asdict(one.promise), "share": _share(one.share), "verdict": one.verdict}
