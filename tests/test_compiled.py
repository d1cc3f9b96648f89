"""Limits on machine code in a session, and the verb `compiled`: for which kernels and architectures they are judged, and what they say."""

from __future__ import annotations

import textwrap

from compiled_runs import KERNELS, OFF_DEVICE, ON_DEVICE
from plugin_runs import run_pytest

HEAD = """
    import numpy as np
    from toolbox import KERNELS, listed, make, other, scale

    A = np.zeros(4, np.float32)
"""


def run(pytester, text, *args, device=True):
    whole = textwrap.dedent(HEAD) + textwrap.dedent(text)
    return run_pytest(pytester, whole, *args, conftest=ON_DEVICE if device else OFF_DEVICE, files={"toolbox.py": KERNELS})


def judged(done, name):
    return [(one["verdict"], one["message"]) for one in done.case(name)["budgets"]]


def test_a_limit_is_judged_for_the_overload_that_the_body_launched_on_the_device(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.gpuperf(registers="<= 64", spills="== 0", loads_128=">= 8", occupancy=">= 50 %")
        def test_it(gpuperf, compiler):
            m = gpuperf.measure(scale[1, 96, 0, 512], A, np.float32(2))
            assert m.registers == 40
            assert [name for one in compiler.batches for name, _ in one] == ["scale"]
        """,
    )
    assert judged(done, "test_it") == [
        ("PASS", "registers: 40 is within 64 (scale on sm_90)"),
        ("PASS", "spills: 0 B is within 0 B (scale on sm_90)"),
        ("FAIL", "loads_128: 4 is below 8 (scale on sm_90)"),
        ("PASS", "occupancy: 75.00 % is within 50.00 % (scale on sm_90)"),
    ]
    (record,) = done.case("test_it")["compiled"]
    assert (record["signature"], record["block"], record["dynamic_shared"], record["measurements"]) == ("void(float32[::1], float32)", 96, 512, ["main"])
    assert done.case("test_it")["measurements"][0]["values"]["registers"]["source"] == "compiler"


def test_where_nothing_was_seen_to_launch_the_limit_is_unmeasured(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.gpuperf(registers="<= 64")
        def test_it(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
        """,
    )
    assert done.outcomes == {"unmeasured": 1}
    ((verdict, message),) = judged(done, "test_it")
    assert verdict == "UNMEASURED"
    assert "no-launch-seen: the body was not seen to launch a numba kernel" in message


def test_a_graph_launches_what_its_body_did(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.gpuperf(registers="<= 30")
        def test_it(gpuperf, fake):
            inner = fake.kernel(5e-6, stream=lambda: gpuperf.stream)

            def body():
                other[1, 32](A)
                inner()

            gpuperf.measure(gpuperf.graph(body))
        """,
    )
    assert judged(done, "test_it") == [("FAIL", "registers: 40 exceeds 30 (other on sm_90)")]


def test_versions_of_a_comparison_have_limits_of_their_own(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.gpuperf(registers="<= 30", of="compare/other")
        def test_it(gpuperf):
            c = gpuperf.compare({"scale": lambda: scale[1, 32](A, np.float32(1)), "other": lambda: other[1, 32](A)})
            assert c["scale"].registers == 40
        """,
    )
    assert judged(done, "test_it") == [("FAIL", "compare/other registers: 40 exceeds 30 (other on sm_90)")]


def test_each_kernel_of_a_body_has_the_limit(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.gpuperf(registers="<= 64")
        def test_it(gpuperf, compiler):
            compiler.numbers = {"other": {"registers": 80}}

            def body():
                scale[1, 32](A, np.float32(1))
                other[1, 32](A)

            m = gpuperf.measure(body)
            assert m.registers.bounds == (40, 80)
            assert m.registers.point == 80
            with pytest.raises(BudgetExceeded, match=r"^registers: 80 exceeds 70 \\(other on sm_90\\)$"):
                m.require(registers="<= 70")
        """,
    )
    assert judged(done, "test_it")[:2] == [("PASS", "registers: 40 is within 64 (scale on sm_90)"), ("FAIL", "registers: 80 exceeds 64 (other on sm_90)")]


def test_budget_of_measure_stands_before_the_marker(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.gpuperf(registers="<= 10", spills="== 0")
        def test_it(gpuperf):
            gpuperf.measure(scale[1, 32], A, np.float32(1), budget={"registers": "<= 64"})
        """,
    )
    assert [(one["quantity"], one["verdict"], one["origin"]) for one in done.case("test_it")["budgets"]] == [
        ("registers", "PASS", "budget="),
        ("spills", "PASS", "function marker"),
    ]
    assert done.run["problems"] == []


def test_a_limit_for_another_architecture_is_not_applicable(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.gpuperf(registers={"sm_80": "<= 10"}, stack={"A100*": "== 0"}, spills={"fake*": "== 0", "sm_80": "== 4"}, local={"sm_90a": "== 0"})
        def test_it(gpuperf):
            gpuperf.measure(scale[1, 32], A, np.float32(1))
        """,
    )
    found = {one["quantity"]: (one["verdict"], one["glob"]) for one in done.case("test_it")["budgets"]}
    assert found["registers"] == ("NOT-APPLICABLE", "sm_80")
    assert found["stack"] == ("NOT-APPLICABLE", "A100*")
    assert found["spills"][1] != "sm_80"
    # One for no architecture at all would be judged nowhere.
    assert ("FAIL", "local: unknown architecture 'sm_90a'; nearest 'sm_90'") in [(verdict, message.partition("; known")[0]) for verdict, message in judged(done, "test_it")]


def test_an_undeclared_launch_is_an_error_that_names_the_argument(pytester):
    done = run(
        pytester,
        """
        def test_it(gpuperf):
            gpuperf.measure(scale[1, 32], A, 2.0)

        def test_declared(gpuperf):
            gpuperf.measure(scale[1, 32], A, np.float32(2))

        def test_outside_of_a_measurement(gpuperf):
            scale[1, 32](A, 2)

        def test_of_somebody_else(gpuperf):
            other[1, 32](A)

        @pytest.fixture
        def warmed():
            scale[1, 32](A, np.int16(2))

        def test_in_a_fixture(gpuperf, warmed):
            pass
        """,
        "--gpuperf-kernels=toolbox",
    )
    assert done.outcomes == {"failed": 3, "passed": 2}
    assert "(float32[::1], int16)" in done.case("in_a_fixture")["error"]
    line = "toolbox.scale was launched with (float32[::1], float64), which no KERNELS row declares; argument 1 is float64, scale.f32 has float32"
    assert line in done.case("test_it")["error"]
    assert "(float32[::1], int64)" in done.case("measurement")["error"]


def test_all_rows_go_to_the_compiler_at_once_and_once(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
        @pytest.mark.parametrize("row", KERNELS, ids=lambda row: row.name)
        def test_rows(gpuperf, row, arch):
            c = gpuperf.compiled(row, arch=arch)
            assert (c.name, c.arch, c.block) == (row.name, arch, 128)
            c.require(registers="<= 64", spills="== 0")

        def test_batches(gpuperf, compiler):
            assert [len(one) for one in compiler.batches] == [9]
            # Another block is no other code.
            assert gpuperf.compiled(scale, "void(float32[::1], float32)", arch="sm_90", block=1024).occupancy.point > 0
            assert [len(one) for one in compiler.batches] == [9]
        """,
        "--gpuperf-kernels=toolbox",
    )
    assert done.outcomes == {"passed": 7}


def test_of_rows_as_parameters_only_the_selected_ones_are_compiled(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
        @pytest.mark.parametrize("row", KERNELS, ids=lambda row: row.name)
        def test_rows(gpuperf, compiler, row, arch):
            gpuperf.compiled(row, arch=arch)
            assert compiler.batches == [[("listed", "sm_80"), ("listed", "sm_90"), ("listed", "sm_100")]]
        """,
        "--gpuperf-kernels=toolbox", "-k", "listed",
    )
    assert done.outcomes == {"passed": 2, "deselected": 4}, done.text


def test_what_is_asked_for_has_texts_and_exact_numbers(pytester):
    done = run(
        pytester,
        """
        def test_it(gpuperf, compiler):
            c = gpuperf.compiled(scale, "void(f4[::1], f4)", block=(16, 8))
            assert c.arch == "sm_90" and c.block == 128 and c.signature == "void(float32[::1], float32)"
            assert c.registers <= 40 and c["loads_128"] == 4 and c.registers.source == "compiler"
            assert "LDG" in c.sass and "ptx" in c.ptx and c.code_hash and c.toolchain["nvvm"] == "13.0.88"
            assert "scale.f32 on sm_90: registers 40" in repr(c)
            with pytest.raises(BudgetExceeded) as error:
                c.require(registers={"sm_90": "<= 8", "*": "<= 64"}, f64="== 0", instructions=">= 1")
            assert str(error.value) == "registers: 40 exceeds 8 (scale.f32 on sm_90)\\ninstructions: 0 is below 1 (scale.f32 on sm_90)"
        """,
        "--gpuperf-kernels=toolbox",
    )
    assert done.outcomes == {"passed": 1}
    assert [one["quantity"] for one in done.case("test_it")["budgets"]] == ["registers", "f64", "instructions"]


def test_a_kernel_that_does_not_compile_fails_its_limits_and_a_hole_does_not(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.gpuperf(registers="<= 64")
        def test_refused(gpuperf, compiler):
            compiler.numbers = {"other": {"error": "other on sm_90: no such function"}}
            gpuperf.measure(other[1, 32], A)

        @pytest.mark.gpuperf(registers="<= 64", fma="<= 4")
        def test_hole(gpuperf, compiler):
            compiler.numbers = {"scale": {"reasons": {"fma": ("no-disassembly", "")}}}
            gpuperf.measure(scale[1, 32], A, np.float32(2))
        """,
    )
    assert judged(done, "test_refused") == [("FAIL", "registers <= 64: other on sm_90: no such function")]
    assert [verdict for verdict, _ in judged(done, "test_hole")] == ["PASS", "UNMEASURED"]
    assert "fma <= 4 (scale on sm_90): UNMEASURED no-disassembly" in judged(done, "test_hole")[1][1]


def test_without_gpuperf_nothing_is_compiled_for_a_marker_and_the_verb_works(pytester):
    done = run(
        pytester,
        """
        @pytest.mark.gpuperf(registers="<= 1")
        def test_marker(gpuperf, compiler):
            gpuperf.measure(scale[1, 32], A, np.float32(2))
            assert compiler.batches == []

        def test_verb(gpuperf):
            assert gpuperf.compiled(scale, "void(float32[::1], float32)", arch="sm_80").registers == 40
        """,
        "--gpuperf-off",
    )
    assert done.outcomes == {"passed": 2}


def test_cuda_c_and_kernels_of_triton_give_the_same_quantities(pytester):
    done = run(
        pytester,
        """
        import types

        SOURCE = '''
        extern "C" __global__ void add(float *a, double *b) { a[threadIdx.x] += 1.0f; b[threadIdx.x] *= 1.5; }
        '''

        def test_c(gpuperf):
            c = gpuperf.compiled(SOURCE, "add", arch="sm_90", block=128)
            assert c.f64 >= 1 and c.spills == 0 and c.occupancy.point > 0
            with pytest.raises(StaticError, match="name the kernel too, as"):
                gpuperf.compiled(SOURCE, arch="sm_90")
            with pytest.raises(StaticError, match="error"):
                gpuperf.compiled("oops", "add", arch="sm_90")

        def test_triton(gpuperf, monkeypatch):
            from pytest_gpuperf.static import adapters

            from compiled_runs import compiled as made

            monkeypatch.setattr(adapters, "compiled", lambda thing: [made("of triton")])
            c = gpuperf.compiled(types.SimpleNamespace(asm={}, metadata=None))
            assert c.name == "of triton" and c.registers == 40
        """,
    )
    assert done.outcomes == {"passed": 2}, done.text
