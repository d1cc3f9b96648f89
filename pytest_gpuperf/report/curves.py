"""Curves over a size: time, bandwidth and fraction of the roof of one test function over a numeric parameter. Pure functions on records."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import format_quantity, visible
from pytest_gpuperf.reasons import INCONCLUSIVE, UNMEASURED
from pytest_gpuperf.report.axes import Axis, axis
from pytest_gpuperf.report.svg_curves import Dot, Line, Panel, figure
from pytest_gpuperf.report.views import bounds, own_verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

Record = dict[str, Any]

#: From so many sizes on a test function has a curve.
SIZES = 3
_HEIGHT = 150.0
#: An upright axis that does not begin at zero spans at least this factor.
_LEAST = 1.1


@dataclasses.dataclass(frozen=True, slots=True)
class Quantity:
    """One row of QUANTITIES: a value of a measurement, its title, its unit, and whether its axis begins at zero."""

    name: str
    title: str
    unit: str
    zero: bool = False


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("time", "time", "s"),
    Quantity("bandwidth", "bandwidth", "B/s"),
    Quantity("percent", "fraction of the roof", "%", zero=True),
)


@dataclasses.dataclass(frozen=True, slots=True)
class At:
    """One case of a curve: its size, its node id, its verdict, its values by quantity, and why one has no number."""

    size: float
    nodeid: str
    verdict: str
    values: dict[str, Record]
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """A curve: what was measured, over which parameter, its pictures with their titles, a line for each case that is not a plain point, and its (node id, measurement) pairs."""

    title: str
    size: str
    pictures: tuple[tuple[str, str], ...]
    remarks: tuple[tuple[str, str, str], ...]
    points: tuple[tuple[str, str], ...] = ()


def curves(run: Record) -> list[Curve]:
    """Return a curve for every measurement of a test function over at least SIZES values of a numeric parameter, all other parameters fixed.

    Of several numeric parameters the one with the most values is the size. The last attempt of a case counts.
    """
    latest: dict[str, Record] = {}
    for case in run["cases"]:
        latest[case["nodeid"] + str(case["device"])] = case
    functions: dict[tuple[Any, ...], list[Record]] = {}
    for case in latest.values():
        if case.get("numbers"):
            functions.setdefault((case["file"], case["nodeid"].partition("[")[0], case["device"]), []).append(case)
    return [curve for cases in functions.values() for curve in _of_function(cases)]


def curve_of(found: Sequence[Curve]) -> dict[tuple[str, str], Curve]:
    """Return the curve that each measurement is a point of, by node id and name."""
    return {point: curve for curve in found for point in curve.points}


def _of_function(cases: Sequence[Record]) -> list[Curve]:
    size = _size_of(cases)
    if size is None:
        return []
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for case in cases:
        if size in case["numbers"]:
            groups.setdefault(tuple((name, text) for name, text in case["parameters"].items() if name != size), []).append(case)
    made = []
    for fixed, members in groups.items():
        if len({case["numbers"][size] for case in members}) < SIZES:
            continue
        # A case that measured nothing has no name for it: it stands on every curve of its function.
        names = list(dict.fromkeys(one["name"] for case in members for one in case["measurements"]))
        made += [_curve(members, name, size, fixed, alone=len(names) == 1) for name in names]
    return made


def _size_of(cases: Sequence[Record]) -> str | None:
    """Return the numeric parameter that has the most values; None where none has enough.

    >>> _size_of([{"numbers": {"n": n, "k": k}} for n in (1, 2, 3) for k in (7, 8)])
    'n'
    >>> _size_of([{"numbers": {"n": n}} for n in (1, 2)]) is None
    True
    """
    values: dict[str, set[float]] = {}
    for case in cases:
        for name, number in case["numbers"].items():
            values.setdefault(name, set()).add(number)
    best = max(values, key=lambda name: len(values[name]), default=None)
    return best if best is not None and len(values[best]) >= SIZES else None


def _curve(cases: Sequence[Record], name: str, size: str, fixed: Sequence[tuple[str, str]], *, alone: bool) -> Curve:
    points = sorted((_at(case, name, size) for case in cases), key=lambda point: point.size)
    function = cases[0]["nodeid"].partition("[")[0].rpartition("::")[2]
    held = ", ".join(f"{parameter} {text}" for parameter, text in fixed)
    title = " ".join(part for part in (function, f"[{held}]" if held else "", "" if alone and name == "main" else name) if part)
    across = axis([point.size for point in points], room=5, tight=True)
    pictures = tuple(("", drawn) for quantity in QUANTITIES if (drawn := _picture(points, quantity, across, size, title)))
    remarks = tuple((point.verdict, visible(point.nodeid), visible(point.why)) for point in points if point.why)
    return Curve(visible(title), visible(size), pictures, remarks, tuple((point.nodeid, name) for point in points))


def _at(case: Record, name: str, size: str) -> At:
    found = next((one for one in case["measurements"] if one["name"] == name), None)
    verdict = own_verdict(case, name) if found else case["verdict"]
    values = found["values"] if found else {}
    reasons = dict.fromkeys(f"{reason['code']}: {reason['sentence']}" for reason in case["reasons"])
    time = values.get("time", {})
    if time.get("number") is None:
        reason = time.get("reason")
        verdict = reason["verdict"] if reason else verdict if verdict != "PASS" else UNMEASURED
        why = f"{reason['code']}: {reason['sentence']}" if reason else "; ".join(reasons) or "no such measurement"
    else:
        why = "; ".join(reasons) if verdict in {INCONCLUSIVE, UNMEASURED} else ""
    return At(float(case["numbers"][size]), case["nodeid"], verdict, values, why or ("no reason recorded" if verdict in {INCONCLUSIVE, UNMEASURED} else ""))


def _picture(points: Sequence[At], quantity: Quantity, across: Axis, size: str, title: str) -> str:
    """Draw one quantity; empty where no case has a number for it."""
    dots = [_dot(point, quantity) for point in points]
    ends = [end for dot in dots for end in (dot.y, dot.low, dot.high) if end is not None]
    if not ends:
        return ""
    # The interval of a short time may reach below zero; that end alone must not bend the axis.
    above = [end for end in ends if end > 0] or ends
    if max(above) < _LEAST * min(above):
        # A curve of noise must not look like a mountain.
        middle = (min(above) + max(above)) / 2
        above = [*above, middle / _LEAST**0.5, middle * _LEAST**0.5]
    up = axis([*ends, 100.0] if quantity.zero else above, quantity.unit, zero=quantity.zero)
    known = [f"{point.size:g}: {format_quantity(dot.y, quantity.unit)}" if dot.y is not None else f"{point.size:g}: {dot.mark}" for point, dot in zip(points, dots, strict=True)]
    described = visible(f"{title}, {quantity.title} over {size}: {'; '.join(known)}")
    return figure(across, [Panel(quantity.title, up, (Line("", tuple(dots)),), _HEIGHT)], described, visible(size))


def _dot(point: At, quantity: Quantity) -> Dot:
    value = point.values.get(quantity.name, {})
    if value.get("number") is None:
        reason = value.get("reason")
        return Dot(point.size, None, mark=reason["verdict"] if reason else point.verdict if point.verdict != "PASS" else UNMEASURED)
    return Dot(point.size, value["number"], *bounds(value), point.verdict)
