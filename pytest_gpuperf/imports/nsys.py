"""Traces of Nsight Systems: what calls and device work lie inside each NVTX range of an `nsys export` database, as measurements."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_gpuperf.errors import TraceError
from pytest_gpuperf.format import plural
from pytest_gpuperf.imports.nsys_read import START_END, read_calls, read_device, read_processes, read_ranges, read_waited, read_work
from pytest_gpuperf.imports.nsys_sweep import KERNEL, THREAD_BITS, Instances, Sums, Sweep
from pytest_gpuperf.imports.nsys_tables import CALLS, KERNELS, opened
from pytest_gpuperf.imports.nsys_values import Seen, measurement_of
from pytest_gpuperf.metrics import nearest
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from pytest_gpuperf.imports.nsys_read import Ranges
    from pytest_gpuperf.imports.nsys_tables import Export, Integers
    from pytest_gpuperf.measurement import Measurement

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_PID_MASK = (1 << 24) - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """A named NVTX range of one process: `domain` is empty for the default one, `unfinished` counts instances that never ended."""

    name: str
    domain: str
    process: int
    program: str
    instances: int
    unfinished: int = 0

    @property
    def label(self) -> str:
        """The name as nsys writes it, NAME@DOMAIN; the bare name in the default domain."""
        return f"{self.name}@{self.domain}" if self.domain else self.name

    def __str__(self) -> str:
        """Return the label with the process."""
        return f"{self.label!r} of process {self.process}" + (f" ({self.program})" if self.program else "")


@dataclasses.dataclass(frozen=True)
class _Swept:
    """What a trace was read into: for each range its instances, for each instance its numbers, and the work of the two ways to find it."""

    ranges: tuple[Range, ...]
    #: Instances of each range, in the order of their start.
    rows: tuple[Integers, ...]
    seen: Seen
    #: Sums of the instances of each lane, and the place of each instance in its lane; -1 in the other one.
    lanes: tuple[tuple[Sums, Integers], ...]
    kernels: dict[int, str]
    device: str | None
    notes: tuple[str, ...]


class Trace:
    """A trace that was read: `trace["name"]` is the Measurement of a range; `ranges` lists them, in the order of their first start."""

    def __init__(self, path: Path, swept: _Swept) -> None:
        """Made by `load`."""
        self.path, self._swept = path, swept
        self.ranges, self.notes, self.device = swept.ranges, swept.notes, swept.device

    def __repr__(self) -> str:
        """Say what it is of."""
        return f"Trace({self.path.name!r}: {plural(len(self.ranges), 'range')})"

    def __getitem__(self, name: str) -> Measurement:
        """Return the Measurement of the one range of a name, or of NAME@DOMAIN."""
        return self.measurement(name)

    def __iter__(self) -> Iterator[Range]:
        """Iterate over the ranges."""
        return iter(self.ranges)

    def measurement(self, name: str, *, domain: str | None = None, process: int | None = None, skip: int = 0) -> Measurement:
        """Return what the instances of one range say, less the first `skip` of them, which may have warmed up.

        Counts are those that all instances agree on, times are medians over the instances. TraceError where no range has that name, with the
        nearest, and where several have, with all of them: `domain` ("" for the default one) and `process` (its pid) tell them apart.
        """
        place = self._find(name, domain, process)
        chosen = self.ranges[place]
        if skip < 0 or (skip and skip >= chosen.instances):
            message = f"{self.path}: skip={skip}: range {chosen} has {plural(chosen.instances, 'instance')}"
            raise TraceError(message)
        return self._measured(place, skip)

    def measurements(self) -> Iterator[tuple[Range, Measurement]]:
        """Yield every range with its Measurement."""
        for place, one in enumerate(self.ranges):
            yield one, self._measured(place)

    def _measured(self, place: int, skip: int = 0) -> Measurement:
        chosen, rows = self.ranges[place], self._swept.rows[place][skip:]
        columns = {name: column[rows] for name, column in self._swept.seen.columns.items()}
        seen = dataclasses.replace(self._swept.seen, columns=columns, unfinished=chosen.unfinished)
        made = measurement_of(chosen.label, seen, f"range of process {chosen.process}, {self.path.name}", self.device)
        made.details |= {"trace": str(self.path), "process": chosen.process, "profile": {"source": "nsys", "kernels": self._kernels(rows)}}
        return made

    def _kernels(self, rows: Integers) -> list[dict[str, Any]]:
        """Return, for each kernel, how often the last instance launches it and its mean seconds an instance; the longest first."""
        count: dict[int, int] = {}
        total: dict[int, int] = {}
        for sums, place in self._swept.lanes:
            for some, into in ((rows[-1:], count), (rows, total)):
                mine = place[some][place[some] >= 0]
                inside = _joined_slices(sums.first[mine], sums.last[mine])
                kernels = inside[sums.work.kind[inside] == KERNEL]
                names, which = np.unique(sums.work.name[kernels], return_inverse=True)
                weights = None if into is count else (sums.work.end - sums.work.start)[kernels]
                for name, number in zip(names.tolist(), np.bincount(which, weights, len(names)).tolist(), strict=True):
                    into[name] = into.get(name, 0) + int(number)
        ordered = sorted(total, key=lambda name: -total[name])
        return [
            {"name": self._swept.kernels.get(name, f"kernel {name}"), "count": count.get(name, 0), "seconds": total[name] * 1e-9 / len(rows)} for name in ordered
        ]

    def _find(self, name: str, domain: str | None, process: int | None) -> int:
        named = [place for place, one in enumerate(self.ranges) if name in (one.name, one.label)]
        if not named:
            message = f"{self.path} has no range {name!r}{nearest(name, [one.label for one in self.ranges][:200])}"
            raise TraceError(message)
        found = [place for place in named if domain in (None, self.ranges[place].domain) and process in (None, self.ranges[place].process)]
        if len(found) == 1:
            return found[0]
        told = ", ".join(str(self.ranges[place]) for place in named)
        message = (
            f"{self.path} has {len(found)} ranges {name!r}: {told}; choose one by domain= or process="
            if found
            else f"{self.path} has no range {name!r} with domain={domain!r}, process={process!r}, but {told}"
        )
        raise TraceError(message)


def _joined_slices(first: Integers, last: Integers) -> Integers:
    """Return the indices of several slices, one after the other.

    >>> _joined_slices(np.array([2, 7]), np.array([4, 8])).tolist()
    [2, 3, 7]
    """
    sizes = last - first
    begins = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])[:-1]
    indices: Integers = np.arange(int(sizes.sum()), dtype=np.int64) + np.repeat(first - begins, sizes)
    return indices


def load(path: str | os.PathLike[str]) -> Trace:
    """Read an SQLite database that `nsys export --type sqlite` made; it is opened read-only.

    The Measurement of a range has `launches`, `kernels`, `memcpys`, `memsets`, `synchronizations`, `api_calls`, `api_time`, `busy_time`, `time`
    (first start to last end on the device) and `host_time` (of the range itself), from source "nsys". Calls belong to a push/pop range by their
    thread, to a start/end range by their process, and by the moment in which they begin; work on the device belongs where the call is that started it.

    Raises TraceError, in one line, for a file that is no such database, lacks a column that is needed, or has no NVTX ranges.
    """
    path = Path(path)
    with opened(path) as export:
        return Trace(path, _swept(export))


def _swept(export: Export) -> _Swept:
    ranges = read_ranges(export)
    calls = read_calls(export)
    work, orphans = read_work(export, calls)
    sweep = Sweep(calls, work, read_waited(export, calls))
    ended = np.flatnonzero(ranges.end >= ranges.start)
    count = len(ended)
    columns = {"host": (ranges.end - ranges.start)[ended]}
    lanes = []
    for whole_process in (False, True):
        mine = np.flatnonzero((ranges.kind[ended] == START_END) == whole_process)
        keys = ranges.thread[ended[mine]]
        sums = sweep.over(Instances(ranges.start[ended[mine]], ranges.end[ended[mine]], keys >> THREAD_BITS if whole_process else keys), whole_process=whole_process)
        for name, column in sums.columns.items():
            columns.setdefault(name, np.zeros(count, dtype=np.int64))[mine] = column
        place = np.full(count, -1, dtype=np.int64)
        place[mine] = np.arange(len(mine))
        lanes.append((sums, place))
    untraced = None if export.has(CALLS) else Reason("no-cuda-trace", "the trace has no table CUPTI_ACTIVITY_KIND_RUNTIME")
    found, rows = _ranges_of(ranges, ended, read_processes(export))
    notes = [_orphaned(orphans)] if orphans and untraced is None else []
    kernels = export.strings(np.unique(work.name[work.kind == KERNEL]))
    return _Swept(found, rows, Seen(columns, untraced, not export.has(KERNELS)), tuple(lanes), kernels, read_device(export), tuple(notes))


def _orphaned(count: int) -> str:
    if count == 1:
        return "1 record of the device has no call in the trace that started it, and is in no range"
    return f"{count:,} records of the device have no call in the trace that started them, and are in no range"


def _ranges_of(ranges: Ranges, ended: Integers, programs: dict[int, str]) -> tuple[tuple[Range, ...], tuple[Integers, ...]]:
    """Return the ranges in the order of their first start, and which of the ended instances are theirs."""
    every = np.bincount(ranges.group, minlength=len(ranges.groups))
    group, start = ranges.group[ended], ranges.start[ended]
    order = np.lexsort((start, group))
    bounds = np.searchsorted(group[order], np.arange(len(ranges.groups) + 1))
    first = np.full(len(ranges.groups), np.iinfo(np.int64).max)
    np.minimum.at(first, ranges.group, ranges.start)
    found, rows = [], []
    for one in np.argsort(first, kind="stable").tolist():
        process, domain, name = ranges.groups[one]
        mine = order[bounds[one] : bounds[one + 1]]
        found.append(Range(name, domain, process & _PID_MASK, programs.get(process, ""), len(mine), int(every[one]) - len(mine)))
        rows.append(mine)
    return tuple(found), tuple(rows)
