"""Without a GPU, in numba's simulator: kernels that bodies launch there are compiled by a child that does not simulate, for every architecture."""

from __future__ import annotations

import pytest

from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.testing import Example

CONFTEST = """
    import os

    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
    os.environ["NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"] = "0"
"""

KERNELS = """
    import dataclasses
    from typing import Any

    from numba import cuda, float32


    @cuda.jit
    def scale(array, factor):
        i = cuda.grid(1)
        if i < array.size:
            array[i] = array[i] * factor


    def made(step):
        @cuda.jit
        def add(array):
            i = cuda.grid(1)
            if i < array.size:
                array[i] += float32(step)

        return add


    @dataclasses.dataclass(frozen=True)
    class Row:
        name: str
        function: Any
        signature: str
        block: int


    add = made(1)
    KERNELS = (Row("scale.f32", scale, "void(float32[::1], float32)", 64), Row("add.f32", add, "void(float32[::1])", 64))
"""

TESTS = """
    import numpy as np
    import pytest
    from mine import add, made, scale

    A = np.ones(64, np.float32)


    @pytest.mark.gpuperf(registers={"sm_90": "<= 4", "*": "<= 64"}, spills="== 0", f64="== 0", occupancy=">= 100 %")
    def test_judged(gpuperf):
        m = gpuperf.measure(scale[1, 64], A, np.float32(2))
        assert (A[:64] == 2).all()
        assert m.registers <= 64


    @pytest.mark.gpuperf(spills="== 0")
    def test_listed(gpuperf):
        gpuperf.measure(add[1, 64], A)


    @pytest.mark.gpuperf(spills="== 0")
    def test_unnamed(gpuperf):
        gpuperf.measure(made(2)[1, 64], A)


    def test_stray(gpuperf):
        gpuperf.measure(scale[1, 64], A, 2.0)


    def test_verb(gpuperf):
        c = gpuperf.compiled(scale, "void(float32[::1], float64)", arch="sm_90")
        assert c.f64 >= 1
        assert "EXIT" in c.sass and ".entry" in c.ptx
"""


@pytest.fixture(scope="module")
def done():
    example = Example({"conftest.py": CONFTEST, "mine.py": KERNELS, "test_it.py": TESTS})
    yield example.run_pytest("--gpuperf", "--gpuperf-kernels=mine", "--gpuperf-archs=sm_80,sm_90", timeout=240)
    # The folder, and the page in it, go with the example.
    del example


def budgets(done, name):
    (case,) = (case for case in done.run["cases"] if case["function"] == name)
    return [(one["verdict"], one["message"]) for one in case["budgets"]]


def test_a_limit_is_judged_on_each_architecture_by_what_the_body_launched(done):
    found = budgets(done, "test_judged")
    assert [verdict for verdict, _ in found] == ["PASS", "FAIL", "PASS", "PASS", "PASS", "PASS", "PASS", "PASS"]
    assert found[1][1].endswith("exceeds 4 (scale.f32 on sm_90)")
    assert all(f"(scale.f32 on {arch})" in message for (_, message), arch in zip(found, ["sm_80", "sm_90"] * 4, strict=True))


def test_a_kernel_made_in_a_function_is_found_by_its_row_and_only_by_it(done):
    assert [verdict for verdict, _ in budgets(done, "test_listed")] == ["PASS", "PASS"]
    ((verdict, message),) = budgets(done, "test_unnamed")
    assert verdict == "UNMEASURED"
    assert "kernel-unnamed: made.<locals>.add is made inside a function, so another process cannot find it by name (define it at the top" in message


def test_a_launch_with_undeclared_types_fails_in_the_simulator_too(done):
    (case,) = (case for case in done.run["cases"] if case["function"] == "test_stray")
    assert case["verdict"] == "FAIL"
    assert "mine.scale was launched with (float32[::1], float64), which no KERNELS row declares; argument 1 is float64, scale.f32 has float32" in case["error"]


def test_the_verb_compiles_where_the_simulator_is_on(done):
    (case,) = (case for case in done.run["cases"] if case["function"] == "test_verb")
    assert (case["verdict"], case["source"]) == ("PASS", "host")


def test_the_record_is_as_the_schema_says_and_the_page_has_the_table(done):
    assert validate(done.run) == []
    page = done.report.read_text(encoding="utf-8")
    assert 'id="resources"' in page
    assert "SASS of scale.f32 on sm_90" in page
    assert "SASS of scale.f32 on sm_80" not in page
