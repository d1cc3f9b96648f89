"""A run held against a reference, whole: what surrounds them, every measurement's change, the limits on changes, what is missing and what is new."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.metrics import METRICS
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, UNMEASURED, Reason
from pytest_gpuperf.records.collection import without_collection
from pytest_gpuperf.reference import pairs
from pytest_gpuperf.reference.change import CHANGES, LESS, MORE, SAME, Change, change, compiled_number, gate, kind_of, number_of, row_of
from pytest_gpuperf.reference.code import compiled_pairs, moved_tools
from pytest_gpuperf.reference.surroundings import Difference, differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_gpuperf.reference.limits import Allowed
    from pytest_gpuperf.reference.pairs import Side

Record = dict[str, Any]

#: What a measurement is compared by: the first that both runs have a number for.
HEADLINES = ("time", "wall_time", "host_time")
#: Counts whose change is told though no limit asks: what code does, not how fast.
_COUNTS = tuple(row.name for row in METRICS if row.exact and row.source != "ncu")


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A measurement held against its reference: its change, whether the machine code is the same, other quantities that changed, and the limits."""

    nodeid: str
    name: str
    device: str
    cache: str
    change: Change
    same_code: bool | None
    others: tuple[Change, ...]
    gates: tuple[Gate, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """A limit of --gpuperf-fail-on, the change that it was held against, the verdict, and why it is not decided."""

    allowed: Allowed
    change: Change
    verdict: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it. `missing` and `new` are (node id, measurement), `deselected` how many this session was told to leave out; `unreached` are limits that no measurement has the quantity of.

    `compiled` are kernels that were compiled without being launched: what the compiler made of them, not how fast they are.
    """

    run: Record
    reference: Record
    differences: tuple[Difference, ...]
    held: tuple[Held, ...]
    missing: tuple[tuple[str, str], ...]
    new: tuple[tuple[str, str], ...]
    unreached: tuple[str, ...]
    gated: bool
    compiled: tuple[Held, ...] = ()
    deselected: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many measurements have each verdict, worst first, zeros left out."""
        counted = collections.Counter(one.change.verdict for one in self.held)
        return {verdict: counted[verdict] for verdict in CHANGES if counted[verdict]}

    @property
    def other_code(self) -> tuple[Held, ...]:
        """The measurements whose machine code is another one."""
        return tuple(one for one in self.held if one.same_code is False)

    def gates(self, *verdicts: str) -> Iterator[tuple[Held, Gate]]:
        """Yield the limits with one of these verdicts."""
        for one in (*self.held, *self.compiled):
            for judged in one.gates:
                if judged.verdict in verdicts:
                    yield one, judged

    def failed(self, strict: str = "") -> bool:
        """Say whether a limit is exceeded; with `strict` as of --gpuperf-strict also where one is not decided, or was not measured."""
        return bool(self.failing(strict))

    def failing(self, strict: str = "") -> list[str]:
        """Return the limits that fail it, each once, as they were written."""
        return list(dict.fromkeys(judged.allowed.text for _, judged in self.gates(FAIL, *strictly(strict))))


def strictly(strict: str | None) -> tuple[str, ...]:
    """Return which verdicts of a limit fail a session under --gpuperf-strict, besides FAIL.

    >>> strictly("unmeasured"), strictly(None)
    (('UNMEASURED',), ())
    """
    return {"unmeasured": (UNMEASURED,), "all": (UNMEASURED, INCONCLUSIVE)}.get(strict or "", ())


def strict_in(run: Record) -> str:
    """Return what --gpuperf-strict was in a run's own session; empty where it was not given."""
    return str((run["run"].get("options") or {}).get("strict") or "")


def compare(run: Record, reference: Record, limits: Sequence[Allowed] = ()) -> Comparison:
    """Hold a run against a reference. Neither is changed; worst first, then in the order of the run."""
    with without_collection():
        return _compare(run, reference, limits)


def quantities(limits: Sequence[Allowed] = ()) -> tuple[str, ...]:
    """Return the quantities that a comparison looks at."""
    return tuple(dict.fromkeys((*HEADLINES, *_COUNTS, *(limit.name for limit in limits))))


def _compare(run: Record, reference: Record, limits: Sequence[Allowed]) -> Comparison:
    matched = pairs.match(run, reference)
    surroundings = _Surroundings(run, reference)
    held = [_held(new, old, surroundings, limits) for new, old in matched.pairs]
    compiled = [_compiled(*pair, limits) for pair in compiled_pairs(run, reference)]
    deselected = {item["nodeid"] for item in run["deselected"]}
    paired = {new.name for new, _ in matched.pairs}
    gone = [side for side in matched.missing if side.case["nodeid"] not in deselected]
    missing = [(side.name[0], f"{side.name[1]} on {side.device.get('name')}") if side.name in paired else side.name for side in gone]
    reached = {judged.allowed.name for one in (*held, *compiled) for judged in one.gates}
    rank = {verdict: place for place, verdict in enumerate(CHANGES)}
    return Comparison(
        run,
        reference,
        tuple(surroundings.all()),
        tuple(sorted(held, key=lambda one: (all(judged.verdict != FAIL for judged in one.gates), rank[one.change.verdict], -(one.change.ratio or 0)))),
        tuple(missing),
        tuple(side.name for side in matched.new),
        tuple(limit.text for limit in limits if limit.name not in reached),
        bool(limits),
        tuple(compiled),
        len(matched.missing) - len(missing),
    )


class _Surroundings:
    """The differences of the surroundings, found once for each pair of devices."""

    def __init__(self, run: Record, reference: Record) -> None:
        self._run, self._reference = run, reference
        self._found: dict[tuple[str, str], list[Difference]] = {}
        self._clocks: dict[str, int] = {}

    def of(self, new: Side, old: Side) -> list[Difference]:
        key = (new.device.get("uuid", ""), old.device.get("uuid", ""))
        if key not in self._found:
            self._found[key] = differences(self._run, self._reference, new.device, old.device)
        clocks = pairs.clocks_differ(new, old)
        if not clocks:
            return self._found[key]
        self._clocks[clocks] = self._clocks.get(clocks, 0) + 1
        what, _, rest = clocks.partition(" clock ")
        there, _, here = rest.partition(" -> ")
        return [*self._found[key], Difference(f"{what} clock", here, there, pairs.CLOCKS_MOVE)]

    def all(self) -> Iterator[Difference]:
        """Yield each difference once; the clocks of single measurements with how many of them there are."""
        yield from dict.fromkeys(one for found in self._found.values() for one in found)
        for clocks, count in self._clocks.items():
            there, _, here = clocks.removeprefix("SM clock ").partition(" -> ")
            yield Difference(f"SM clock of {count} measurement{'' if count == 1 else 's'}", here, there, pairs.CLOCKS_MOVE)


def _held(new: Side, old: Side, surroundings: _Surroundings, limits: Sequence[Allowed]) -> Held:
    found = surroundings.of(new, old)
    code = pairs.same_code(new, old)
    otherwise = pairs.otherwise(new, old)

    def changed(quantity: str) -> Change:
        kind = kind_of(row_of(quantity))
        moved = [one for one in found if kind in one.moves]
        blocked = otherwise or (_differs(moved, code) if moved else None)
        return change(quantity, number_of(old.measurement, quantity), number_of(new.measurement, quantity), blocked)

    wanted = [limit for limit in limits if any(_asked(side.measurement, limit.name) for side in (new, old))]
    changes = {quantity: changed(quantity) for quantity in [_headline(new, old), *(limit.name for limit in wanted)]}
    headline, *_ = changes.values()
    gates = tuple(Gate(limit, changes[limit.name], *gate(limit, changes[limit.name])) for limit in wanted)
    others = [one for name in _told(new, old) if name not in changes and (one := changed(name)).verdict in {LESS, MORE}]
    others += [one for one in list(changes.values())[1:] if one.verdict not in {UNMEASURED, INCONCLUSIVE, SAME}]
    return Held(*new.name, new.device.get("name", ""), new.measurement["cache"] or "", headline, code, tuple(others), gates)


def _compiled(nodeid: str, here: Record, there: Record, limits: Sequence[Allowed]) -> Held:
    """Hold a compiled kernel against the one of its name; what compiled them are its surroundings."""
    known = None if not here["code_hash"] or not there["code_hash"] else here["code_hash"] == there["code_hash"]
    tools = moved_tools(here, there)
    blocked = _differs(tools, known) if tools else None
    wanted = {limit.name: limit for limit in limits if limit.name in here["quantities"] or limit.name in there["quantities"]}
    names = dict.fromkeys((*wanted, *here["quantities"], *there["quantities"]))
    changes = {name: change(name, compiled_number(there, name), compiled_number(here, name), blocked) for name in names}
    gates = tuple(Gate(limit, changes[name], *gate(limit, changes[name])) for name, limit in wanted.items())
    told = [one for one in changes.values() if one.verdict in {LESS, MORE}]
    headline = next(iter(told or changes.values()), change("registers", None, None))
    return Held(nodeid, f"{here['kernel']} on {here['arch']}", "", "", headline, known, tuple(told[1:]), gates)


def _differs(moved: Iterable[Difference], code: bool | None) -> Reason:
    machine = {True: "; the machine code is equal", False: "; the machine code differs too", None: ""}[code]
    return Reason("environment-differs", "; ".join(map(str, moved)) + machine)


def _headline(new: Side, old: Side) -> str:
    for name in HEADLINES:
        if all((side.measurement["values"].get(name) or {}).get("number") is not None for side in (new, old)):
            return name
    return HEADLINES[0]


def _asked(measurement: Record, quantity: str) -> bool:
    """Say whether there is a number: what neither run can measure, as the time of a body that synchronises in both, is no change."""
    found = number_of(measurement, quantity)
    return found is not None and found.value is not None


def _told(new: Side, old: Side) -> list[str]:
    """Name what is told of though nobody asked: counts of the code and hardware counters that both have."""
    values, before = new.measurement["values"], old.measurement["values"]
    counts = [name for name in _COUNTS if (values.get(name) or _NOTHING)["number"] is not None and (before.get(name) or _NOTHING)["number"] is not None]
    counters = new.measurement.get("counters") or {}
    return counts + [name for name in counters if name in (old.measurement.get("counters") or {})] if counters else counts


_NOTHING: Record = {"number": None}
