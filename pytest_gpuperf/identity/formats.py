"""FORMATS: the floating-point formats as bits, their order and their distances in units in the last place."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class FloatFormat:
    """One row of FORMATS: sign, exponent and mantissa bits, the bias, and which words are NaN.

    `top` is the largest magnitude that is no NaN (infinity where the format has one); `lone_nan` the only NaN of formats without
    a negative zero.
    """

    name: str
    exponent: int
    mantissa: int
    bias: int
    top: int
    infinite: bool = True
    signed: bool = True
    lone_nan: int | None = None

    @property
    def bits(self) -> int:
        """Bits of a word."""
        return int(self.signed) + self.exponent + self.mantissa

    @property
    def itemsize(self) -> int:
        """Bytes of a word."""
        return self.bits // 8


FORMATS: tuple[FloatFormat, ...] = (
    FloatFormat("float16", 5, 10, 15, 0x7C00),
    FloatFormat("bfloat16", 8, 7, 127, 0x7F80),
    FloatFormat("float32", 8, 23, 127, 0x7F80_0000),
    FloatFormat("float64", 11, 52, 1023, 0x7FF0_0000_0000_0000),
    FloatFormat("float8_e5m2", 5, 2, 15, 0x7C),
    FloatFormat("float8_e4m3", 4, 3, 7, 0x78),
    FloatFormat("float8_e3m4", 3, 4, 3, 0x70),
    FloatFormat("float8_e4m3fn", 4, 3, 7, 0x7E, infinite=False),
    FloatFormat("float8_e5m2fnuz", 5, 2, 16, 0x7F, infinite=False, lone_nan=0x80),
    FloatFormat("float8_e4m3fnuz", 4, 3, 8, 0x7F, infinite=False, lone_nan=0x80),
    FloatFormat("float8_e4m3b11fnuz", 4, 3, 11, 0x7F, infinite=False, lone_nan=0x80),
    FloatFormat("float8_e8m0fnu", 8, 0, 127, 0xFE, infinite=False, signed=False),
)

#: A complex number is compared by its two parts.
PARTS = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}

_BY_NAME = {row.name: row for row in FORMATS}


def format_of(dtype: str) -> FloatFormat | None:
    """Return the format of a floating or complex dtype's parts; None for integers, bool and records.

    >>> format_of("complex64").name, format_of("int32")
    ('float32', None)
    """
    return _BY_NAME.get(PARTS.get(dtype, dtype))


def magnitude(words: Any, form: FloatFormat) -> Any:
    """Return words without their sign bit, as uint64."""
    import numpy as np

    wide = words.astype(np.uint64)
    return wide & np.uint64((1 << (form.bits - 1)) - 1) if form.signed else wide


def is_nan(words: Any, form: FloatFormat) -> Any:
    """Return which words are NaN: bool of the same shape."""
    if form.lone_nan is not None:
        return words == form.lone_nan
    return magnitude(words, form) > form.top


def ulps(a: Any, b: Any, form: FloatFormat) -> Any:
    """Return how many representable numbers lie from each word of `a` to that of `b`, as uint64; +0 and -0 are one number.

    Words are unsigned integers of the format's size and no NaN; infinity is the neighbour of the largest number.

    >>> import numpy as np
    >>> words = np.array([1.0, -0.0, -1e-45], np.float32).view(np.uint32)
    >>> ulps(words, np.array([1.0000001, 0.0, 1e-45], np.float32).view(np.uint32), format_of("float32")).tolist()
    [1, 0, 2]
    """
    import numpy as np

    left, right = magnitude(a, form), magnitude(b, form)
    apart = np.maximum(left, right) - np.minimum(left, right)
    if not form.signed:
        return apart
    return np.where((a ^ b) >> (form.bits - 1) == 0, apart, left + right)


def decode(words: Any, form: FloatFormat) -> Any:
    """Return the numbers that words stand for, as float64 of the same shape.

    >>> import numpy as np
    >>> decode(np.array([0x38, 0x7E, 0x7F, 0x81], np.uint8), format_of("float8_e4m3fn")).tolist()
    [1.0, 448.0, nan, -0.001953125]
    """
    import numpy as np

    native = {"float32": np.float32, "float64": np.float64}.get(form.name)
    return words.view(native).astype(np.float64) if native else _table(form)[words]


@functools.cache
def _table(form: FloatFormat) -> Any:
    """Return the number that every word of a format of at most 16 bits stands for."""
    import numpy as np

    words = np.arange(1 << form.bits)
    sign = np.where(words >> (form.bits - 1), -1.0, 1.0) if form.signed else np.ones(len(words))
    exponent = (words >> form.mantissa) & ((1 << form.exponent) - 1)
    fraction = (words & ((1 << form.mantissa) - 1)) / (1 << form.mantissa)
    subnormal = (exponent == 0) & (form.mantissa > 0)
    numbers = sign * np.ldexp(np.where(subnormal, fraction, 1 + fraction), np.where(subnormal, 1, exponent) - form.bias)
    if form.infinite:
        numbers = np.where(magnitude(words, form) == form.top, sign * np.inf, numbers)
    return np.where(is_nan(words, form), np.nan, numbers)
