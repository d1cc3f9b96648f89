"""Time on a real GPU: whoever launches, in every cache state, against what the kernel itself says."""

from __future__ import annotations

import pytest
from gpu_bench import CLOSE, MIB, US, say, share, shown, span

from pytest_gpuperf.work import Work

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu


def _triton_add():
    """Return a launch of a Triton kernel that adds two float32 arrays; None where Triton is not installed."""
    triton = pytest.importorskip("triton")
    from gpu_triton import add

    def launch(a, b, out):
        add[(triton.cdiv(out.numel(), 1024),)](a, b, out, out.numel(), BLOCK=1024)

    return launch


@pytest.fixture(params=["torch", "numba", "triton", "cupy"])
def adder(request, torch):
    """A small addition through each library, its arrays' makers, and the kind that its body must be found to be."""
    library = request.param
    if library == "torch":
        return lambda a, b, out: torch.add(a, b, out=out), lambda t: t, ("kernel",)
    if library == "triton":
        return _triton_add(), lambda t: t, ("kernel",)
    if library == "numba":
        cuda = request.getfixturevalue("cuda")

        @cuda.jit
        def kernel(a, b, out):
            index = cuda.grid(1)
            if index < out.size:
                out[index] = a[index] + b[index]

        return lambda a, b, out: kernel[-(-out.size // 256), 256](a, b, out), cuda.as_cuda_array, ("kernel",)
    cupy = request.getfixturevalue("cupy")
    # CuPy's compiled launchers show themselves to no profile function on every Python: then the interval spans both kinds.
    return lambda a, b, out: cupy.add(a, b, out=out), cupy.asarray, ("kernel", "unknown")


def _repeats(one, two):
    """Two measurements of one body agree: to 3 %, or to what the clock itself claims."""
    assert one.reason is None, one
    assert two.reason is None, two
    assert abs(one.point - two.point) <= max(0.03 * one.point, 0.15 * US), f"{one} and again {two}"


@pytest.mark.parametrize("cache", ["cold", "warm", "cold-dirty"])
def test_a_small_kernel_of_every_library(gpu, torch, adder, cache):
    body, make, kinds = adder
    size = 1 << 20
    a, b, out = (make(torch.rand(size, device="cuda")) for _ in range(3))
    one, two = (gpu.measure(body, a, b, out, name=name, outputs=[out], cache=cache, work=Work(reads=8 * size, writes=4 * size)) for name in ("one", "two"))
    say(shown(one))
    assert one.details["body"] in kinds
    _repeats(one.time, two.time)
    # 12 MB: what the L2 gives at best, and ten times what the memory takes.
    assert 1.5 * US < one.time.point < 30 * US
    assert one.details["checked"] != "unchecked"
    assert one.host_time > 1 * US
    assert one.host_time < 200 * US
    assert one.wall_time.point > one.time.point
    say(f"bandwidth {one.bandwidth}, {one.percent.point:.1f} % of {one.roof}")
    assert one.bandwidth.reason is None, one.bandwidth
    total = torch.as_tensor(a, device="cuda") + torch.as_tensor(b, device="cuda")
    assert torch.equal(torch.as_tensor(out, device="cuda"), total)


def test_steady_with_inputs_of_every_library(gpu, gpu_runtime, torch, adder):
    body, make, kinds = adder
    size = 1 << 22
    needed = 4 * gpu_runtime.instruments(0).limits.l2_bytes
    sets = [tuple(make(torch.rand(size, device="cuda")) for _ in range(3)) for _ in range(-(-needed // (12 * size)))]
    work = Work(reads=8 * size, writes=4 * size)
    one, two = (gpu.measure(body, name=name, inputs=sets, outputs=[row[2] for row in sets], cache="steady", work=work) for name in ("one", "two"))
    say(f"{len(sets)} sets, batch {one.details['samples']['batch']}: {shown(one)}; {one.bandwidth}")
    assert one.details["body"] in kinds
    _repeats(one.time, two.time)
    assert 2.0e12 < one.bandwidth.point < 4.9e12
    assert one.details["checked"] == "batch ends"
    for a, b, out in sets:
        assert torch.equal(torch.as_tensor(out, device="cuda"), torch.as_tensor(a, device="cuda") + torch.as_tensor(b, device="cuda"))


@pytest.mark.parametrize("cache", ["cold", "warm", "cold-dirty", "steady"])
def test_a_big_copy(gpu, torch, cache):
    a = torch.randint(0, 256, (256 * MIB,), dtype=torch.uint8, device="cuda")
    out = torch.empty_like(a)
    work = Work(reads=a.numel(), writes=a.numel())
    one, two = (gpu.measure(out.copy_, a, name=name, outputs=[out], cache=cache, work=work) for name in ("one", "two"))
    say(f"{shown(one)}; {one.bandwidth}")
    _repeats(one.time, two.time)
    assert one.bandwidth.reason is None, one.bandwidth
    assert 3.5e12 < one.bandwidth.point < 4.9e12
    assert torch.equal(a, out)


@pytest.mark.parametrize("cache", ["cold", "warm"])
@pytest.mark.parametrize("nanoseconds", [1_000, 5_000, 50_000])
def test_a_spin_kernel_takes_what_it_says_itself(gpu, cuda, spin, nanoseconds, cache):
    out = cuda.device_array(2, "int64")
    m = gpu.measure(lambda: spin[1, 1](nanoseconds, out), cache=cache)
    wanted = span(out) + share()
    say(f"{shown(m)}; own span and share {wanted * 1e6:.3f} us, off by {(m.time.point - wanted) * 1e6:+.3f} us")
    assert m.details["body"] == "kernel"
    assert m.time.reason is None, m.time
    # With a cold L2 the kernel's code comes late and its last stores too; neither is in its own span.
    assert -CLOSE < m.time.point - wanted < (CLOSE if cache == "warm" else 0.6 * US)
    low, high = m.time.bounds
    assert high - low < 0.5 * US + 0.01 * wanted


def test_many_samples_give_tails(gpu, cuda, spin):
    out = cuda.device_array(2, "int64")
    m = gpu.measure(lambda: spin[1, 1](5_000, out), samples=400)
    say(f"p50 {m.time.p50}, p95 {m.time.p95}, p99 {m.time.p99}")
    assert m.time.samples >= 368
    assert m.time.p50.point <= m.time.p95.point <= m.time.p99.point < 1.5 * m.time.point
    few = gpu.measure(lambda: spin[1, 1](5_000, out), name="few", budget={"time": "p95 <= 10 us"})
    assert few.time.samples >= 72
    assert few.time.p95.reason is None


@pytest.mark.parametrize("cache", ["cold", "warm"])
def test_a_graph_replay_takes_what_its_kernel_takes(gpu, torch, cache):
    a, b, out = (torch.rand(1 << 20, device="cuda") for _ in range(3))
    torch.add(a, b, out=out)
    kernel = gpu.measure(torch.add, a, b, out=out, name="kernel", outputs=[out], cache=cache)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        torch.add(a, b, out=out)
    replay = gpu.measure(graph.replay, name="graph", outputs=[out], cache=cache)
    say(shown(kernel))
    say(f"{shown(replay)}; host {replay.host_time.point * 1e6:.2f} us")
    assert (kernel.details["body"], replay.details["body"]) == ("kernel", "graph")
    # A flush takes the graph's own memory out of the L2 too: its launch then reads it back, which is part of the replay.
    assert abs(kernel.time.point - replay.time.point) < (0.3 if cache == "warm" else 0.5) * US
    assert replay.host_time.point < 10 * US
    # Launched once, numba's arguments converted beforehand, a kernel costs the host about as much as a graph: it is not dearer.
    assert replay.host_time.point < 1.3 * kernel.host_time.point


def test_the_kernels_of_a_body_and_the_gaps_between_them_count(gpu, cuda, spin):
    out = cuda.device_array(2, "int64")
    one = gpu.measure(lambda: spin[1, 1](5_000, out), name="one")

    def three():
        for _ in range(3):
            spin[1, 1](5_000, out)

    many = gpu.measure(three, name="three")
    gap = (many.time.point - 3 * one.time.point) / 2
    say(f"one {one.time}, three {many.time}: {gap * 1e6:.2f} us a gap, less the shares")
    assert 14.9 * US < many.time.point < 21 * US


def test_cold_is_slower_than_warm_and_dirty_slower_than_cold(gpu, torch):
    a = torch.rand(1 << 22, device="cuda")
    out = torch.empty_like(a)
    times = {cache: gpu.measure(torch.neg, a, out=out, name=cache, cache=cache).time for cache in ("warm", "cold", "cold-dirty")}
    say(", ".join(f"{name} {time.point * 1e6:.2f} us" for name, time in times.items()))
    assert times["warm"] < times["cold"]
    assert times["cold"] < times["cold-dirty"]


def test_first_call_is_known_only_for_a_fresh_kernel(gpu, cuda):
    @cuda.jit
    def fresh(array):
        array[0] = 1

    array = cuda.device_array(1, "int32")
    first = gpu.measure(lambda: fresh[1, 1](array), name="first")
    say(f"first call {first.first_call}")
    assert first.first_call.point > 5e-3
    again = gpu.measure(lambda: fresh[1, 1](array), name="again")
    assert again.first_call.reason.code == "already-warm"


def test_a_session_outside_pytest_measures_and_gives_all_back(gpu_runtime, torch):
    import pytest_gpuperf

    a = torch.rand(1 << 20, device="cuda")
    gpu_runtime.instruments(0)
    free, _ = gpu_runtime.backend.memory()
    for _ in range(2):
        with pytest_gpuperf.session(limit=0.05) as gpuperf:
            m = gpuperf.measure(a.add_, 1, inout=[a])
            assert m.time < 50 * US
            assert "H200" in gpuperf.device.name or gpuperf.device.name
    assert free - gpu_runtime.backend.memory()[0] < 8 * MIB
