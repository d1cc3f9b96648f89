"""The numbers of kernels/numerics.py without a GPU: NumPy's execution and the simulator's are one, and both are right."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from numeric_cases import LARGEST, LEAST, SPECIAL, exact_exp, exact_fma, exponents, near, nearest32, of_bits, triples

from kernels import numerics, primitives

ARRAYS = numerics.arrays
#: What the simulator executes, whatever this process runs.
PLAIN = numerics.compose({row.plain.__name__: row.plain for row in primitives.PRIMITIVES}, lambda function: function)


def bits(values):
    """Return the bits of float32 values after `canonical`, or integers as they are."""
    values = np.asarray(values)
    return ARRAYS.as_word(ARRAYS.canonical(values)) if values.dtype == np.float32 else values


def one_by_one(function, *columns):
    return np.array([function(*row) for row in zip(*columns, strict=True)])


def operands(row, count=4000):
    """Return columns of operands for a primitive: special ones with each other, ties of bfloat16, then random bits."""
    rng = np.random.default_rng(11)
    if row.operands == "fff":
        return triples(count, 11)
    grid = [part.ravel() for part in np.meshgrid(*[SPECIAL] * len(row.operands))]
    words = rng.integers(0, 2**32, (len(grid), count), dtype=np.uint32)
    words[:, ::4] = words[:, ::4] & 0xFFFF0000 | 0x8000
    columns = [np.concatenate([part, rest.view(np.float32)]) for part, rest in zip(grid, words, strict=True)]
    return [column.view(np.uint32) if letter == "r" else column for letter, column in zip(row.operands, columns, strict=True)]


@pytest.mark.parametrize("row", primitives.PRIMITIVES, ids=lambda row: row.plain.__name__)
def test_arrays_and_the_simulator_agree_in_every_bit(row):
    columns = operands(row)
    name = row.plain.__name__
    alone = one_by_one(getattr(PLAIN, name), *columns)
    together = getattr(ARRAYS, name)(*columns)
    assert alone.dtype == together.dtype == (np.float32 if row.result == "f" else np.uint32)
    np.testing.assert_array_equal(bits(alone), bits(together))


def test_exp32_in_arrays_and_in_the_simulator():
    x = np.concatenate([exponents(10_000, 1, highest=70.0), np.float32([71, 88, 100, 1e9, -1e9])])
    np.testing.assert_array_equal(bits(one_by_one(PLAIN.exp32, x)), bits(ARRAYS.exp32(x)))


def test_fma32_is_exact_arithmetic_rounded_once():
    a, b, c = triples(40_000, 5)
    exact = np.array([exact_fma(*row) for row in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]).astype(np.float32)
    np.testing.assert_array_equal(bits(ARRAYS.fma32(a, b, c)), bits(exact))


def test_the_cases_of_fma32_tell_it_from_a_sum_rounded_twice():
    a, b, c = triples(40_000, 5)
    with np.errstate(all="ignore"):
        twice = (a.astype(np.float64) * b + c).astype(np.float32)
        unfused = a * b + c
    right = bits(ARRAYS.fma32(a, b, c))
    assert np.count_nonzero(bits(twice) != right) > 1000
    # Among them subnormal results too.
    assert np.count_nonzero((bits(twice) != right) & (np.abs(twice) < 2.0**-126)) > 10
    assert np.count_nonzero(bits(unfused) != right) > 10_000


@pytest.mark.parametrize(
    ("name", "exact"),
    [("mul32", Fraction.__mul__), ("add32", Fraction.__add__), ("sub32", Fraction.__sub__), ("div32", Fraction.__truediv__)],
)
def test_the_other_operations_round_once(name, exact):
    a, b, _ = triples(6000, 6)
    finite = np.isfinite(a) & np.isfinite(b) & (a != 0) & (b != 0)
    a, b = a[finite], b[finite]
    results = [exact(Fraction(x), Fraction(y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    right = np.array([nearest32(result) if result else 0.0 for result in results]).astype(np.float32)
    np.testing.assert_array_equal(bits(one_by_one(getattr(PLAIN, name), a, b)), bits(right))


def ulps(x):
    """Return how many float32 exp32 is from the correctly rounded results."""
    return ARRAYS.exp32(x).view(np.int32).astype(np.int64) - exact_exp(x).view(np.int32)


def test_exp32_is_within_1_ulp():
    x = exponents(1_000_000, 2)
    x = x[np.isfinite(x) & (x <= 0)]
    assert np.abs(ulps(x)).max() == 1
    assert np.count_nonzero(ulps(x)) < 0.1 * x.size
    above = exponents(20_000, 3, highest=70.0)
    above = above[(above > 0) & (above <= 70)]
    assert above.size > 1000
    assert np.abs(ulps(above)).max() <= 1


@pytest.mark.slow
def test_exp32_is_within_1_ulp_of_ten_million_points():
    for seed in range(10):
        x = exponents(1_000_000, 100 + seed)
        assert np.abs(ulps(x[np.isfinite(x) & (x <= 0)])).max() <= 1


@pytest.mark.parametrize(
    ("x", "result"),
    [
        (0.0, 1.0),
        (-0.0, 1.0),
        (-LEAST, 1.0),
        (-103.97208, LEAST),
        (-103.97209, 0.0),
        (-104.0, 0.0),
        (-105.5, 0.0),
        (-LARGEST, 0.0),
        (-np.inf, 0.0),
    ],
)
def test_exp32_at_its_edges(x, result):
    for executed in (PLAIN.exp32(np.float32(x)), ARRAYS.exp32(np.float32([x]))[0]):
        assert executed.view(np.uint32) == np.float32(result).view(np.uint32)


def test_exp32_keeps_nan_and_never_exceeds_1():
    assert np.isnan(ARRAYS.exp32(SPECIAL[np.isnan(SPECIAL)])).all()
    x = exponents(100_000, 4)
    assert ARRAYS.exp32(x[x <= 0]).max() == 1.0


def test_the_polynomial_is_nearly_the_best_there_is():
    # Weighted least squares with the weights of where it is worst raised again and again (Lawson): the least largest relative error.
    half = math.log(2) / 2
    r = half * np.cos(np.pi * (np.arange(1000) + 0.5) / 1000)
    rest = sum(r**k / math.factorial(k + 3) for k in range(20))
    weight = np.abs(r) ** 3 * np.exp(-r)
    powers = np.stack([r**k for k in range(4)], axis=1)
    share = np.ones_like(r)
    least = math.inf
    for _ in range(60):
        scale = weight * np.sqrt(share)
        best = np.linalg.lstsq(powers * scale[:, None], rest * scale, rcond=None)[0]
        error = np.abs(powers @ best - rest) * weight
        least = min(least, error.max())
        share *= error / error.max() + 1e-3
    ours = np.abs(powers @ [float(c) for c in (numerics.C3, numerics.C4, numerics.C5, numerics.C6)] - rest) * weight
    assert least < ours.max() < 1.02 * least < 3.8e-9


def test_to_bf16_rounds_to_nearest_even():
    words = np.concatenate(
        [
            np.arange(0, 2**32, 40_961, dtype=np.uint64).astype(np.uint32),
            (np.arange(2**16, dtype=np.uint32) << 16) + 0x8000,
            SPECIAL.view(np.uint32),
        ]
    )
    words = np.concatenate([words, words + 1, words - 1])
    x = words.view(np.float32)
    low, high = words >> 16, (words >> 16) + 1
    rest = words & 0xFFFF
    right = np.where((rest > 0x8000) | ((rest == 0x8000) & (low & 1 == 1)), high, low)
    right[np.isnan(x)] = 0x7FC0
    np.testing.assert_array_equal(ARRAYS.to_bf16(x), right)


def test_bf16_survives_the_way_to_float32_and_back():
    halves = np.arange(2**16, dtype=np.uint32)
    wide = ARRAYS.from_bf16(halves | 0xABCD0000)
    np.testing.assert_array_equal(ARRAYS.as_word(wide), halves << 16)
    np.testing.assert_array_equal(ARRAYS.to_bf16(wide), np.where(np.isnan(wide), 0x7FC0, halves))


def test_one_nan_leaves_a_kernel():
    x = of_bits(0x7FFFFFFF, 0xFFC00000, 0x7F800001, 0xFFFFFFFF, 0x80000000, 0x7F800000)
    expected = [0x7FC00000] * 4 + [0x80000000, 0x7F800000]
    assert ARRAYS.as_word(ARRAYS.canonical(x)).tolist() == expected
    assert [int(PLAIN.as_word(PLAIN.canonical(value))) for value in x] == expected


def test_max32_propagates_nan_and_orders_zeros():
    nan, zero, minus = np.float32(np.nan), np.float32(0.0), np.float32(-0.0)
    for a, b, larger in (
        (nan, zero, nan),
        (zero, nan, nan),
        (zero, minus, zero),
        (minus, zero, zero),
        (minus, minus, minus),
        (-np.float32(np.inf), nan, nan),
    ):
        assert bits(PLAIN.max32(a, b)) == bits(ARRAYS.max32(np.array([a]), np.array([b])))[0] == bits(larger)


def test_arrays_of_another_type_are_refused():
    with pytest.raises(TypeError, match=r"^fma32: an operand is float64, not float32$"):
        ARRAYS.fma32(np.ones(2, dtype=np.float32), np.ones(2), np.float32(1))
    with pytest.raises(TypeError, match=r"^from_bf16: an operand is float32, not an integer$"):
        ARRAYS.from_bf16(np.ones(2, dtype=np.float32))


def test_the_reduction_is_tried_where_it_turns():
    x = exponents(0, 0)
    turns = np.unique(np.rint(x[np.isfinite(x) & (x > -105) & (x <= 0)] / math.log(2)))
    assert set(range(-151, 1)) <= set(turns.astype(int).tolist())
    assert near([1.0], 1).tolist() == [1 - 2.0**-24, 1.0, 1 + 2.0**-23]
