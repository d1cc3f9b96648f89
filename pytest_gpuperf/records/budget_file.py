"""What a run says of its file of budgets: for each table what became of its limits."""

from __future__ import annotations

from typing import Any


def used(file: dict[str, Any], collected: dict[str, Any], cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of a file with what became of its limits.

    Of each limit, how many of the cases that ended it was the nearest for (`ran`) and in how many it was judged (`judged`); of each known miss, in how many
    cases it excused, was kept, was exceeded or could not be told, and in how many there was a limit that it is about (`subjects`).
    """
    asked: dict[tuple[Any, ...], int] = {}
    judged: dict[tuple[Any, ...], int] = {}
    known: dict[str, dict[str, set[str]]] = {}
    for case in cases:
        if case["outcome"] is None:
            continue
        said = collected.get(case["nodeid"])
        for key in {_key(one) for one in said} if isinstance(said, list) else ():
            asked[key] = asked.get(key, 0) + 1
        for key in {_key(one) for one in case["budgets"]}:
            judged[key] = judged.get(key, 0) + 1
        for budget in case["budgets"]:
            about = budget.get("known")
            if about:
                known.setdefault(about["origin"], {}).setdefault(_became(budget), set()).add(case["nodeid"])
    rows = []
    for row in file.get("rows", []):
        limits = [{**one, "ran": asked.get((row["origin"], *_limit(one)), 0), "judged": judged.get((row["origin"], *_limit(one)), 0)} for one in row["limits"]]
        met = {name: len(found) for name, found in known.get(row["origin"], {}).items()}
        rows.append({**row, "limits": limits, "met": met})
    return {**file, "rows": [row for row in rows if not _plain(row)]}


def _plain(row: dict[str, Any]) -> bool:
    """Say whether there is nothing to tell of a table: each of its limits was judged, is for another device, or is of tests that did not run."""
    told = (one["here"] and (not one["chosen"] or (one["ran"] and not one["judged"])) for one in row["limits"])
    return row["kind"] == "budget" and bool(row["cases"]) and not any(told)


def _became(budget: dict[str, Any]) -> str:
    return "excused" if budget["known"]["excused"] else {"PASS": "kept", "FAIL": "exceeded"}.get(budget["verdict"], "undecided")


def _key(budget: dict[str, Any]) -> tuple[Any, ...]:
    return budget.get("origin"), *_limit(budget)


def _limit(budget: dict[str, Any]) -> tuple[Any, ...]:
    return budget.get("quantity"), budget.get("statistic") or "p50", budget.get("text")


def joined(files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one record of the file for shards that read the same one: of a table there is something to tell where there is in each of them."""
    last = files[-1]
    by_origin = [{(row["origin"], row["test"], len(row["limits"])): row for row in one["rows"]} for one in files]
    rows = []
    for key in by_origin[-1]:
        if not all(key in one for one in by_origin):
            continue
        same = [one[key] for one in by_origin]
        limits = [_added(list(limits), ("ran", "judged")) for limits in zip(*(row["limits"] for row in same), strict=True)]
        met = {name: sum(row.get("met", {}).get(name, 0) for row in same) for row in same for name in row.get("met", {})}
        # Each shard collects all of the tests and runs its own, or collects its own: then none has looked at all of them.
        cases = max(row["cases"] for row in same)
        rows.append({**same[-1], "limits": limits, "met": met, "cases": cases, "looked": all(row["looked"] for row in same)})
    return {**last, "rows": rows}


def _added(limits: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, Any]:
    return {**limits[-1], **{name: sum(one.get(name, 0) for one in limits) for name in names}}
