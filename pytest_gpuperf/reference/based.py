"""A run held against the base that its session measured in turns with it. Pure functions on records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import FAIL, UNMEASURED, Reason
from pytest_gpuperf.reference import pairs
from pytest_gpuperf.reference.change import CHANGES, Change, gate, known_reason, row_of, said
from pytest_gpuperf.reference.compared import Comparison, Gate, Held
from pytest_gpuperf.reference.limits import read_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.reference.limits import Allowed
    from pytest_gpuperf.reference.pairs import Side

Record = dict[str, Any]

#: What turns take, and so what limits on changes can be held against.
QUANTITIES = ("time", "wall_time")
#: What every block of both sides met alike is no reason against their ratio.
_COMMON = "throttled"


def held_to_base(run: Record) -> Comparison | None:
    """Return what a run says of its base, with the limits of its session; None for a session without one. Worst first."""
    base = run.get("base")
    if base is None:
        return None
    limits = read_limits(base["limits"]) if base["limits"] else ()
    found = pairs.sides(run)
    held = [_held(side, base, limits) for side in found if not (side.measurement.get("base") or {}).get("new")]
    rank = {verdict: place for place, verdict in enumerate(CHANGES)}
    reached = {judged.allowed.name for one in held for judged in one.gates}
    return Comparison(
        run,
        {"run": {"title": f"the base, {base['title']}, in turns"}},
        (),
        tuple(sorted(held, key=lambda one: (all(judged.verdict != FAIL for judged in one.gates), rank[one.change.verdict], -(one.change.ratio or 0)))),
        tuple((nodeid, "main") for nodeid in base["missing"]),
        tuple(side.name for side in found if (side.measurement.get("base") or {}).get("new")),
        tuple(limit.text for limit in limits if limit.name not in reached),
        bool(limits),
    )


def _held(side: Side, base: Record, limits: Sequence[Allowed]) -> Held:
    record = side.measurement.get("base")
    change = _change(side, record) if record is not None else _hole(side, base)
    here, there = side.measurement.get("code"), (record or {}).get("code")
    # Where only one of the two waits for the device there is no time of it to judge: that passes no limit on it in silence.
    lost = _lost(record) if record is not None and change.quantity != "time" else None
    changes = {change.quantity: change} | ({} if lost is None else {lost.quantity: lost})
    gates = tuple(Gate(limit, changes[limit.name], *gate(limit, changes[limit.name])) for limit in limits if limit.name in changes)
    return Held(*side.name, side.device.get("name", ""), side.measurement["cache"] or "", change, here == there if here and there else None, (), gates)


def _change(side: Side, record: Record) -> Change:
    quantity = record["quantity"] or "time"
    old, ratio, low, high = (record[name] for name in ("old", "ratio", "low", "high"))
    told = record["reason"]
    own = (side.measurement["values"].get(quantity) or {}).get("reason")
    if told is None and own is not None and own["code"] != _COMMON:
        told = own
    reason = None if told is None else known_reason(told["code"], told["sentence"])
    if ratio is None or old is None:
        reason = reason or Reason("no-measurement")
        return Change(quantity, "s", old, record["new_s"], None, None, None, UNMEASURED, reason)
    if reason is not None:
        return Change(quantity, "s", old, old * ratio, ratio, low, high, reason.verdict, reason)
    return Change(quantity, "s", old, old * ratio, ratio, low, high, *said(row_of(quantity), ratio, low, high))


def _lost(record: Record) -> Change | None:
    """Return the change of `time` where one side has none and the other does; None where neither has."""
    if len(record["notes"]) != 1:
        return None
    return Change("time", "s", None, None, None, None, None, UNMEASURED, Reason("sync", f"only one of the two versions waits for the device: {record['notes'][0]}"))


def _hole(side: Side, base: Record) -> Change:
    """Say why a measurement has met no base at all."""
    own = (side.measurement["values"].get("time") or {}).get("reason")
    told = base["reason"] or own
    reason = known_reason(told["code"], told["sentence"]) if told is not None else Reason("no-measurement", "the versions of gpuperf.compare take turns with one another, and with no base")
    if reason.verdict != UNMEASURED:
        reason = Reason("base-failed", f"it took no turns: {reason.code}")
    return Change("time", "s", None, None, None, None, None, UNMEASURED, reason)
