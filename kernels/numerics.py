"""The numbers of the kernels, to the last bit: one text of each function, for the GPU, for the simulator and for NumPy's arrays.

Kernels import the functions of this module; a reference takes those of the same names from `arrays`. Every step is one rounded
operation of kernels/primitives.py, so what a compiler may do to a * b + c has nothing to do with the result. No NaN's bits are
defined until `canonical` or `to_bf16` has seen it.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels import device, primitives

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: exp32 of less is 0, as of this: its logarithm to base 2 is -151.5, and half of the least subnormal is 2**-150.
LOWEST = np.float32(-105.0)
LOG2_E = np.float32(1.442695)
#: Adding it rounds to an integer n, and leaves the exponent field of 2**(n + 26), n + 153, in the lowest bits.
ROUNDER = np.float32(1.5 * 2**23 + 153)
#: ln 2 in two parts, negated: n times the first, taken from x, is exact.
LN2_HIGH = np.float32(-0.6931472)
LN2_LOW = np.float32(1.9046542e-09)
#: exp(r) = 1 + r + r**2/2 + ..., the rest fitted on |r| <= ln 2 / 2 for the least relative error: 3.7e-9, a sixteenth of an ulp.
C2 = np.float32(0.5)
C3 = np.float32(0.16666535)
C4 = np.float32(0.04166724)
C5 = np.float32(0.008367431)
C6 = np.float32(0.0013863406)
ONE = np.float32(1.0)
DOWN = np.float32(2.0**-26)


def compose(primitive: Mapping[str, Callable[..., Any]], inline: Callable[..., Any]) -> types.SimpleNamespace:
    """Return the functions made of a table of primitives, and the primitives themselves, as attributes."""
    fma32, mul32, sub32, max32, power = (primitive[name] for name in ("fma32", "mul32", "sub32", "max32", "power"))

    @inline
    def exp32(x):
        """Return e**x, at most 1 ulp from the correctly rounded result for x <= 70, subnormals included; 0 below -103.98, NaN of NaN.

        Of every x from -105 to 0, 98 in 100 are rounded correctly. Beyond 70 the bits are the same everywhere, but no exponential:
        a softmax takes its maximum away first, so the bound above that this would need is left out.
        """
        bounded = max32(x, LOWEST)
        shifted = fma32(bounded, LOG2_E, ROUNDER)
        n = sub32(shifted, ROUNDER)
        r = fma32(n, LN2_LOW, fma32(n, LN2_HIGH, bounded))
        p = fma32(C6, r, C5)
        p = fma32(p, r, C4)
        p = fma32(p, r, C3)
        p = fma32(p, r, C2)
        p = fma32(p, r, ONE)
        p = fma32(p, r, ONE)
        # Scaled up by 2**26 on the way, so that a subnormal result is rounded once, by the last product.
        return mul32(mul32(p, power(shifted)), DOWN)

    return types.SimpleNamespace(**primitive, exp32=exp32)


_kernel = compose(primitives.KERNEL, device.inline)
fma32, mul32, add32, sub32, div32, max32 = (getattr(_kernel, name) for name in ("fma32", "mul32", "add32", "sub32", "div32", "max32"))
as_float, as_word, canonical, to_bf16, from_bf16 = (
    getattr(_kernel, name) for name in ("as_float", "as_word", "canonical", "to_bf16", "from_bf16")
)
exp32 = _kernel.exp32

#: The same functions over NumPy's arrays: float32, and integers where bits are meant; uint32 where they return bits.
arrays = compose(primitives.ARRAYS, lambda function: function)
