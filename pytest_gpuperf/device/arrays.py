"""What an array is to the plugin: an address, a shape, strides and a dtype, whoever made it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
from typing import Any, Literal

Place = Literal["host", "device"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ArrayView:
    """The memory of one array as it lies there; strides in bytes, `owner` keeps the memory alive.

    `address` is that of the element at index 0 in every dimension (negative strides reach below it), `dtype` a name that is the
    same for every framework: "float32", "bfloat16", "float8_e4m3fn", "bool", "complex64", "int8".
    """

    owner: Any
    framework: str
    place: Place
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    itemsize: int

    @property
    def elements(self) -> int:
        """How many elements the array has; 1 for a 0-d one."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, packed."""
        return self.elements * self.itemsize

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie packed in C order."""
        return self.elements == 0 or _normal(self.shape, self.strides) == _normal(self.shape, packed_strides(self.shape, self.itemsize))


def packed_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides in bytes of a packed array in C order.

    >>> packed_strides((2, 3, 5), 4)
    (60, 20, 4)
    """
    strides = []
    step = itemsize
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def view(obj: object) -> ArrayView:
    """Return the memory of an array as it is; TypeError, naming the type, for what is no array.

    Knows NumPy arrays and scalars (ml_dtypes too), torch tensors on the CPU and on CUDA, numba's device arrays and those of its
    simulator (which lie on the host), CuPy arrays and whatever has `__cuda_array_interface__`. Imports no framework: an object of
    one that is not loaded cannot be here. A lazy conjugation or negation of torch is not memory: `resolved` carries it out first.

    >>> import numpy as np
    >>> matrix = view(np.zeros((4, 6), "int16")[:, ::2])
    >>> matrix.shape, matrix.strides, matrix.dtype, matrix.nbytes, matrix.contiguous
    ((4, 3), (12, 4), 'int16', 24, False)
    """
    found = _view(obj)
    if found is None:
        hint = "; make it an array first, with numpy.asarray" if isinstance(obj, int | float | complex | list | tuple) else ""
        message = f"{_name(obj)} is no array: needs NumPy, torch, numba, CuPy or an object with __cuda_array_interface__{hint}"
        raise TypeError(message)
    return found


def resolved(obj: object) -> ArrayView:
    """Return the memory of the values of an array: as `view`, a copy where torch keeps a conjugation or negation pending."""
    tensor: Any = obj
    if _is_tensor(obj) and (tensor.is_conj() or tensor.is_neg()):
        return view(tensor.detach().resolve_conj().resolve_neg())
    return view(obj)


def device_arrays(obj: object) -> list[ArrayView]:
    """Return the arrays on the device in nested tuples, lists and dicts, in order, each object once.

    Everything else is passed over, arrays that have no plain bits (sparse, quantised, masked) too.

    >>> import numpy as np
    >>> device_arrays({"on the host": np.zeros(3), "number": 7})
    []
    """
    found: dict[int, ArrayView] = {}
    seen: set[int] = set()
    queue: list[object] = [obj]
    while queue:
        item = queue.pop(0)
        if isinstance(item, tuple | list | dict):
            if id(item) not in seen:
                seen.add(id(item))
                queue[:0] = list(item.values() if isinstance(item, dict) else item)
        elif id(item) not in found and _on_device(item):
            with contextlib.suppress(TypeError):
                found[id(item)] = view(item)
    return list(found.values())


def host_bytes(array: ArrayView) -> Any:
    """Return the packed bytes of an array on the host, in C order: uint8[nbytes], read-only where it is the array's own memory."""
    import numpy as np

    if array.place != "host":
        message = f"host_bytes: the array at {array.address:#x} ({array.framework}) is on the device"
        raise ValueError(message)
    if array.elements == 0:
        return np.empty(0, np.uint8)
    items = np.asarray(_Memory(array))
    return np.ascontiguousarray(items).reshape(-1).view(np.uint8)


class _Memory:
    """Lends the memory of a host array to NumPy as opaque items, and keeps its owner."""

    def __init__(self, array: ArrayView) -> None:
        self.owner = array.owner
        self.__array_interface__ = {
            "version": 3,
            "data": (array.address, True),
            "shape": array.shape,
            "strides": array.strides,
            "typestr": f"|V{array.itemsize}",
        }


def _normal(shape: tuple[int, ...], strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """Drop the dimensions whose stride means nothing."""
    return [(extent, stride) for extent, stride in zip(shape, strides, strict=True) if extent != 1]


def _name(obj: object) -> str:
    kind = type(obj)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _loaded(module: str, attribute: str) -> Any:
    """Return a class of a module if that is loaded; an empty tuple, which nothing is an instance of, else."""
    return getattr(sys.modules.get(module), attribute, ())


def _is_tensor(obj: object) -> bool:
    return isinstance(obj, _loaded("torch", "Tensor"))


def _on_device(obj: object) -> bool:
    tensor: Any = obj
    return bool(tensor.is_cuda) if _is_tensor(obj) else _lends(obj)


def _lends(obj: object) -> bool:
    """Say whether an object has `__cuda_array_interface__`, without asking for it: that costs, and proxies answer to every name."""
    return hasattr(type(obj), "__cuda_array_interface__") or "__cuda_array_interface__" in getattr(obj, "__dict__", {})


def _view(obj: Any) -> ArrayView | None:
    if _is_tensor(obj):
        return _torch(obj)
    if _lends(obj):
        return _cuda(obj)
    if isinstance(obj, _loaded("numba.cuda.simulator.cudadrv.devicearray", "FakeCUDAArray")):
        return _numpy(obj._ary, obj, "numba-simulator")  # noqa: SLF001 - the simulator has no other road to its memory
    if isinstance(obj, _loaded("numpy", "ndarray")):
        return _numpy(obj, obj, "numpy")
    if isinstance(obj, _loaded("numpy", "generic")):
        whole = sys.modules["numpy"].asarray(obj)
        return _numpy(whole, whole, "numpy")
    return None


def _numpy(array: Any, owner: object, framework: str) -> ArrayView:
    if isinstance(array, sys.modules["numpy"].ma.MaskedArray):
        message = f"{_name(array)} has a mask, which is no part of its bits: pass .data, or .filled(value)"
        raise TypeError(message)
    dtype = array.dtype
    if dtype.hasobject or dtype.itemsize == 0:
        message = f"{_name(array)} of dtype {dtype} has no bits of its own: needs numbers"
        raise TypeError(message)
    address = int(array.__array_interface__["data"][0])
    return ArrayView(owner, framework, "host", address, array.shape, array.strides, _dtype_name(dtype), dtype.itemsize)


def _dtype_name(dtype: Any) -> str:
    """Name a NumPy dtype; records by their fields, foreign byte orders with a mark, so that neither passes for another."""
    if dtype.fields:
        return str(dtype)
    return str(dtype.name) if dtype.isnative else f"{dtype.name} (byte-swapped)"


def _torch(tensor: Any) -> ArrayView:
    torch = sys.modules["torch"]
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type not in {"cpu", "cuda"}:
        message = (
            f"torch tensor ({tensor.layout}, {tensor.dtype}, on {tensor.device}) cannot be read as bits: needs a dense tensor on cpu or cuda"
        )
        raise TypeError(message)
    size = tensor.element_size()
    place: Place = "device" if tensor.is_cuda else "host"
    strides = tuple(step * size for step in tensor.stride())
    return ArrayView(tensor, "torch", place, tensor.data_ptr(), tuple(tensor.shape), strides, str(tensor.dtype).removeprefix("torch."), size)


def _cuda(obj: Any) -> ArrayView:
    import numpy as np

    given = obj.__cuda_array_interface__
    if given.get("mask") is not None:
        message = f"{_name(obj)} has a mask, which is no part of its bits"
        raise TypeError(message)
    own = getattr(obj, "dtype", None)
    dtype = own if isinstance(own, np.dtype) else np.dtype(given["typestr"])
    shape = tuple(int(extent) for extent in given["shape"])
    strides = given.get("strides") or packed_strides(shape, dtype.itemsize)
    root = type(obj).__module__.partition(".")[0]
    framework = root if root in {"numba", "cupy"} else "cuda"
    return ArrayView(obj, framework, "device", int(given["data"][0] or 0), shape, tuple(strides), _dtype_name(dtype), dtype.itemsize)
