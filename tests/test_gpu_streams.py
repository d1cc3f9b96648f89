"""Rule 8 on a real GPU: the stream that is measured, and work that it does not order."""

from __future__ import annotations

import pytest
from gpu_bench import CLOSE, US, say, share, span

from pytest_gpuperf.errors import Inconclusive

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

SPIN = 10_000


def _is_its_own_span(m, out):
    assert m.time.reason is None, m.time
    assert abs(m.time.point - span(out) - share()) < CLOSE, m.time


@pytest.fixture
def out(cuda):
    return cuda.device_array(2, "int64")


def test_the_default_is_the_legacy_stream(gpu, torch, spin, out):
    assert int(gpu.stream) == 0
    m = gpu.measure(lambda: spin[1, 1, gpu.stream](SPIN, out), cache="warm")
    assert m.details["stream"] == 0
    _is_its_own_span(m, out)


def test_torchs_current_stream_is_measured(gpu, torch):
    a = torch.rand(1 << 22, device="cuda")
    here = gpu.measure(a.add_, 1, name="default", inout=[a], cache="warm")
    other = torch.cuda.Stream()
    with torch.cuda.stream(other):
        m = gpu.measure(a.add_, 1, inout=[a], cache="warm")
        assert int(gpu.stream) == other.cuda_stream
    assert m.details["stream"] == other.cuda_stream
    assert m.time.reason is None, m.time
    say(f"default stream {here.time}, other stream {m.time}")
    assert abs(m.time.point - here.time.point) < 0.03 * here.time.point + 0.1 * US


@pytest.mark.parametrize("kind", ["numba", "torch", "cupy", "int"])
def test_a_stream_that_is_named(gpu, torch, cuda, spin, out, request, kind):
    if kind == "numba":
        stream = launched = cuda.stream()
    elif kind == "cupy":
        stream = request.getfixturevalue("cupy").cuda.Stream(non_blocking=True)
        launched = cuda.external_stream(stream.ptr)
    else:
        owner = torch.cuda.Stream()
        stream = owner if kind == "torch" else owner.cuda_stream
        launched = cuda.external_stream(owner.cuda_stream)
    m = gpu.measure(lambda: spin[1, 1, launched](SPIN, out), stream=stream, cache="warm")
    assert m.details["stream"] not in {0, None}
    _is_its_own_span(m, out)


@pytest.mark.parametrize("side", [False, True], ids=["default", "side"])
def test_gpuperf_stream_is_usable_by_numba_torch_and_cupy(gpu, torch, cuda, spin, out, request, side):
    cupy = request.getfixturevalue("cupy")
    owner = torch.cuda.Stream() if side else torch.cuda.default_stream()
    x, y = torch.rand(1 << 22, device="cuda"), cupy.ones(1 << 22, "float32")
    torch.cuda.synchronize()
    with torch.cuda.stream(owner):
        stream = gpu.stream
        assert int(stream) == owner.cuda_stream == stream.torch.cuda_stream == stream.cupy.ptr

        def numba_body():
            spin[1, 1, gpu.stream](SPIN, out)

        def torch_body():
            with torch.cuda.stream(stream.torch):
                x.add_(1)

        def cupy_body():
            with stream.cupy:
                y.__iadd__(1)

        _is_its_own_span(gpu.measure(numba_body, name="numba", cache="warm"), out)
        for name, body in (("torch", torch_body), ("cupy", cupy_body)):
            m = gpu.measure(body, name=name, inout=[x, y], cache="warm")
            assert m.time.reason is None, m.time
            # 32 MB: what the L2 gives at best, and a slow kernel at worst.
            assert 4 * US < m.time.point < 50 * US, m.time
    torch.cuda.synchronize()
    assert float(y[0]) == 2.0


def test_work_on_a_stream_that_is_not_ordered_is_inconclusive(gpu, torch, cuda, spin, out):
    other = torch.cuda.Stream()
    launched = cuda.external_stream(other.cuda_stream)
    m = gpu.measure(lambda: spin[1, 1, launched](500_000, out), cache="warm")
    say(str(m.time))
    assert m.time.reason.code == "other-stream"
    with pytest.raises(Inconclusive, match="other-stream"):
        assert m.time < 1


def test_work_on_two_streams_of_which_one_is_ordered_is_inconclusive(gpu, torch, cuda, spin, out):
    other = cuda.external_stream(torch.cuda.Stream().cuda_stream)
    second = cuda.device_array(2, "int64")

    def body():
        spin[1, 1](SPIN, out)
        spin[1, 1, other](500_000, second)

    assert gpu.measure(body).time.reason.code == "other-stream"


def test_a_short_kernel_on_another_stream_has_no_time_that_counts(gpu, torch, cuda, spin, out):
    other = cuda.external_stream(torch.cuda.Stream().cuda_stream)
    m = gpu.measure(lambda: spin[1, 1, other](2_000, out))
    say(str(m.time))
    assert m.time.reason is not None
    assert m.time.reason.code in {"other-stream", "below-clock"}


def test_a_fork_that_is_joined_by_events_is_measured_whole(gpu, torch, cuda, spin, out):
    side = torch.cuda.Stream()
    launched = cuda.external_stream(side.cuda_stream)

    def body():
        here = torch.cuda.current_stream()
        side.wait_stream(here)
        spin[1, 1, launched](100_000, out)
        here.wait_stream(side)

    m = gpu.measure(body)
    say(str(m.time))
    assert m.time.reason is None, m.time
    assert 100 * US < m.time.point < 110 * US
