"""What the compiler makes of kernels/numerics.py, without a driver: the instructions that are written there, and no others."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from offline import ARCH, compiled_attributes, lines
from ptx_arithmetic import doubles, stray, written

from pytest_gpuperf.static.compiling import compile_all
from pytest_gpuperf.static.model import Reference, Request

SIGNATURE = "void(float32[::1], float32[::1], uint32[::1])"
MODULE = "numerics_kernels"
#: One exponential: bounded below, one fused step to the integer, two to the rest, six of the polynomial, two scalings.
EXP32 = {"max.NaN.f32": 1, "fma.rn.f32": 9, "sub.rn.f32": 1, "mul.rn.f32": 2}
SASS = {"FMNMX.NAN": 1, "FFMA": 9, "FADD": 1, "FMUL": 2}


@pytest.fixture(scope="module")
def compiled():
    found = compiled_attributes([(MODULE, name, SIGNATURE) for name in ("exponential", "online", "halves", "fused", "widened")])
    return {
        name: {"stray": stray(one.ptx), "written": Counter(written(one.ptx)), "doubles": doubles(one.ptx), "instructions": lines(one)}
        for (name, _), one in found.items()
    }


def computing(row):
    """Return how often each SASS instruction that computes with floating point occurs."""
    names = (re.match(r"(?:@!?U?P\d+ )?([A-Z0-9_.]+)", line)[1] for line in row["instructions"])
    return Counter(
        name
        for name in names
        if re.match(r"(?:FFMA|FADD|FMUL|FMNMX|MUFU|D[A-Z]+|F2F|F2I|I2F|HADD2|HMUL2)\b|HFMA2(?!\.MMA)", name) and name != "DEPBAR.LE"
    )


def test_an_exponential_is_the_instructions_that_are_written(compiled):
    row = compiled["exponential"]
    assert (row["written"], row["stray"], row["doubles"]) == (EXP32, [], [])
    assert computing(row) == SASS


def test_nothing_is_fused_where_sums_of_products_meet(compiled):
    row = compiled["online"]
    # Besides two exponentials: the maximum, two differences, a product, a sum and a fused product and sum.
    extra = {"max.NaN.f32": 1, "sub.rn.f32": 2, "mul.rn.f32": 1, "add.rn.f32": 1, "fma.rn.f32": 1}
    assert row["written"] == {name: 2 * EXP32.get(name, 0) + extra[name] for name in extra}
    assert (row["stray"], row["doubles"]) == ([], [])
    assert computing(row) == {"FMNMX.NAN": 3, "FFMA": 19, "FADD": 5, "FMUL": 5}


def test_bf16_is_converted_by_one_instruction(compiled):
    row = compiled["halves"]
    assert row["written"] == {"cvt.rn.bf16.f32": 1}
    assert (row["stray"], row["doubles"]) == ([], [])
    assert computing(row) == {"F2F.BF16.F32": 1}


def test_what_the_compiler_adds_is_seen(compiled):
    assert compiled["fused"]["stray"] == ["fma.rn.f32"]
    assert computing(compiled["fused"]) == {"FFMA": 1}
    assert compiled["widened"]["stray"] == ["cvt.f64.f32", "mul.f64", "cvt.rn.f32.f64"]
    assert compiled["widened"]["doubles"]


def test_a_float64_operand_does_not_compile():
    refused = compile_all([Request("double", Reference("attribute", MODULE, "double"), SIGNATURE, ARCH)])[0]
    assert "double on sm_90: " in refused.error
    assert "fma32: an operand is float64, not float32" in refused.error
