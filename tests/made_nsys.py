"""Databases as `nsys export --type sqlite` makes them, in the columns of its documentation; only tables with rows are made."""

from __future__ import annotations

import itertools
import sqlite3

US = 1000
PROCESS = 1234

#: Columns of each table, as nsys 2025 writes them; `end` is a word of SQL.
COLUMNS = {
    "StringIds": "id, value",
    "META_DATA_EXPORT": "name, value",
    "NVTX_EVENTS": "start, end, eventType, rangeId, category, color, text, globalTid, endGlobalTid, textId, domainId, uint64Value, jsonText",
    "CUPTI_ACTIVITY_KIND_RUNTIME": "start, end, eventClass, globalTid, correlationId, nameId, returnValue, callchainId",
    "CUPTI_ACTIVITY_KIND_KERNEL": (
        "start, end, deviceId, contextId, streamId, correlationId, globalPid, demangledName, shortName, mangledName, gridX, blockX, graphNodeId"
    ),
    "CUPTI_ACTIVITY_KIND_MEMCPY": "start, end, deviceId, contextId, streamId, correlationId, globalPid, bytes, copyKind, graphNodeId",
    "CUPTI_ACTIVITY_KIND_MEMSET": "start, end, deviceId, contextId, streamId, correlationId, globalPid, value, bytes, graphNodeId",
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": "start, end, deviceId, contextId, greenContextId, streamId, correlationId, globalPid, graphId, graphExecId",
    "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": "start, end, deviceId, contextId, streamId, correlationId, globalPid, syncType, eventId",
    "TARGET_INFO_GPU": "id, name, busLocation, smCount",
    "PROCESSES": "globalPid, pid, name",
}
PUSH_POP, START_END, DOMAIN = 59, 60, 75


def process_id(pid):
    """A serialised process: hardware and virtual machine in the high bits, as nsys has them."""
    return (0x0100 << 48) | (pid << 24)


class Recorder:
    """Write down what one program did; times in us. `write` makes the database.

    What is launched runs on the device behind what was launched before on its stream, 5 us after the call at the earliest.
    """

    def __init__(self, pid=PROCESS):
        self.rows = {}
        self.pid, self.now = pid, 0.0
        self._strings, self._correlation = {}, itertools.count(1)
        self._free = {}

    def string(self, text):
        if text not in self._strings:
            self._strings[text] = len(self._strings) + 1
            self.add("StringIds", id=self._strings[text], value=text)
        return self._strings[text]

    def add(self, table, **columns):
        self.rows.setdefault(table, []).append(columns)
        return columns

    def thread(self, number=None):
        return process_id(self.pid) | (self.pid if number is None else number)

    def call(self, name, took=2.0, *, at=None, thread=None, result=0, **more):
        """One call of CUDA; time goes on to its end, unless it has a moment of its own. Returns its correlation."""
        start = self.now if at is None else at
        correlation = next(self._correlation)
        self.add(
            "CUPTI_ACTIVITY_KIND_RUNTIME", start=int(start * US), end=int((start + took) * US), eventClass=0, globalTid=self.thread(thread),
            correlationId=correlation, nameId=self.string(name), returnValue=result, **more,
        )  # fmt: skip
        if at is None:
            self.now = start + took
        return correlation

    def work(self, kind, correlation, took=10.0, *, stream=7, at=None, **more):
        """Work on the device that a call started."""
        start = max(self.now + 5, self._free.get(stream, 0.0)) if at is None else at
        self._free[stream] = start + took
        self.add(
            f"CUPTI_ACTIVITY_KIND_{kind}", start=int(start * US), end=int((start + took) * US), deviceId=0, contextId=1, streamId=stream,
            correlationId=correlation, globalPid=process_id(self.pid), **more,
        )  # fmt: skip

    def launch(self, kernel="add", took=10.0, *, call=2.0, thread=None, **place):
        correlation = self.call("cudaLaunchKernel_v7000", call, thread=thread)
        self.work("KERNEL", correlation, took, demangledName=self.string(f"{kernel}(float*)"), shortName=self.string(kernel), **place)
        return correlation

    def graph(self, kernels=3, *, collapsed=True):
        correlation = self.call("cudaGraphLaunch_v10000")
        if collapsed:
            self.work("GRAPH_TRACE", correlation, 10.0 * kernels, graphId=1, graphExecId=2)
        for node in range(0 if collapsed else kernels):
            self.work("KERNEL", correlation, demangledName=self.string(f"node{node}()"), shortName=self.string(f"node{node}"), graphNodeId=node + 1)

    def domain(self, number, name):
        self.add("NVTX_EVENTS", start=0, eventType=DOMAIN, text=name, globalTid=self.thread(), domainId=number)

    def range(self, name, start, end, *, kind=PUSH_POP, domain=0, registered=False, thread=None):
        text = {"textId": self.string(name)} if registered else {"text": name}
        self.add(
            "NVTX_EVENTS", start=int(start * US), end=None if end is None else int(end * US), eventType=kind, globalTid=self.thread(thread),
            domainId=domain, **text,
        )  # fmt: skip

    def step(self, name="step", body=None, **how):
        """A range around what `body` records."""
        start = self.now
        (body or self.launch)()
        self.now += 1
        self.range(name, start, self.now, **how)
        self.now += 1


def write(path, *recorders, drop=(), extra=(), gpu="NVIDIA H200", without=()):
    """Make the database: `drop` are tables that are not made, `without` (table, column) pairs that are left out, `extra` columns that every table has besides."""
    tables = {"META_DATA_EXPORT": [{"name": "EXPORT_SCHEMA_VERSION", "value": "3.20.0"}]}
    if gpu:
        tables["TARGET_INFO_GPU"] = [{"id": 0, "name": gpu, "smCount": 132}]
    strings = {}
    for recorder in recorders:
        # Ids of strings are the database's, not the process's.
        known = {one["id"]: strings.setdefault(one["value"], len(strings) + 1) for one in recorder.rows.get("StringIds", [])}
        for table, rows in recorder.rows.items():
            if table != "StringIds":
                naming = ("nameId", "textId", "demangledName", "shortName")
                tables.setdefault(table, []).extend({key: known[value] if key in naming else value for key, value in row.items()} for row in rows)
    if strings:
        tables["StringIds"] = [{"id": number, "value": text} for text, number in strings.items()]
    with sqlite3.connect(path) as database:
        for table, rows in tables.items():
            columns = [one for one in (*COLUMNS[table].split(", "), *extra) if (table, one) not in without]
            if table in drop:
                continue
            quoted = ", ".join(f'"{one}"' for one in columns)
            database.execute(f"CREATE TABLE {table} ({quoted})")
            marks = ", ".join("?" * len(columns))
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", [[row.get(one, 7 if one in extra else None) for one in columns] for row in rows])
    database.close()
    return path
