"""Child sessions on a real GPU, without a profiler: two of them see the same inputs and the same code, and leave one call of each body."""

from __future__ import annotations

import pytest
from child_runs import run_child

pytestmark = pytest.mark.gpu

TEXT = """
import numpy as np, pytest, random
from numba import cuda
import torch

@cuda.jit
def scale(x, factor):
    i = cuda.grid(1)
    if i < x.size:
        x[i] *= factor

@pytest.fixture(scope="module")
def wide():
    return torch.rand(1 << 16, device="cuda")

@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_numba(gpuperf, factor):
    x = cuda.to_device(np.random.random(1 << 16).astype(np.float32))
    before = x.copy_to_host()
    m = gpuperf.measure(lambda x, factor: scale[256, 256, gpuperf.stream](x, factor), x, factor, inout=[x])
    assert np.array_equal(x.copy_to_host(), before * np.float32(factor))
    assert m.time < 1e-9 and m["dram__bytes_write.sum"] == 0

def test_torch(gpuperf, wide):
    x, out = torch.rand(1 << 16, device="cuda"), torch.empty(1 << 16, device="cuda")
    gpuperf.measure(torch.add, x, wide, outputs=[out], **{"out": out})
    g = gpuperf.graph(torch.add, x, wide, out=out)
    gpuperf.measure(g, outputs=[out], name="graph")
    assert torch.equal(out, x + wide)
    c = gpuperf.compare({"a": lambda: out.copy_(x), "b": lambda: out.copy_(x)}, outputs=[out])
    assert c.speedup(of="a", over="b") > 100
"""
CONFTEST = "import os\nos.environ['NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS'] = '0'\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("numba.cuda")
    files = {"test_it.py": TEXT, "conftest.py": CONFTEST}
    whole = run_child(tmp_path_factory.mktemp("whole"), files, timeout=180)
    last = run_child(tmp_path_factory.mktemp("last"), files, select=lambda items: items[1:], timeout=180)
    return whole, last


def test_cases_pass_and_every_body_is_reached(runs):
    whole, _ = runs
    assert {outcome for outcome, _ in whole.outcomes.values()} == {"passed"}, whole.text
    assert [name for _, name in whole.measured] == ["main", "main", "main", "graph", "compare/a", "compare/b"]


def test_two_children_see_the_same_inputs_and_the_same_code(runs):
    def told(run):
        return {(one["nodeid"], one["name"]): (one["inputs"], one["code"], one["slug"]) for one in run.events("measured")}

    whole, last = map(told, runs)
    assert len(last) == 5
    assert last == {key: whole[key] for key in last}


def test_code_is_told_of_numba_and_not_of_torch(runs):
    whole, _ = runs
    codes = {key: one["code"] for key, one in zip(whole.measured, whole.events("measured"), strict=True)}
    numba = [code for (nodeid, _), code in codes.items() if "test_numba" in nodeid]
    # The factor is an argument: both cases run the same code, on other inputs.
    assert numba[0] == numba[1] is not None
    assert {code for (nodeid, _), code in codes.items() if "test_torch" in nodeid} == {None}
