"""Numbers that are hard to compute with, and what exact arithmetic makes of them."""

from __future__ import annotations

import decimal
import math
from fractions import Fraction

import numpy as np

LEAST = np.float32(2.0**-149)
LARGEST = np.finfo(np.float32).max


def of_bits(*words):
    return np.array(words, dtype=np.uint32).view(np.float32)


#: Zeros, infinities, quiet and signalling NaN with payloads, subnormals, and neighbours of powers of two.
SPECIAL = np.concatenate(
    [
        of_bits(0x7FC00000, 0xFFC00000, 0x7FFFFFFF, 0x7F800001, 0xFFA5A5A5, 0x7FBFFFFF),
        np.array([np.inf, LARGEST, 2.0**127, 2.0**64, 2.0**24 + 2, 2.0**24, 4097.0, 3.0, 1.0, 0.5, 2.0**-64], dtype=np.float32),
        np.nextafter(np.array([1, 1, 0.5], dtype=np.float32), np.array([2, 0, 1], dtype=np.float32)),
        of_bits(0x00000000, 0x00000001, 0x00000003, 0x007FFFFF, 0x00800000, 0x00800001),
    ]
)
SPECIAL = np.unique(np.concatenate([SPECIAL, -SPECIAL]).view(np.uint32)).view(np.float32)


def near(values, steps=3):
    """Return float32 values and their nearest neighbours, `steps` to each side."""
    centre = np.asarray(values, dtype=np.float32).view(np.int32)
    return (centre[:, None] + np.arange(-steps, steps + 1, dtype=np.int32)).ravel().view(np.float32)


def exponents(count, seed, highest=0.0):
    """Return arguments of exp: where its reduction changes the integer, where the result becomes subnormal and 0, and `count` random ones.

    None but the special ones is above `highest`. Random ones are spread evenly, and evenly over their bits.
    """
    rng = np.random.default_rng(seed)
    turns = (np.arange(-153, 103) + 0.5) * math.log(2)
    bounds = [-math.log(2) * 126, -math.log(2) * 149, -math.log(2) * 150, -104, -105, -106, -150, 70, -1e-8, -1e-30, 1e-8]
    even = rng.uniform(-106, highest, count // 2).astype(np.float32)
    most = int(np.float32(106).view(np.uint32))
    spread = -rng.integers(0, most, count - count // 2, dtype=np.uint32).view(np.float32)
    edges = near(np.concatenate([turns, turns - math.log(2) / 2, bounds]))
    return np.concatenate([SPECIAL, edges[edges <= highest], even, spread])


def triples(count, seed):
    """Return float32 arrays a, b, c, about `count` long, on which a sum rounded twice goes wrong, and everything special with everything."""
    rng = np.random.default_rng(seed)
    each = count // 5
    pool = SPECIAL[:: max(1, SPECIAL.size // 24)]
    special = [grid.ravel() for grid in np.meshgrid(pool, pool, pool, indexing="ij")]

    anything = [rng.integers(0, 2**32, each, dtype=np.uint32).view(np.float32) for _ in range(3)]

    # a * b has 25 bits and ends in a tie, which a c beyond float64's last bit breaks.
    a, b = (rng.integers(2048, 2896, each).astype(np.float32) * 2 + 1 for _ in range(2))
    far = np.ldexp(np.float32(1), rng.integers(-149, -20, each)) * rng.choice(np.float32([-1, 0, 1]), each)
    ties = [a, b, far]

    # a * b is half of c's last place less a little, c odd: subnormal ones too.
    little = rng.integers(1, 33, each) * 2.0**-23
    last = rng.choice([-149, -148, -120, -23, 40], each)
    first = (last - 1) // 2
    odd = np.ldexp(rng.integers(2**22, 2**23, each) * 2.0 + 1, last)
    odd = np.where(last == -149, np.ldexp(rng.integers(2**20, 2**22, each) * 2.0 + 1, last), odd)
    grazed = [np.ldexp(1 + little, first), np.ldexp(1 - little, last - 1 - first), odd * rng.choice([-1, 1], each)]
    grazed = [column.astype(np.float32) for column in grazed]

    # c takes away nearly all of a * b, or half of its last place.
    a, b = (rng.uniform(0.5, 2, each).astype(np.float32) * rng.choice(np.float32([-1, 1]), each) for _ in range(2))
    taken = (-(a * b)).view(np.int32) + rng.integers(-2, 3, each, dtype=np.int32)
    cancelled = [a, b, taken.view(np.float32)]

    # The exponents of a * b and c lie within 60 of each other, around the subnormal ones and the largest.
    parts = [(rng.integers(2**23, 2**24, each) | 1).astype(np.float64) for _ in range(3)]
    top = rng.choice([-148, -126, -100, 0, 126], each)
    first = top // 2
    shifts = [first, top - first, top + rng.integers(-30, 31, each)]
    with np.errstate(over="ignore"):
        scaled = [np.ldexp(part, shift - 23).astype(np.float32) for part, shift in zip(parts, shifts, strict=True)]
    scaled[2] *= rng.choice(np.float32([-1, 1]), each)
    return [np.concatenate(columns) for columns in zip(special, anything, ties, grazed, cancelled, scaled, strict=True)]


def nearest32(exact: Fraction) -> float:
    """Round a rational number that is not 0 to a float32, ties to even, by integers alone."""
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    last = max(exponent, -126) - 23
    count = round(size / Fraction(2) ** last)
    rounded = math.inf if count * Fraction(2) ** last >= 2**128 else math.ldexp(count, last)
    return math.copysign(rounded, 1 if exact > 0 else -1)


def exact_fma(a: float, b: float, c: float) -> float:
    """Return a * b + c of Python floats that are float32, rounded once."""
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        # No rounding here: only what IEEE 754 says of infinities and NaN, without an overflow of a finite product.
        signs = math.copysign(1, a) * math.copysign(1, b)
        product = a * b if not (math.isfinite(a) and math.isfinite(b)) else signs
        return product + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    return nearest32(exact) if exact else a * b + c


def exact_exp(x: np.ndarray) -> np.ndarray:
    """Return e**x correctly rounded to float32, for finite x below 88; float64's where that is beyond doubt, else by 60 digits."""
    wide = np.exp(x.astype(np.float64))
    doubt = wide * 2.0**-50
    low, high = (wide - doubt).astype(np.float32), (wide + doubt).astype(np.float32)
    with decimal.localcontext(prec=60):
        for index in np.flatnonzero(low != high):
            low[index] = nearest32(Fraction(decimal.Decimal(float(x[index])).exp()))
    return low
