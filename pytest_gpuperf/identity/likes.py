"""LIKES: whose arrays a guarded one can be, and how a buffer of bytes becomes one."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import sys
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import packed_strides

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.device.backend import Backend

#: Allocations of CUDA begin at a multiple of this, and kernels count on it.
ALIGNED = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Like:
    """One row: a library's name, the module that shows that it is in use, its bytes (on the device or not), and a part of them as an array."""

    name: str
    module: str
    bytes: Callable[[int, bool], Any]
    part: Callable[[Any, int, tuple[int, ...], Any], Any]
    dtype: Callable[[Any], tuple[Any, int]]


def _numpy_dtype(dtype: Any) -> tuple[Any, int]:
    """Return a dtype of NumPy's own kind, and its bytes; TypeError for one that NumPy does not have."""
    import numpy as np

    try:
        found = np.dtype(str(dtype).removeprefix("torch.") if type(dtype).__module__ == "torch" else dtype)
    except TypeError:
        message = f"guarded: NumPy has no dtype {dtype!r}; like='torch' has bfloat16 and the formats of 8 bits"
        raise TypeError(message) from None
    return found, found.itemsize


def _torch_dtype(dtype: Any) -> tuple[Any, int]:
    torch: Any = importlib.import_module("torch")
    name = str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype | str) else str(_numpy_dtype(dtype)[0])
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        near = difflib.get_close_matches(name, [one for one in dir(torch) if isinstance(getattr(torch, one), torch.dtype)], 1)
        message = f"guarded: torch has no dtype {name!r}{f'; nearest {near[0]!r}' if near else ''}"
        raise TypeError(message)
    return found, found.itemsize


def _sliced(whole: Any, start: int, shape: tuple[int, ...], dtype: Any) -> Any:
    size = packed_strides((2, *shape), dtype.itemsize)[0]
    return whole[start : start + size].view(dtype).reshape(shape)


def _numpy_bytes(nbytes: int, device: bool) -> Any:  # noqa: ARG001 - LIKES' own signature
    """Return bytes of the host that begin as CUDA's do."""
    import numpy as np

    whole = np.empty(nbytes + ALIGNED, np.uint8)
    start = -whole.ctypes.data % ALIGNED
    return whole[start : start + nbytes]


def _torch_bytes(nbytes: int, device: bool) -> Any:
    torch: Any = importlib.import_module("torch")
    return torch.empty(nbytes, dtype=torch.uint8, device="cuda") if device else torch.from_numpy(_numpy_bytes(nbytes, device))


def _numba_bytes(nbytes: int, device: bool) -> Any:  # noqa: ARG001 - LIKES' own signature
    """Return bytes of numba's: on its device, or in its simulator."""
    cuda: Any = importlib.import_module("numba.cuda")
    return cuda.device_array(nbytes, "uint8")


def _cupy_bytes(nbytes: int, device: bool) -> Any:  # noqa: ARG001 - LIKES' own signature
    return importlib.import_module("cupy").empty(nbytes, "uint8")


LIKES: tuple[Like, ...] = (
    Like("torch", "torch", _torch_bytes, _sliced, _torch_dtype),
    Like("numba", "numba.cuda", _numba_bytes, _sliced, _numpy_dtype),
    Like("cupy", "cupy", _cupy_bytes, _sliced, _numpy_dtype),
    Like("numpy", "numpy", _numpy_bytes, _sliced, _numpy_dtype),
)


def like_of(name: str | None, backend: Backend | None) -> Like:
    """Return the row of a library; by default that of the array library in use where there is a device, and else NumPy's.

    ValueError with the nearest name for an unknown one, or where there is a device and no library that makes arrays on it.
    """
    if name is not None:
        for row in LIKES:
            if row.name == name:
                return row
        near = difflib.get_close_matches(str(name), [row.name for row in LIKES], 1)
        message = f"guarded(like={name!r}): " + (f"no such library; nearest {near[0]!r}" if near else f"needs one of {', '.join(row.name for row in LIKES)}")
        raise ValueError(message)
    if backend is None:
        return LIKES[-1]
    own: Any = getattr(backend, "array", None)
    if own is not None:
        # A fake device makes its arrays itself.
        return Like("fake", "", lambda nbytes, _: own(nbytes, "uint8"), _sliced, _numpy_dtype)
    for row in LIKES[:-1]:
        if row.module in sys.modules:
            return row
    message = "guarded: neither torch, numba nor CuPy is loaded to make an array on the device; import one, or pass like='numpy' for one on the host"
    raise ValueError(message)
