"""What a profiler added to a measurement, in words: the self-check of the sources, kernels by name, the lines that wait."""

from __future__ import annotations

from typing import Any

from pytest_gpuperf.format import format_quantity, plural, shorten

#: Rows of each kind that the page shows, and characters of a kernel's name.
_ROWS = 6
_NAME = 60


def selfcheck_line(check: dict[str, Any]) -> str:
    """Write the self-check in one line.

    >>> selfcheck_line({"why": "", "device": 5.0e-6, "cupti": 5.1e-6, "low": -3e-7, "high": 3e-7, "calls": 20, "agrees": True})
    'device clock 5.000 us, CUPTI 5.100 us (20 calls): they agree, CUPTI may be -300.0 ns to 300.0 ns off'
    >>> selfcheck_line({"why": "a steady sample is a batch"})
    'not made: a steady sample is a batch'
    """
    if check.get("why"):
        return f"not made: {check['why']}"
    device, cupti, low, high = (format_quantity(check[name], "s") for name in ("device", "cupti", "low", "high"))
    verdict = "they agree" if check["agrees"] else "they disagree"
    return f"device clock {device}, CUPTI {cupti} ({plural(check['calls'], 'call')}): {verdict}, CUPTI may be {low} to {high} off"


def profile_lines(profile: dict[str, Any], *, kernels: bool = True) -> list[tuple[str, str]]:
    """Write a profiled pass as (name, text) pairs: kernels where they are wanted, copies, calls that wait.

    >>> kernel = {"name": "add", "count": 2, "seconds": 4e-6}
    >>> profile_lines({"calls": 8, "kernels": [kernel], "copies": [], "waits": [{"call": "cuCtxSynchronize", "site": "test_a.py:3", "count": 1}]})
    [('kernels (CUPTI)', '2x add 4.000 us'), ('waits (CUPTI)', 'cuCtxSynchronize at test_a.py:3')]
    >>> profile_lines({"calls": 0, "why": "UNMEASURED no-cupti: ..."})
    []
    """
    ran = [f"{one['count']}x {shorten(one['name'], _NAME)} {format_quantity(one['seconds'], 's')}" for one in profile.get("kernels") or [] if kernels]
    copies = [f"{one['kind']} {format_quantity(one['bytes'], 'B')}" for one in profile.get("copies") or []]
    waits = [f"{one['call']} at {one['site']}" + (f", {one['count']} times" if one["count"] > 1 else "") for one in profile.get("waits") or []]
    found = [("kernels (CUPTI)", ran), ("copies and memsets (CUPTI)", copies), ("waits (CUPTI)", waits)]
    return [(name, "; ".join(rows[:_ROWS]) + (f"; and {len(rows) - _ROWS} more" if len(rows) > _ROWS else "")) for name, rows in found if rows]
