"""The roofline of a run: what every measured body reaches of what this device can do. Pure functions on records."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_gpuperf.format import format_quantity, plural, visible
from pytest_gpuperf.report.axes import Axis, axis
from pytest_gpuperf.report.svg_roofline import LINKED, Ceiling, Point, roofline
from pytest_gpuperf.report.views import own_verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

Record = dict[str, Any]

#: How many bodies are named under the picture: those that reach the least of their roof.
_FARTHEST = 6
#: No time of a device is shorter, s.
_LEAST_S = 1e-12


@dataclasses.dataclass(frozen=True, slots=True)
class Far:
    """A body in the list of those that reach the least of their roof."""

    nodeid: str
    name: str
    verdict: str
    share: str
    reached: str
    roof: str


@dataclasses.dataclass(frozen=True, slots=True)
class Roofline:
    """What the page shows: pictures, the bodies farthest from their roof, what is not drawn and why, and whose run it is (empty: this one)."""

    pictures: tuple[str, ...]
    farthest: tuple[Far, ...]
    remark: str
    origin: str
    bodies: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Body:
    """A measured body: its work, its time, its roofs in seconds (what the work's bytes, and its operations, take at least)."""

    nodeid: str
    name: str
    verdict: str
    cache: str
    work: Record
    time: float
    roofs: dict[str, float]

    @property
    def moved(self) -> int:
        return int(self.work["reads"]) + int(self.work["writes"])

    @property
    def roof(self) -> tuple[str, float] | None:
        """Return what binds the work, and its time: the later of the roofs of bytes and operations."""
        known = [(what, self.roofs[what]) for what in ("bytes", "flops") if what in self.roofs]
        return max(known, key=lambda one: one[1], default=None)


def rooflines(run: Record, reference: Record | None = None, origin: str = "") -> Roofline | None:
    """Return the roofline of a run; where nothing was timed in it, that of its reference, with its origin; None where neither has one.

    A body with `work=` and a time is a point: bandwidth over the bytes of a call, and operations a second over operations a byte where it has both. Its roof
    is the time that the plugin's own kernel took for the same work in the same run; a body whose test asked for none has no roof beside it.
    """
    bodies, without = _bodies(run)
    whose = ""
    if not bodies and reference is not None:
        (bodies, without), whose = _bodies(reference), origin
    if not bodies:
        return None
    pictures = [picture for picture in (_over_bytes(bodies), _over_intensity(bodies)) if picture]
    known = sorted((body for body in bodies if body.roof is not None), key=_share)
    remarks = [
        f"{plural(without, 'measurement')} without bytes in {'its' if without == 1 else 'their'} work= {'is' if without == 1 else 'are'} not in it" if without else "",
        f"of {len(bodies):,} bodies the first {LINKED} are links" if len(bodies) > LINKED else "",
        f"{len(bodies) - len(known)} have no roof beside them, as no limit asked for one" if len(known) < len(bodies) else "",
    ]
    return Roofline(tuple(pictures), tuple(map(_far, known[:_FARTHEST])), "; ".join(filter(None, remarks)), whose, len(bodies))


def _bodies(run: Record) -> tuple[list[_Body], int]:
    """Return the bodies that have a place, worst verdict first as the cases stand, and the number of timed measurements that state no bytes of work."""
    found, without = [], 0
    for case in run["cases"]:
        for one in case["measurements"]:
            time, work = one["values"].get("time", {}).get("number"), one.get("work")
            if not _spans(time):
                continue
            if not work or not (work["reads"] + work["writes"]):
                without += 1
                continue
            roofs = {roof["of"]: roof["time"]["number"] for roof in one.get("roofs") or [] if _spans(roof["time"].get("number"))}
            found.append(_Body(case["nodeid"], one["name"], own_verdict(case, one["name"]), one["cache"] or "", work, time, roofs))
    order = ("FAIL", "INCONCLUSIVE", "UNMEASURED", "PASS", "NOT-APPLICABLE")
    return sorted(found, key=lambda body: order.index(body.verdict) if body.verdict in order else len(order)), without


def _spans(seconds: float | None) -> bool:
    """Say whether a time can be divided by: what is within its own error of nothing may come out below zero, and has no place."""
    return seconds is not None and _LEAST_S <= seconds < math.inf


def _over_bytes(bodies: Sequence[_Body]) -> str:
    """Draw bandwidth over the bytes of a call, each body under the roof of exactly these bytes."""
    points = [_point(body, body.moved, body.moved / body.time, body.moved / body.roofs["bytes"] if "bytes" in body.roofs else None) for body in bodies]
    x = _spread([point.x for point in points], "B")
    y = _spread([number for point in points for number in (point.y, point.roof) if number], "B/s")
    roofs = [point.roof for point in points if point.roof]
    ceilings = [Ceiling((x.low, max(roofs)), (x.high, max(roofs)), f"fastest roof here {format_quantity(max(roofs), 'B/s')}")] if roofs else []
    described = f"bandwidth of {len(points)} measured bodies over the bytes that a call moves, from {x.ticks[0][1] if x.ticks else ''}"
    return roofline(points, ceilings, x, y, described, ("bandwidth", "bytes that a call moves"))


def _over_intensity(bodies: Sequence[_Body]) -> str:
    """Draw operations a second over operations a byte, under the slope of bytes and the flat lines of arithmetic; empty where no body computes."""
    counted = [body for body in bodies if body.work["flops"]]
    if not counted:
        return ""
    points = []
    for body in counted:
        bound = body.roof
        points.append(_point(body, body.work["flops"] / body.moved, body.work["flops"] / body.time, body.work["flops"] / bound[1] if bound else None))
    rates: dict[str, float] = {}
    for body in counted:
        if "flops" in body.roofs:
            rates[body.work["kind"]] = max(rates.get(body.work["kind"], 0.0), body.work["flops"] / body.roofs["flops"])
    bandwidth = max((body.moved / body.roofs["bytes"] for body in bodies if "bytes" in body.roofs), default=None)
    knees = [rate / bandwidth for rate in rates.values()] if bandwidth else []
    x = _spread([*(point.x for point in points), *knees], "FLOP/B")
    y = _spread([number for point in points for number in (point.y, point.roof) if number] + list(rates.values()), "FLOP/s")
    ceilings = [Ceiling((max(x.low, rate / bandwidth if bandwidth else x.low), rate), (x.high, rate), f"{kind} {format_quantity(rate, 'FLOP/s')}") for kind, rate in rates.items()]
    if bandwidth:
        low = max(x.low, y.low / bandwidth)
        high = min(max(knees, default=x.high), x.high)
        ceilings.append(Ceiling((low, low * bandwidth), (high, high * bandwidth), format_quantity(bandwidth, "B/s")))
    described = f"operations a second of {len(points)} measured bodies over operations a byte"
    return roofline(points, ceilings, x, y, described, ("operations", "operations a byte of memory traffic"))


def _spread(numbers: Sequence[float], unit: str) -> Axis:
    """Return a logarithmic axis that leaves room around its numbers, of a decade at least."""
    low, high = min(numbers), max(numbers)
    pad = max(1.25, (10.5 / (high / low)) ** 0.5)
    return axis([low / pad, high * pad], unit)


def _point(body: _Body, x: float, y: float, roof: float | None) -> Point:
    return Point(x, y, roof, body.verdict, f"#t={quote(visible(body.nodeid).encode('utf-8', 'backslashreplace'), safe='/:')}", _told(body))


def _told(body: _Body) -> str:
    amounts = [format_quantity(body.moved / body.time, "B/s")]
    if body.work["flops"]:
        amounts.append(f"{format_quantity(body.work['flops'] / body.time, 'FLOP/s')} {body.work['kind']}")
    roof = f", {_percent(body)} of its roof ({body.roof[0]})" if body.roof else ", no roof measured"
    return visible(f"{body.verdict} {body.nodeid} {body.name}, {body.cache}: {', '.join(amounts)}{roof}")


def _share(body: _Body) -> float:
    return body.roof[1] / body.time if body.roof else 0.0


def _percent(body: _Body) -> str:
    return f"{100 * _share(body):.1f} %"


def _far(body: _Body) -> Far:
    what = body.roof[0] if body.roof else "bytes"
    amount, unit = (body.work["flops"], "FLOP/s") if what == "flops" else (body.moved, "B/s")
    roof = format_quantity(amount / body.roofs[what], unit)
    return Far(visible(body.nodeid), visible(f"{body.name}, {body.cache}"), body.verdict, _percent(body), format_quantity(amount / body.time, unit), f"{roof} ({what})")
