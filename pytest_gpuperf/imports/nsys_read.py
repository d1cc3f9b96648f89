"""The tables of an exported trace as columns: ranges, calls and work on the device, each joined to what it belongs to."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from pytest_gpuperf.device.profiler import bare, launches, waits
from pytest_gpuperf.errors import TraceError
from pytest_gpuperf.imports.nsys_sweep import GRAPH, KERNEL, MEMCPY, MEMSET, THREAD_BITS, Calls, Work, joined, order_of
from pytest_gpuperf.imports.nsys_tables import CALLS, GPUS, GRAPHS, KERNELS, MEMCPYS, MEMSETS, NVTX, PROCESSES, WAITED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_gpuperf.imports.nsys_tables import Export, Table

    Integers = NDArray[np.int64]

PUSH_POP, START_END, _DOMAIN = 59, 60, 75
_GRAPH_LAUNCHES = frozenset(("cudaGraphLaunch", "cuGraphLaunch"))
#: A stream that waits for an event keeps no host waiting.
_STREAM_WAITS = 2
_KINDS: tuple[tuple[Table, int], ...] = ((KERNELS, KERNEL), (MEMCPYS, MEMCPY), (MEMSETS, MEMSET), (GRAPHS, GRAPH))


@dataclasses.dataclass(frozen=True, slots=True)
class Ranges:
    """Instances of NVTX ranges by column, and the (process, domain, name) of each group of them; an end before the start is none."""

    start: Integers
    end: Integers
    kind: Integers
    thread: Integers
    group: Integers
    groups: tuple[tuple[int, str, str], ...]


def read_ranges(export: Export) -> Ranges:
    """Read the ranges; TraceError where the trace has none."""
    if not export.has(NVTX):
        raise TraceError(_no_ranges(export, "no table NVTX_EVENTS"))
    if not export.has_column(NVTX, "text") and not export.has_column(NVTX, "textId"):
        message = f"{export.path}: table NVTX_EVENTS has neither a column text nor a column textId"
        raise TraceError(message)
    optional = {name: export.first_column(NVTX, name) for name in NVTX.optional}
    sql = (
        f'SELECT start, COALESCE("end", -1), eventType, globalTid, COALESCE({optional["domainId"]}, 0), '  # noqa: S608 - names of columns that are there
        f"COALESCE({optional['textId']}, 0), COALESCE({optional['text']}, '') "
        f"FROM NVTX_EVENTS WHERE globalTid IS NOT NULL AND eventType IN ({PUSH_POP}, {START_END}, {_DOMAIN})"
    )
    inline: dict[str, int] = {}
    parts = []
    for rows in export.rows(sql):
        numbers = np.array([row[:6] for row in rows], dtype=np.int64)
        # Texts that are not registered get negative ids, beside the positive ones of StringIds.
        numbers[:, 5] = [-inline.setdefault(row[6], len(inline) + 1) if row[6] else row[5] for row in rows]
        parts.append(numbers)
    start, end, kind, thread, domain, text = np.concatenate(parts).T if parts else np.empty((6, 0), dtype=np.int64)
    names = {-number: name for name, number in inline.items()} | export.strings(text[text > 0])
    created = kind == _DOMAIN
    domains = {(process, one): names.get(label, "") for process, one, label in zip(thread[created] >> THREAD_BITS, domain[created], text[created], strict=True)}
    real = ~created
    if not real.any():
        raise TraceError(_no_ranges(export, "no range in NVTX_EVENTS"))
    keys, group = _grouped(thread[real] >> THREAD_BITS, domain[real], text[real])
    # One name may stand as a registered text and as one that is not.
    titles = [(process, domains.get((process, one)) or (f"domain {one}" if one else ""), names.get(label, "")) for process, one, label in keys]
    unique = {title: place for place, title in enumerate(dict.fromkeys(titles))}
    places = np.array([unique[title] for title in titles], dtype=np.int64)
    return Ranges(start[real], end[real], kind[real], thread[real], places[group], tuple(unique))


def _no_ranges(export: Export, why: str) -> str:
    return f"{export.path} has no NVTX ranges ({why}); record with nsys profile --trace=cuda,nvtx, and put ranges around what is to be measured"


def _grouped(*columns: Integers) -> tuple[list[tuple[int, ...]], Integers]:
    """Return the different rows of some columns, and for each row which of them it is.

    >>> keys, group = _grouped(np.array([7, 7, 5]), np.array([1, 2, 1]))
    >>> keys, group.tolist()
    ([(5, 1), (7, 1), (7, 2)], [1, 2, 0])
    """
    combined = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values, place = np.unique(column, return_inverse=True)
        _, combined = np.unique(combined * len(values) + place, return_inverse=True)
    first = np.zeros(int(combined.max(initial=-1)) + 1, dtype=np.int64)
    first[combined[::-1]] = np.arange(len(combined))[::-1]
    return [tuple(int(column[one]) for column in columns) for one in first], combined


def read_calls(export: Export) -> Calls:
    """Read the calls of CUDA; none where the trace has no table of them."""
    empty = np.empty((6, 0), dtype=np.int64)
    result = f"COALESCE({export.first_column(CALLS, 'returnValue')}, 0)"
    sql = (
        f'SELECT start, "end", globalTid, COALESCE(correlationId, 0), nameId, {result} '  # noqa: S608 - a name of a column that is there
        "FROM CUPTI_ACTIVITY_KIND_RUNTIME WHERE globalTid IS NOT NULL"
    )
    columns = export.integers(sql, 6) if export.has(CALLS) else empty
    start, end, thread, correlation, name, result_value = columns[:, order_of(columns[0], columns[1], columns[2])]
    texts = export.strings(name)
    ids, place = np.unique(name, return_inverse=True)
    named = [bare(texts.get(int(one), "")) for one in ids]
    launching = [launches(one) or one in _GRAPH_LAUNCHES for one in named]
    captures = [("BeginCapture" in one) - ("EndCapture" in one) for one in named]
    return Calls(
        start,
        end,
        thread,
        correlation,
        np.array([waits(one) for one in named], dtype=np.bool_)[place],
        np.array(launching, dtype=np.bool_)[place],
        np.array(captures, dtype=np.int64)[place],
        result_value != 0,
    )


def read_work(export: Export, calls: Calls) -> tuple[Work, int]:
    """Read the work that calls of the trace started, and count what none of them started."""
    parts, orphans = [], 0
    for table, kind in _KINDS:
        if export.has(table):
            found = _records(export, table, calls, '"start", "end"', export.first_column(KERNELS, "demangledName", "shortName", "mangledName") if kind == KERNEL else "0")
            known = found[3] >= 0
            orphans += int((~known).sum())
            start, end, name, call = found[:, known]
            parts.append(np.stack([start, end, np.full(len(start), kind, dtype=np.int64), name, call]))
    columns = np.concatenate(parts, axis=1) if parts else np.empty((5, 0), dtype=np.int64)
    return Work(*columns), orphans


def read_waited(export: Export, calls: Calls) -> Integers:
    """Read which calls a record of its own says that the host waited in."""
    if not export.is_whole(WAITED):
        return np.empty(0, dtype=np.int64)
    kind, _, _, call = _records(export, WAITED, calls, "syncType, 0", "0")
    found: Integers = call[(call >= 0) & (kind != _STREAM_WAITS)]
    return found


def _records(export: Export, table: Table, calls: Calls, columns: str, name: str) -> Integers:
    """Return two columns of a table of records of the device, a name, and the call that each belongs to by process and correlation."""
    process = export.first_column(table, "globalPid")
    sql = f"SELECT {columns}, COALESCE({name}, 0), COALESCE({process}, -1), COALESCE(correlationId, 0) FROM {table.name}"  # noqa: S608 - names of TABLES
    first, second, names, owner, correlation = export.integers(sql, 5)
    owner = np.where(owner == -1, -1, owner >> THREAD_BITS)
    if (owner == -1).any():
        owners = np.unique(calls.thread >> THREAD_BITS)
        if len(owners) > 1:
            message = f"{export.path}: table {table.name} has no column globalPid, or rows without one, and calls of {len(owners)} processes: nothing says whose work it is"
            raise TraceError(message)
        owner[owner == -1] = owners[0] if len(owners) else -1
    return np.stack([first, second, names, joined(calls, owner, correlation)])


def read_processes(export: Export) -> dict[int, str]:
    """Read the names of processes, as far as the trace has them, by the process part of a thread id."""
    if not export.is_whole(PROCESSES):
        return {}
    found = (row for rows in export.rows("SELECT globalPid, name FROM PROCESSES WHERE globalPid IS NOT NULL AND name IS NOT NULL") for row in rows)
    return {process >> THREAD_BITS: str(name).rpartition("/")[2] for process, name in found}


def read_device(export: Export) -> str | None:
    """Read the name of the GPU; None where the trace has none, or several kinds."""
    if not export.is_whole(GPUS):
        return None
    names = [row[0] for rows in export.rows("SELECT DISTINCT name FROM TARGET_INFO_GPU WHERE name IS NOT NULL") for row in rows]
    return str(names[0]) if len(names) == 1 else None
