"""golden, guarded and deterministic on a real GPU: kernels of numba and torch that are wrong in known ways, each caught by name."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from gpu_bench import say

from pytest_gpuperf.device.arrays import view
from pytest_gpuperf.device.digest import digest_bytes
from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.identity.golden import Goldens
from pytest_gpuperf.identity.held import Held

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

SIZE = 1 << 16


@pytest.fixture(scope="module")
def ramp(cuda):
    """Writes `count` elements from `start` on: index * 0.5."""

    @cuda.jit
    def kernel(out, start, count):
        index = cuda.grid(1)
        if index < count:
            out[start + index] = (start + index) * 0.5

    return lambda out, count=SIZE, start=0: kernel[(count + 255) // 256, 256](out, start, count)


@pytest.mark.parametrize("nbytes", [1, 7, 8, 4097, (1 << 20) + 3])
def test_device_and_host_have_one_digest(gpu, torch, nbytes):
    values = torch.randint(0, 256, (nbytes,), dtype=torch.uint8)
    there = values.cuda()
    torch.cuda.synchronize()
    assert Held("a", view(there), gpu._runtime.operations()).digest() == digest_bytes(values.numpy())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn", "complex64"])
def test_golden_written_on_the_host_is_found_on_the_device(gpu, torch, tmp_path, dtype):
    gpu._case.path = tmp_path / "test_it.py"
    values = torch.arange(600).to(torch.float32).to(getattr(torch, dtype)).reshape(20, 30)
    before = gpu._runtime.goldens
    try:
        gpu._runtime.goldens = Goldens(tmp_path, update=True)
        gpu.golden("out", values, keep=True)
        gpu._runtime.goldens = Goldens(tmp_path)
        gpu.golden("out", values.cuda())
        gpu.golden("out", values.cuda().t().contiguous().t())
        other = values.clone()
        other.view(torch.uint8).reshape(-1)[0] ^= 1
        with pytest.raises(NotIdentical, match=r"out: bits differ: 1 of 600 elements, first at \[0, 0\]"):
            gpu.golden("out", other.cuda())
        with pytest.raises(NotIdentical, match=r"has no entry 'out \[sm_\d+\]'"):
            gpu.golden("out", values.cuda(), per_arch=True)
    finally:
        gpu._runtime.goldens = before


@pytest.mark.parametrize("like", ["numba", "torch", "numpy"])
def test_guarded_sees_one_element_past_the_end_and_one_before_the_start(gpu, cuda, torch, ramp, like):
    if like == "numpy":
        out = gpu.guarded(64, like=like, name="out")
        out.array[:] = 1
        out.check()
        return
    for count, start, said in (
        (SIZE + 1, 0, rf"1 element after the end, nearest at flat index {SIZE} of"),
        (SIZE + 1, -1, "1 element before the start, nearest at flat index -1 of"),
    ):
        out = gpu.guarded(SIZE, like=like, name="out")
        whole = cuda.as_cuda_array(out._whole).view("float32")
        first = out._zone // 4
        ramp(whole[first - 1 :] if start < 0 else whole[first:], count)
        with pytest.raises(NotIdentical, match=said):
            out.check()


@pytest.mark.parametrize("like", ["numba", "torch", None])
def test_guarded_sees_the_last_block_unwritten(gpu, cuda, torch, ramp, like):
    out = gpu.guarded((256, SIZE // 256), like=like, name="out")
    ramp(cuda.as_cuda_array(out.array).reshape(SIZE), SIZE - 256)
    with pytest.raises(NotIdentical, match=r"^out: not written: 256 of 65,536 elements hold the poison, first at \[255, 0\]"):
        out.check()
    ramp(cuda.as_cuda_array(out.array).reshape(SIZE))
    out.check()


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "bool", "int64"])
def test_guarded_torch_tensors_of_every_type(gpu, torch, dtype):
    out = gpu.guarded((7, 100), getattr(torch, dtype), like="torch", name="out")
    out.array.fill_(1)
    out.check()
    out.poison()
    out.array[:6].fill_(1)
    other = gpu.guarded((7, 100), dtype, like="torch", name="other")
    other.array[:6].fill_(1)
    with pytest.raises(NotIdentical, match=r"^other: not written: 100 of 700 elements hold the poison, first at \[6, 0\]"):
        other.check()


def test_guarded_and_measure_do_not_disturb_each_other(gpu, cuda, ramp):
    out = gpu.guarded(SIZE, like="numba", name="out")
    m = gpu.measure(ramp, out.array, outputs=[out.array])
    assert m.details["checked"] != "unchecked"
    out.check()
    with pytest.raises(NotIdentical, match=r"^not written: 1 of 65,536 elements of outputs\[0\]"):
        gpu.measure(ramp, out.array, SIZE - 1, name="lazy", outputs=[out.array])


@pytest.fixture(scope="module")
def sums(cuda):
    """A sum of floats by atomics into 16 places: the order of the additions is what the scheduler makes it."""

    @cuda.jit
    def kernel(values, out):
        index = cuda.grid(1)
        if index < values.size:
            cuda.atomic.add(out, index % 16, values[index])

    def body(values, out):
        out[:] = 0.0
        kernel[(values.size + 255) // 256, 256](values, out)

    return body


def test_a_sum_by_atomics_changes_from_run_to_run(gpu, cuda, sums):
    values = cuda.to_device(np.random.default_rng(1).standard_normal(1 << 20).astype(np.float32))
    out = cuda.device_array(16, np.float32)
    with pytest.raises(NotIdentical, match=r"^(run-to-run change|contention-dependent|wrong)") as caught:
        gpu.deterministic(sums, values, out, outputs=[out])
    say(f"sum by atomics: {caught.value}")
    assert "ulp histogram: " in str(caught.value)


def test_right_kernels_are_right(gpu, cuda, torch, ramp):
    out = cuda.device_array(SIZE, np.float32)
    gpu.deterministic(ramp, out, outputs=[out])
    a, b = (torch.randn(512, 512, device="cuda") for _ in range(2))
    gpu.deterministic(torch.matmul, a, b)
    total = torch.ones(1000, device="cuda")
    gpu.deterministic(lambda: total.add_(1), inout=[total])
    assert total.eq(2).all()
    assert gpu._case.checks[-1].detail == "inout[0] hold the same bits after 20 calls, 10 of them beside contention"


@pytest.mark.parametrize(
    ("value", "said"),
    [(-0.0, "sign of zero"), (2.0**-149, "1 ulp"), (float("nan"), "NaN")],
)
def test_wrong_only_on_call_11(gpu, torch, value, said):
    out, calls = torch.empty(1000, device="cuda"), iter(range(100))

    def body():
        out.zero_()
        if next(calls) == 10:
            out[7] = value

    with pytest.raises(
        NotIdentical,
        match=rf"^wrong only on call 11 \(beside contention\): outputs\[0\] .* first at \[7\]: 0x[0-9a-f]+ != 0x00000000 \({said}\)",
    ):
        gpu.deterministic(body, outputs=[out])


def test_the_last_block_unwritten(gpu, cuda, ramp):
    out = cuda.device_array(SIZE, np.float32)
    with pytest.raises(
        NotIdentical, match=r"^not written: 256 of 65,536 elements of outputs\[0\] keep the poison, first at \[65280\], in every call"
    ):
        gpu.deterministic(ramp, out, SIZE - 256, outputs=[out])


def test_contention_overlaps_the_body_and_slows_it(gpu, cuda, torch):
    """Were it over before the body began, or did it wait for it, nothing would be shown."""
    from pytest_gpuperf.determining import _contention

    big = torch.randn(1 << 26, device="cuda")
    out = torch.empty_like(big)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def timed():
        first.record()
        torch.add(big, 1, out=out)
        last.record()
        torch.cuda.synchronize()
        return first.elapsed_time(last)

    timed()
    alone = statistics.median(timed() for _ in range(9))
    with _contention(gpu._runtime.operations()) as load:
        run = load(alone * 1e-3)
        beside = []
        for _ in range(9):
            run()
            beside.append(timed())
    say(f"copy of 256 MiB: {alone:.3f} ms alone, {statistics.median(beside):.3f} ms beside contention")
    # A body that fills every multiprocessor itself leaves contention little room: 1.09 to 1.28 times was seen.
    assert statistics.median(beside) > 1.05 * alone


def test_a_race_between_blocks_shows_under_contention(gpu, cuda, spin):
    """A block that reads what another may not have written yet: whether it has depends on when its multiprocessor had room."""

    @cuda.jit
    def kernel(flags, out):
        block = cuda.blockIdx.x
        if cuda.threadIdx.x == 0:
            cuda.atomic.exch(flags, block, 1)
            seen = 0
            for other in range(flags.size):
                seen += cuda.atomic.add(flags, other, 0)
            out[block] = seen

    flags, out = cuda.to_device(np.zeros(512, np.int32)), cuda.device_array(512, np.int32)
    with pytest.raises(NotIdentical) as caught:
        gpu.deterministic(lambda: kernel[512, 64](flags, out), outputs=[out], inout=[flags])
    say(f"race between blocks: {caught.value}")


def test_rng_of_torch_on_the_device(gpu, torch):
    one, two = (torch.rand(5, device="cuda", generator=gpu.rng(torch="cuda")) for _ in range(2))
    assert not torch.equal(one, two)
