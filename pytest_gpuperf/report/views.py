"""What the page shows of one measurement: a table row, its sort keys and its details. Pure functions on records."""

from __future__ import annotations

import dataclasses
import math
import shlex
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import format_interval, format_margin, format_quantity, shorten, visible
from pytest_gpuperf.metrics import STATISTICS
from pytest_gpuperf.reasons import FAIL, PASS, VERDICTS
from pytest_gpuperf.report.account import simulated, tightest
from pytest_gpuperf.report.budget_file import excused, of_verdict
from pytest_gpuperf.report.evidence import evidence_lines
from pytest_gpuperf.report.profiled import profile_lines, selfcheck_line
from pytest_gpuperf.report.samples import grain, rounds_of
from pytest_gpuperf.report.svg import Mark, Picture, distribution, sparkline
from pytest_gpuperf.report.svg_clock import clock_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_gpuperf.report.beside import Beside
    from pytest_gpuperf.report.details import Whole

Record = dict[str, Any]

#: Quantities that have a column of their own in the table; a row's details add the others.
COLUMNS = ("time", "bandwidth", "percent", "host_time")
#: Statistics that are not the centre.
TAILS = ("p95", "p99")
_LABELS = {
    "percent": "% of roof",
    "x_roof": "against roof",
    "host_time": "host time",
    "wall_time": "wall time",
    "first_call": "first call",
    "api_calls": "CUDA calls",
    "api_time": "time in CUDA calls",
    "busy_time": "busy time",
    "peak_memory": "peak memory",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A value as text: the number, its interval, where it comes from; or why there is none."""

    name: str
    number: str
    interval: str
    source: str
    why: str

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return bool(self.number)


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One measurement (or a case that has none): the table's cells, the numbers they sort by, its drawing if it gets one."""

    case: Record
    measurement: Record | None
    nodeid: str
    verdict: str
    word: str
    cells: dict[str, Shown]
    budget: str
    margin: float | None
    reference: str
    delta: str
    keys: tuple[float | None, ...]
    picture: str | None = None
    trace: str = ""
    #: Its other drawings; None where it is not drawn.
    whole: Whole | None = None

    @property
    def label(self) -> str:
        """The measurement's name and cache state; why there is none, where that is known."""
        if self.measurement:
            return visible(f"{self.measurement['name']}, {self.measurement['cache']}")
        return ": ".join(["no measurement", *dict.fromkeys(reason["code"] for reason in self.case["reasons"][:1])])

    @property
    def margin_text(self) -> str:
        """The margin with its sign."""
        return "" if self.margin is None else format_margin(self.margin)


def word_of(case: Record, verdict: str) -> str:
    """Return a verdict in words; a pass of the simulator, or beside a known miss, is never a bare PASS."""
    if verdict == PASS and any(map(excused, case["budgets"])):
        return f"{verdict} (known miss)"
    return f"{verdict} (simulator)" if verdict == PASS and simulated(case) else verdict


def reproduce(nodeid: str) -> str:
    """Return the command line that runs one case again.

    >>> reproduce("tests/test_a.py::test_b[x y]")
    "pytest --gpuperf 'tests/test_a.py::test_b[x y]'"
    """
    quoted = shlex.quote(visible(nodeid))
    return f"pytest --gpuperf {quoted}" if quoted.startswith("'") else f"pytest --gpuperf '{quoted}'"


def shown_by(run: Record, nodeid: str) -> str:
    """Return the command line that tells all of one case of a run.

    >>> shown_by({"run": {"id": "20261126T101500-7"}}, "t.py::test_b[x y]")
    "gpuperf show reports/runs/20261126T101500-7.json 't.py::test_b[x y]'"
    """
    return visible(f"gpuperf show reports/runs/{run['run']['id']}.json {reproduce(nodeid).removeprefix('pytest --gpuperf ')}")


def bounds(value: Record) -> tuple[float | None, float | None]:
    """Return the whole interval of a value of a record, as an absolute limit is judged on it: random part and calibration.

    >>> bounds({"low": 2.0, "high": 3.0, "systematic": 0.5}), bounds({"low": None, "high": None})
    ((1.5, 3.5), (None, None))
    """
    low, high, shift = value.get("low"), value.get("high"), value.get("systematic") or 0.0
    return (None, None) if low is None or high is None else (low - shift, high + shift)


def label_of(name: str) -> str:
    """Return how the page calls a quantity, or a statistic of one.

    >>> label_of("host_time"), label_of("host_time.p95"), label_of("time.p99"), label_of("dram__bytes_write.sum")
    ('host time', 'host time p95', 'time p99', 'dram__bytes_write.sum')
    """
    quantity, _, statistic = name.rpartition(".")
    return f"{_LABELS.get(quantity, quantity)} {statistic}" if statistic in STATISTICS else _LABELS.get(name, name)


def shown(name: str, value: Record) -> Shown:
    """Return a value of a record as text."""
    label = label_of(name)
    if value.get("number") is None:
        reason = value.get("reason") or {}
        return Shown(label, "", "", "", visible(f"{reason.get('verdict', 'UNMEASURED')} {reason.get('code', 'without a reason')}"))
    low, high = bounds(value)
    # A count has no interval: both ends are the number.
    interval = format_interval(low, high, value["unit"]) if low is not None and high is not None and value["unit"] != "1" else ""
    return Shown(label, format_quantity(value["number"], value["unit"]), interval, value.get("source") or "", "")


def rows(run: Record, beside: Beside) -> list[Row]:
    """Return a row for each measurement, worst verdict first, in it wrong bits, then the smallest margin."""
    pairs = ((case, one) for case in run["cases"] for one in (case["measurements"] or [None]))
    return [_row(case, measurement, beside) for case, measurement in worst_first(pairs)]


def worst_first(pairs: Iterable[tuple[Record, Any]]) -> list[tuple[Record, Any]]:
    """Return pairs of a case and its measurement, or None, in the order of the rows: worst verdict first, in it wrong bits, then the smallest margin."""
    return sorted(pairs, key=lambda pair: _place(*pair))


def _place(case: Record, measurement: Record | None) -> tuple[float, bool, bool, float]:
    budget = tightest(case, measurement["name"]) if measurement else None
    margin = budget.get("margin") if budget else None
    return _rank(own_verdict(case, measurement["name"]) if measurement else case["verdict"]), not _wrong(case), margin is None, margin or 0.0


def _rank(verdict: str) -> float:
    return float(VERDICTS.index(verdict)) if verdict in VERDICTS else float(len(VERDICTS))


def own_verdict(case: Record, name: str) -> str:
    """Return the verdict of one measurement: its worst budget; a failed check or error of the case counts for each."""
    judged = [of_verdict(budget) for budget in case["budgets"] if budget["measurement"] == name]
    elsewhere = {of_verdict(budget) for budget in case["budgets"] if budget["measurement"] != name}
    if _wrong(case):
        return FAIL
    if not judged or case["verdict"] not in elsewhere:
        return str(case["verdict"])
    return next((verdict for verdict in VERDICTS if verdict in judged), str(case["verdict"]))


def marks(case: Record, measurement: Record) -> tuple[Mark, ...]:
    """Return the limits of a measurement as times; a limit on a rate or a roof is where the time would just meet it."""
    found = []
    for budget in case["budgets"]:
        at = _as_time(budget, measurement["values"]) if budget["measurement"] == measurement["name"] else None
        if at is not None:
            upper = (budget["op"] in {"<=", "<"}) != _is_rate(budget)
            found.append(Mark(at, _limit_text(budget), upper))
    return tuple(found)


def centre_mark(case: Record, measurement: Record) -> Mark | None:
    """Return the first limit that the centre of the times is held against: one on a tail has no place beside centres."""
    central = case | {"budgets": [budget for budget in case["budgets"] if budget.get("statistic") not in TAILS]}
    return next(iter(marks(central, measurement)), None)


def thumbnail(row: Row) -> str:
    """Return the sparkline of a row as SVG; empty where there are no samples."""
    measurement = row.measurement
    if measurement is None or not measurement.get("samples"):
        return ""
    rounds = rounds_of(measurement["samples"])
    return sparkline(rounds, centre_mark(row.case, measurement)) if rounds else ""


def picture(row: Row, tick_s: float | None, beside: Beside) -> str:
    """Return the distribution of a row as SVG, with the reference's ghost where one device and cache state made both."""
    measurement = row.measurement
    if measurement is None or not measurement.get("samples"):
        return ""
    ghost = beside.ghost(row.case, measurement)
    of_times = [one for one in row.case["budgets"] if one["measurement"] == measurement["name"] and _as_time(one, measurement["values"]) is not None]
    budget = tightest(row.case | {"budgets": of_times}, measurement["name"])
    # Wrong bits, or too many launches, do not make the time red: the drawing has the colour of its own limit.
    return draw(measurement, marks(row.case, measurement), tick_s, budget["verdict"] if budget else row.verdict, ghost)


def trace(row: Row, sm_clock: float | None) -> str:
    """Return the clock of a row's rounds as SVG; empty where no clock is known."""
    return clock_trace((row.measurement or {}).get("evidence") or [], sm_clock)


def draw(measurement: Record, limits: tuple[Mark, ...], tick_s: float | None, verdict: str, ghost: Sequence[float] = ()) -> str:
    """Draw the samples of one measurement record; empty where its time has no number."""
    time, rounds = measurement["values"].get("time", {}), rounds_of(measurement["samples"])
    centre = time.get("number")
    if centre is None or not rounds:
        return ""
    low, high = (centre if end is None else end for end in bounds(time))
    step = grain(measurement["samples"], tick_s)
    return distribution(Picture(rounds, step, centre, low, high, limits, ghost, verdict))


def facts(row: Row) -> list[tuple[str, str]]:
    """Return what else is known of a measurement, as (name, text) pairs."""
    measurement = row.measurement
    if measurement is None:
        return []
    samples, work = measurement.get("samples"), measurement.get("work")
    found = [("cache", measurement["cache"])]
    if samples:
        taken = sum(len(row) for row in samples["rounds"])
        batch = f", {samples['batch']} calls a sample" if samples["batch"] > 1 else ""
        discarded = f", {samples['discarded']} discarded" if samples.get("discarded") else ""
        found.append(("samples", f"{taken} in {len(samples['rounds'])} rounds{batch}{discarded}"))
    found += [(name, measurement[name]) for name in ("duty", "state") if measurement.get(name) not in {None, "spaced"}]
    if work:
        flops = f", {format_quantity(work['flops'], 'FLOP')} {work['kind']}" if work.get("flops") else ""
        found.append(("work", f"reads {format_quantity(work['reads'], 'B')}, writes {format_quantity(work['writes'], 'B')}{flops}"))
    found += [("roof", f"of {roof['of']}, by {roof['how']}: {shown('', roof['time']).number}") for roof in measurement.get("roofs") or [] if roof["how"]]
    if measurement.get("bound"):
        found.append(("bound by", measurement["bound"]))
    found.append(("outputs checked", measurement["checked"] + (", vary by declaration" if measurement.get("varies") else "")))
    # Of a row that is not drawn the page is short: it names the command that tells the rest.
    if row.whole is not None:
        found += [("machine", line) for line in evidence_lines(measurement.get("evidence") or [])]
    if measurement.get("waited"):
        found.append(("waited", f"{format_quantity(measurement['waited']['seconds'], 's')} for {measurement['waited']['for']}"))
    if measurement.get("selfcheck") and row.whole is not None:
        found.append(("self-check", selfcheck_line(measurement["selfcheck"])))
    # The drawing of the kernels tells them in words too.
    found += profile_lines(measurement.get("profile") or {}, kernels=False)
    found += [("note", note) for note in measurement.get("notes") or []]
    return [(name, visible(text)) for name, text in found]


def recorded(row: Row, beside: Beside) -> str:
    """Return the values that the reference has for a row's measurement, with their origin; empty where it has none."""
    found = beside.find(row.case, row.measurement) if row.measurement else None
    values = found[1]["values"] if found else {}
    known = [text for text in (shown(name, values[name]) for name in COLUMNS if name in values) if text.known]
    return visible(f"{'; '.join(f'{text.name} {text.number}' for text in known)} ({beside.label})") if known else ""


def _row(case: Record, measurement: Record | None, beside: Beside) -> Row:
    values = measurement["values"] if measurement else {}
    cells = {name: shown(name, value) for name, value in values.items()}
    budget = tightest(case, measurement["name"]) if measurement else None
    verdict = own_verdict(case, measurement["name"]) if measurement else case["verdict"]
    margin = budget.get("margin") if budget else None
    numbers = [values[name].get("number") if name in values else None for name in COLUMNS]
    text = visible(f"{'' if budget['quantity'] == 'time' else _LABELS.get(budget['quantity'], budget['quantity']) + ' '}{_limit_text(budget)}") if budget else ""
    text = text or _first_wrong(case, measurement)
    reference = beside.cell(case, measurement) if measurement else ("", "")
    keys = tuple(key if key is not None and math.isfinite(key) else None for key in (_rank(verdict), numbers[0], margin, *numbers[1:]))
    return Row(case, measurement, visible(case["nodeid"]), verdict, word_of(case, verdict), cells, text, margin, *reference, keys)


def _first_wrong(case: Record, measurement: Record | None) -> str:
    """Return what is wrong with a case that measured nothing: its first failed check, short enough for a cell."""
    found = next((check for check in case["checks"] if check["verdict"] == FAIL), None) if measurement is None else None
    return visible(shorten(str(found["detail"]).removeprefix("NotIdentical: ").partition(",")[0], 40)) if found else ""


def _wrong(case: Record) -> bool:
    return any(check["verdict"] == FAIL for check in case["checks"])


def _limit_text(budget: Record) -> str:
    text, statistic = str(budget["text"]), budget.get("statistic") or "p50"
    return text if statistic in {"p50", "value"} or text.startswith("p") else f"{statistic} {text}"


def _as_time(budget: Record, values: Record) -> float | None:
    limit, value, quantity, statistic = budget["limit"], budget.get("value"), budget["quantity"], budget.get("statistic")
    if quantity == "time" and budget["unit"] == "s":
        return float(limit)
    # What a limit relates to the roof, or to the work, is the statistic that it is on: of a tail that is another time than the centre.
    time = values.get(f"time.{statistic}" if statistic in TAILS else "time", {}).get("number")
    if time is None or not value or not limit:
        return None
    if _is_rate(budget):
        return float(time * value / limit)
    return float(time * limit / value) if budget["unit"] == "x roof" and quantity in {"time", "x_roof"} else None


def _is_rate(budget: Record) -> bool:
    """Say whether more of what a limit is on is less time."""
    return budget["quantity"] in {"bandwidth", "tflops", "percent"} or (budget["quantity"] == "time" and budget["unit"] == "%")
