"""Acceptance masks, how fast: one kernel against the loop over requests that it replaces, and its replay from a graph.

In the simulator the same cases run on a small batch: their bits count, their limits are unmeasured.
"""

from __future__ import annotations

import pytest

from kernels import masks
from pytest_gpuperf import Work
from suites.batches import random_batch
from suites.place import SIMULATED

gpu_only = pytest.mark.gpuperf(gpu=True)

REQUESTS = 8 if SIMULATED else 128
DRAFTS = 8


class Prepared:
    """One batch of REQUESTS requests with DRAFTS drafts each, on the device, with outputs and what they must become."""

    def __init__(self, place):
        case = random_batch(REQUESTS, DRAFTS, seed=1, dtype="int64", least=DRAFTS)
        self.inputs = tuple(place.put(array) for array in case.arrays)
        self.outputs = (place.full((REQUESTS,), -7, "int32"), place.full((REQUESTS * DRAFTS,), True, "bool"))
        self.wanted = tuple(place.put(array) for array in case.wanted)
        self.arrays = (*self.inputs, *self.outputs)
        reads = sum(array.numel() * array.element_size() for array in self.inputs)
        self.work = Work(reads=reads, writes=sum(array.numel() * array.element_size() for array in self.outputs))

    def check(self, gpuperf, got=None):
        for mine, reference in zip(got or self.outputs, self.wanted, strict=True):
            gpuperf.identical(mine, reference)


@pytest.fixture
def prepared(place):
    return Prepared(place)


def kernel_body(gpuperf, prepared):
    """Return the launch of the kernel, arrays already converted, inside its NVTX range."""
    launch = masks.plan(*prepared.arrays, stream=int(gpuperf.stream))

    def body():
        with gpuperf.range("scv_compute_mask"):
            launch()

    return body


@pytest.mark.gpuperf(time={"H200*": "<= 2 us"})
def test_kernel_warm(gpuperf, prepared):
    body = kernel_body(gpuperf, prepared)
    body()
    prepared.check(gpuperf)
    gpuperf.measure(body, outputs=prepared.outputs, work=prepared.work, cache="warm")
    prepared.check(gpuperf)


@pytest.mark.gpuperf(time={"H200*": "<= 3 us"})
def test_kernel_cold(gpuperf, prepared):
    body = kernel_body(gpuperf, prepared)
    body()
    prepared.check(gpuperf)
    gpuperf.measure(body, outputs=prepared.outputs, work=prepared.work, cache="cold")
    prepared.check(gpuperf)


@pytest.mark.gpuperf(host_time={"H200*": "<= 120 us"})
def test_kernel_launch(gpuperf, prepared):
    # What a step of an engine pays on the host for one launch with its arguments converted beforehand.
    body = kernel_body(gpuperf, prepared)
    body()
    prepared.check(gpuperf)
    gpuperf.measure(body, outputs=prepared.outputs, cache="warm")


def test_host_loop(gpuperf, prepared):
    # It synchronises at every item, so it has no time on the device: wall_time is what an engine waits.
    masks.host_loop(*prepared.arrays)
    prepared.check(gpuperf)
    gpuperf.measure(masks.host_loop, *prepared.arrays, outputs=prepared.outputs, cache="warm")


@pytest.mark.gpuperf(time={"H200*": "<= 150 us"})
def test_torch_vectorised(gpuperf, prepared):
    masks.torch_vectorised(*prepared.arrays)
    prepared.check(gpuperf)
    gpuperf.measure(masks.torch_vectorised, *prepared.arrays, outputs=prepared.outputs, cache="warm")
    prepared.check(gpuperf)


@gpu_only
@pytest.mark.gpuperf(time={"H200*": "<= 3 us"}, host_time={"H200*": "<= 10 us"})
def test_graph_replay(gpuperf, prepared):
    graph = masks.Graph(REQUESTS, REQUESTS * DRAFTS, DRAFTS + 1)
    graph.load(*prepared.inputs)
    graph.replay()
    outputs = (graph.accepted, graph.mask)
    prepared.check(gpuperf, outputs)
    gpuperf.measure(graph.replay, outputs=outputs, cache="warm")
    prepared.check(gpuperf, outputs)


@gpu_only
def test_one_kernel_node_in_a_capture(prepared):
    from cuda.bindings import runtime

    captured = masks.Graph(REQUESTS, REQUESTS * DRAFTS, DRAFTS + 1)
    graph = captured.graph.raw_cuda_graph()
    _, _, count = checked(runtime.cudaGraphGetNodes(graph))
    _, nodes, count = checked(runtime.cudaGraphGetNodes(graph, count))
    kinds = [checked(runtime.cudaGraphNodeGetType(node))[1] for node in nodes[:count]]
    assert kinds == [runtime.cudaGraphNodeType.cudaGraphNodeTypeKernel]


def checked(answer):
    """Return what a call of the runtime answered; its status must be success."""
    assert int(answer[0]) == 0, answer[0]
    return answer


@gpu_only
def test_variants_beside_each_other(gpuperf, prepared):
    # The page's table: the same bits by four roads. Only the launch itself is counted, arguments are converted beforehand.
    graph = masks.Graph(REQUESTS, REQUESTS * DRAFTS, DRAFTS + 1)
    graph.load(*prepared.inputs)
    roads = {
        "host_loop": (lambda: masks.host_loop(*prepared.arrays), prepared.outputs),
        "torch_vectorised": (lambda: masks.torch_vectorised(*prepared.arrays), prepared.outputs),
        "kernel": (kernel_body(gpuperf, prepared), prepared.outputs),
        "graph": (graph.replay, (graph.accepted, graph.mask)),
    }
    assert list(roads) == [row.name for row in masks.VARIANTS]
    times = {}
    for name, (body, outputs) in roads.items():
        body()
        prepared.check(gpuperf, outputs)
        times[name] = gpuperf.measure(body, name=name, outputs=outputs, cache="warm")
    assert times["graph"].wall_time < times["kernel"].wall_time
    assert times["kernel"].wall_time < times["torch_vectorised"].wall_time
    assert times["torch_vectorised"].wall_time < times["host_loop"].wall_time
