"""Where arrays lie: the addresses that one spans, and whether two of them share any element."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gpuperf.device.arrays import ArrayView

#: How hard to look for a shared element of two strided arrays: enough for every pair of slices, and never longer than a moment.
_WORK = 100_000


def extent(array: ArrayView) -> tuple[int, int]:
    """Return the lowest address of an array and the end of its highest element; both the same for an empty one.

    >>> import numpy as np
    >>> from pytest_gpuperf.device.arrays import view
    >>> whole = np.zeros((4, 6), "int16")
    >>> low, high = extent(view(whole[::-1, 1]))
    >>> low - whole.ctypes.data, high - whole.ctypes.data
    (2, 40)
    """
    if not array.nbytes:
        return array.address, array.address
    steps = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
    return array.address + sum(min(step, 0) for step in steps), array.address + sum(max(step, 0) for step in steps) + array.itemsize


def shares(one: ArrayView, other: ArrayView) -> bool:
    """Say whether two arrays have an element, or a part of one, in common; interleaved ones have none.

    >>> import numpy as np
    >>> from pytest_gpuperf.device.arrays import view
    >>> whole = np.zeros((4, 6), "int16")
    >>> shares(view(whole[:, ::2]), view(whole[:, 1::2])), shares(view(whole[1:]), view(whole[:2]))
    (False, True)
    """
    (low, high), (start, end) = extent(one), extent(other)
    if not (low < end and start < high and one.nbytes and other.nbytes):
        return False
    # NumPy's own stubs know two values of max_work only.
    np: Any = importlib.import_module("numpy")
    try:
        return bool(np.shares_memory(np.asarray(_Placed(one)), np.asarray(_Placed(other)), max_work=_WORK))
    except np.exceptions.TooHardError:
        return False


def placed(array: ArrayView, *, writable: bool = False) -> Any:
    """Return the memory of a host array as a NumPy array of elements without a type.

    >>> import numpy as np
    >>> from pytest_gpuperf.device.arrays import view
    >>> placed(view(np.zeros((4, 6), "int16")[:, ::2])).shape
    (4, 3)
    """
    np: Any = importlib.import_module("numpy")
    return np.asarray(_Placed(array, writable=writable))


class _Placed:
    """Tells NumPy where an array lies; its memory, which may be on a device, is not touched."""

    def __init__(self, array: ArrayView, *, writable: bool = False) -> None:
        self._array = array
        self.__array_interface__ = {
            "version": 3,
            "data": (array.address, not writable),
            "shape": array.shape,
            "strides": array.strides,
            "typestr": f"|V{array.itemsize}",
        }
