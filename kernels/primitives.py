"""What the numbers of kernels/numerics.py are made of: each operation as PTX, as plain Python on one number, and over NumPy arrays.

The three agree in every bit, NaN's apart: which NaN an operation returns is nobody's promise until `canonical` has seen it. Every
operation rounds once, to nearest even, and keeps subnormals. All PTX names its rounding, so no compiler fuses two of them.
"""

from __future__ import annotations

import ctypes
import dataclasses
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels import device

if TYPE_CHECKING:
    from collections.abc import Callable

#: The bits of the one NaN that leaves a kernel.
NAN32 = 0x7FC00000
NAN16 = 0x7FC0
_NAN = np.uint32(NAN32).view(np.float32)


def _rounded(value: float) -> np.float32:
    """Round a Python float; unlike NumPy's own, the conversion of C does not warn of an overflow."""
    return np.float32(ctypes.c_float(value).value)


def fma32(a, b, c):
    """Return a * b + c, rounded once.

    The product of two float32 is exact in float64. Their sum is rounded to odd there (an inexact one ends in a 1 bit), which leaves to
    the second rounding, with more than two bits to spare, what it needs to be the only one.
    """
    product, addend = float(a) * float(b), float(c)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    if error > 0.0 or error < 0.0:
        bits = struct.unpack("<q", struct.pack("<d", total))[0]
        if not bits & 1:
            total = struct.unpack("<d", struct.pack("<q", bits + (1 if (error > 0.0) == (total > 0.0) else -1)))[0]
    return _rounded(total)


def _fma32(a, b, c):
    product, addend = np.multiply(a, b, dtype=np.float64), np.asarray(c, dtype=np.float64)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    bits = total.view(np.int64)
    inexact = ((error > 0.0) | (error < 0.0)) & (bits & 1 == 0)
    step = np.where((error > 0.0) == (total > 0.0), 1, -1)
    return (bits + np.where(inexact, step, 0)).view(np.float64).astype(np.float32)


# Of two float32, sums, products and quotients in float64 have the bits that make rounding twice the same as once.
def mul32(a, b):
    """Return a * b, rounded once."""
    return _rounded(float(a) * float(b))


def add32(a, b):
    """Return a + b, rounded once."""
    return _rounded(float(a) + float(b))


def sub32(a, b):
    """Return a - b, rounded once."""
    return _rounded(float(a) - float(b))


def div32(a, b):
    """Return a / b, rounded once."""
    if b == 0.0:
        invalid = a == 0.0 or math.isnan(a)
        return _NAN if invalid else _rounded(math.copysign(math.inf, a) * math.copysign(1.0, b))
    return _rounded(float(a) / float(b))


def max32(a, b):
    """Return the larger of a and b; NaN if one of them is; 0.0 of 0.0 and -0.0."""
    if math.isnan(a) or math.isnan(b):
        return _NAN
    if a == b:
        return a if math.copysign(1.0, a) > 0.0 else b
    return max(a, b)


def _max32(a, b):
    larger = np.where(a > b, a, b)
    # Equal numbers are equal bits, or the two zeros.
    same = (_as_word(a) & _as_word(b)).view(np.float32)
    return np.where(np.isnan(a) | np.isnan(b), _NAN, np.where(np.equal(a, b), same, larger))


def as_float(word):
    """Return the float32 that has the bits of an integer; those above the 32nd are dropped."""
    return np.uint32(int(word) & 0xFFFFFFFF).view(np.float32)


def _as_float(word):
    return (np.asarray(word) & 0xFFFFFFFF).astype(np.uint32).view(np.float32)


def as_word(a):
    """Return the bits of a float32 as a uint32."""
    return np.float32(a).view(np.uint32)


def _as_word(a):
    return np.asarray(a, dtype=np.float32).view(np.uint32)


def power(a):
    """Return the float32 whose sign and exponent are the lowest 9 bits of a, and whose mantissa is 0."""
    return as_float(int(as_word(a)) << 23)


def _power(a):
    return (_as_word(a) << np.uint32(23)).view(np.float32)


def canonical(a):
    """Return a, and for every NaN the one of bits 0x7fc00000."""
    return _NAN if math.isnan(a) else a


def _canonical(a):
    return np.where(np.isnan(a), _NAN, a)


def to_bf16(a):
    """Return the 16 bits of the bfloat16 nearest to a, ties to even, as a uint32; of every NaN 0x7fc0."""
    if math.isnan(a):
        return np.uint32(NAN16)
    bits = int(as_word(a))
    return np.uint32(bits + 0x7FFF + (bits >> 16 & 1) >> 16)


def _to_bf16(a):
    bits = _as_word(a).astype(np.uint64)
    rounded = (bits + np.uint64(0x7FFF) + (bits >> np.uint64(16) & np.uint64(1))) >> np.uint64(16)
    return np.where(np.isnan(a), np.uint32(NAN16), rounded.astype(np.uint32))


def from_bf16(word):
    """Return the float32 of the bfloat16 in the lowest 16 bits of an integer; those above are dropped."""
    return as_float(int(word) << 16)


def _from_bf16(word):
    return _as_float((np.asarray(word).astype(np.uint64) & np.uint64(0xFFFF)) << np.uint64(16))


@dataclasses.dataclass(frozen=True, slots=True)
class Primitive:
    """One operation: PTX ($0 is the result) with the registers of its result and operands, on one number, over arrays."""

    text: str
    result: str
    operands: str
    plain: Callable[..., Any]
    array: Callable[..., Any]


PRIMITIVES = (
    Primitive("fma.rn.f32 $0, $1, $2, $3;", "f", "fff", fma32, _fma32),
    Primitive("mul.rn.f32 $0, $1, $2;", "f", "ff", mul32, np.multiply),
    Primitive("add.rn.f32 $0, $1, $2;", "f", "ff", add32, np.add),
    Primitive("sub.rn.f32 $0, $1, $2;", "f", "ff", sub32, np.subtract),
    Primitive("div.rn.f32 $0, $1, $2;", "f", "ff", div32, np.divide),
    Primitive("max.NaN.f32 $0, $1, $2;", "f", "ff", max32, _max32),
    Primitive("mov.b32 $0, $1;", "f", "r", as_float, _as_float),
    Primitive("mov.b32 $0, $1;", "r", "f", as_word, _as_word),
    Primitive("shl.b32 $0, $1, 23;", "f", "f", power, _power),
    Primitive("{.reg .pred p; setp.nan.f32 p, $1, $1; selp.f32 $0, 0f7FC00000, $1, p;}", "f", "f", canonical, _canonical),
    Primitive(
        "{.reg .pred p; .reg .b16 h; .reg .b32 w; cvt.rn.bf16.f32 h, $1; cvt.u32.u16 w, h; setp.nan.f32 p, $1, $1; selp.b32 $0, 0x7FC0, w, p;}",
        "r", "f", to_bf16, _to_bf16,
    ),
    Primitive("shl.b32 $0, $1, 16;", "f", "r", from_bf16, _from_bf16),
)  # fmt: skip


def _quiet(name: str, function: Callable[..., Any], operands: str) -> Callable[..., Any]:
    """Make the execution of a primitive over arrays: it takes float32 or integers only, and warns of no overflow."""

    def checked(*arrays: Any) -> Any:
        for letter, array in zip(operands, arrays, strict=True):
            dtype = np.asarray(array).dtype
            if (dtype != np.float32) if letter == "f" else dtype.kind not in "iu":
                raise TypeError(f"{name}: an operand is {dtype}, not {'float32' if letter == 'f' else 'an integer'}")
        with np.errstate(all="ignore"):
            return function(*arrays)

    return checked


#: By name: for kernels, on the device or in the simulator, and over arrays.
KERNEL = {row.plain.__name__: device.instruction(row.text, row.result, row.operands, row.plain) for row in PRIMITIVES}
ARRAYS = {row.plain.__name__: _quiet(row.plain.__name__, row.array, row.operands) for row in PRIMITIVES}
