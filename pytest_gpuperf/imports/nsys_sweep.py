"""Which calls and which device work lie inside which range: sorted columns and running sums, no loop over records."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

KERNEL, MEMCPY, MEMSET, GRAPH = range(4)
#: The low bits of a serialised thread id; what is above them is the process.
THREAD_BITS = 24


@dataclasses.dataclass(frozen=True, slots=True)
class Calls:
    """Calls of CUDA by column, sorted by (thread, start), longest first; times in ns, threads as nsys serialises them.

    `waits`, `launches`, `captures` (+1 where a capture begins, -1 where it ends) and `failed` are read off names and return values.
    """

    start: Integers
    end: Integers
    thread: Integers
    correlation: Integers
    waits: Flags
    launches: Flags
    captures: Integers
    failed: Flags

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.start)


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """Work on the device by column: times in ns, one of KERNEL, MEMCPY, MEMSET and GRAPH, the kernel's name as an id, and the call that started it."""

    start: Integers
    end: Integers
    kind: Integers
    name: Integers
    call: Integers


@dataclasses.dataclass(frozen=True, slots=True)
class Instances:
    """Instances of ranges by column: `key` is a thread, or a process where calls of all its threads belong to them."""

    start: Integers
    end: Integers
    key: Integers


@dataclasses.dataclass(frozen=True, slots=True)
class Sums:
    """What lies in each instance, one array a quantity; times in ns. `span` is -1 where no work is, `lost` counts launches without their work.

    `first` and `last` bound the work of each instance in `work`, which is in the order of the calls that started it.
    """

    columns: dict[str, Integers]
    first: Integers
    last: Integers
    work: Work


def order_of(calls_start: Integers, calls_end: Integers, thread: Integers) -> Integers:
    """Return the order that Calls has: by thread, then start, the longer call first, so that an outer call stands before its inner ones."""
    return np.lexsort((-calls_end, calls_start, thread))


def outermost(calls: Calls) -> Flags:
    """Say of each call whether no other one of its thread made it: the runtime calls the driver, and that is one call.

    >>> made = Calls(*(np.array(column) for column in ([0, 2, 9], [8, 3, 10], [1, 1, 1], [5, 6, 7], [0, 1, 0], [0] * 3, [0] * 3, [0] * 3)))
    >>> outermost(made).tolist()
    [True, False, True]
    """
    found = np.ones(calls.count, dtype=np.bool_)
    for begin, end in _groups(calls.thread):
        reached = np.maximum.accumulate(calls.end[begin:end])
        found[begin + 1 : end] = calls.start[begin + 1 : end] >= reached[:-1]
    return found


def _groups(keys: Integers) -> list[tuple[int, int]]:
    """Return the bounds of runs of equal keys."""
    if not keys.size:
        return []
    edges = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    bounds = [0, *edges.tolist(), len(keys)]
    return list(itertools.pairwise(bounds))


def joined(calls: Calls, process: Integers, correlation: Integers) -> Integers:
    """Return, for each record of the device, which call has its process and its correlation; -1 for none, as for a correlation of 0.

    >>> made = Calls(*(np.array(column) for column in ([0, 2], [1, 3], [1 << 24, 2 << 24], [5, 5], [0] * 2, [0] * 2, [0] * 2, [0] * 2)))
    >>> joined(made, np.array([2, 1, 1]), np.array([5, 5, 6])).tolist()
    [1, 0, -1]
    """
    if not calls.count:
        return np.full(len(process), -1, dtype=np.int64)
    known = np.unique(calls.thread >> THREAD_BITS)
    place = np.searchsorted(known, process)
    place[place == len(known)] = 0
    theirs = known[place] == process
    width = np.int64(max(int(calls.correlation.max()), int(correlation.max(initial=0))) + 1)
    keys = np.searchsorted(known, calls.thread >> THREAD_BITS) * width + calls.correlation
    order = np.argsort(keys, kind="stable")
    wanted = place * width + correlation
    found = np.searchsorted(keys[order], wanted)
    found[found == calls.count] = 0
    at = order[found]
    return np.where(theirs & (correlation > 0) & (keys[at] == wanted), at, -1)


class Sweep:
    """Calls with the work they started, ready to be summed over ranges."""

    def __init__(self, calls: Calls, work: Work, waited: Integers) -> None:
        """Settle what is true of each call by itself; `waited` are calls of which a record of its own says that the host waited."""
        self._calls, self._work = calls, work
        outer = outermost(calls)
        owner = np.maximum.accumulate(np.where(outer, np.arange(calls.count), 0)) if calls.count else np.zeros(0, dtype=np.int64)
        waits = calls.waits & outer
        waits[owner[waited]] = True
        fruitful = np.zeros(calls.count, dtype=np.bool_)
        fruitful[owner[work.call]] = True
        capturing = np.zeros(calls.count, dtype=np.bool_)
        for begin, end in _groups(calls.thread):
            capturing[begin:end] = np.cumsum(calls.captures[begin:end]) > 0
        self._per_call: dict[str, Integers] = {
            "api_calls": outer.astype(np.int64),
            "api_time": np.where(outer, calls.end - calls.start, 0),
            "synchronizations": waits.astype(np.int64),
            # A captured launch launches nothing yet, and one that failed never does.
            "lost": (outer & calls.launches & ~fruitful & ~capturing & ~calls.failed).astype(np.int64),
        }

    def over(self, instances: Instances, *, whole_process: bool) -> Sums:
        """Sum over instances: calls whose start lies in [start, end) on the same thread, or in the same process, and the work that they started."""
        keys = self._calls.thread >> THREAD_BITS if whole_process else self._calls.thread
        order = np.lexsort((self._calls.start, keys))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        low, high = _slices(keys[order], self._calls.start[order], instances)
        columns = {name: _summed(column[order], low, high) for name, column in self._per_call.items()}

        position = place[self._work.call]
        by_call = np.lexsort((self._work.start, position))
        work = Work(*(getattr(self._work, field.name)[by_call] for field in dataclasses.fields(Work)))
        first, last = (np.searchsorted(position[by_call], edge) for edge in (low, high))
        kinds = {"launches": KERNEL, "memcpys": MEMCPY, "memsets": MEMSET, "graphs": GRAPH}
        columns |= {name: _summed((work.kind == kind).astype(np.int64), first, last) for name, kind in kinds.items()}
        columns["kernels"] = _different(work, first, last, columns["launches"])
        columns["span"], columns["busy"] = _span(work, first, last), _busy(work, first, last)
        return Sums(columns, first, last, work)


def _slices(keys: Integers, start: Integers, instances: Instances) -> tuple[Integers, Integers]:
    """Return, for each instance, the bounds of the calls of its key that start inside it."""
    low, high = np.zeros(len(instances.key), dtype=np.int64), np.zeros(len(instances.key), dtype=np.int64)
    order = np.argsort(instances.key, kind="stable")
    sections = {int(keys[begin]): (begin, end) for begin, end in _groups(keys)}
    for begin, end in _groups(instances.key[order]):
        mine = order[begin:end]
        section = sections.get(int(instances.key[mine[0]]))
        if section is not None:
            inside = start[section[0] : section[1]]
            low[mine] = section[0] + np.searchsorted(inside, instances.start[mine])
            high[mine] = section[0] + np.searchsorted(inside, instances.end[mine])
    return low, np.maximum(low, high)


def _summed(column: Integers, low: Integers, high: Integers) -> Integers:
    total = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(column, dtype=np.int64)])
    result: Integers = total[high] - total[low]
    return result


def _span(work: Work, first: Integers, last: Integers) -> Integers:
    """Return the ns from the first start to the last end of each slice; -1 for an empty one."""
    if not first.size or not work.start.size:
        return np.full(len(first), -1, dtype=np.int64)
    # Slices in the order of their beginnings, so that what lies between two is looked at once; the element behind the last lets a slice end there.
    order = np.argsort(first, kind="stable")
    bounds = np.stack([first[order], last[order]], axis=1).ravel()
    begin = np.minimum.reduceat(np.append(work.start, np.int64(0)), bounds)[::2]
    end = np.maximum.reduceat(np.append(work.end, np.int64(0)), bounds)[::2]
    span = np.empty_like(first)
    span[order] = np.where(first[order] < last[order], end - begin, -1)
    return span


def _busy(work: Work, first: Integers, last: Integers) -> Integers:
    """Return the ns in which at least one piece of work of each slice ran."""
    busy = _summed(work.end - work.start, first, last)
    overlap = np.zeros(len(work.start), dtype=np.int64)
    overlap[1:] = work.start[1:] < work.end[:-1]
    mixed = _summed(overlap, np.minimum(first + 1, last), last)
    for one in np.flatnonzero(mixed):
        inside = slice(first[one], last[one])
        order = np.argsort(work.start[inside])
        start, end = work.start[inside][order], work.end[inside][order]
        reached = np.concatenate([start[:1], np.maximum.accumulate(end)[:-1]])
        busy[one] = np.maximum(0, end - np.maximum(start, reached)).sum()
    return busy


def _different(work: Work, first: Integers, last: Integers, launches: Integers) -> Integers:
    """Return how many different names the kernels of each slice have: those that no earlier kernel of the slice has."""
    kernels = np.flatnonzero(work.kind == KERNEL)
    by_name = kernels[np.lexsort((kernels, work.name[kernels]))]
    earlier = np.full(len(work.start), np.iinfo(np.int64).max)
    same = work.name[by_name[1:]] == work.name[by_name[:-1]]
    earlier[by_name] = -1
    earlier[by_name[1:][same]] = by_name[:-1][same]
    found = launches.copy()
    for one in np.flatnonzero(launches > 1):
        found[one] = np.count_nonzero(earlier[first[one] : last[one]] < first[one])
    return found
