"""From the profiled run to Values: the counters of one measurement, each with what is known against it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.counters.combine import combine
from pytest_gpuperf.counters.honest import absorbed, apart
from pytest_gpuperf.counters.names import TIME, counter
from pytest_gpuperf.counters.reading import actions_of
from pytest_gpuperf.reasons import Reason, reason_record
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_gpuperf.counters.combine import Combined
    from pytest_gpuperf.counters.honest import Side
    from pytest_gpuperf.counters.names import Counter
    from pytest_gpuperf.counters.report import Action
    from pytest_gpuperf.counters.results import Profiled
    from pytest_gpuperf.values import Listener
    from pytest_gpuperf.work import Work

DRAM_READ, DRAM_WRITE, L2_WRITE = "dram__bytes_read.sum", "dram__bytes_write.sum", "lts__t_sectors_op_write.sum"
_SECTOR = 32
#: What every profiled run collects besides what was asked for: weights, and the bytes that Work is held against. They take no pass of their own.
ALWAYS = (TIME, DRAM_READ, DRAM_WRITE)


@dataclasses.dataclass(frozen=True)
class Lookup:
    """The counters of one measurement: what the profiled run has of it, or why it has nothing; and what the timed run knows of the body."""

    found: Profiled | Reason
    work: Work | None = None
    l2_bytes: int | None = None
    listener: Listener | None = None
    mig: bool = False

    @property
    def hole(self) -> Reason | None:
        """Why no counter of this measurement is known; None where some are."""
        return self.found if isinstance(self.found, Reason) else self.found.hole

    def value(self, row: Counter) -> Value:
        """Return a counter as a Value of source ncu; without a number, and with the reason, where it was not collected."""
        hole = self.hole
        if hole is not None or isinstance(self.found, Reason):
            return Value.missing(row.name, row.unit, "ncu", hole or Reason("not-collected"), self.listener)
        made = self._combined(row)
        if made is None or made.number is None:
            hole = Reason("not-collected") if made is None else made.hole
            if self.mig and hole is not None and hole.code == "no-such-counter":
                hole = Reason("mig", hole.detail)
            return Value.missing(row.name, row.unit, "ncu", hole or Reason("not-collected"), self.listener)
        reason = self._against(row, made.number)
        exact = row.exact and made.low == made.high
        return Value(made.number, made.unit, "ncu", made.low, made.high, reason=reason, name=row.name, exact=exact, listener=self.listener, samples=1, interval="all kernels within")

    def how(self, row: Counter) -> str:
        """Say how the kernels' values came to one: "single", "sum", "weighted by time"."""
        made = self._combined(row)
        return "" if made is None else made.how

    def _combined(self, row: Counter) -> Combined | None:
        """Return what the kernels come to; None where nobody collected it."""
        if isinstance(self.found, Reason) or self.found.hole is not None or any(name not in self.found.metrics for name in row.full):
            return None
        return combine(actions_of(self.found.record["kernels"], self.found.record["slug"]), [row])[row.name]

    def _against(self, row: Counter, number: float) -> Reason | None:
        """Say why a number is not what its name promises."""
        if self.l2_bytes is None or not any(name.startswith("dram__") and "write" in name for name in row.full):
            return None
        # A rate or a share is as wrong as the bytes that it is made of.
        bytes_row = counter(DRAM_WRITE)
        assert bytes_row is not None
        written = number if row.full == (DRAM_WRITE,) else self._number(bytes_row)
        return None if written is None else absorbed(written, self._declared(), self._kept(self.l2_bytes))

    def _kept(self, l2_bytes: int) -> int:
        """Return how many bytes L2 may have kept from DRAM in all: caches are flushed before every kernel, so each kernel leaves up to what it wrote, or L2 holds."""
        kernels = [] if isinstance(self.found, Reason) else self.found.record["kernels"]
        wrote = [one["values"].get(L2_WRITE) for one in kernels]
        return sum(l2_bytes if one is None else min(l2_bytes, int(one[0]) * _SECTOR) for one in wrote) if len(kernels) > 1 else l2_bytes

    def _declared(self) -> float | None:
        if self.work is not None and self.work.writes:
            return float(self.work.writes)
        return None if isinstance(self.found, Reason) else self.found.record.get("written")

    def _number(self, row: Counter | None) -> float | None:
        made = None if row is None else self._combined(row)
        return None if made is None else made.number

    def distrusted(self) -> list[Side]:
        """Return the sides of Work that are more than 10 % from the bytes that DRAM moved."""
        if self.work is None or not self.work.bytes or self.l2_bytes is None:
            return []
        return apart(self.work, self._number(counter(DRAM_READ)), self._number(counter(DRAM_WRITE)), self._kept(self.l2_bytes))

    def record(self, asked: Iterable[Counter]) -> dict[str, Any]:
        """Return what the run file has: every counter that was asked for, and where its kernels stand in the report; empty where nobody asked."""
        rows = {row.name: row for row in asked}
        if not rows:
            return {}
        if isinstance(self.found, Reason) or self.found.hole is not None:
            return {"counters": {name: self._told(row) for name, row in rows.items()}}
        rows = {row.name: row for row in map(counter, ALWAYS) if row is not None} | rows
        return {"counters": {name: self._told(row) for name, row in rows.items()}, "profiled": profiled_record(self.found)}

    def _told(self, row: Counter) -> dict[str, Any]:
        value, made = self.value(row), self._combined(row)
        reason = None if value.reason is None else reason_record(value.reason, row.name)
        # What is counted in a unit of ncu's own keeps its word: sectors are no bytes.
        unit = made.word if made is not None and made.word and value.unit == "1" else value.unit
        return {"number": value.number, "unit": unit, "how": self.how(row), "reason": reason}


def profiled_record(found: Profiled) -> dict[str, Any]:
    """Return where a measurement's kernels stand in the report, and what each of them counted where they are several."""
    record = found.record
    kernels = record["kernels"]
    told = [_kernel_record(action) for action in actions_of(kernels, record["slug"])]
    return {
        "slug": record["slug"], "report": record["report"], "command": show_command(record["report"], kernels),
        "kernels": told, "age_s": record.get("age_s"),
    }  # fmt: skip


def _kernel_record(action: Action) -> dict[str, Any]:
    """Return what the run file has of a kernel."""
    time = action.values.get(TIME)
    values = {name: one.number for name, one in action.values.items() if name != TIME}
    return {"name": action.kernel, "time_s": None if time is None else time.number, "values": values}


def show_command(report: str | None, kernels: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the command that shows one measurement's kernels in a report: they stand in it one after the other.

    >>> show_command("latest.ncu-rep", [{"at": 4}, {"at": 5}])
    'ncu --import latest.ncu-rep --launch-skip 4 --launch-count 2 --page details'
    """
    if report is None or not kernels:
        return None
    return f"ncu --import {report} --launch-skip {kernels[0]['at']} --launch-count {len(kernels)} --page details"
