"""What one device can do, measured: bandwidths by cache state and size, an empty launch, a graph replay."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import format_quantity
from pytest_gpuperf.standalone import session
from pytest_gpuperf.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.fixture import GpuPerf
    from pytest_gpuperf.values import Value

#: Bytes that one launch moves; those that a device has no room for are rows with a reason.
SIZES = (1 << 20, 1 << 23, 1 << 26, 1 << 28, 1 << 30)
STATES = ("cold", "warm", "steady")


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """One row of TRAFFIC: a name, and the share of the bytes that is read and written."""

    name: str
    reads: int
    writes: int

    def work(self, nbytes: int) -> Work:
        """Return the work that moves so many bytes together.

        >>> Traffic("copy", 1, 1).work(1024)
        Work(reads=512, writes=512, flops=0, kind='fp32')
        """
        part = nbytes // (self.reads + self.writes)
        return Work(reads=self.reads * part, writes=self.writes * part)


TRAFFIC: tuple[Traffic, ...] = (Traffic("read", 1, 0), Traffic("write", 0, 1), Traffic("copy", 1, 1))


def measure_machine(backend: Backend | None = None, limit: float = 0.1, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Measure a device, by default the first visible one; `limit` is in seconds a row.

    Returns plain values in SI units: `device`, `bandwidth` rows of {traffic, cache, bytes, how, time, rate}, and `launch` rows of {name, time}; every
    value a record with its interval and its reason. Unmeasured, with the reason, where there is no GPU.

    >>> found = measure_machine(fake, limit=0.001, sizes=())
    >>> [row["name"] for row in found["launch"]]
    ['empty kernel', 'empty kernel, as a graph', 'host time of a launch', 'host time of a replay']
    """
    from pytest_gpuperf.errors import Unmeasured

    with session(backend, limit=limit) as gpuperf:
        runtime = gpuperf._runtime  # noqa: SLF001 - a part of this plugin, beside the session
        if runtime.hole is not None:
            raise Unmeasured(runtime.hole)
        with runtime.locked("gpuperf roofs"):
            launch = list(_launches(gpuperf))
            bandwidth = list(_bandwidths(gpuperf, sizes))
        return {"device": runtime.device_record(), "limit_s": limit, "bandwidth": bandwidth, "launch": launch}


def _bandwidths(gpuperf: GpuPerf, sizes: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    roofs = gpuperf._runtime.roofs(0)  # noqa: SLF001 - as above
    for traffic in TRAFFIC:
        for nbytes in sizes:
            for cache in STATES:
                work = traffic.work(nbytes)
                time = roofs.of(work, cache).time
                rate = dataclasses.replace(float(work.bytes) / time, unit="B/s", source="device", name="rate")
                yield {"traffic": traffic.name, "cache": cache, "bytes": work.bytes, "time": time.record(), "rate": rate.record()}


def _launches(gpuperf: GpuPerf) -> Iterator[dict[str, Any]]:
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.clock import KERNEL
    from pytest_gpuperf.timing.measure import Request, measure

    runtime = gpuperf._runtime  # noqa: SLF001 - as above
    backend = runtime.backend
    assert backend is not None

    def empty() -> None:
        backend.launch("empty", (), int(gpuperf.stream), blocks=1, threads=32)

    # Its kind is known here, so its interval need not span launches and replays.
    kernel = measure(runtime.instruments(0), Request(Body(empty, ((),), {}), "warm", 0, runtime.config.limit, kind=KERNEL, roof=True)).values["time"]
    host = gpuperf.measure(empty, name="launch", cache="warm").host_time
    replay = gpuperf.measure(gpuperf.graph(empty), name="replay", cache="warm")
    rows: tuple[tuple[str, Value], ...] = (
        ("empty kernel", kernel),
        ("empty kernel, as a graph", replay.time),
        ("host time of a launch", host),
        ("host time of a replay", replay.host_time),
    )
    yield from ({"name": name, "time": value.record()} for name, value in rows)


def machine_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what was measured as a text table."""
    device = found["device"]
    yield f"{device['name']} ({device['uuid']}), driver {device['driver']}, L2 {format_quantity(device['l2_bytes'], 'B')}, at most {found['limit_s']:g} s a row"
    yield ""
    yield f"{'bytes moved':<12} {'cache':<8}" + "".join(f"{one.name:>14}" for one in TRAFFIC)
    sizes = list(dict.fromkeys(row["bytes"] for row in found["bandwidth"]))
    for nbytes in sizes:
        for cache in STATES:
            cells = [_cell(row["rate"]) for row in found["bandwidth"] if row["bytes"] == nbytes and row["cache"] == cache]
            yield f"{format_quantity(nbytes, 'B'):<12} {cache:<8}" + "".join(f"{cell:>14}" for cell in cells)
    yield ""
    for row in found["launch"]:
        yield f"{row['name']:<26} {_cell(row['time'])}"


def _cell(value: dict[str, Any]) -> str:
    if value["number"] is None or value["reason"] is not None:
        return str((value["reason"] or {}).get("code", "unmeasured"))
    return format_quantity(value["number"], value["unit"])
