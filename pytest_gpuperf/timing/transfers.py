"""Copies between host and device: what the bus carries each way, from page-locked and from pageable memory."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_gpuperf import stats
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from pytest_gpuperf.device.backend import Backend

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_ROUNDS = 5
_MOST_ROUNDS = 100
#: Copies in a round, whose middle one counts: the host is interrupted now and then.
_COPIES = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Transfer:
    """One row of TRANSFERS: which host memory, and which ways at once."""

    name: str
    pinned: bool
    to_device: bool
    from_device: bool

    @property
    def ways(self) -> int:
        """How many copies go at once."""
        return self.to_device + self.from_device


#: Pageable both ways is no row: one thread's pageable copies wait for each other.
TRANSFERS: tuple[Transfer, ...] = (
    Transfer("pinned, to device", pinned=True, to_device=True, from_device=False),
    Transfer("pinned, from device", pinned=True, to_device=False, from_device=True),
    Transfer("pinned, both at once", pinned=True, to_device=True, from_device=True),
    Transfer("pageable, to device", pinned=False, to_device=True, from_device=False),
    Transfer("pageable, from device", pinned=False, to_device=False, from_device=True),
)


def time_transfer(backend: Backend, row: Transfer, nbytes: int, limit: float) -> Value:
    """Return the time from the first call until every copy of `nbytes` is done, on the host's clock; in 5 rounds or more, at most `limit` seconds.

    UNMEASURED `no-memory` where host or device have no room.
    """
    device: list[int] = []
    host: list[int] = []
    free, _ = backend.memory()
    try:
        if row.ways * nbytes > 0.9 * free:
            raise MemoryError(f"{row.ways * nbytes:,} bytes of device memory are needed, {free:,} are free")
        for _ in range(row.ways):
            device.append(backend.alloc(nbytes))
            host.append(backend.host.alloc(nbytes, pinned=row.pinned))
        return _timed(backend, row, device, host, nbytes, limit)
    except MemoryError as error:
        return Value.missing("transfer", "s", "host", Reason("no-memory", str(error).partition("\n")[0]))
    finally:
        backend.synchronize()
        for address in device:
            backend.free(address)
        for address in host:
            backend.host.free(address)


def _timed(backend: Backend, row: Transfer, device: list[int], host: list[int], nbytes: int, limit: float) -> Value:
    streams = backend.host.streams(row.ways)

    def once() -> float:
        backend.synchronize()
        start = backend.now()
        if row.to_device:
            backend.host.to_device(device[0], host[0], nbytes, streams[0])
        if row.from_device:
            backend.host.from_device(host[-1], device[-1], nbytes, streams[-1])
        for stream in streams:
            backend.synchronize(stream)
        return backend.now() - start

    for _ in range(_COPIES):
        once()
    began = backend.now()
    rounds: list[list[float]] = []
    while len(rounds) < _ROUNDS or (backend.now() - began < limit and len(rounds) < _MOST_ROUNDS):
        rounds.append([once() for _ in range(_COPIES)])
    centre = stats.centre_interval(rounds, 0.0)
    return Value(centre.centre, "s", "host", centre.low, centre.high, {}, None, "transfer", samples=_COPIES * len(rounds))
