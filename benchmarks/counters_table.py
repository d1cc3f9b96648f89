"""What the table of counters says: what a case costs, bars and what they came to, A/A of the times; text and Markdown, from the JSON alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.qualify.rule import judge, pair
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that a case may cost beside the one start.
BAR = 0.3
#: Times within this share of each other, by the whole interval of their ratio, are the same.
THRESHOLD = 0.02
SAME, DIFFERENT, UNDECIDED = "SAME", "DIFFERENT", "UNDECIDED"


def same(without: dict[str, Any], with_pass: dict[str, Any]) -> list[dict[str, Any]]:
    """Hold the times of the same cases of two runs against each other, by the rule of the gate, in both directions."""
    before = {case["nodeid"]: case for case in without["cases"]}
    found = []
    for case in with_pass["cases"]:
        old, new = (_time(one) for one in (before[case["nodeid"]], case))
        ratio = pair(case["nodeid"], "processes", 0.0, old, new)
        verdicts = {judge(pair(case["nodeid"], "processes", 0.0, *two), THRESHOLD) for two in ((old, new), (new, old))}
        verdict = SAME if verdicts == {"PASS"} else DIFFERENT if "FAIL" in verdicts else UNDECIDED
        found.append({"case": case["nodeid"], "without": old.number, "with": new.number, "ratio": ratio.ratio, "low": ratio.low, "high": ratio.high, "verdict": verdict})
    return found


def _time(case: dict[str, Any]) -> Value:
    """Rebuild a time from its record: two processes, so each has a calibration of its own."""
    told = case["measurements"][0]["values"]["time"]
    if told["number"] is None or told["reason"] is not None:
        return Value.missing("time", "s", "device", Reason(told["reason"]["code"], told["reason"]["sentence"]))
    return Value(told["number"], "s", told["source"] or "device", told["low"], told["high"], {f"clock {id(case)}": told["systematic"] or 0.0}, None, "time")


def cost(found: dict[str, Any]) -> tuple[float, float]:
    """Return what a pass costs, in seconds: once, and for each case; the least-squares line through the sizes.

    >>> start, each = cost({"rows": [{"cases": n, "without": 10.0, "with": 17.0 + 0.2 * n} for n in (5, 20, 50)]})
    >>> round(start, 3), round(each, 3)
    (7.0, 0.2)
    """
    points = [(row["cases"], row["with"] - row["without"]) for row in found["rows"]]
    mean_x, mean_y = (sum(part) / len(points) for part in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    each = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    return mean_y - each * mean_x, each


def by_hand(found: dict[str, Any]) -> float:
    """Return the seconds of one ncu run, the mean of those that were made."""
    return float(sum(found["alone"]) / len(found["alone"]))


def bars(found: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Return every bar: what is asked, what came, and whether it was kept."""
    start, each = cost(found)
    counts = {verdict: sum(one["verdict"] == verdict for one in found["pairs"]) for verdict in (SAME, UNDECIDED, DIFFERENT)}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    widest = max((one for one in found["pairs"] if one["ratio"]), key=lambda one: abs(one["ratio"] - 1), default=None)
    ratio = f"; furthest {widest['ratio']:.4f} ({widest['low']:.4f}..{widest['high']:.4f})" if widest else ""
    return [
        (f"a case costs at most {BAR} s beside one start", f"{each:.3f} s a case, {start:.1f} s once", each <= BAR),
        ("one start of ncu a session", ", ".join(str(row["starts"]) for row in found["rows"]), all(row["starts"] == 1 for row in found["rows"])),
        ("every case was counted, and right", ", ".join(f"{row['counted']} of {row['cases']}" for row in found["rows"]), all(row["counted"] == row["cases"] for row in found["rows"])),
        (f"times with and without the pass are the same (A/A, {100 * THRESHOLD:.0f} %)", f"{said}{ratio}", counts[DIFFERENT] == 0 and counts[SAME] > 0),
    ]


def _table(found: dict[str, Any]) -> list[list[str]]:
    one = by_hand(found)
    made = [["cases", "without", "with", "more", "more a case", "the pass itself", "starts of ncu", f"one ncu run a case ({len(found['alone'])} made, extrapolated)"]]
    for row in found["rows"]:
        more = row["with"] - row["without"]
        made.append([
            str(row["cases"]), f"{row['without']:.1f} s", f"{row['with']:.1f} s", f"{more:.1f} s", f"{more / row['cases']:.2f} s",
            "-" if row["pass"] is None else f"{row['pass']:.1f} s", str(row["starts"]), f"{one * row['cases']:.0f} s",
        ])  # fmt: skip
    return made


def lines_of(found: dict[str, Any]) -> Iterator[str]:
    """Yield the table as text."""
    yield f"{found['device']['name']}, driver {found['device']['driver']}, ncu {found['ncu']}, {found['metric']}, commit {found['commit'] or 'unknown'}"
    table = _table(found)
    widths = [max(len(line[place]) for line in table) for place in range(len(table[0]))]
    for line in table:
        yield "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
    yield f"one ncu run by itself: {', '.join(f'{seconds:.1f}' for seconds in found['alone'])} s"
    for what, came, kept in bars(found):
        yield f"{'kept  ' if kept else 'MISSED'} {what}: {came}"


def page_of(found: dict[str, Any]) -> str:
    """Return docs/counters-table.md."""
    head, *rest = _table(found)
    made = ["# What counters cost", "", "Written by `benchmarks/counters.py`; wall times of whole sessions; every case has a kernel of its own. [counters.md](counters.md) says how counters are used.", ""]
    made += [f"{found['device']['name']}, driver {found['device']['driver']}, ncu {found['ncu']}, {found['date']}, commit {found['commit'] or 'unknown'}; `{found['metric']}`.", ""]
    made += [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(line)} |" for line in rest), ""]
    made += ["| bar | measured | kept |", "|---|---|---|", *(f"| {what} | {came} | {'yes' if kept else 'no'} |" for what, came, kept in bars(found)), ""]
    return "\n".join(made)
