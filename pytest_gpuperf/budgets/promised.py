"""What of a case's limits a recorded one must not stand before: it would say more of test and device, and so replace what somebody promised. Pure functions on a run dict."""

from __future__ import annotations

from typing import Any

from pytest_gpuperf.counters.names import canonical
from pytest_gpuperf.reasons import FAIL, NOT_APPLICABLE


def promised(case: dict[str, Any], measurement: str, quantity: str, statistic: str = "p50", share: float = 0.0, arch: str = "") -> str | None:
    """Return why a new table for one quantity is refused: the limit of the file that holds for it now is stricter than the new one would be; None where none is.

    `share` is the new limit's margin, as a fraction of what was measured.

    >>> budget = {"measurement": "main", "quantity": "time", "statistic": "p50", "note": "", "verdict": "PASS", "op": "<=", "limit": 20e-6, "low": 19e-6, "high": 19.5e-6, "text": "<= 20 us", "origin": "gpuperf.toml:1"}
    >>> promised({"budgets": [budget]}, "main", "time", share=0.05)
    'gpuperf.toml:1 is stricter (<= 20 us), and a table of its own would stand before it: change it there'
    >>> promised({"budgets": [budget]}, "main", "time", share=0.01) is None
    True
    """
    for one in case["budgets"]:
        about = one["measurement"] == measurement and canonical(one["quantity"]) == canonical(quantity) and (one["statistic"] or "p50") == statistic
        elsewhere = arch and one.get("subject") and not one["subject"].endswith(f" on {arch}")
        if about and not elsewhere and "note" in one and one["verdict"] != NOT_APPLICABLE and (one["verdict"] == FAIL or _stricter(one, share)):
            return f"{one['origin']} is stricter ({one['text']}), and a table of its own would stand before it: change it there"
    return None


def _stricter(one: dict[str, Any], share: float) -> bool:
    """Say whether a limit lies within the margin of what was measured, in the limit's own unit."""
    if one["limit"] is None or one["low"] is None or one["high"] is None:
        return False
    if one["op"] in {"<=", "<"}:
        return bool(one["high"] * (1 + share) > one["limit"])
    return bool(one["op"] in {">=", ">"} and one["low"] * (1 - share) < one["limit"])
