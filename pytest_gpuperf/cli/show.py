"""gpuperf show: a run as text, a case over all runs, or a trace of nsys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.format import format_quantity, visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

#: What every SQLite database begins with.
_DATABASE = b"SQLite format 3\0"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="RUN|CASE", help="a run file (reports/runs/*.json), a journal (*.jsonl), a directory of journals, or the database of nsys export --type sqlite; a node id, or a part of one, for its trend over all runs")
    parser.add_argument("case", nargs="?", metavar="CASE", help="a node id or the name of a range, or a part of one (default: all)")
    parser.add_argument("--history", type=Path, default=Path("reports/runs"), metavar="DIR", help="the run files of a trend (default: reports/runs)")
    parser.add_argument("--quantity", default="time", metavar="NAME", help="what a trend is of, as registers or dram__bytes_write.sum (default: time)")
    parser.add_argument("--last", type=int, default=30, metavar="COUNT", help="how many runs of a trend are listed (default: 30)")


def run(options: argparse.Namespace) -> int:
    """Print the cases, or the ranges of a trace."""
    from pytest_gpuperf.cli.output import remark, say

    if options.case is None and names_case(options.file):
        from pytest_gpuperf.reference.index import Index
        from pytest_gpuperf.reference.trend import trend_lines

        with Index(options.history) as index:
            remark("show", index.said)
            say(list(trend_lines(index, str(options.file), options.quantity, max(1, options.last))))
        return 0
    if is_trace(options.file):
        from pytest_gpuperf.cli.traces import trace_lines

        say(trace_lines(options.file, options.case))
        return 0
    from pytest_gpuperf.records.runfile import load
    from pytest_gpuperf.report.qualified import qualification_lines

    told = load(options.file)
    cases = chosen(told["cases"], options.case, options.file)
    lines = [] if options.case else list(head(told))
    for case in cases:
        lines += case_lines(case)
    if not options.case:
        lines += ["", *qualification_lines(told, 1)] if told.get("qualification") else []
        lines += tail(told)
    say(lines)
    return 0


#: Endings of what this verb reads; a test's own file is no run.
_FILES = frozenset({".json", ".jsonl", ".sqlite", ".nsys-rep", ".qdrep"})


def names_case(path: Path) -> bool:
    """Say whether what was typed is a case and not a file: it has "::", or nothing of that name is there and no run is named so.

    >>> [names_case(Path(text)) for text in ("tests/test_a.py::test_b[x.json]", "test_b", "gone.json", ".")]
    [True, True, False, False]
    """
    return "::" in str(path) or path.suffix == ".py" or not (path.suffix in _FILES or "/" in str(path) or path.exists())


def is_trace(path: Path) -> bool:
    """Say whether a file is for the reader of traces: an SQLite database by its first bytes, or named as a file of nsys."""
    if path.suffix in {".sqlite", ".nsys-rep", ".qdrep"}:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_DATABASE)) == _DATABASE
    except OSError:
        # What cannot be opened is told by whoever reads run files.
        return False


def chosen(cases: list[dict[str, Any]], wanted: str | None, file: Path) -> list[dict[str, Any]]:
    """Return the cases of which `wanted` is the node id or, where none has it, a part; RunFileError names the nearest."""
    if wanted is None:
        return cases
    exact = [case for case in cases if case["nodeid"] == wanted]
    found = exact or [case for case in cases if wanted in case["nodeid"]]
    if found:
        return found
    import difflib

    names = {case["nodeid"].rpartition("::")[2]: case["nodeid"] for case in cases}
    near = difflib.get_close_matches(wanted.rpartition("::")[2], names, 1, 0.4)
    message = f"no case {wanted!r} among the {len(cases)} of {file}" + (f"; nearest {names[near[0]]!r}" if near else "")
    raise RunFileError(message)


def head(run: dict[str, Any]) -> Iterator[str]:
    """Yield what the run is: when, on what, from which commit."""
    about = run["run"]
    dirty = " with changes" if about["dirty"] else ""
    state = "" if about["complete"] else ", ended before its end"
    yield f"run {about['id']} of {about['started']}{state}: commit {about['commit'] or 'unknown'}{dirty}, python {about['python']}"
    for device in run["devices"]:
        yield f"device {device['name']} ({device['uuid']}), driver {device['driver']}"
    if not run["devices"]:
        yield "no GPU" + (", numba's simulator" if about["simulator"] else "")


def case_lines(case: dict[str, Any]) -> Iterator[str]:
    """Yield a case: its verdict, why, its checks, what was measured and what was judged."""
    again = f" (attempt {case['attempt']})" if case["attempt"] > 1 else ""
    yield ""
    yield f"{case['verdict']:<14} {case['nodeid']}{again}"
    if case["error"]:
        yield f"    error: {case['error'].splitlines()[0]}"
    for reason in case["reasons"]:
        yield f"    {reason_text(reason)}"
    for check in case["checks"]:
        name = check["name"] or ""
        titled = name if name.startswith(check["kind"]) else f"{check['kind']} {name}"
        yield f"    {titled}: {check['verdict']} {check['detail'] or ''}".rstrip()
    for measurement in case["measurements"]:
        yield f"  {measurement['name']} ({', '.join(part for part in (measurement['cache'], measurement['body']) if part)})"
        width = max((len(quantity) for quantity in measurement["values"]), default=0)
        for quantity, value in measurement["values"].items():
            yield f"    {quantity:<{width}}  {value_text(value)}"
        yield from counter_lines(measurement)
        yield from detail_lines(case, measurement)
        for note in measurement["notes"]:
            yield f"    note: {note}"
    for budget in case["budgets"]:
        yield f"  budget {budget_text(budget)}"


def detail_lines(case: dict[str, Any], measurement: dict[str, Any]) -> Iterator[str]:
    """Yield what else is known of a measurement: the machine, the self-check, what a profiled pass saw, the machine code of its kernels, the case's ranges."""
    from pytest_gpuperf.report.details import code_lines
    from pytest_gpuperf.report.evidence import evidence_lines
    from pytest_gpuperf.report.profiled import profile_lines, selfcheck_line

    told = [("machine", line) for line in evidence_lines(measurement.get("evidence") or [])]
    told += [("self-check", selfcheck_line(measurement["selfcheck"]))] if measurement.get("selfcheck") else []
    told += profile_lines(measurement.get("profile") or {})
    told += [("machine code", line) for line in code_lines(case, measurement)]
    events = (case.get("ranges") or {}).get("events", ())
    for name, kept in (("steps", [one for one in events if one["kind"] == "step" and one["lane"] == measurement["name"]]), ("ranges", [one for one in events if one["kind"] == "range"])):
        told += [(name, ", ".join(f"{one['name']} {format_quantity(one['duration_s'], 's')}" for one in kept))] if kept else []
    yield from (f"    {visible(name)}: {visible(line)}" for name, line in told)


def counter_lines(measurement: dict[str, Any]) -> Iterator[str]:
    """Yield the counters of a measurement, under a line that says where they come from."""
    counters = measurement.get("counters") or {}
    if not counters:
        return
    from pytest_gpuperf.report.counters import HEADING, NOTHING, age_of, written

    profiled = measurement.get("profiled") or {}
    age = age_of(profiled.get("age_s"))
    yield f"    {HEADING if profiled else NOTHING}" + (f", {age}" if age else "")
    width = max(map(len, counters))
    for name, one in counters.items():
        known = "" if one["number"] is None else written(one["number"], one["unit"])
        yield f"      {name:<{width}}  " + "; ".join(part for part in (known, one["how"] or "", reason_text(one["reason"]) if one["reason"] else "") if part)


def tail(run: dict[str, Any]) -> Iterator[str]:
    """Yield the account and what contradicts it."""
    account = run["account"]
    counts = ", ".join(f"{name} {number}" for name, number in account.items() if name != "collected")
    from pytest_gpuperf.report.counters import counters_line

    yield ""
    if run.get("counters"):
        yield counters_line(run)
    yield f"budgets: {account['collected']} collected = {counts}"
    for line in (*run.get("notes", ()), *run.get("problems", ())):
        yield f"note: {line}"


def value_text(value: dict[str, Any]) -> str:
    """Return a value with its interval, or why there is none; four significant digits.

    >>> value_text({"unit": "s", "source": "device", "number": 1.342e-5, "low": 1.331e-5, "high": 1.36e-5, "systematic": None, "reason": None})
    '13.42 us (13.31 us .. 13.60 us), device'
    """
    number, unit = value["number"], value["unit"]
    if number is None:
        return reason_text(value["reason"]) if value["reason"] else "not measured"
    text = format_quantity(number, unit)
    if value["low"] is not None and value["high"] is not None and unit != "1":
        text += f" ({format_quantity(value['low'], unit)} .. {format_quantity(value['high'], unit)})"
    if value["systematic"]:
        text += f" +- {format_quantity(value['systematic'], unit)} systematic"
    if value["source"]:
        text += f", {value['source']}"
    return f"{text}; {reason_text(value['reason'])}" if value["reason"] else text


def reason_text(reason: dict[str, Any]) -> str:
    """Return a reason in one line."""
    subject = f"{reason['subject']}: " if reason.get("subject") else ""
    return f"{subject}{reason['verdict']} {reason['code']}: {reason['sentence']} ({reason['next_step']})"


def budget_text(budget: dict[str, Any]) -> str:
    """Return a budget in one line: what was asked and where, the verdict, and how it came to that."""
    from pytest_gpuperf.report.budget_file import excused, origin_of

    subject = " ".join(part for part in (budget["measurement"], budget["quantity"]) if part)
    told = budget["message"] or (reason_text(budget["reason"]) if budget["reason"] else "")
    known = f"; known: {budget['known']['text']} [{budget['known']['origin']}]" if excused(budget) else ""
    return f"{subject} {budget['text']}{origin_of(budget)}: {budget['verdict']}" + (f"; {told.splitlines()[0]}" if told else "") + known
