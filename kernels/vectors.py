"""Four columns at a time: loads, stores and arithmetic on four fp32 numbers, and the formats in which they lie in memory.

A vector is a tuple of four float32 on a device and a NumPy array of four in the simulator: kernels index it and hand it on, nothing
else. Each function is the one of kernels/numerics.py, four times over; an operand may be one number for all four.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import uint32

from kernels import device, numerics, primitives
from kernels.device import inline, load8, load16, ordered8, ordered16, store2, store4, store8, store16

if TYPE_CHECKING:
    from collections.abc import Callable

#: Columns of a vector.
WIDTH = 4

_MINUS_INF = np.float32(-np.inf)
_ZERO = np.float32(0)

_four = numerics.compose(
    {
        row.plain.__name__: device.instruction4(row.text, row.result, row.operands, primitives.ARRAYS[row.plain.__name__])
        for row in primitives.PRIMITIVES
    },
    inline,
)
add4, sub4, mul4, fma4, div4, max4, exp4 = (
    getattr(_four, name) for name in ("add32", "sub32", "mul32", "fma32", "div32", "max32", "exp32")
)


@inline
def finite(number):
    """Return 0 for -inf, else the number."""
    return _ZERO if number == _MINUS_INF else number


if device.SIMULATED:

    def from_fp32(raw):
        """Return the four numbers of 16 bytes of fp32."""
        return raw.view(np.float32)

    def from_bf16(raw):
        """Return the four numbers of 8 bytes of bf16."""
        return numerics.arrays.from_bf16(raw.view(np.uint16))

    def to_fp32(vector):
        """Return the 16 bytes of a vector."""
        return numerics.arrays.canonical(vector).view(np.uint8)

    def to_bf16(vector):
        """Return the 8 bytes of a vector rounded to bf16."""
        return numerics.arrays.to_bf16(vector).astype(np.uint16).view(np.uint8)

    def finite4(vector):
        """Return a vector with 0 in place of -inf."""
        return np.where(vector == _MINUS_INF, _ZERO, vector)

    def take4(array, index, step):
        """Gather the vector whose columns lie `step` elements apart from `index` on."""
        return np.array([array[index + column * step] for column in range(WIDTH)], dtype=np.float32)

    def store_fp32(array, index, number):
        """Store one number at byte `index`."""
        store4(array, index, to_fp32(np.array([number], dtype=np.float32)))

    def store_bf16(array, index, number):
        """Store one number, rounded to bf16, at byte `index`."""
        store2(array, index, to_bf16(np.array([number], dtype=np.float32)))

else:
    from numba import int32

    _float4, _word4, _canonical4, _narrow4, _wide4 = (
        getattr(_four, name) for name in ("as_float", "as_word", "canonical", "to_bf16", "from_bf16")
    )

    @inline
    def from_fp32(raw):
        """Return the four numbers of four words of fp32."""
        return _float4(raw)

    @inline
    def from_bf16(raw):
        """Return the four numbers of two words of bf16, the low half of a word first."""
        return _wide4((raw[0], int32(raw[0] >> 16), raw[1], int32(raw[1] >> 16)))

    @inline
    def to_fp32(vector):
        """Return the four words of a vector."""
        return _word4(_canonical4(vector))

    @inline
    def to_bf16(vector):
        """Return the two words of a vector rounded to bf16."""
        low = _narrow4(vector)
        return (int32(low[0] | int32(low[1] << 16)), int32(low[2] | int32(low[3] << 16)))

    @inline
    def finite4(vector):
        """Return a vector with 0 in place of -inf."""
        return (finite(vector[0]), finite(vector[1]), finite(vector[2]), finite(vector[3]))

    @inline
    def take4(array, index, step):
        """Gather the vector whose columns lie `step` elements apart from `index` on."""
        return (array[uint32(index)], array[uint32(index + step)], array[uint32(index + 2 * step)], array[uint32(index + 3 * step)])

    @inline
    def store_fp32(array, index, number):
        """Store one number at byte `index`."""
        store4(array, index, (numerics.as_word(numerics.canonical(number)),))

    @inline
    def store_bf16(array, index, number):
        """Store one number, rounded to bf16, at byte `index`."""
        store2(array, index, (numerics.to_bf16(number),))


@inline
def put4(array, index, step, vector):
    """Scatter a vector, its columns `step` elements apart from `index` on."""
    array[uint32(index)] = vector[0]
    array[uint32(index + step)] = vector[1]
    array[uint32(index + 2 * step)] = vector[2]
    array[uint32(index + 3 * step)] = vector[3]


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """How numbers lie in memory: `wide(load(bytes, index))` reads four, `store(bytes, index, narrow(vector))` writes them, `store_one` one.

    `ordered` is a load that stays where it is written. Every NaN is stored as 0x7fc00000, or 0x7fc0.
    """

    name: str
    itemsize: int
    load: Callable[..., Any]
    ordered: Callable[..., Any]
    store: Callable[..., Any]
    wide: Callable[..., Any]
    narrow: Callable[..., Any]
    store_one: Callable[..., Any]


FORMATS = {
    row.name: row
    for row in (
        Format("bfloat16", 2, load8, ordered8, store8, from_bf16, to_bf16, store_bf16),
        Format("float32", 4, load16, ordered16, store16, from_fp32, to_fp32, store_fp32),
    )
}
