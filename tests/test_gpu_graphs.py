"""gpuperf.graph and the number of launches, on a real GPU: numba, torch and both on one stream; what forbids a capture."""

from __future__ import annotations

import pytest
from gpu_bench import CLOSE, say, share, span

from pytest_gpuperf.errors import NotCapturable

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu


@pytest.fixture
def counted(cuda, gpu, increment):
    """A device array of 4096 zeros, and a body that adds 1 to it on gpuperf.stream."""
    array = cuda.to_device([0] * 4096)
    return array, lambda: increment[16, 256, gpu.stream](array)


@pytest.fixture
def usable_after(gpu, torch, cuda, increment):
    """Afterwards torch allocates and captures, and a numba kernel runs: a broken capture leaves nothing behind."""
    yield
    a = torch.zeros(1 << 20, device="cuda")
    g = gpu.graph(lambda: a.add_(1))
    g()
    torch.cuda.synchronize()
    assert float(a[0]) == 2
    assert torch.empty(1 << 24, device="cuda").fill_(3)[5].item() == 3


def test_numba_on_our_stream(gpu, counted, usable_after):
    array, body = counted
    g = gpu.graph(lambda: (body(), body()))
    assert g.nodes == {"kernel": 2}
    g()
    assert int(array.copy_to_host()[7]) == 4
    m = gpu.measure(g, inout=[array])
    say(f"{m.time}; host {m.host_time}")
    assert m.details["body"] == "graph"
    assert m.launches == 2
    assert int(array.copy_to_host()[7]) == 6


def test_torch_ops_and_their_temporaries(gpu, torch, usable_after):
    a = torch.rand(1 << 20, device="cuda")
    expected = ((a * 2 + 1).relu()).sum()
    g = gpu.graph(lambda: ((a * 2 + 1).relu()).sum())
    assert float(g()) == float(expected)
    a.neg_()
    assert float(g()) == float(((a * 2 + 1).relu()).sum())
    assert g.launches >= 4
    m = gpu.measure(g)
    assert m.details["body"] == "graph"
    assert m.time.reason is None, m.time


def test_torch_and_numba_in_one_graph(gpu, torch, cuda, increment, usable_after):
    a = torch.zeros(4096, dtype=torch.int64, device="cuda")
    view = cuda.as_cuda_array(a)

    def body():
        a.mul_(2)
        increment[16, 256, gpu.stream](view)

    g = gpu.graph(body)
    a.fill_(3)
    g()
    torch.cuda.synchronize()
    assert int(a[0]) == 7
    assert g.nodes == {"kernel": 2}


def test_a_spin_kernel_in_a_graph_takes_what_it_says_itself(gpu, cuda, spin, usable_after):
    out = cuda.device_array(2, "int64")
    g = gpu.graph(lambda: spin[1, 1, gpu.stream](5_000, out))
    m = gpu.measure(g, cache="warm")
    assert abs(m.time.point - span(out) - share()) < CLOSE, m.time


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda torch, cuda, array, increment: torch.cuda.synchronize(), r"it waits for the device .*CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED \(900\)"),
        (lambda torch, cuda, array, increment: torch.ones(3, device="cuda").sum().item(), r"CUDA_ERROR_STREAM_CAPTURE"),
        (lambda torch, cuda, array, increment: cuda.synchronize(), r"it waits for the device .*CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED \(900\)"),
        (lambda torch, cuda, array, increment: cuda.device_array(1 << 20), r"it allocates .*CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED \(900\)"),
        (lambda torch, cuda, array, increment: array.copy_to_host(), r"CUDA_ERROR_STREAM_CAPTURE"),
        (lambda torch, cuda, array, increment: increment[16, 256](array), r"launches on the legacy default stream.*CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"),
        (lambda torch, cuda, array, increment: increment[16, 256, cuda.stream()](array), r"which is not captured"),
    ],
    ids=["torch synchronises", "item", "numba synchronises", "numba allocates", "copies", "legacy", "another stream"],
)
def test_what_forbids_a_capture_is_named(gpu, torch, cuda, counted, increment, usable_after, spoil, words):
    array, body = counted

    def spoilt():
        body()
        spoil(torch, cuda, array, increment)

    with pytest.raises(NotCapturable, match=words) as caught:
        gpu.graph(spoilt)
    say(str(caught.value))


def test_a_legacy_launch_that_python_does_not_see_breaks_the_capture(gpu, gpu_runtime, usable_after):
    backend = gpu_runtime.backend
    backend.open()
    with pytest.raises(NotCapturable, match=r"it uses the legacy default stream.*CUDA_ERROR_STREAM_CAPTURE_IMPLICIT \(906\)"):
        gpu.graph(lambda: (backend.launch("empty", (), int(gpu.stream), blocks=1, threads=32), backend.launch("empty", (), 0, blocks=1, threads=32)))


def test_launches_are_counted_without_running_the_body(gpu, torch, counted, usable_after):
    array, body = counted
    stream = torch.cuda.Stream()
    m = gpu.measure(body, inout=[array], stream=stream)
    assert m.launches == 1, m.launches
    assert int(array.copy_to_host()[0]) == 1
    a = torch.zeros(1 << 16, device="cuda")
    t = gpu.measure(lambda: a.add_(1).mul_(2), name="torch", inout=[a])
    assert t.launches == 2, t.launches
    assert float(a[0]) == 2


@pytest.fixture
def without_cupti(gpu_runtime, monkeypatch):
    """Launches by capture alone, also where CUPTI could count them."""
    monkeypatch.setattr(gpu_runtime.backend.profiler, "missing", lambda: "left out by this test")


@pytest.mark.usefixtures("without_cupti")
def test_launches_of_a_legacy_numba_kernel_are_unmeasured(gpu, cuda, increment, usable_after):
    array = cuda.to_device([0] * 4096)
    m = gpu.measure(lambda: increment[16, 256](array), inout=[array])
    assert m.launches.reason.code == "not-capturable"
    assert "legacy default stream" in str(m.launches)
    assert int(array.copy_to_host()[0]) == 1


@pytest.mark.usefixtures("without_cupti")
def test_a_graph_of_torchs_own_is_measured_but_not_counted(gpu, torch, usable_after):
    # torch refuses to replay one of its graphs inside a capture: what cannot be counted is UNMEASURED, never guessed.
    a = torch.zeros(1 << 16, device="cuda")
    theirs = torch.cuda.CUDAGraph()
    a.add_(1)
    with torch.cuda.graph(theirs):
        a.add_(1)
        a.mul_(2)
    m = gpu.measure(theirs.replay, inout=[a])
    assert m.time > 0
    assert m.launches.reason.code == "not-capturable", m.launches


def test_cupy_on_our_stream(gpu, cupy, usable_after):
    a = cupy.zeros(4096, "float32")
    g = gpu.graph(lambda: a.__iadd__(1))
    g()
    cupy.cuda.Device().synchronize()
    assert float(a[0]) == 2
