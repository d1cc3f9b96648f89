"""Raw bits: two arrays are identical, or a message says where they are not, by how much, and of what kind it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import resolved
from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.identity.formats import PARTS, format_of, is_nan, ulps

if TYPE_CHECKING:
    from pytest_gpuperf.device.arrays import ArrayView
    from pytest_gpuperf.device.operations import Operations

_UNSIGNED = (1, 2, 4, 8)


def identical(a: object, b: object, *, operations: Operations | None = None) -> str:
    """Hold two arrays against each other bit by bit, so that -0.0 is not 0.0 and NaN payloads count; return what was compared.

    Either may be an array of NumPy, torch, numba, CuPy or with `__cuda_array_interface__`, on the host or on the device, strided
    or not. Two arrays on the device are compared there, and come to the host only where they differ; `operations` of an open
    device are needed for that. Raises NotIdentical; TypeError for what is no array.

    >>> import numpy as np
    >>> identical(np.arange(6.0), np.arange(6.0))
    '6 elements of float64, raw bits'
    >>> identical(np.array([1.0, -0.0], "float32"), np.array([1.0, 0.0], "float32"))
    Traceback (most recent call last):
        ...
    pytest_gpuperf.errors.NotIdentical: bits differ: 1 of 2 elements, first at [1]: 0x80000000 != 0x00000000 (sign of zero), largest 0 ulp
    they differ only in the sign of zero
    """
    left, right = resolved(a), resolved(b)
    mismatch = unlike(left, right)
    if mismatch:
        raise NotIdentical(mismatch)
    detail = f"{left.elements:,} element{'' if left.elements == 1 else 's'} of {left.dtype}, raw bits"
    if _same_memory(left, right):
        return f"{detail} (one and the same memory)"
    if "device" in (left.place, right.place):
        device = need_device(operations, left, right)
        device.backend.synchronize()
        if left.place == right.place and _same_on_device(device, left, right):
            return detail
    found = difference(host_copy(left, operations), host_copy(right, operations), left.shape, left.dtype, left.itemsize)
    if found:
        raise NotIdentical(found)
    return detail


def unlike(a: ArrayView, b: ArrayView) -> str:
    """Describe how two arrays differ in shape or dtype; empty where they do not.

    >>> import numpy as np
    >>> unlike(resolved(np.zeros((2, 3))), resolved(np.zeros((3, 2))))
    'shapes differ: [2, 3] != [3, 2]'
    """
    if a.shape != b.shape:
        return f"shapes differ: {list(a.shape)} != {list(b.shape)}"
    if a.dtype != b.dtype or a.itemsize != b.itemsize:
        return f"dtypes differ: {a.dtype} != {b.dtype} (both of shape {list(a.shape)})"
    return ""


def need_device(operations: Operations | None, *arrays: ArrayView) -> Operations:
    """Return the operations, or raise ValueError where an array on the device meets none."""
    if operations is None:
        which = next(one for one in arrays if one.place == "device")
        message = f"an array is on the device ({which.framework}, {which.dtype} of shape {list(which.shape)}), and no device is open to read it"
        raise ValueError(message)
    return operations


def host_copy(array: ArrayView, operations: Operations | None) -> Any:
    """Return an array's packed bytes on the host, wherever it lies: uint8[nbytes]."""
    from pytest_gpuperf.device.arrays import host_bytes

    return host_bytes(array) if array.place == "host" else need_device(operations, array).download(array)


def difference(a: Any, b: Any, shape: tuple[int, ...], dtype: str, itemsize: int) -> str:
    """Describe how packed bytes uint8[nbytes] of two arrays of one shape and dtype differ; empty where they do not."""
    import numpy as np

    left, right = as_words(a, dtype, itemsize), as_words(b, dtype, itemsize)
    apart = left != right
    wrong = np.flatnonzero(apart.any(axis=1) if apart.ndim == 2 else apart)
    if not len(wrong):
        return ""
    left, right = left[wrong], right[wrong]
    index = [int(position) for position in np.unravel_index(int(wrong[0]), shape)] if shape else []
    start = f"bits differ: {len(wrong):,} of {len(apart):,} elements, first at {index}: {hexadecimal(left[0])} != {hexadecimal(right[0])}"
    return start + _distance(left, right, dtype)


def as_words(packed: Any, dtype: str, itemsize: int) -> Any:
    """Return packed bytes as unsigned words: [elements], or [elements, parts] for complex numbers and records (whose parts are bytes)."""
    part = itemsize // 2 if dtype in PARTS else itemsize
    if part not in _UNSIGNED:
        return packed.reshape(-1, itemsize)
    words = packed.view(f"u{part}")
    return words.reshape(-1, 2) if dtype in PARTS else words


def _distance(left: Any, right: Any, dtype: str) -> str:
    """Tell the first and the largest distance of differing words, and what kind of difference it is throughout."""
    form = format_of(dtype)
    if form is None:
        return ""
    wide, other = left.reshape(len(left), -1), right.reshape(len(left), -1)
    differs = wide != other
    nan_a, nan_b = is_nan(wide, form), is_nan(other, form)
    either, both = (nan_a | nan_b) & differs, nan_a & nan_b & differs
    apart = ulps(wide, other, form)
    apart[nan_a | nan_b] = 0
    if both[0].any() or either[0].any():
        first = "NaN payload" if (both[0] | ~differs[0]).all() else "NaN"
    else:
        first = f"{int(apart[0].max()):,} ulp" if apart[0].any() else "sign of zero"
    text = f" ({first})"
    if (differs & ~either).any():
        text += f", largest {int(apart.max()):,} ulp"
    against = int((either & ~both).any(axis=1).sum())
    if against:
        text += f", {against:,} NaN against a number"
    if both[differs].all():
        text += "\nthey differ only in NaN payloads"
    elif not apart.any() and not either.any():
        text += "\nthey differ only in the sign of zero"
    return text


def hexadecimal(word: Any) -> str:
    """Write a word of an element in hexadecimal; the parts of a complex number in parentheses.

    >>> import numpy as np
    >>> hexadecimal(np.uint16(255)), hexadecimal(np.array([1, 2], np.uint32)), hexadecimal(np.array([1, 2, 255], np.uint8))
    ('0x00ff', '(0x00000001, 0x00000002)', '0x0102ff')
    """
    if word.ndim == 0:
        return f"0x{int(word):0{2 * word.itemsize}x}"
    return f"0x{word.tobytes().hex()}" if word.itemsize == 1 else f"({', '.join(hexadecimal(part) for part in word)})"


def _same_memory(a: ArrayView, b: ArrayView) -> bool:
    return a.nbytes > 0 and (a.place, a.address, a.strides) == (b.place, b.address, b.strides)


def _same_on_device(device: Operations, a: ArrayView, b: ArrayView) -> bool:
    stream = 0
    return device.differ(device.packed(a, stream, "left"), device.packed(b, stream, "right"), a.nbytes, stream) == 0
