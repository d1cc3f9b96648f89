"""What the page and the terminal show of a qualification: curves, counts with their intervals, promises. Pure functions on records."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import digits, format_quantity, plural, visible
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE
from pytest_gpuperf.report.axes import axis
from pytest_gpuperf.report.svg_curves import Dot, Line, Panel, figure

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = dict[str, Any]

#: A/A pairs of one kind, kernel and verdict that the terminal lists; the others are in the run file.
_LISTED = 3
#: Width of a dot's place, as a share of the axis, by which the curves stand apart where their dots would hide each other.
_APART = 0.008
_HUNDRED = 100.0


@dataclasses.dataclass(frozen=True, slots=True)
class Qualified:
    """A qualification as the page shows it."""

    sentence: str
    rule: str
    promises: tuple[tuple[str, str], ...]
    pictures: tuple[tuple[str, str], ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    events: tuple[str, ...]


def qualified(run: Record) -> Qualified | None:
    """Return what is shown of a run's qualification; None where it has none."""
    record = run.get("qualification")
    if record is None:
        return None
    thresholds = _thresholds(record)
    head = ("kernel", "new work", "fresh", *(f"fail at {_percent(threshold)}" for threshold in thresholds), *(f"INCONCLUSIVE at {_percent(threshold)}" for threshold in thresholds))
    rows = []
    for kernel, kind, slowdown, points in _groups(record):
        cells = (_told_share(points[threshold][name]) for name in ("alarms", "inconclusive") for threshold in thresholds)
        rows.append((visible(kernel), _told_slowdown(slowdown, points[thresholds[0]]["measured"]), kind, *cells))
    return Qualified(
        sentence_of(record).removeprefix("qualification: "),
        record["rule"][:1].upper() + record["rule"][1:],
        tuple((promise["verdict"], promise_text(promise)) for promise in record["promises"] if promise["share"]["of"]),
        tuple((f"{kernel['name']} kernel, {_told_time(kernel)}, fresh allocations", picture(record, kernel)) for kernel in record["kernels"]),
        head,
        tuple(rows),
        tuple(event_lines(record, cut=0)),
    )


def sentence_of(record: Record) -> str:
    """Return in one line what was taken, or why nothing was."""
    reason = record["reason"]
    if reason is not None:
        return f"qualification: {reason['verdict']} {reason['code']}: {reason['sentence']} ({reason['next_step']})"
    return f"qualification: {plural(len(record['pairs']), 'pair')} of {plural(len(record['kernels']), 'kernel')}, {record['cache']}, in {record['wall_s']:.0f} s"


def qualification_lines(run: Record, verbosity: int = 0) -> Iterator[str]:
    """Yield the terminal's lines: what fails at each threshold, the pairs that fail or stay open without a change, the promises."""
    record = run.get("qualification")
    if record is None:
        return
    yield sentence_of(record)
    if record["reason"] is not None:
        return
    thresholds = _thresholds(record)
    columns = "  ".join(f"{_percent(threshold):>19}" for threshold in thresholds)
    yield f"  {'pairs that fail (and INCONCLUSIVE) at':<42}{columns}"
    for kernel, kind, slowdown, points in _groups(record):
        told = f"{kernel:<7} {_told_slowdown(slowdown, points[thresholds[0]]['measured']):<18} {kind}"
        yield f"  {told:<42}" + "  ".join(f"{_counted(points[threshold]):>19}" for threshold in thresholds)
    yield from event_lines(record, cut=0 if verbosity > 0 else _LISTED)
    for promise in record["promises"]:
        if promise["share"]["of"]:
            yield f"  {promise['verdict']} {promise_text(promise)}"


def promise_text(promise: Record) -> str:
    """Return a promise with what it came to.

    >>> share = {"count": 0, "of": 500, "low": 0.0, "high": 0.0073}
    >>> promise_text({"name": "false alarms", "kernel": "", "threshold": 0.02, "op": "<=", "limit": 0.002, "share": share})
    'false alarms at 2 %: 0 of 500 pairs, in truth 0 to 0.7300 % (95 % interval); promised <= 0.2 %'
    """
    share, of = promise["share"], f", {promise['kernel']} kernel" if promise["kernel"] else ""
    ends = f"{digits(share['low'] * _HUNDRED)} to {digits(share['high'] * _HUNDRED)} %"
    return (
        f"{promise['name']} at {_percent(promise['threshold'])}{of}: {share['count']} of {share['of']} pairs, in truth {ends} (95 % interval); "
        f"promised {promise['op']} {_percent(promise['limit'])}"
    )


def event_lines(record: Record, cut: int) -> Iterator[str]:
    """Yield a line for every pair without a change that fails or stays open, with its ratio; at most `cut` that stay open of one kernel and kind."""
    told: dict[tuple[str, str], int] = {}
    for pair in record["pairs"]:
        if pair["slowdown"]:
            continue
        failed, opened = (
            [_percent(float(threshold)) for threshold, verdict in pair["verdicts"].items() if verdict == wanted] for wanted in (FAIL, INCONCLUSIVE)
        )
        what = f"A/A {pair['kernel']}, fresh {pair['kind']}"
        if pair["reason"] is not None:
            yield f"  {what}: {pair['reason']['verdict']} {pair['reason']['code']}: {pair['reason']['sentence']}"
            continue
        ratio = f"ratio {pair['ratio']:.4f} ({pair['low']:.4f} .. {pair['high']:.4f})"
        if failed:
            yield f"  {what}: false alarm at {', '.join(failed)}: {ratio}"
        elif opened:
            key = pair["kernel"], pair["kind"]
            told[key] = told.get(key, 0) + 1
            if not cut or told[key] <= cut:
                yield f"  {what}: INCONCLUSIVE at {', '.join(opened)}: {ratio}"
    for (kernel, kind), count in told.items():
        if cut and count > cut:
            yield f"  A/A {kernel}, fresh {kind}: {count - cut} more that are INCONCLUSIVE at some threshold (all with -v, and on the page)"


def picture(record: Record, kernel: Record) -> str:
    """Draw what fails, and what stays open, over the slowdown that was really there: a line a threshold, fresh allocations."""
    points = [point for point in record["points"] if point["kernel"] == kernel["name"] and point["kind"] == "allocations" and point["measured"] is not None]
    thresholds = _thresholds(record)
    widest = max([point["measured"] for point in points] + [thresholds[-1]]) * _HUNDRED
    across = axis([0.0, widest * 1.03], "%", zero=True, room=5, tight=True)
    up, half = axis([0.0, _HUNDRED], "%", zero=True), axis([0.0, _HUNDRED], "%", zero=True, room=2)

    def lines(outcome: str, *, named: bool) -> tuple[Line, ...]:
        made = []
        for number, threshold in enumerate(thresholds):
            own = sorted((point for point in points if point["threshold"] == threshold), key=lambda point: point["measured"])
            shift = (number - (len(thresholds) - 1) / 2) * _APART * across.high
            dots = tuple(_dot(point, outcome, shift) for point in own if point[outcome]["of"])
            made.append(Line(f"at {_percent(threshold)}" if named else "", dots, f"curve t{number}"))
        return tuple(made)

    found, opened = lines("alarms", named=True), lines("inconclusive", named=False)
    panels = (Panel("fail", up, found, 130.0), Panel("INCONCLUSIVE", half, opened, 60.0))
    told = "; ".join(
        f"{_percent(point['slowdown'])} slower, threshold {_percent(point['threshold'])}: {point['alarms']['count']} of {point['alarms']['of']} fail" for point in points
    )
    return figure(across, panels, f"{kernel['name']} kernel: {told}", "how much slower new really is", tuple(threshold * _HUNDRED for threshold in thresholds))


def _dot(point: Record, outcome: str, shift: float) -> Dot:
    share = point[outcome]
    return Dot(point["measured"] * _HUNDRED + shift, share["count"] / share["of"] * _HUNDRED, share["low"] * _HUNDRED, share["high"] * _HUNDRED)


def _thresholds(record: Record) -> list[float]:
    return sorted({float(point["threshold"]) for point in record["points"]})


def _groups(record: Record) -> list[tuple[str, str, float, dict[float, Record]]]:
    """Return (kernel, kind, slowdown, points by threshold), kernels in their order, then kinds, then slowdowns."""
    order = [kernel["name"] for kernel in record["kernels"]]
    groups: dict[tuple[int, str, float], dict[float, Record]] = {}
    for point in record["points"]:
        groups.setdefault((order.index(point["kernel"]), point["kind"], point["slowdown"]), {})[point["threshold"]] = point
    return [(order[place], kind, slowdown, points) for (place, kind, slowdown), points in sorted(groups.items())]


def _told_time(kernel: Record) -> str:
    return format_quantity(kernel["time"]["number"], "s") if kernel["time"]["number"] is not None else "no time"


def _told_slowdown(slowdown: float, measured: float | None) -> str:
    if not slowdown:
        return "none (A/A)"
    return f"+{_percent(slowdown)}" + ("" if measured is None else f" ({measured * _HUNDRED:+.2f} %)")


def _counted(point: Record) -> str:
    opened, lost = point["inconclusive"]["count"], point["unmeasured"]
    return f"{point['alarms']['count']} of {point['alarms']['of']}" + (f" (+{opened})" if opened else "") + (f", {lost} UNMEASURED" if lost else "")


def _told_share(share: Record) -> str:
    if not share["of"]:
        return "no pair"
    return f"{share['count']} of {share['of']} ({share['low'] * _HUNDRED:.3g} .. {share['high'] * _HUNDRED:.3g} %)"


def _percent(share: float) -> str:
    return f"{share * _HUNDRED:g} %"
