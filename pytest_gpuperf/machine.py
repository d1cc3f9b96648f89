"""What one device can do, measured: bandwidths by cache state and size, of the L2 and of the bus, operation rates, an empty launch, a graph replay."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

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
#: Bytes of a copy between host and device: long enough that the host's share of it is nothing.
TRANSFER = 1 << 28
#: Operations of a launch, as in a product of matrices of 8192: about a millisecond in bf16 on an H200.
FLOPS = 2 * 8192**3


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


def measure_machine(
    backend: Backend | None = None, limit: float = 0.1, sizes: tuple[int, ...] = SIZES, transfer: int = TRANSFER, flops: int = FLOPS
) -> dict[str, Any]:
    """Measure a device, by default the first visible one; `limit` is in seconds a row.

    Returns plain values in SI units: `device`, `bandwidth` rows of {traffic, cache, bytes, how, time, rate}, `l2`, `transfers` and `operations` rows of
    {name, time, rate, ...}, and `launch` rows of {name, time}; every value a record with its interval and its reason. Unmeasured, with the reason, where there
    is no GPU.

    >>> found = measure_machine(fake, limit=0.001, sizes=(), transfer=1 << 20, flops=10**9)
    >>> [row["name"] for row in found["launch"]]
    ['empty kernel', 'empty kernel, as a graph', 'host time of a launch', 'host time of a replay']
    >>> [row["name"] for row in found["operations"]]
    ['fp32', 'bf16', 'fp16', 'fp8']
    """
    from pytest_gpuperf.errors import Unmeasured

    with session(backend, limit=limit) as gpuperf:
        runtime = gpuperf._runtime  # noqa: SLF001 - a part of this plugin, beside the session
        if runtime.hole is not None:
            raise Unmeasured(runtime.hole)
        with runtime.locked("gpuperf roofs"):
            launch = list(_launches(gpuperf))
            found = {
                "bandwidth": list(_bandwidths(gpuperf, sizes)),
                "l2": list(_l2(gpuperf)),
                "transfers": list(_transfers(gpuperf, transfer)),
                "operations": list(_operations(gpuperf, flops)),
            }
        return {"device": runtime.device_record(), "limit_s": limit, **found, "launch": launch}


def _rate(amount: int, time: Value, unit: str) -> Value:
    return dataclasses.replace(float(amount) / time, unit=unit, source=time.source, name="rate")


def _bandwidths(gpuperf: GpuPerf, sizes: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    roofs = gpuperf._runtime.roofs(0)  # noqa: SLF001 - as above
    for traffic in TRAFFIC:
        for nbytes in sizes:
            for cache in STATES:
                work = traffic.work(nbytes)
                roof = roofs.of(work, cache)
                rate = _rate(work.bytes, roof.time, "B/s").record()
                yield {"traffic": traffic.name, "cache": cache, "bytes": work.bytes, "how": roof.how, "time": roof.time.record(), "rate": rate}


def _l2(gpuperf: GpuPerf) -> Iterator[dict[str, Any]]:
    """Read what fits into half of the L2 twice: with both partitions of a large chip in use, none of it need go to the memory."""
    runtime = gpuperf._runtime  # noqa: SLF001 - as above
    work = Work(reads=runtime.instruments(0).limits.l2_bytes // 2)
    roof = runtime.roofs(0).of(work, "warm")
    rate = _rate(work.bytes, roof.time, "B/s").record()
    yield {"name": "read, half of it", "bytes": work.bytes, "how": roof.how, "time": roof.time.record(), "rate": rate}


def _transfers(gpuperf: GpuPerf, nbytes: int) -> Iterator[dict[str, Any]]:
    from pytest_gpuperf.timing.transfers import TRANSFERS, time_transfer

    runtime = gpuperf._runtime  # noqa: SLF001 - as above
    backend = runtime.instruments(0).backend
    for row in TRANSFERS:
        time = time_transfer(backend, row, nbytes, runtime.config.limit)
        rate = _rate(row.ways * nbytes, time, "B/s").record()
        yield {"name": row.name, "bytes": row.ways * nbytes, "time": time.record(), "rate": rate}


def _operations(gpuperf: GpuPerf, flops: int) -> Iterator[dict[str, Any]]:
    from pytest_gpuperf.device.rates import RATES

    roofs = gpuperf._runtime.roofs(0)  # noqa: SLF001 - as above
    for kind in dict.fromkeys(row.kind for row in RATES):
        roof = roofs.of_flops(Work(flops=flops, kind=kind), "warm")
        rate = _rate(flops, roof.time, "FLOP/s").record()
        yield {"name": kind, "flops": flops, "how": roof.how, "time": roof.time.record(), "rate": rate}


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
