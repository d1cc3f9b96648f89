"""An array as the checks hold it, on the host or on the device: poisoned, set aside, put back, read, digested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import host_bytes
from pytest_gpuperf.device.digest import digest_bytes
from pytest_gpuperf.device.poison import pattern
from pytest_gpuperf.identity.bits import need_device

if TYPE_CHECKING:
    from pytest_gpuperf.device.arrays import ArrayView
    from pytest_gpuperf.device.operations import Operations


class Held:
    """One array by name. What lies on the device is read and written in a stream that the caller has waited for, and every call here waits for it."""

    def __init__(self, name: str, array: ArrayView, operations: Operations | None, stream: int = 0) -> None:
        self.name, self.array, self.stream = name, array, stream
        self.operations = need_device(operations, array) if array.place == "device" else None
        self._aside: Any = None
        self._slot = 0

    def poison(self, word: int) -> None:
        """Set byte i of the array to byte i % 8 of a little-endian 64-bit word."""
        if self.operations is None:
            self._write(pattern(word, self.array.nbytes))
        else:
            self.operations.fill(self.array, word, self.stream)

    def write(self, packed: Any) -> None:
        """Give the array other bytes, uint8[nbytes]; one on the device has to be contiguous."""
        if self.operations is None:
            self._write(packed)
        elif self.array.nbytes:
            self.operations.backend.upload(self.array.address, packed.tobytes())

    def set_aside(self) -> None:
        """Keep what the array holds now, for `put_back`."""
        self._aside = self.bytes().copy()

    def put_back(self) -> None:
        """Give the array the bits that were set aside."""
        if self.operations is None:
            self._write(self._aside)
            return
        if not self.array.nbytes:
            return
        if not self._slot:
            self._slot = self.operations.backend.alloc(self.array.nbytes)
            self.operations.backend.upload(self._slot, self._aside.tobytes())
        self.operations.restore(self.array, self._slot, self.stream)

    def bytes(self) -> Any:
        """Return the packed bytes: uint8[nbytes]."""
        return host_bytes(self.array) if self.operations is None else self.operations.download(self.array, self.stream)

    def digest(self) -> int:
        """Return the digest of the packed bytes; on the device only its 8 bytes come to the host."""
        if self.operations is None:
            return digest_bytes(host_bytes(self.array))
        backend = self.operations.backend
        slot = backend.alloc(8)
        try:
            self.operations.digest(self.array, slot, self.stream)
            backend.synchronize(self.stream)
            return int.from_bytes(backend.download(slot, 8), "little")
        finally:
            backend.free(slot)

    def close(self) -> None:
        """Free what was set aside."""
        if self._slot and self.operations is not None:
            self.operations.backend.free(self._slot)
        self._slot = 0

    def _write(self, packed: Any) -> None:
        if self.array.elements:
            interface = getattr(self.array.owner, "__array_interface__", None)
            if interface is not None and interface["data"][1]:
                # Its memory may be a file's, mapped: to write there ends the process.
                message = f"{self.name}: the array is read-only"
                raise ValueError(message)
            items = _writable(self.array)
            items[...] = packed.view(items.dtype).reshape(self.array.shape)


class _Memory:
    """Lends the memory of a host array to NumPy as opaque items that can be written."""

    def __init__(self, array: ArrayView) -> None:
        self.owner = array.owner
        self.__array_interface__ = {
            "version": 3,
            "data": (array.address, False),
            "shape": array.shape,
            "strides": array.strides,
            "typestr": f"|V{array.itemsize}",
        }


def _writable(array: ArrayView) -> Any:
    import numpy as np

    return np.asarray(_Memory(array))
