"""FakeArray: an array in the memory of a fake device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gpuperf.testing.memory import FakeMemory


class FakeArray:
    """An array on a fake device, as frameworks show theirs: by `__cuda_array_interface__`; slices share its memory.

    >>> from pytest_gpuperf.testing import FakeDevice
    >>> array = FakeDevice().array((2, 3), dtype="int16")
    >>> array.numpy()[:] = 7  # what a kernel does to it: the same memory
    >>> array.shape, array.nbytes, array[:, ::2].numpy().tolist()
    ((2, 3), 12, [[7, 7], [7, 7]])
    """

    def __init__(self, values: Any, whole: FakeArray | None = None) -> None:
        self._values = values
        # the memory goes back with the array that was made first, so its parts keep that one
        self._whole = whole

    @classmethod
    def new(cls, memory: FakeMemory, shape: tuple[int, ...], dtype: Any) -> tuple[FakeArray, int]:
        """Allocate an array; return it with the address to free."""
        import numpy as np

        kind = np.dtype(dtype)
        nbytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        address = memory.alloc(nbytes)
        return cls(memory.bytes(address, nbytes).view(kind).reshape(shape)), address

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3, always with strides."""
        values = self._values
        return {
            "version": 3,
            "shape": values.shape,
            "strides": values.strides,
            "typestr": values.dtype.str,
            "data": (values.__array_interface__["data"][0], False),
        }

    def numpy(self) -> Any:
        """Return the device's own memory as a NumPy array: writing to it is what a kernel would do."""
        return self._values

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""
        return tuple(self._values.shape)

    @property
    def dtype(self) -> Any:
        """The NumPy dtype."""
        return self._values.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, packed."""
        return int(self._values.nbytes)

    def __getitem__(self, index: Any) -> FakeArray:
        """Return a part that shares this memory; only slices, so that it stays an array."""
        part = self._values[index]
        if getattr(part, "base", None) is None:
            raise TypeError(f"FakeArray[{index!r}] would be a copy; only slices and integers share memory")
        return FakeArray(part, self._whole or self)

    def view(self, dtype: Any) -> FakeArray:
        """Return the same memory as another dtype."""
        return FakeArray(self._values.view(dtype), self._whole or self)

    def reshape(self, shape: tuple[int, ...]) -> FakeArray:
        """Return the same memory in another shape; of contiguous arrays."""
        return FakeArray(self._values.reshape(shape), self._whole or self)

    def __repr__(self) -> str:
        return f"FakeArray(shape={self.shape}, dtype={self.dtype})"


def extent(array: Any) -> tuple[int, int]:
    """Return the lowest address of an array and the bytes from there to its end; packed bytes for strided ones, from its address."""
    from pytest_gpuperf.device.arrays import view

    found = view(array)
    return found.address, found.nbytes
