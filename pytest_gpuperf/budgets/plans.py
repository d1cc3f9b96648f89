"""What is to be written into the file of budgets, and what is not."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gpuperf.budgets.collect import Budget
    from pytest_gpuperf.budgets.file import Row


@dataclasses.dataclass(frozen=True, slots=True)
class Fresh:
    """One limit to write: for which case, device, measurement (None: main) and quantity, its text, and what was measured.

    `row` is the table that it belongs into (None: a new one), `old` the limit that it replaces there, with `glob` the device glob of that.
    """

    nodeid: str
    device: str
    of: str | None
    quantity: str
    statistic: str
    text: str
    measured: str
    toolchain: dict[str, str] | None = None
    row: Row | None = None
    old: Budget | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """One value that gets no limit, and why."""

    subject: str
    why: str
