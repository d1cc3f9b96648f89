"""The memory of a fake device: real host memory, with bounds that are held."""

from __future__ import annotations

import bisect
from typing import Any

from pytest_gpuperf.testing.spec import FakeDeviceError

_ALIGNMENT = 256
#: Fresh memory is not zero: code that relies on it should meet something else.
_FRESH = 0xCD


class FakeMemory:
    """Allocations by address; every access must lie inside one of them."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self._starts: list[int] = []
        self._buffers: dict[int, tuple[Any, int]] = {}

    def alloc(self, nbytes: int) -> int:
        """Allocate; MemoryError where the rest is smaller."""
        import numpy as np

        size = -(-max(nbytes, 1) // _ALIGNMENT) * _ALIGNMENT
        if size > self.total - self.used:
            raise MemoryError(f"cannot allocate {nbytes:,} bytes: {self.total - self.used:,} of {self.total:,} bytes are free (fake device)")
        buffer = np.full(size + _ALIGNMENT, _FRESH, np.uint8)
        address = -(-buffer.ctypes.data // _ALIGNMENT) * _ALIGNMENT
        self._buffers[address] = (buffer, size)
        bisect.insort(self._starts, address)
        self.used += size
        return address

    def free(self, address: int) -> int:
        """Free an allocation and return its size."""
        if address not in self._buffers:
            raise FakeDeviceError(f"free({address:#x}): not the start of an allocation of this fake device")
        _, size = self._buffers.pop(address)
        self._starts.remove(address)
        self.used -= size
        return size

    def holds(self, address: int) -> bool:
        """Say whether an address is the start of an allocation."""
        return address in self._buffers

    def bytes(self, address: int, nbytes: int) -> Any:
        """Return device memory as uint8[nbytes], writable; FakeDeviceError for what is not inside one allocation."""
        index = bisect.bisect_right(self._starts, address) - 1
        start = self._starts[index] if index >= 0 else 0
        buffer, size = self._buffers.get(start, (None, 0))
        if nbytes and (buffer is None or nbytes < 0 or address + nbytes > start + size):
            raise FakeDeviceError(f"illegal address: {nbytes:,} bytes at {address:#x} are not inside one allocation of this fake device")
        if not nbytes:
            import numpy as np

            return np.empty(0, np.uint8)
        offset = address - buffer.ctypes.data
        return buffer[offset : offset + nbytes]
