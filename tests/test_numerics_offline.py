"""What the compiler makes of kernels/numerics.py, without a driver: the instructions that are written there, and no others."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: One exponential: bounded below, one fused step to the integer, two to the rest, six of the polynomial, two scalings.
EXP32 = {"max.NaN.f32": 1, "fma.rn.f32": 9, "sub.rn.f32": 1, "mul.rn.f32": 2}
SASS = {"FMNMX.NAN": 1, "FFMA": 9, "FADD": 1, "FMUL": 2}


def compile_all() -> dict[str, dict[str, object]]:
    """Compile kernels of one function each; runs in a process of its own, since numba decides once whether it simulates."""
    from numba import cuda
    from ptx_arithmetic import doubles, stray, written
    from test_kernels_offline import ARCH, _linked

    from kernels import numerics
    from kernels.numerics import add32, canonical, exp32, fma32, from_bf16, max32, mul32, sub32, to_bf16

    def exponential(x, y, w):
        y[0] = exp32(x[0])

    def online(x, y, w):
        """One step of a softmax of the kind that a compiler would fuse: sum * exp(old - new) + exp(x - new)."""
        new = max32(x[0], x[1])
        y[0] = add32(mul32(x[2], exp32(sub32(x[0], new))), exp32(sub32(x[1], new)))
        y[1] = fma32(x[3], x[4], x[5])

    def halves(x, y, w):
        w[0] = to_bf16(canonical(x[0]))
        y[0] = from_bf16(w[1])

    def fused(x, y, w):
        y[0] = x[0] * x[1] + x[2]

    def widened(x, y, w):
        y[0] = x[0] * 0.1

    signature = "void(float32[::1], float32[::1], uint32[::1])"
    found: dict[str, dict[str, object]] = {}
    for kernel in (exponential, online, halves, fused, widened):
        ptx, _ = cuda.compile(kernel, signature, device=False, abi="numba", cc=ARCH)
        ptx = ptx.decode() if isinstance(ptx, bytes) else ptx
        found[kernel.__name__] = {
            "stray": stray(ptx),
            "written": Counter(written(ptx)),
            "doubles": doubles(ptx),
            "instructions": _linked(ptx.encode())["instructions"],
        }

    def double(x, y, w):
        y[0] = fma32(x[0], 0.5, x[1])

    try:
        cuda.compile(double, signature, device=False, abi="numba", cc=ARCH)
    except Exception as error:  # noqa: BLE001 - which error numba makes of a helper's is numba's matter; its text is asserted
        found["refused"] = {"error": str(error)}
    assert numerics.device.SIMULATED is False
    return found


@pytest.fixture(scope="module")
def compiled():
    clean = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, __file__], check=False, capture_output=True, text=True, env={**clean, "PYTHONPATH": path}, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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


def test_a_float64_operand_does_not_compile(compiled):
    assert "fma32: an operand is float64, not float32" in compiled["refused"]["error"]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    print(json.dumps(compile_all()))  # noqa: T201
