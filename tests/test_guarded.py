"""guarded: what a kernel writes outside of its array, and what it leaves unwritten, is told by name and index."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pytest
from child_runs import run_child
from plugin_runs import NO_GPU, run_pytest

import pytest_gpuperf
from pytest_gpuperf.device.poison import fresh
from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.testing import Example, FakeDevice


@pytest.fixture
def fake():
    return FakeDevice()


@pytest.fixture
def gpuperf(fake):
    session = pytest_gpuperf.session(fake)
    yield session
    session.close_session()


def beside(guarded):
    """Return all bytes of a guarded array's memory, and where its own begin."""
    whole = guarded._whole
    return (whole.numpy() if hasattr(whole, "numpy") else whole), guarded._zone


def outside(guarded, index, value):
    """Write one element at a flat index that may lie outside, as a kernel would."""
    memory, start = beside(guarded)
    memory.view(guarded.array.dtype)[start // guarded.array.dtype.itemsize + index] = value


@pytest.mark.parametrize("like", [None, "numpy"])
@pytest.mark.parametrize(
    ("index", "said"),
    [
        (32, r"^out: written outside: 1 element after the end, nearest at flat index 32 of an array of 32 \(\[4, 8\]\): 0x40e00000 \(7\)$"),
        (-1, r"^out: written outside: 1 element before the start, nearest at flat index -1 of an array of 32 \(\[4, 8\]\): 0x40e00000 \(7\)$"),
        (1000, r"nearest at flat index 1000 "),
    ],
)
def test_one_element_outside(gpuperf, like, index, said):
    out = gpuperf.guarded((4, 8), name="out", like=like)
    (out.array.numpy() if like is None else out.array)[...] = 1.0
    outside(out, index, 7.0)
    with pytest.raises(NotIdentical, match=said):
        out.check()


def test_the_nearest_of_several_is_told_on_both_sides(gpuperf):
    out = gpuperf.guarded(16, "int16", name="out")
    out.array.numpy()[:] = 1
    for index in (-5, -2, 17, 16, 40):
        outside(out, index, 3)
    with pytest.raises(NotIdentical, match=r"2 elements before the start, nearest at flat index -2 .*: 0x0003\n.*3 elements after the end, nearest at flat index 16 "):
        out.check()


def test_the_last_block_unwritten(gpuperf, fake):
    out = gpuperf.guarded((4, 8), name="out")
    fake.kernel(5e-6, effect=lambda: out.array.numpy()[:3].fill(1.0))()
    with pytest.raises(NotIdentical, match=r"^out: not written: 8 of 32 elements hold the poison, first at \[3, 0\]"):
        out.check()


def test_all_written_and_nothing_outside(gpuperf):
    out = gpuperf.guarded((4, 8), name="out")
    out.array.numpy()[:] = 0.0
    out.check()
    (check,) = gpuperf._case.checks
    assert (check.kind, check.name, check.verdict) == ("guarded", "out", "PASS")
    assert check.detail == "32 elements of float32, nothing outside of them in 4,096 bytes before and after"


def test_partial_arrays_may_keep_theirs_and_write_nothing_outside(gpuperf):
    out = gpuperf.guarded(8, partial=True)
    out.check()
    outside(out, 8, 1.0)
    with pytest.raises(NotIdentical, match="written outside"):
        out.check()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_a_value_that_is_the_poison_by_chance_is_not_taken_for_it_over_two_calls(gpuperf, dtype):
    out = gpuperf.guarded(64, dtype, name="out")
    value = np.resize(np.frombuffer(fresh(out._number, 0).to_bytes(8, "little"), np.uint8), out.array.nbytes).view(dtype)
    out.array.numpy()[:] = value
    out.poison()
    out.array.numpy()[:] = value
    out.check()


def test_a_right_value_cannot_hide_an_unwritten_element_over_two_calls(gpuperf):
    out = gpuperf.guarded(64, "uint8", name="out")
    for _ in range(2):
        out.poison()
        out.array.numpy()[:] = 1
        memory, start = beside(out)
        memory[start + 60 : start + 62] = np.frombuffer(out._word.to_bytes(8, "little"), np.uint8)[4:6]
    with pytest.raises(NotIdentical, match=r"not written: 2 of 64 elements hold the poison of all 3 fills, first at \[60\]"):
        out.check()


def test_single_bytes_that_may_have_been_written_are_no_finding_and_four_in_a_row_are(gpuperf):
    out = gpuperf.guarded(1 << 16, "uint8")
    out.array.numpy()[:] = np.random.default_rng(0).integers(0, 256, 1 << 16, np.uint8)
    out.check()
    out = gpuperf.guarded(64, "uint8", name="out")
    out.array.numpy()[:60] = 1
    with pytest.raises(NotIdentical, match=r"not written: 4 of 64 elements"):
        out.check()


def test_no_two_arrays_have_one_poison(gpuperf):
    one, two = (gpuperf.guarded(64) for _ in range(2))
    a, b = (beside(each)[0].copy() for each in (one, two))
    assert (a.reshape(-1, 8) != b.reshape(-1, 8)).any(axis=1).all()
    for each in (one, two):
        each.array.numpy()[:] = 0


def test_measure_and_a_guard_do_not_disturb_each_other(gpuperf, fake):
    out = gpuperf.guarded(64, name="out")
    m = gpuperf.measure(fake.kernel(5e-6, effect=lambda: out.array.numpy().fill(1.0)), outputs=[out.array])
    assert m.details["checked"] == "every sample"
    out.check()
    lazy = fake.kernel(5e-6, effect=lambda: out.array.numpy()[:63].fill(1.0))
    with pytest.raises(NotIdentical, match=r"^not written: 1 of 64 elements of outputs\[0\]"):
        gpuperf.measure(lazy, name="lazy", outputs=[out.array])
    beyond = gpuperf.guarded(64, name="beyond")

    def effect():
        beyond.array.numpy().fill(1.0)
        outside(beyond, 64, 1.0)

    gpuperf.measure(fake.kernel(5e-6, effect=effect), name="beyond", outputs=[beyond.array])
    with pytest.raises(NotIdentical, match=r"beyond: written outside: 1 element after the end, nearest at flat index 64"):
        beyond.check()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "float8_e4m3fn"])
def test_torch_tensors_on_the_host(dtype):
    torch = pytest.importorskip("torch")
    with pytest_gpuperf.session() as gpuperf:
        if gpuperf.device is not None:
            pytest.skip("this is about a machine without a GPU")
        out = gpuperf.guarded((2, 64), getattr(torch, dtype), like="torch", name="out")
        assert out.array.dtype == getattr(torch, dtype)
        out.array.fill_(1)
        out.check()
        out.poison()
        out.array[0].fill_(1)
        other = gpuperf.guarded((2, 64), dtype, like="torch", name="other")
        other.array[0].fill_(1)
        with pytest.raises(NotIdentical, match=r"other: not written: 64 of 128 elements hold the poison, first at \[1, 0\]"):
            other.check()
        out.array.fill_(1)


SIMULATED = """
import os
os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
"""


def test_arrays_of_numbas_simulator():
    text = """
        import pytest
        from numba import cuda

        @cuda.jit
        def short(out, count):
            index = cuda.grid(1)
            if index < count:
                out[index] = index

        @pytest.mark.parametrize("like", ["numba", None])
        @pytest.mark.parametrize("count", [32, 31])
        def test_it(gpuperf, like, count):
            out = gpuperf.guarded(32, "int32", like=like, name="out")
            short[1, 32](out.array, count)
    """
    result = Example({"test_it.py": text, "conftest.py": SIMULATED}).run_pytest("-q", "--gpuperf")
    assert result.outcomes() == {"failed": 2, "passed": 2}, result.stdout
    assert result.stdout.count("E       pytest_gpuperf.errors") == 0
    assert "out: not written: 1 of 32 elements hold the poison, first at [31]" in result.stdout


ENDS = """
    def test_unchecked(gpuperf, fake):
        out = gpuperf.guarded(8, name="out")
        fake.kernel(5e-6, effect=lambda: out.array.numpy()[:7].fill(1.0))()

    def test_right(gpuperf, fake):
        out = gpuperf.guarded(8, name="out")
        fake.kernel(5e-6, effect=lambda: out.array.numpy().fill(1.0))()

    def test_expected(gpuperf):
        out = gpuperf.guarded(8, name="out")
        with pytest.raises(NotIdentical, match="not written"):
            out.check()

    def test_fails_before(gpuperf):
        gpuperf.guarded(8, name="out")
        assert 1 == 2

    def test_fails_after(gpuperf):
        out = gpuperf.guarded(8, name="out")
        out._whole.numpy()[-4096:-4092] = 0
        assert 1 == 2

    def test_undecided(gpuperf, fake):
        out = gpuperf.guarded(8, name="out")
        m = gpuperf.measure(lambda: fake.synchronize())
        assert m.time < 1

    def test_skips(gpuperf):
        gpuperf.guarded(8, name="out")
        pytest.skip("no")

    @pytest.fixture
    def made(gpuperf):
        return gpuperf.guarded(8, name="of a fixture")

    def test_of_a_fixture(gpuperf, made):
        pass
"""


def test_the_plugin_checks_at_the_end_of_a_case(pytester):
    run = run_pytest(pytester, ENDS)
    verdicts = {case["function"]: case["verdict"] for case in run.run["cases"]}
    assert verdicts == {
        "test_unchecked": "FAIL", "test_right": "PASS", "test_expected": "PASS", "test_fails_before": "FAIL", "test_fails_after": "FAIL",
        "test_undecided": "UNMEASURED", "test_skips": "UNMEASURED", "test_of_a_fixture": "FAIL",
    }
    errors = {case["function"]: case["error"] for case in run.run["cases"]}
    assert errors["test_unchecked"].startswith("NotIdentical: out: not written: 1 of 8 elements hold the poison, first at [7]")
    assert errors["test_fails_before"] == "AssertionError: assert 1 == 2"
    assert "and its guarded arrays: out: written outside: 1 element after the end" in errors["test_fails_after"]
    assert "of a fixture: not written: 8 of 8" in errors["test_of_a_fixture"]
    assert [one["verdict"] for one in run.case("test_unchecked")["checks"]] == ["FAIL"]
    assert "guarding.py" not in run.text
    assert "running.py" not in run.text


def test_a_plain_run_checks_too(pytester):
    run = run_pytest(pytester, ENDS, "--gpuperf-off", "-k", "unchecked or right")
    assert run.outcomes == {"passed": 1, "failed": 1, "deselected": 6}


def test_without_a_gpu_it_is_numpys(pytester):
    text = "import numpy\ndef test_it(gpuperf):\n    out = gpuperf.guarded((2, 3))\n    assert type(out.array) is numpy.ndarray\n    assert out.array.ctypes.data % 256 == 0\n    out.array[:] = 1\n"
    assert run_pytest(pytester, text, conftest=NO_GPU).outcomes == {"passed": 1}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda g: g.guarded(-1), r"^guarded\(shape=-1\): a shape is whole numbers from 0, as \(4, 1024\)$"),
        (lambda g: g.guarded((2, "x")), r"^guarded\(shape=\(2, 'x'\)\): a shape is"),
        (lambda g: g.guarded(2, like="nunba"), r"^guarded\(like='nunba'\): no such library; nearest 'numba'$"),
        (lambda g: g.guarded(2, "bfloat17", like="numpy"), r"^guarded: NumPy has no dtype 'bfloat17'"),
        (lambda g: g.guarded(2, "bfloat17", like="torch"), r"^guarded: torch has no dtype 'bfloat17'; nearest 'bfloat16'$"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(gpuperf, call, said):
    with pytest.raises((ValueError, TypeError), match=said):
        call(gpuperf)


@pytest.mark.parametrize("shape", [0, (3, 0), ()])
def test_empty_and_single(gpuperf, shape):
    out = gpuperf.guarded(shape, "float64")
    assert out.array.shape == ((shape,) if isinstance(shape, int) else shape)
    out.array.numpy()[...] = 1.0
    out.check()


def test_a_session_checks_at_its_end():
    with pytest.raises(NotIdentical, match="not written"), pytest_gpuperf.session(FakeDevice()) as gpuperf:
        gpuperf.guarded(4)


CHILD = """
    import json

    def test_it(gpuperf, fake):
        one, two = gpuperf.guarded(8), gpuperf.guarded(8)
        with open("seen.jsonl", "a") as file:
            file.write(json.dumps([one.array.numpy().tolist(), two.array.numpy().tolist(), one._zone, one._whole.nbytes]) + "\\n")
        gpuperf.measure(fake.kernel(5e-6), one.array, two.array)
        two.check()
"""


def test_a_child_has_the_same_bits_without_zones_and_checks_nothing(pytester, tmp_path):
    run_pytest(pytester, CHILD)
    run = run_child(tmp_path, {"test_it.py": textwrap.dedent(CHILD)})
    assert set(run.outcomes.values()) == {("passed", None)}, run.text
    parent, child = (json.loads((path / "seen.jsonl").read_text()) for path in (pytester.path, tmp_path))
    assert parent[:2] == child[:2]
    assert parent[0] != parent[1]
    assert (parent[2:], child[2:]) == ([4096, 8224], [0, 32])
