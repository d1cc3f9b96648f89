"""Columns side by side: loads, stores and arithmetic on two or four fp32 numbers, and the formats in which they lie in memory.

A vector is a tuple of float32 on a device and a NumPy array in the simulator: kernels index it and hand it on, nothing else. Each
function is the one of kernels/numerics.py, once for each number; an operand may be one number for all.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import uint32

from kernels import device, numerics, primitives
from kernels.device import inline, load4, load8, load16, store2, store4, store8, store16, streamed4, streamed8, streamed16

if TYPE_CHECKING:
    from collections.abc import Callable

#: Numbers of a vector.
WIDTHS = (2, 4)

_MINUS_INF = np.float32(-np.inf)
_ZERO = np.float32(0)

_each = numerics.compose(
    {
        row.plain.__name__: device.instructions(row.text, row.result, row.operands, primitives.ARRAYS[row.plain.__name__])
        for row in primitives.PRIMITIVES
    },
    inline,
)
adds, subs, muls, fmas, divs, maxs, exps = (
    getattr(_each, name) for name in ("add32", "sub32", "mul32", "fma32", "div32", "max32", "exp32")
)


def _finite(vector):
    return np.where(vector == _MINUS_INF, _ZERO, vector)


#: Return a vector with 0 in place of -inf.
finites = device.instructions("{.reg .pred p; setp.eq.f32 p, $1, 0fFF800000; selp.f32 $0, 0f00000000, $1, p;}", "f", "f", _finite)

if device.SIMULATED:

    def from_fp32(raw):
        """Return the numbers of bytes of fp32."""
        return raw.view(np.float32)

    def _from_bf16(raw):
        return numerics.arrays.from_bf16(raw.view(np.uint16))

    def to_fp32(vector):
        """Return the bytes of a vector."""
        return numerics.arrays.canonical(vector).view(np.uint8)

    def _to_bf16(vector):
        return numerics.arrays.to_bf16(vector).astype(np.uint16).view(np.uint8)

    def _take(array, index, step, width):
        return np.array([array[index + column * step] for column in range(width)], dtype=np.float32)

    def store_fp32(array, index, number):
        """Store one number at byte `index`."""
        store4(array, index, to_fp32(np.array([number], dtype=np.float32)))

    def store_bf16(array, index, number):
        """Store one number, rounded to bf16, at byte `index`."""
        store2(array, index, _to_bf16(np.array([number], dtype=np.float32)))

    _WIDEN, _NARROW = dict.fromkeys(WIDTHS, _from_bf16), dict.fromkeys(WIDTHS, _to_bf16)
    _TAKE = {width: functools.partial(_take, width=width) for width in WIDTHS}

else:
    from numba import int32

    _floats, _words, _canonicals, _narrows, _wides = (
        getattr(_each, name) for name in ("as_float", "as_word", "canonical", "to_bf16", "from_bf16")
    )

    @inline
    def from_fp32(raw):
        """Return the numbers of words of fp32."""
        return _floats(raw)

    @inline
    def to_fp32(vector):
        """Return the words of a vector."""
        return _words(_canonicals(vector))

    @inline
    def _from_bf16_2(raw):
        # The low half of a word comes first.
        return _wides((raw[0], int32(raw[0] >> 16)))

    @inline
    def _from_bf16_4(raw):
        return _wides((raw[0], int32(raw[0] >> 16), raw[1], int32(raw[1] >> 16)))

    @inline
    def _to_bf16_2(vector):
        low = _narrows(vector)
        return (int32(low[0] | int32(low[1] << 16)),)

    @inline
    def _to_bf16_4(vector):
        low = _narrows(vector)
        return (int32(low[0] | int32(low[1] << 16)), int32(low[2] | int32(low[3] << 16)))

    @inline
    def _take_2(array, index, step):
        return (array[uint32(index)], array[uint32(index + step)])

    @inline
    def _take_4(array, index, step):
        return (array[uint32(index)], array[uint32(index + step)], array[uint32(index + 2 * step)], array[uint32(index + 3 * step)])

    @inline
    def store_fp32(array, index, number):
        """Store one number at byte `index`."""
        store4(array, index, (numerics.as_word(numerics.canonical(number)),))

    @inline
    def store_bf16(array, index, number):
        """Store one number, rounded to bf16, at byte `index`."""
        store2(array, index, (numerics.to_bf16(number),))

    _WIDEN, _NARROW = {2: _from_bf16_2, 4: _from_bf16_4}, {2: _to_bf16_2, 4: _to_bf16_4}
    _TAKE = {2: _take_2, 4: _take_4}


@inline
def _put_2(array, index, step, vector):
    array[uint32(index)] = vector[0]
    array[uint32(index + step)] = vector[1]


@inline
def _put_4(array, index, step, vector):
    array[uint32(index)] = vector[0]
    array[uint32(index + step)] = vector[1]
    array[uint32(index + 2 * step)] = vector[2]
    array[uint32(index + 3 * step)] = vector[3]


#: By width: gather a vector whose columns lie `step` elements apart from `index` on, and scatter it.
TAKE = _TAKE
PUT = {2: _put_2, 4: _put_4}


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """How vectors lie in memory: `wide(load(bytes, index))` reads one, `store(bytes, index, narrow(vector))` writes it, `store_one` a number.

    `streamed` is a load of what is read once. Every NaN is stored as 0x7fc00000, or 0x7fc0.
    """

    name: str
    width: int
    itemsize: int
    load: Callable[..., Any]
    streamed: Callable[..., Any]
    store: Callable[..., Any]
    wide: Callable[..., Any]
    narrow: Callable[..., Any]
    store_one: Callable[..., Any]


#: By name and width.
FORMATS = {
    (row.name, row.width): row
    for row in (
        Format("bfloat16", 2, 2, load4, streamed4, store4, _WIDEN[2], _NARROW[2], store_bf16),
        Format("bfloat16", 4, 2, load8, streamed8, store8, _WIDEN[4], _NARROW[4], store_bf16),
        Format("float32", 2, 4, load8, streamed8, store8, from_fp32, to_fp32, store_fp32),
        Format("float32", 4, 4, load16, streamed16, store16, from_fp32, to_fp32, store_fp32),
    )
}

#: Columns of a thread in a decode step: eight bytes of a float32 row, so that sixteen rows are under way in 32 registers. In the
#: simulator a thread is what costs, and it has four.
COLUMNS = 4 if device.SIMULATED else 2
