"""gpuperf.graph: a captured body replays what was captured, is measured as a graph, and says what forbade a capture."""

from __future__ import annotations

import contextlib
import sys
import types

import numpy as np
import pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.errors import NotCapturable, Unmeasured
from pytest_gpuperf.timing.graph import Graph


@pytest.fixture
def fake():
    return device("GPU-graphs", **STILL)


@pytest.fixture
def gpuperf(fake):
    with bench(fake) as made:
        yield made


@pytest.fixture
def increment(fake, gpuperf):
    """An array and a kernel that adds 1 to it, on the stream that is captured or measured."""
    array = fake.array(256)
    array.numpy()[:] = 0

    def effect():
        array.numpy()[:] += 1

    return array, fake.kernel(5 * US, reads=[array], writes=[array], effect=effect, stream=lambda: gpuperf.stream)


def test_the_body_runs_once_before_and_what_is_captured_runs_at_each_replay(gpuperf, increment):
    array, kernel = increment
    called = []

    def body():
        called.append(int(gpuperf.stream))
        kernel()
        kernel()
        return array

    g = gpuperf.graph(body)
    assert array.numpy()[0] == 2
    assert called == [called[0]] * 2
    assert called[0] != 0
    assert g() is array
    assert g() is array
    assert array.numpy()[0] == 6
    assert len(called) == 2
    assert g.nodes == {"kernel": 2}
    assert g.launches == 2
    assert g.launches.source == "graph"
    assert int(gpuperf.stream) == 0


def test_nodes_are_counted_by_kind(fake, gpuperf):
    address = fake.alloc(1024)

    def body():
        fake.memset(address, 0, 1024, gpuperf.stream)
        fake.copy(address + 512, address, 512, gpuperf.stream)
        fake.launch("fill", (address, 64, 7), gpuperf.stream, blocks=1, threads=32)

    g = gpuperf.graph(body)
    assert g.nodes == {"memset": 1, "memcpy": 1, "kernel": 1}
    fake.memset(address, 0xFF, 1024, 0)
    g()
    fake.synchronize()
    assert fake.download(address, 8) == (7).to_bytes(8, "little")
    assert fake.download(address + 512, 8) == bytes(8)


def test_a_replay_is_measured_as_a_graph_and_checked_as_any_body(gpuperf, increment):
    array, kernel = increment
    array.numpy()[:] = 40
    g = gpuperf.graph(kernel)
    m = gpuperf.measure(g, inout=[array], name="graph")
    assert m.details["body"] == "graph"
    assert m.details["checked"] == "every sample"
    assert abs(m.time.point - 5.7 * US) < 0.2 * US
    assert array.numpy()[0] == 42
    assert m.first_call.reason.code == "already-warm"


def test_a_replay_goes_to_the_stream_that_is_measured(fake, gpuperf, increment):
    g = gpuperf.graph(increment[1])
    other = fake.stream()
    gpuperf.measure(g, stream=other, name="elsewhere")
    bodies = [one.stream for one in fake.launches if one.name == "body"]
    assert bodies[-1] == other
    assert set(bodies[2:]) == {other}
    assert int(gpuperf.stream) == 0


def test_arguments_of_the_body_are_those_of_the_capture(fake, gpuperf):
    array = fake.array(4)
    kernel = fake.kernel(5 * US, writes=[array], effect=lambda value, *, scale: array.numpy().fill(value * scale), stream=lambda: gpuperf.stream)

    def body(value, *, scale):
        fake.run(5 * US, [], [array], stream=gpuperf.stream, effect=lambda: kernel.effect(value, scale=scale))

    g = gpuperf.graph(body, 3, scale=2)
    array.numpy()[:] = 0
    g()
    assert np.array_equal(array.numpy(), [6, 6, 6, 6])


@pytest.mark.parametrize(
    ("spoil", "code", "what"),
    [
        (lambda fake, _: fake.synchronize(), "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900)", "it waits for the device"),
        (lambda fake, _: fake.alloc(64), "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900)", "it allocates or frees device memory"),
        (lambda fake, _: fake.download(fake.kept, 8), "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900)", "it copies between host and device"),
        (lambda fake, _: fake.memset(fake.kept, 0, 8, 0), "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT (906)", "it uses the legacy default stream"),
        (lambda fake, _: fake.kernel(US)(), "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900)", "it compiles or loads code"),
        (lambda fake, _: fake.late(), "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "the body launches on the legacy default stream"),
        (lambda fake, _: fake.astray(), "stream", "which is not captured"),
    ],
    ids=["synchronises", "allocates", "copies", "legacy memset", "compiles", "legacy launch", "another stream"],
)
def test_what_a_capture_forbids_is_said_with_its_name_and_the_next_step(fake, gpuperf, increment, spoil, code, what):
    array, kernel = increment
    fake.kept = fake.alloc(64)
    fake.late, fake.astray = fake.kernel(US), fake.kernel(US, stream=fake.stream())
    fake.late()
    fake.astray()

    def spoilt():
        kernel()
        spoil(fake, array)

    with pytest.raises(NotCapturable) as caught:
        gpuperf.graph(spoilt)
    first, _, rest = str(caught.value).partition("\n")
    assert first.startswith("cannot capture spoilt: ")
    assert code in first
    assert what in first
    assert rest
    # What was captured before the error never ran, and the next capture is as the first.
    assert gpuperf.graph(kernel).launches == 1


def test_a_launch_past_the_capture_is_stopped_before_it_runs(fake, gpuperf):
    astray = fake.kernel(US, stream=fake.stream())
    with pytest.raises(NotCapturable, match="which is not captured"):
        gpuperf.graph(astray)
    assert len([one for one in fake.launches if one.name == "body"]) == 1


def test_the_line_of_the_body_is_named(fake, gpuperf, increment):
    def body():
        increment[1]()
        fake.synchronize()

    with pytest.raises(NotCapturable, match=r"it waits for the device at test_graphs\.py:\d+ \(fake\.synchronize\(\)\): CUDA_ERROR"):
        gpuperf.graph(body)


def test_a_body_that_swallows_the_error_is_not_captured_by_halves(fake, gpuperf, increment):
    def body():
        increment[1]()
        with contextlib.suppress(Exception):
            fake.synchronize()
        increment[1]()

    with pytest.raises(NotCapturable, match=r"a call in it broke the capture, and the body went on \(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED\)\nLook for a call"):
        gpuperf.graph(body)

    def goes_on():
        increment[1]()
        with contextlib.suppress(Exception):
            fake.synchronize()

    with pytest.raises(NotCapturable, match=r"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED \(901\)\nNext: look for a call"):
        gpuperf.graph(goes_on)
    legacy = fake.kernel(US)

    def swallows():
        increment[1]()
        with contextlib.suppress(Exception):
            legacy()

    with pytest.raises(NotCapturable, match="the body launches on the legacy default stream"):
        gpuperf.graph(swallows)


def test_a_body_that_launches_nothing_is_no_graph(gpuperf):
    with pytest.raises(NotCapturable, match=r"^cannot capture <lambda>: it launched nothing on gpuperf\.stream"):
        gpuperf.graph(lambda: None)


def test_an_error_of_the_body_comes_as_it_is_and_the_capture_ends(gpuperf, increment):
    calls = []

    def body():
        increment[1]()
        calls.append(1)
        if len(calls) == 2:
            message = "mine"
            raise ArithmeticError(message)

    with pytest.raises(ArithmeticError, match=r"^mine$"):
        gpuperf.graph(body)
    assert sys.getprofile() is None
    assert gpuperf.graph(increment[1]).launches == 1


def test_without_a_gpu_a_graph_is_the_body_itself_and_has_no_launches():
    import pytest_gpuperf
    from pytest_gpuperf.reasons import Reason

    with pytest_gpuperf.session(device()) as gpuperf:
        gpuperf._runtime.backend, gpuperf._runtime.why = None, Reason("no-gpu")
        calls = []
        g = gpuperf.graph(lambda number: calls.append(number) or number, 7)
        assert calls == []
        assert g() == 7
        assert calls == [7]
        assert repr(g).startswith("Graph(UNMEASURED no-gpu")
        m = gpuperf.measure(g)
        assert m.result == 7
        assert m.time.reason.code == "no-gpu"
        for ask in (lambda: g.launches == 1, lambda: g.nodes, g.replay):
            with pytest.raises(Unmeasured, match="no-gpu"):
                ask()


def test_what_is_no_function_is_refused(gpuperf):
    with pytest.raises(TypeError, match=r"^graph\(int\): the body must be callable"):
        gpuperf.graph(7)


def test_a_graph_is_freed_with_its_object(fake, gpuperf, increment):
    g = gpuperf.graph(increment[1])
    assert len(fake.graphs._graphs) == 1
    assert isinstance(g, Graph)
    del g
    assert fake.graphs._graphs == {}


class StubTorch(types.ModuleType):
    """As much of torch as a capture needs, over a fake device; notes the order of what it is asked."""

    def __init__(self, fake):
        super().__init__("torch")
        self.notes, stub = [], self
        current = [types.SimpleNamespace(cuda_stream=0)]

        class CUDAGraph:
            def capture_begin(self, *, capture_error_mode):
                stub.notes.append(f"begin {capture_error_mode}")
                fake.graphs.begin(current[-1].cuda_stream)

            def capture_end(self):
                stub.notes.append("end")
                self.handle = fake.graphs.end(current[-1].cuda_stream)

            def replay(self):
                stub.notes.append(f"replay on {current[-1].cuda_stream:#x}")
                fake.graphs.replay(self.handle, current[-1].cuda_stream)

            def pool(self):
                return (0, 1)

            def reset(self):
                stub.notes.append("reset")

        @contextlib.contextmanager
        def stream(one):
            current.append(one)
            yield
            current.pop()

        self._C = types.SimpleNamespace(_cuda_endAllocateToPool=lambda device, pool: self.notes.append(f"left pool {pool}"))
        self.cuda = types.SimpleNamespace(
            is_available=lambda: True,
            current_stream=lambda: current[-1],
            current_device=lambda: 0,
            default_stream=lambda: types.SimpleNamespace(cuda_stream=0),
            ExternalStream=lambda handle: types.SimpleNamespace(cuda_stream=handle),
            CUDAGraph=CUDAGraph,
            stream=stream,
        )


@pytest.fixture
def stub(fake, monkeypatch):
    stub = StubTorch(fake)
    monkeypatch.setitem(sys.modules, "torch", stub)
    return stub


def test_where_torch_is_loaded_it_captures_and_replays_on_the_current_stream(fake, gpuperf, stub):
    on_current = fake.kernel(5 * US, stream=lambda: stub.cuda.current_stream().cuda_stream)
    g = gpuperf.graph(on_current)
    assert stub.notes == ["begin thread_local", "end"]
    assert g.launches == 1
    g()
    assert stub.notes[-1] == "replay on 0x0"
    other = fake.stream()
    gpuperf.measure(g, stream=other)
    assert stub.notes[-1] == f"replay on {other:#x}"
    del g


def test_a_broken_capture_leaves_torchs_pool(fake, gpuperf, stub):
    on_current = fake.kernel(5 * US, stream=lambda: stub.cuda.current_stream().cuda_stream)

    def body():
        on_current()
        fake.synchronize()

    with pytest.raises(NotCapturable, match="it waits for the device"):
        gpuperf.graph(body)
    assert stub.notes == ["begin thread_local", "end", "left pool (0, 1)"]
    assert stub.cuda.current_stream().cuda_stream == 0
