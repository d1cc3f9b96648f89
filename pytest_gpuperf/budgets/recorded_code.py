"""Which limits the machine code of a run would be given: one for each architecture, with the compiler that it came from. Pure functions on a run dict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.budgets.plans import Fresh, Refused
from pytest_gpuperf.budgets.promised import promised
from pytest_gpuperf.format import format_quantity
from pytest_gpuperf.metrics import metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_gpuperf.budgets.collect import Budget
    from pytest_gpuperf.budgets.file import Row
    from pytest_gpuperf.metrics import Metric

#: The tools whose versions a number of the compiler's depends on, by their names in a toolchain.
COMPILERS = ("nvvm", "nvjitlink")


def is_code(quantity: str) -> bool:
    """Say whether a quantity is a fact of machine code."""
    row = metric(quantity)
    return row is not None and row.source == "compiler"


def fresh_code(case: dict[str, Any], name: str, own: Sequence[Row], wanted: Sequence[tuple[str, str]]) -> Iterator[Fresh | Refused | None]:
    """Yield, for the kernels of one measurement, a limit a quantity and architecture: the worst of its kernels, without a margin; None for one that stays.

    `own` are the tables of exactly this case and measurement.
    """
    kernels = [one for one in case.get("compiled") or () if name in one["measurements"]]
    for arch in dict.fromkeys(one["arch"] for one in kernels):
        here = [one for one in kernels if one["arch"] == arch]
        slots = [(one.limit.quantity, row, one) for row in own for one in row.budgets if is_code(one.limit.quantity) and one.glob.casefold() == arch]
        table = next((row for row in own if (row.device or "").casefold() == arch), None)
        known = {quantity for quantity, _, _ in slots}
        for quantity, row, old in [*slots, *((quantity, table, None) for quantity, _ in wanted if is_code(quantity) and quantity not in known)]:
            yield _limit(case, name, here, quantity, row, old)
    if not kernels:
        for quantity in (quantity for quantity, _ in wanted if is_code(quantity)):
            yield Refused(f"{'' if name == 'main' else name + ' '}{quantity} of {case['nodeid']}", "UNMEASURED: nothing was compiled for it in this session")


def _limit(case: dict[str, Any], name: str, kernels: Sequence[dict[str, Any]], quantity: str, row: Row | None, old: Budget | None) -> Fresh | Refused | None:
    arch, known = kernels[0]["arch"], metric(quantity)
    assert known is not None
    subject = f"{'' if name == 'main' else name + ' '}{quantity} of {case['nodeid']} on {arch}"
    hole = next((_hole(one, quantity) for one in kernels if quantity not in one["quantities"]), None)
    if hole is not None:
        return Refused(subject, hole)
    op = "<=" if known.better == "less" else ">="
    if old is not None and old.limit.op not in {op, op[0], "=="}:
        return Refused(subject, f"{old.limit.text!r} of {old.origin} is no such limit, and stays as it is")
    kept = promised(case, name, quantity, arch=arch) if old is None else None
    if kept is not None:
        return Refused(subject, kept)
    numbers = [one["quantities"][quantity] for one in kernels]
    number = max(numbers) if op == "<=" else min(numbers)
    toolchain = {tool: ".".join(kernels[0]["toolchain"][tool].split(".")[:2]) for tool in COMPILERS if kernels[0]["toolchain"].get(tool)}
    if old is not None and old.limit.number == number and (old.note is None or dict(old.note.toolchain) == toolchain):
        return None
    text = f"{old.limit.op if old is not None else op} {_written(number, known)}"
    of = None if name == "main" else name
    return Fresh(case["nodeid"], arch, of, quantity, "p50", text, f"measured {format_quantity(number, known.unit)}", toolchain, row, old)


def _written(number: float, row: Metric) -> str:
    return f"{number:.10g}" + ("" if row.unit == "1" else f" {row.unit}")


def _hole(kernel: dict[str, Any], quantity: str) -> str:
    if kernel["error"]:
        return f"{kernel['kernel']} was not compiled: {kernel['error'].splitlines()[0]}"
    reason = kernel["holes"].get(quantity) or {"verdict": "UNMEASURED", "code": "", "sentence": "there is no number"}
    return f"{reason['verdict']} {reason['code']}: {reason['sentence']}"
