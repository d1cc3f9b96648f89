"""What the clock's table says: rows against their oracles, bars and what they came to; text and Markdown, from the JSON alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ABSOLUTE, RELATIVE = 0.15e-6, 0.03
_NCU_FROM = 5e-6
_FLOOR = 100e-6


def oracle(found: dict[str, Any], row: dict[str, Any], state: str) -> tuple[float | None, str]:
    """Return what a reading is held against, in seconds, and its name.

    >>> oracle({"device": {"l2_bytes": 60e6}}, {"footprint": 8192, "cupti": {"warm": {"seconds": 1e-6}}}, "warm")
    (1e-06, 'CUPTI')
    """
    if row["footprint"] < found["device"]["l2_bytes"] / 2:
        return row["cupti"][state]["seconds"], "CUPTI"
    return (row["back_to_back"], "back to back") if state in {"warm", "steady"} else (None, "")


def judged(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each of our readings beside its oracle: the difference in seconds, and whether it is within the larger of 0.15 us and 3 %."""
    for row in found["rows"]:
        for state, mine in row["ours"].items():
            known, name = oracle(found, row, state)
            # Above the L2 `steady` is the state that back-to-back launches are in; `warm` lets the last writes stay in the L2.
            if known is None or (state == "warm" and "steady" in row["ours"]):
                continue
            yield {"power": row["power"], "state": state, "oracle": name, "known": known, "ours": mine["time"], "differ": mine["time"] - known,
                   "kept": abs(mine["time"] - known) <= max(ABSOLUTE, RELATIVE * known)}  # fmt: skip


def bars(found: dict[str, Any]) -> list[tuple[str, str, bool | None]]:
    """Return every bar of the table: what is asked, what came, and whether it was kept (None: not measured)."""
    rows = found["rows"]
    held = list(judged(found))
    wide = max(held, key=lambda one: abs(one["differ"]) / max(ABSOLUTE, RELATIVE * one["known"])) if held else None
    made: list[tuple[str, str, bool | None]] = []
    text = "no oracle" if wide is None else f"{sum(one['kept'] for one in held)} of {len(held)} kept; widest 2^{wide['power']} {wide['state']}: {wide['differ'] * 1e6:+.3f} us on {wide['known'] * 1e6:.3f} ({wide['oracle']})"
    made.append(("ours within max(0.15 us, 3 %) of the oracle", text, all(one["kept"] for one in held) if held else None))
    less = [one | {"known": one["known"] - adds, "differ": one["differ"] + adds} for one in held if (adds := _adds(rows, one)) is not None]
    if less:
        wide = max(less, key=lambda one: abs(one["differ"]) / max(ABSOLUTE, RELATIVE * one["known"]))
        good = [abs(one["differ"]) <= max(ABSOLUTE, RELATIVE * one["known"]) for one in less]
        made.append(("the same less what the oracle adds to the kernel: CUPTI where its recording costs more than that (by our clock, off and on), back-to-back launches their gap (2^10)",
                     f"{sum(good)} of {len(good)} kept; widest 2^{wide['power']} {wide['state']}: {wide['differ'] * 1e6:+.3f} us on {wide['known'] * 1e6:.3f}", all(good)))  # fmt: skip
    pairs = [(row["power"], row["ours"]["cold-dirty"]["raw"] / row["peers"]["cuda-bench"]["seconds"] - 1) for row in rows if row["peers"]["cuda-bench"]["seconds"]]
    made.append(("raw cold-dirty within 1.5 % of cuda-bench's", ", ".join(f"2^{power} {100 * part:+.1f} %" for power, part in pairs), all(abs(part) <= 0.015 for _, part in pairs) if pairs else None))
    spread = [max(known) / min(known) - 1 for row in rows if len(known := [one for one in (row["peers"]["cuda-bench"]["seconds"], *row["cuda_bench_again"]) if one]) > 1]
    if spread:
        made.append(("(for comparison: cuda-bench against itself in three processes)", ", ".join(f"{100 * one:.1f} %" for one in spread), None))
    pairs = [(row["power"], row["ours"]["cold"]["time"] / row["ncu"]["seconds"] - 1) for row in rows if (row["ncu"]["seconds"] or 0) >= _NCU_FROM]
    made.append(("cold within 3 % of ncu's gpu__time_duration from 5 us up", ", ".join(f"2^{power} {100 * part:+.1f} %" for power, part in pairs), all(abs(part) <= 0.03 for _, part in pairs) if pairs else None))
    own = [row["ncu"]["warm"] - row["cupti"]["warm"]["seconds"] for row in rows if row["ncu"]["warm"] and row["cupti"]["warm"]["seconds"]]
    if own:
        constant = sum(own) / len(own)
        pairs = [(row["power"], row["ours"]["cold"]["time"] / (row["ncu"]["seconds"] - constant) - 1) for row in rows if (row["ncu"]["seconds"] or 0) >= _NCU_FROM]
        made.append((f"the same less ncu's own {constant * 1e6:.2f} us (its warm reading less CUPTI's, 2^10 to 2^17)", ", ".join(f"2^{power} {100 * part:+.1f} %" for power, part in pairs), all(abs(part) <= 0.03 for _, part in pairs) if pairs else None))
    walls = sorted(mine["wall"] for row in rows for mine in row["ours"].values() if mine["time"] <= _FLOOR)
    if walls:
        median = walls[len(walls) // 2]
        made.append(("median wall time of a measure of a kernel <= 100 us is <= 0.3 s", f"{median:.3f} s (least {walls[0]:.3f}, most {walls[-1]:.3f}); cuda-bench {found['cuda_bench_wall_s'] / max(len(rows), 1):.1f} s a point", median <= 0.3))
    large = [row for row in rows if "steady" in row["ours"] and row["footprint"] >= 1 << 31]
    for row in large:
        part = row["ours"]["steady"]["time"] / row["back_to_back"] - 1
        made.append((f"2 GB kernel (2^{row['power']}) under steady within 0.5 % of a bare loop", f"{100 * part:+.2f} %", abs(part) <= 0.005))
    return made


def _adds(rows: list[dict[str, Any]], one: dict[str, Any]) -> float | None:
    """Return what an oracle adds to the kernel, in seconds; None where that is not known.

    CUPTI: what a reading of ours grows by while it records, where that is above the bound (below it the readings' own scatter is all there is).
    Back-to-back launches: the gap between two, which one launch has not; read off the shortest kernel, whose time CUPTI knows.
    """
    row = next(row for row in rows if row["power"] == one["power"])
    if one["oracle"] == "CUPTI":
        adds = row["recording_adds"][one["state"]]
        return None if adds is None else adds if adds > max(ABSOLUTE, RELATIVE * one["known"]) else 0.0
    short = min(rows, key=lambda row: row["power"])
    known = short["cupti"]["warm"]["seconds"]
    if known is None:
        return None
    return 0.0 if one["state"] == "steady" else float(short["back_to_back"] - known)


def _columns(found: dict[str, Any]) -> list[str]:
    names = list(found["rows"][0]["peers"]) if found["rows"] else []
    return ["floats", "ours warm", "ours cold", "ours dirty", "ours steady", "CUPTI warm", "CUPTI cold", "CUPTI dirty", "back to back", "ncu cold", *names, "memset flush adds"]


def _cells(row: dict[str, Any]) -> list[str]:
    def us(seconds: float | None, digits: int = 2) -> str:
        return "-" if seconds is None else f"{seconds * 1e6:.{digits}f}"

    mine = row["ours"]
    cells = [f"2^{row['power']}", *(us(mine[state]["time"]) if state in mine else "-" for state in ("warm", "cold", "cold-dirty", "steady"))]
    cells += [us(row["cupti"][state]["seconds"]) for state in ("warm", "cold", "cold-dirty")]
    cells += [us(row["back_to_back"]), us(row["ncu"]["seconds"])]
    cells += [us(one["seconds"]) for one in row["peers"].values()]
    return [*cells, us(mine["cold-dirty"]["time"] - mine["cold"]["time"])]


def errors_of(found: dict[str, Any]) -> Iterator[list[str]]:
    """Yield each peer's error in percent of the oracle in the cache state that it measures; ours (warm) first."""
    names = list(found["rows"][0]["peers"])
    yield ["floats", "ours", *names]
    for row in found["rows"]:
        def error(seconds: float | None, state: str, row: dict[str, Any] = row) -> str:
            known, _ = oracle(found, row, state)
            if known is None:
                known = row["back_to_back"]
            return "-" if seconds is None or known is None else f"{100 * (seconds / known - 1):+.0f} %"

        mine = row["ours"].get("steady", row["ours"]["warm"])["time"]
        yield [f"2^{row['power']}", error(mine, "warm"), *(error(one["seconds"], one["cache"]) for one in row["peers"].values())]


def lines_of(found: dict[str, Any]) -> Iterator[str]:
    """Yield the table as text."""
    table = [_columns(found), *(_cells(row) for row in found["rows"])]
    yield from _aligned(table)
    yield ""
    yield "error beside the oracle of the same cache state"
    yield from _aligned(list(errors_of(found)))
    yield ""
    for one in judged(found):
        yield f"2^{one['power']} {one['state']}: {one['ours'] * 1e6:.3f} us, {one['oracle']} {one['known'] * 1e6:.3f}, {one['differ'] * 1e6:+.3f}{'' if one['kept'] else '  MISSED'}"
    for what, came, kept in bars(found):
        yield f"{'kept  ' if kept else 'not measured' if kept is None else 'MISSED'} {what}: {came}"


def markdown_of(found: dict[str, Any]) -> str:
    """Return the table for the documentation."""
    device = found["device"]
    made = [f"{device['name']}, driver {device['driver']}, {found['date']}, commit {found['commit'] or 'unknown'}; {', '.join(f'{name} {version}' for name, version in found['versions'].items())}.", ""]
    made += _grid([_columns(found), *(_cells(row) for row in found["rows"])])
    made += ["", "Error of each timer beside the oracle of the cache state that it measures:", ""]
    made += _grid(list(errors_of(found)))
    made += ["", *_grid([["bar", "measured", "kept"], *([what, came, "yes" if kept else "not measured" if kept is None else "no"] for what, came, kept in bars(found))]), ""]
    return "\n".join(made)


def page_of(found: dict[str, Any]) -> str:
    """Return docs/clock-table.md."""
    head = "# The clock beside its peers and its oracles\n\nWritten by `benchmarks/clock.py`; microseconds; [clock.md](clock.md) says what the columns are worth.\n\n"
    return f"{head}{markdown_of(found).rstrip()}\n"


def _aligned(table: list[list[str]]) -> Iterator[str]:
    widths = [max(len(line[place]) for line in table) for place in range(len(table[0]))]
    for line in table:
        yield "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))


def _grid(table: list[list[str]]) -> list[str]:
    head, *rest = table
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(line)} |" for line in rest)]
