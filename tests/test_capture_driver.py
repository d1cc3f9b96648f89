"""Capture through a driver that only takes notes: calls and their order, nodes by kind, what is given back; and the words for errors."""

from __future__ import annotations

import enum
import types

import pytest
from test_driver import FACTS, NotingDriver, driver  # noqa: F401 - the fixture

from pytest_gpuperf.device.calls import DeviceError
from pytest_gpuperf.device.capture import FORBIDDEN, deed, forbidden
from pytest_gpuperf.device.driver import DriverBackend


class NodeType(enum.IntEnum):
    CU_GRAPH_NODE_TYPE_KERNEL = 0
    CU_GRAPH_NODE_TYPE_MEMCPY = 1
    CU_GRAPH_NODE_TYPE_GRAPH = 4
    CU_GRAPH_NODE_TYPE_BATCH_MEM_OP = 12


@pytest.fixture
def backend(driver: NotingDriver):  # noqa: F811
    driver.CUstream_flags = types.SimpleNamespace(CU_STREAM_NON_BLOCKING=1, CU_STREAM_DEFAULT=0)
    driver.CUstreamCaptureMode = types.SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)
    driver.CUgraphNodeType = NodeType
    graphs = {70: [1, 2, 3], 71: [4]}
    kinds = {1: 0, 2: 12, 3: 4, 4: 1}
    driver.answers |= {
        "cuStreamEndCapture": lambda _: 70,
        "cuGraphInstantiate": lambda _graph, _flags: 80,
        "cuGraphNodeGetType": lambda node: kinds[node],
        "cuGraphChildGraphNodeGetGraph": lambda _: 71,
        "cuStreamIsCapturing": lambda stream: int(stream == 1003),
    }
    plain = driver.__getattr__

    def call(name):
        if name == "cuGraphGetNodes":
            return lambda graph, count: (0, graphs[graph][:count], len(graphs[graph]))
        if name == "cuStreamGetCaptureInfo":
            return lambda _: (driver.failures.get(name, 0), driver.status, 5, 70, None, 0)
        return plain(name)

    driver.status = 1
    driver.__class__ = type("Driver", (NotingDriver,), {"__getattr__": lambda _self, name: call(name)})
    made = DriverBackend(FACTS)
    made.open()
    driver.calls.clear()
    yield made
    driver.failures.clear()
    made.close()


def test_a_capture_is_of_one_blocking_stream_and_of_one_thread(driver, backend):  # noqa: F811
    graphs = backend.graphs
    stream = graphs.stream()
    assert stream == graphs.stream() == 1003
    graphs.begin(stream)
    assert graphs.nodes(stream) == ("kernel", "batch_mem_op", "memcpy")
    made = graphs.end(stream)
    graphs.replay(made, 17)
    graphs.free(made)
    graphs.free(made)
    assert driver.calls == [
        ("cuStreamCreate", 0),
        ("cuStreamBeginCapture", 1003, 1),
        ("cuGraphNodeGetType", 1),
        ("cuGraphNodeGetType", 2),
        ("cuGraphNodeGetType", 3),
        ("cuGraphChildGraphNodeGetGraph", 3),
        ("cuGraphNodeGetType", 4),
        ("cuStreamEndCapture", 1003),
        ("cuGraphInstantiate", 70, 0),
        ("cuGraphDestroy", 70),
        ("cuGraphLaunch", 80, 17),
        ("cuGraphExecDestroy", 80),
    ]


def test_the_legacy_stream_is_never_asked_about(driver, backend):  # noqa: F811
    assert [backend.graphs.capturing(one) for one in (0, 1, 1003, 7)] == [False, False, True, False]
    assert [call[1] for call in driver.calls] == [1003, 7]


def test_a_broken_capture_has_no_nodes(driver, backend):  # noqa: F811
    driver.status = 2
    with pytest.raises(DeviceError, match=r"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED \(901\)"):
        backend.graphs.nodes(1003)


def test_a_graph_that_cannot_be_instantiated_is_destroyed(driver, backend):  # noqa: F811
    driver.failures["cuGraphInstantiate"] = 2
    with pytest.raises(DeviceError):
        backend.graphs.end(1003)
    assert driver.named("cuGraphDestroy", "cuGraphExecDestroy") == ["cuGraphDestroy"]


def test_what_is_left_goes_with_the_device(driver, backend):  # noqa: F811
    graphs = backend.graphs
    left = graphs.end(graphs.stream())
    backend.close()
    assert driver.named("cuGraphExecDestroy", "cuStreamDestroy", "cuModuleUnload") == ["cuGraphExecDestroy", "cuStreamDestroy", "cuModuleUnload"]
    graphs.free(left)
    assert len(driver.named("cuGraphExecDestroy")) == 1


@pytest.mark.parametrize("row", FORBIDDEN, ids=lambda row: row.code)
def test_every_row_is_found_by_each_of_its_three_names(row):
    for text in (f"cuX: {row.name} ({row.code})", f"Search for `{row.runtime_name}'", f"CUDA error: {row.sentence}"):
        assert forbidden(text) is row
    assert not row.what.endswith(".")
    assert not row.next_step.endswith(".")


def test_every_row_is_there_once_and_the_least_said_is_last():
    assert sorted(row.code for row in FORBIDDEN) == list(range(900, 909))
    assert FORBIDDEN[-1].code == 901


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Call to cuStreamSynchronize results in", "it waits for the device"),
        ("x = a.sum().item()", "it waits for the device"),
        ("Call to cuMemAlloc_v2 results in", "it allocates or frees device memory"),
        ("cuda.device_array(7)", "it allocates or frees device memory"),
        ("cuModuleLoadDataEx", "it compiles or loads code"),
        ("out.copy_to_host()", "it copies between host and device and waits for that"),
        ("cudaEventQuery", "it asks whether an event or a stream is done"),
        ("nothing known", FORBIDDEN[0].what),
    ],
)
def test_the_deed_is_read_from_the_call(text, what):
    assert deed(FORBIDDEN[0], text) == what
    assert deed(FORBIDDEN[1], text) == FORBIDDEN[1].what
