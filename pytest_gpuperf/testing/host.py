"""Host buffers of a fake device: copies over a PCIe that pinned memory fills and pageable memory does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.testing.memory import FakeMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.testing.engine import Engine

#: Host memory that there is; it is real, so tests take little.
_TOTAL = 1 << 30


class FakeHost:
    """Buffers of the host; contents are copied at the call, times are those of `FakeSpec`.

    Two pinned copies in opposite directions share `pcie_both`: while one is under way, the other has half of it. A pageable copy lets the host wait.
    """

    def __init__(self, device: FakeMemory, engine: Engine, new_stream: Callable[[], int], count: Callable[[str], None]) -> None:
        self._device, self._engine, self._new_stream, self._count = device, engine, new_stream, count
        self._memory = FakeMemory(_TOTAL)
        self._pinned: set[int] = set()
        self._streams: list[int] = []
        self._busy: dict[str, float] = {}

    def alloc(self, nbytes: int, *, pinned: bool) -> int:
        """Allocate."""
        self._count("host_alloc")
        address = self._memory.alloc(nbytes)
        if pinned:
            self._pinned.add(address)
        return address

    def free(self, address: int) -> None:
        """Free."""
        self._count("host_free")
        self._memory.free(address)
        self._pinned.discard(address)

    def to_device(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy from the host."""
        self._device.bytes(target, nbytes)[:] = self._memory.bytes(source, nbytes)
        self._copy("to device", source, nbytes, stream)

    def from_device(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy to the host."""
        self._memory.bytes(target, nbytes)[:] = self._device.bytes(source, nbytes)
        self._copy("from device", target, nbytes, stream)

    def streams(self, count: int) -> tuple[int, ...]:
        """Return streams of our own."""
        while len(self._streams) < count:
            self._streams.append(self._new_stream())
        return tuple(self._streams[:count])

    def _copy(self, way: str, address: int, nbytes: int, stream: int) -> None:
        self._count("host_copy")
        spec, timeline = self._engine.spec, self._engine.timeline
        pinned = address in self._pinned
        rate = spec.pcie if pinned else spec.pageable_in if way == "to device" else spec.pageable_out
        other = "from device" if way == "to device" else "to device"

        def operation(start: float, _follows: bool) -> float:
            shared = pinned and self._busy.get(other, -1.0) > start
            end = start + nbytes / (spec.pcie_both / 2 if shared else rate)
            self._busy[way] = end
            return end

        timeline.enqueue(stream, operation)
        if not pinned:
            timeline.wait_stream(stream)
