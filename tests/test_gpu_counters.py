"""Counters on a real GPU: kernels that move too much are caught by name, and whatever a body launches is counted, once."""

from __future__ import annotations

import re

import pytest
from counted_sessions import WARPS, WRITE, cases, example, find_ncu, measured, number, run, why
from gpu_bench import say

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

#: Elements of a side of the matrix that is transposed, threads of the sums, elements of the copy.
SIDE, THREADS, ELEMENTS = 2048, 1 << 16, 1 << 24
#: Loads from shared memory, by warps.
LOADS = SIDE * SIDE // 32

WRONG = f"""
from suites import wrong_counters as wrong

SIDE, THREADS, ELEMENTS = {SIDE}, {THREADS}, {ELEMENTS}

# Up to one conflict a load: the memory's own traffic can make some.
@pytest.mark.gpuperf(metrics={{"bank_conflicts": "<= {LOADS}"}})
@pytest.mark.parametrize("kernel", ["conflicting", "padded"])
def test_transpose(gpuperf, kernel):
    given = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    source, target = cuda.to_device(given), cuda.device_array((SIDE, SIDE), np.float32)
    launch = getattr(wrong, "transpose_" + kernel)[(SIDE // wrong.WARP, SIDE // wrong.WARP), (wrong.WARP, wrong.TILE_ROWS)]
    gpuperf.measure(launch, source, target, outputs=[target])
    gpuperf.identical(target, cuda.to_device(np.ascontiguousarray(given.T)))

@pytest.mark.gpuperf(metrics={{"local_bytes": "== 0"}})
@pytest.mark.parametrize("kernel", ["spilling", "in_registers"])
def test_sums(gpuperf, kernel):
    source, target = cuda.to_device(np.ones(THREADS, np.float32)), cuda.device_array(THREADS, np.float32)
    gpuperf.measure(getattr(wrong, "sums_" + kernel)[THREADS // 128, 128], source, target, 2, outputs=[target])

# Eight elements of four bytes to a sector.
@pytest.mark.gpuperf(metrics={{"l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum": "<= {ELEMENTS // 8 + ELEMENTS // 100}"}})
@pytest.mark.parametrize("kernel", ["strided", "coalesced"])
def test_copy(gpuperf, kernel):
    source, target = cuda.to_device(np.arange(ELEMENTS, dtype=np.float32)), cuda.device_array(ELEMENTS, np.float32)
    gpuperf.measure(getattr(wrong, "copy_" + kernel)[ELEMENTS // 256, 256], source, target, outputs=[target])
"""


@pytest.fixture(scope="module", autouse=True)
def _on_a_gpu(gpu_runtime):
    """Skip where there is no GPU, or no ncu."""
    find_ncu()


@pytest.fixture(scope="module")
def wrong():
    return run(example(WRONG))


#: A case, its twin, and the line that it fails with.
CAUGHT = {
    "test_transpose[conflicting]": ("test_transpose[padded]", rf"bank_conflicts: ([\d,]+) exceeds {LOADS:,}"),
    "test_sums[spilling]": ("test_sums[in_registers]", r"local_bytes: ([\d.]+) \w+ is not 0"),
    "test_copy[strided]": ("test_copy[coalesced]", r"l1tex__t_sectors_pipe_lsu_mem_global_op_ld\.sum: ([\d,]+) exceeds [\d,]+"),
}


@pytest.mark.parametrize("case", CAUGHT)
def test_a_kernel_that_moves_too_much_fails_by_name_and_its_twin_passes(wrong, case):
    twin, line = CAUGHT[case]
    found = cases(wrong)
    say(f"{[budget['message'] for one in (case, twin) for budget in found[one]['budgets']]}")
    assert (found[case]["verdict"], found[twin]["verdict"]) == ("FAIL", "PASS"), (found[case]["error"], found[twin]["reasons"])
    assert re.search(line, found[case]["budgets"][0]["message"]), found[case]["budgets"][0]["message"]
    assert re.search(rf"FAILED test_it\.py::{re.escape(case)} - \S*\s?{line}", wrong.stdout), wrong.stdout


def test_every_load_of_the_conflicting_transpose_has_31_conflicts(wrong):
    (budget,) = cases(wrong)["test_transpose[conflicting]"]["budgets"]
    assert 31 * LOADS <= budget["value"] <= 33 * LOADS


def test_the_strided_copy_needs_a_sector_for_each_element(wrong):
    found = cases(wrong)
    assert number(found["test_copy[strided]"], "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum") == ELEMENTS
    assert number(found["test_copy[coalesced]"], "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum") == ELEMENTS // 8


def test_wrong_kernels_take_one_start(wrong):
    assert wrong.returncode == 1
    assert wrong.outcomes() == {"failed": 3, "passed": 3}
    assert (wrong.run["counters"]["starts"], wrong.run["counters"]["cases"]) == (1, 6)


BODIES = """
import torch

@counted
def test_several(gpuperf, array):
    def body():
        fill[10, 64](array, 1.0)
        fill[20, 32](array, 2.0)
    m = gpuperf.measure(body, inout=[array])
    assert m[WARPS] == 40
    assert m.warps == 40

@counted
def test_thread(gpuperf, array):
    def body():
        thread = threading.Thread(target=lambda: fill[10, 64](array, 1.0))
        thread.start()
        thread.join()
    assert gpuperf.measure(body, inout=[array])[WARPS] == 20

@counted
def test_stream(gpuperf, array):
    side = cuda.stream()
    def body():
        fill[10, 64, side](array, 1.0)
        side.synchronize()
        fill[5, 64](array, 1.0)
    assert gpuperf.measure(body, inout=[array])[WARPS] == 30

@counted
def test_torch_graph(gpuperf):
    a = torch.zeros(1 << 20, device="cuda")
    graph = torch.cuda.CUDAGraph()
    a.add_(1).mul_(2)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        a.add_(1)
        a.mul_(2)
        a.sub_(3)
    assert gpuperf.measure(graph.replay)[WARPS] > 0

@counted
def test_own_graph(gpuperf, array):
    fill[10, 64](array, 1.0)
    body = gpuperf.graph(lambda: (fill[10, 64, gpuperf.stream](array, 1.0), fill[3, 32, gpuperf.stream](array, 2.0)))
    assert gpuperf.measure(body, inout=[array])[WARPS] == 23

@counted
def test_warm_up_and_restores_are_not_counted(gpuperf, array):
    setups = lambda: fill[100, 64](array, 3.0)
    m = gpuperf.measure(lambda: fill[10, 64](array, 1.0), inout=[array], setup=setups)
    assert m[WARPS] == 20

@counted
def test_no_kernel(gpuperf):
    assert gpuperf.measure(lambda: None)[WARPS] == 0

@counted
def test_two_measurements(gpuperf, array):
    one = gpuperf.measure(lambda: fill[10, 64](array, 1.0), inout=[array], name="one")
    two = gpuperf.measure(lambda: fill[20, 64](array, 1.0), inout=[array], name="two")
    assert two[WARPS] == 2 * one[WARPS]

@counted
def test_compare(gpuperf, array):
    c = gpuperf.compare({"one": lambda: fill[512, 128](array, 1.0), "two": lambda: fill[256, 256](array, 1.0)}, outputs=[array])

BIG = 1 << 28
def big():
    return cuda.device_array(BIG, np.float32)

# Without any marker: the name in the code is enough.
def test_in_plain_code(gpuperf):
    target = big()
    base = gpuperf.measure(lambda: fill[BIG // 256, 256](target, 1.0), name="base", outputs=[target])
    half = gpuperf.measure(lambda: fill[BIG // 512, 256](target, 1.0), name="half", inout=[target])
    assert half["dram__bytes_write.sum"] <= 0.9 * base["dram__bytes_write.sum"]
    assert half["dram__bytes_write.sum"] >= 0.4 * base["dram__bytes_write.sum"]

def test_in_plain_code_and_wrong(gpuperf):
    target = big()
    base = gpuperf.measure(lambda: fill[BIG // 256, 256](target, 1.0), name="base", outputs=[target])
    same = gpuperf.measure(lambda: fill[BIG // 256, 256](target, 2.0), name="same", outputs=[target])
    assert same["dram__bytes_write.sum"] <= 0.9 * base["dram__bytes_write.sum"]

def test_little_is_written(gpuperf, array):
    m = gpuperf.measure(lambda: fill[256, 256](array, 1.0), outputs=[array])
    assert m["dram__bytes_write.sum"] <= 1e6

@pytest.mark.gpuperf(counters=["local_bytes"])
def test_zero_against_zero(gpuperf, array):
    base = gpuperf.measure(lambda: fill[256, 256](array, 1.0), outputs=[array], name="base")
    same = gpuperf.measure(lambda: fill[256, 256](array, 2.0), outputs=[array], name="same")
    assert same.local_bytes <= 0.9 * base.local_bytes

@pytest.mark.gpuperf(counters=["local_bytes"])
def test_zero_over_zero(gpuperf, array):
    base = gpuperf.measure(lambda: fill[256, 256](array, 1.0), outputs=[array], name="base")
    same = gpuperf.measure(lambda: fill[256, 256](array, 2.0), outputs=[array], name="same")
    assert same.local_bytes / base.local_bytes <= 0.9
"""


@pytest.fixture(scope="module")
def bodies():
    done = run(example(BODIES))
    say(f"{done.outcomes()}; {done.run['counters']}")
    return done


COUNTED = {
    "test_several": (40, 2), "test_thread": (20, 1), "test_stream": (30, 2), "test_own_graph": (23, 2), "test_warm_up_and_restores_are_not_counted": (20, 1),
}  # fmt: skip


@pytest.mark.parametrize("case", COUNTED)
def test_all_kernels_of_a_body_are_counted_once(bodies, case):
    found = cases(bodies)[case]
    warps, kernels = COUNTED[case]
    assert found["outcome"] == "passed", found["error"]
    assert found["verdict"] == "PASS", found["reasons"]
    assert number(found) == warps
    one_by_one = measured(found)["profiled"]["kernels"]
    assert len(one_by_one) == kernels
    assert sum(kernel["values"][WARPS] for kernel in one_by_one) == warps


def test_a_graph_is_profiled_node_by_node(bodies):
    found = measured(cases(bodies)["test_torch_graph"])
    kernels = found["profiled"]["kernels"]
    assert len(kernels) == 3, kernels
    assert found["counters"][WARPS]["number"] == sum(kernel["values"][WARPS] for kernel in kernels)
    assert all(kernel["values"][WARPS] > 0 for kernel in kernels)


def test_a_body_without_a_kernel(bodies):
    found = cases(bodies)["test_no_kernel"]
    assert (why(found), number(found)) == ("no-kernel", None)
    assert found["verdict"] == "UNMEASURED", found


def test_measurements_of_a_case_have_their_own(bodies):
    found = cases(bodies)["test_two_measurements"]
    assert (number(found, name="one"), number(found, name="two")) == (20, 40)
    assert found["verdict"] == "PASS", found["reasons"]
    compared = cases(bodies)["test_compare"]
    assert (number(compared, name="compare/one"), number(compared, name="compare/two")) == (2048, 2048)


def test_a_name_in_the_code_is_enough(bodies):
    found = cases(bodies)
    assert found["test_in_plain_code"]["verdict"] == "PASS", found["test_in_plain_code"]
    wrong = found["test_in_plain_code_and_wrong"]
    assert wrong["verdict"] == "FAIL"
    assert "dram__bytes_write.sum" in wrong["error"]
    written = number(found["test_in_plain_code"], WRITE, "base")
    # Fills write a gigabyte; some of it stays in L2.
    assert (1 << 30) - 60e6 < written < 1.01 * (1 << 30)


def test_what_l2_absorbed_is_inconclusive(bodies):
    found = cases(bodies)["test_little_is_written"]
    assert found["verdict"] == "INCONCLUSIVE"
    assert [reason["code"] for reason in found["reasons"]] == ["absorbed-by-l2"]


@pytest.mark.parametrize("case", ["test_zero_against_zero", "test_zero_over_zero"])
def test_a_ratio_of_zeros_is_never_a_pass(bodies, case):
    found = cases(bodies)[case]
    assert found["verdict"] == "INCONCLUSIVE", found
    assert [reason["code"] for reason in found["reasons"]] == ["zero-ratio"]


def test_one_start_for_all_of_them(bodies):
    assert bodies.run["counters"]["starts"] == 1
    assert bodies.run["counters"]["hole"] is None
    assert "profiled by ncu" in bodies.stdout
    report = bodies.run["counters"]["reports"]
    assert len(report) == 1
