"""The drawings inside a row's details: what it has of history, of host and device, of kernels and of time lines. Pure functions on records."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import plural, visible
from pytest_gpuperf.report.curves import curve_of, curves
from pytest_gpuperf.report.history import with_this
from pytest_gpuperf.report.kernel_label import kernel_label
from pytest_gpuperf.report.svg_history import history, said
from pytest_gpuperf.report.svg_kernels import Kernel, kernels
from pytest_gpuperf.report.svg_split import Part, split
from pytest_gpuperf.report.svg_timeline import Event, timeline
from pytest_gpuperf.report.views import Row, centre_mark, picture, trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_gpuperf.report.beside import Beside
    from pytest_gpuperf.report.curves import Curve
    from pytest_gpuperf.report.history import History

Record = dict[str, Any]

#: Rows, worst first, that are drawn whole where a run has more than SMALL of them that could be.
FULL_ROWS, SMALL = 50, 300
#: Kernels whose machine code is told beside a measurement.
_CODES = 3
#: What is told of machine code, by quantity.
_OF_CODE = (("registers", "{} registers"), ("spills", "{} B of spills"), ("occupancy", "{} % occupancy"))


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A drawing and what stands under it."""

    svg: str
    caption: str


@dataclasses.dataclass(frozen=True, slots=True)
class Whole:
    """All drawings of a row that are not its samples': left ones, right ones, and those as wide as the page, with a line on what is missing."""

    left: tuple[Figure, ...] = ()
    right: tuple[Figure, ...] = ()
    wide: tuple[Figure, ...] = ()
    missing: str = ""


def drawn(table: Sequence[Row], run: Record, joined: Beside, past: History) -> list[Row]:
    """Give rows their drawings: the first FULL_ROWS that have any, or all of up to SMALL; above that the page would be too heavy.

    The others keep their thumbnail, their numbers and a line that names the command which tells all.
    """
    devices = {device["uuid"]: device for device in run["devices"]}
    able = [place for place, row in enumerate(table) if _drawable(row, joined)]
    chosen = set(able if len(able) <= SMALL else able[:FULL_ROWS])

    of_curves = curve_of(curves(run))

    def whole(row: Row) -> Row:
        device = devices.get(row.case.get("device"), {})
        drawings = whole_of(row, run, past, of_curves)
        return dataclasses.replace(row, picture=picture(row, device.get("tick_s"), joined), trace=trace(row, device.get("sm_clock")), whole=drawings)

    return [whole(row) if place in chosen else row for place, row in enumerate(table)]


def whole_of(row: Row, run: Record, past: History, of_curves: Mapping[tuple[str, str], Curve] | None = None) -> Whole:
    """Return the drawings of one row; `of_curves` has the curve that each measurement is a point of."""
    measurement = row.measurement
    if measurement is None:
        return Whole()
    # Times of the simulator mean nothing, and are no times of a device.
    points = with_this(run, row.case, measurement, past) if row.case.get("device") else ()
    left = [Figure(history(points, centre_mark(row.case, measurement), row.verdict), said(points))] if points else []
    right = [
        Figure(split(split_of(measurement)), "one call, to one scale; each bar names its clock"),
        Figure(kernels(kernels_of(measurement)), "kernels of one call by CUPTI: launches, time of all, share"),
    ]
    curve = (of_curves or {}).get((row.case["nodeid"], measurement["name"]))
    if curve is not None and curve.pictures:
        right.append(Figure(curve.pictures[0][1], f"{curve.title} over {curve.size}, of which this is a point; more in Curves"))
    wide = list(_timelines(row.case, measurement))
    return Whole(tuple(left), tuple(one for one in right if one.svg), tuple(wide), _missing(row.case, measurement) if wide else "")


def split_of(measurement: Record) -> list[Part]:
    """Return where one call's time goes, as far as the record says: host first, then device, then what happens once.

    >>> value = {"number": 2e-5, "source": "device"}
    >>> [(part.label, part.seconds, part.why) for part in split_of({"values": {"time": value, "host_time": {"number": None, "reason": {"code": "sync"}}}})]
    [('host time', None, 'sync'), ('device time', 2e-05, '')]
    """
    values = measurement["values"]
    found = [_part(label, side, values[name]) for name, label, side in _PARTS if name in values]
    time, busy = (values.get(name, {}).get("number") for name in ("time", "busy_time"))
    if time is not None and busy is not None and time > busy:
        found.append(Part("gaps", "gaps", time - busy, "time less busy", after=busy))
    first = values.get("first_call")
    if first is not None and first.get("number") is not None:
        found.append(dataclasses.replace(_part("first call", "host", first), text=True))
    return found


#: Quantities of one call, the host's from outside in, then the device's.
_PARTS = (
    ("wall_time", "wall time", "host"),
    ("host_time", "host time", "host"),
    ("api_time", "in CUDA calls", "api"),
    ("time", "device time", "device"),
    ("busy_time", "device busy", "device"),
)


def kernels_of(measurement: Record) -> list[Kernel]:
    """Return the kernels that the profiled pass saw in one call."""
    rows = (measurement.get("profile") or {}).get("kernels") or []
    return [Kernel(one["name"], one["count"], one["seconds"]) for one in rows]


def code_lines(case: Record, measurement: Record) -> list[str]:
    """Return what is known of the machine code of the kernels that a measurement launched, a line each."""
    records = [one for one in case.get("compiled") or () if measurement["name"] in one["measurements"]]
    lines = []
    for one in records[:_CODES]:
        told = [form.format(f"{one['quantities'][key]:,g}") for key, form in _OF_CODE if key in one["quantities"]]
        lines.append(visible(f"{kernel_label(one['kernel'])} on {one['arch']}: {', '.join(told) or 'no numbers'}"))
    return [*lines, f"and {len(records) - _CODES} more"] if len(records) > _CODES else lines


def _drawable(row: Row, joined: Beside) -> bool:
    measurement = row.measurement
    if measurement is None:
        return False
    other = joined.find(row.case, measurement)
    return any(measurement.get(name) for name in ("samples", "evidence", "profile")) or (other is not None and bool(other[1].get("samples")))


def _part(label: str, side: str, value: Record) -> Part:
    if value.get("number") is None:
        return Part(label, side, None, why=(value.get("reason") or {}).get("code", "no reason"))
    source = {"device": "device clock", "cupti": "CUPTI"}.get(value.get("source") or "", value.get("source") or "")
    return Part(label, side, value["number"], source)


def _timelines(case: Record, measurement: Record) -> Iterator[Figure]:
    call, whole = measurement.get("timeline"), case.get("ranges")
    if call:
        caption = "one call under CUPTI, on its clock, from when the body was called: recording makes the host's calls longer than they are when timed"
        yield Figure(timeline(_events(call), call["span_s"], call["more"]), _with_more(caption, call["more"]))
    if whole:
        own = [one for one in whole["events"] if one["kind"] == "step" and one["lane"] == measurement["name"]]
        others = [one for one in whole["events"] if one["kind"] != "step"]
        caption = "this case on the host's clock, from its set-up on: steps of the measurement, and ranges; none is heard while samples are timed"
        yield Figure(timeline([*_events(whole | {"events": others}), *_events(whole | {"events": own})], whole["span_s"], whole["more"]), _with_more(caption, whole["more"]))


def _events(told: Record) -> list[Event]:
    """Return events, ranges first and then lanes as they come: the host above the device."""
    ordered = sorted(told["events"], key=lambda one: (one["kind"] != "range", not one["lane"].startswith("host")))
    return [Event(visible(one["lane"]), one["kind"], _name(one), one["start_s"], one["duration_s"]) for one in ordered]


def _name(one: Record) -> str:
    return kernel_label(one["name"]) if one["kind"] == "kernel" else visible(one["name"])


def _with_more(caption: str, more: int) -> str:
    return f"{caption}; {plural(more, 'shorter event')} not listed" if more else caption


def _missing(case: Record, measurement: Record) -> str:
    """Say why one call is not shown where the case is."""
    if measurement.get("timeline"):
        return ""
    why = (measurement.get("profile") or {}).get("why")
    if why:
        return visible(f"what one call does on the device is not shown: {why}")
    return "what one call does on the device is not shown: no profiled pass was taken, as no limit and no line of the test asked for a quantity of it (m.kernels, m.busy_time)" if case.get("ranges") else ""
