"""Operation rates and roofs on a real GPU: ours above what cuBLAS reaches, claims that cannot be, the bus and the L2."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from gpu_bench import MIB, say, shown

from pytest_gpuperf.device.rates import RATES, rates_of
from pytest_gpuperf.errors import BudgetExceeded, Inconclusive
from pytest_gpuperf.machine import measure_machine
from pytest_gpuperf.machine_table import machine_lines
from pytest_gpuperf.timing.transfers import TRANSFERS, time_transfer
from pytest_gpuperf.work import Work

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu


def product(torch, kind: str, n: int, *, zeros: bool = False):
    """Return a body that multiplies two n x n matrices, and its work."""
    make = torch.zeros if zeros else torch.randn
    a, b = make(n, n, device="cuda"), make(n, n, device="cuda")
    work = Work(flops=2 * n**3, kind=kind)
    if kind == "fp8":
        a, b = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn).t()
        scale = torch.ones((), device="cuda")
        return (lambda: torch._scaled_mm(a, b, scale_a=scale, scale_b=scale, out_dtype=torch.bfloat16, use_fast_accum=True)), work
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[kind]
    a, b = a.to(dtype), b.to(dtype)
    out = torch.empty(n, n, dtype=dtype, device="cuda")
    return (lambda: torch.mm(a, b, out=out) is None), work


@pytest.fixture
def reached(gpu_runtime, torch):
    """Skip kinds that none of our kernels reaches here."""
    capability = gpu_runtime.instruments(0).limits.compute_capability
    torch.backends.cuda.matmul.allow_tf32 = False

    def check(kind: str) -> None:
        if not rates_of(kind, capability):
            pytest.skip(f"{kind} has no row for {capability}")

    return check


def code_of(value) -> str | None:
    """Return the code of what keeps a value from being judged."""
    return None if value.reason is None else value.reason.code


@pytest.mark.parametrize("kind", ["bf16", "fp16", "fp8", "fp32"])
def test_a_large_product_of_cublas_is_below_our_roof(gpu, torch, reached, kind):
    reached(kind)
    body, work = product(torch, kind, 8192 if kind != "fp32" else 4096)
    m = gpu.measure(body, work=work, cache="warm")
    share = m.held("tflops", "p50", "%")
    how = m.record()["roofs"][0]["how"]
    say(f"{kind} {shown(m)}; {m.tflops}; roof {m.roof}, {work.flops / m.roof.number / 1e12:.0f} TFLOP/s by {how}; {share.number:.1f} %")
    # A card that meets its power limit halfway through says so; what it reached is below the roof all the same.
    assert code_of(m.tflops) in {None, "throttled"}, m.tflops
    assert 60 < share.number < 101
    assert m.bound == f"{kind} FLOP"


@pytest.mark.parametrize("kind", ["bf16", "fp16", "fp8", "fp32"])
def test_limits_on_operations_are_judged(gpu, torch, reached, kind):
    reached(kind)
    body, work = product(torch, kind, 2048)
    m = gpu.measure(body, work=work, cache="warm")
    say(f"{kind} {shown(m)}; {m.tflops}; {m.held('tflops', 'p50', '%')}")
    m.require(tflops=[">= 30 %", ">= 10 TFLOP/s"], time="<= 3.3 x roof")
    with pytest.raises(BudgetExceeded, match=f"bound by {kind} FLOP"):
        m.require(time="<= 0.8 x roof")
    with pytest.raises(BudgetExceeded, match="tflops: "):
        m.require(tflops=">= 20 PFLOP/s")


@pytest.mark.parametrize("n", [256, 512, 1024, 2048, 4096])
@pytest.mark.parametrize("cache", ["cold", "warm"])
def test_small_products_are_possible(gpu, torch, reached, n, cache):
    reached("bf16")
    body, work = product(torch, "bf16", n)
    m = gpu.measure(body, work=work, cache=cache)
    share = m.held("tflops", "p50", "%").number
    say(f"{n} {shown(m)}; {m.tflops}; roof {m.roof.number * 1e6:.2f} us; {share:.1f} %")
    assert code_of(m.tflops) in {None, "throttled"}, m.tflops
    assert share < 103


def test_a_product_of_zeros_is_possible(gpu, torch, reached):
    reached("bf16")
    for cache in ("cold", "warm", "steady"):
        body, work = product(torch, "bf16", 8192, zeros=True)
        m = gpu.measure(body, name=cache, work=Work(reads=2 * 2 * 8192**2, writes=2 * 8192**2, flops=work.flops, kind="bf16"), cache=cache)
        say(f"zeros {shown(m)}; {m.tflops}; {m.held('tflops', 'p50', '%').number:.1f} %; bound by {m.bound}")
        assert code_of(m.tflops) in {None, "throttled"}, m.tflops


def test_a_tiny_kernel_is_possible(gpu, torch, reached):
    reached("bf16")
    a = torch.randn(64, device="cuda")
    for flops in (2, 2 * 64**3, 2 * 128**3):
        m = gpu.measure(a.add_, 1, name=str(flops), varies=True, work=Work(flops=flops, kind="bf16"), cache="warm")
        say(f"{flops} {shown(m)}; roof {m.roof}; {m.held('tflops', 'p50', '%')}")
        assert m.tflops.reason is None, m.tflops


@pytest.mark.parametrize("kind", ["bf16", "fp32"])
def test_a_body_that_claims_twice_its_operations_is_impossible(gpu, torch, reached, kind):
    reached(kind)
    body, work = product(torch, kind, 2048)
    m = gpu.measure(body, work=Work(flops=2 * work.flops, kind=kind), cache="warm")
    say(str(m.tflops))
    assert code_of(m.tflops) == "impossible"
    for limits in ({"tflops": ">= 60 %"}, {"tflops": ">= 1 TFLOP/s"}, {"time": "<= 2 x roof"}):
        with pytest.raises(Inconclusive, match="impossible"):
            m.require(**limits)


def test_a_sum_is_bound_by_bytes_and_a_product_by_operations(gpu, torch, reached):
    reached("bf16")
    a = torch.randn(64 * MIB, dtype=torch.bfloat16, device="cuda")
    m = gpu.measure(a.add, 1, name="sum", work=Work(reads=a.nbytes, writes=a.nbytes, flops=a.numel(), kind="fp32"))
    say(f"{shown(m)}; bound by {m.bound}; {m.percent.point:.1f} %; {m.record()['roofs']}")
    assert m.bound == "bytes"
    assert 80 < m.percent.point < 105
    m.require(bandwidth=">= 80 %")
    assert m.held("tflops", "p50", "%").point < 10


def test_first_touch_reads_a_little_faster_than_memory_are_impossible(gpu, gpu_runtime):
    nbytes = 1 << 29
    backend = gpu_runtime.backend
    sm_count = gpu_runtime.instruments(0).limits.sm_count
    source = backend.alloc(2 * nbytes)
    backend.memset(source, 1, 2 * nbytes, 0)

    def read() -> None:
        backend.launch("move", (source, 0, nbytes, 0), 0, blocks=8 * sm_count, threads=256)

    try:
        honest = gpu.measure(read, name="honest", work=Work(reads=nbytes))
        say(f"{shown(honest)}; {honest.bandwidth}; {honest.percent.point:.2f} %")
        assert honest.bandwidth.reason is None
        # Both intervals are wholly on the wrong side only some percent later.
        liar = gpu.measure(read, name="liar", work=Work(reads=int(nbytes / honest.percent.point * 107)))
        say(f"{liar.bandwidth}")
        assert code_of(liar.bandwidth) == "impossible"
    finally:
        backend.synchronize()
        backend.free(source)


@pytest.mark.parametrize("kernel", list(dict.fromkeys(row.kernel for row in RATES)))
def test_every_kernel_that_can_run_here_computes(gpu_runtime, kernel):
    import numpy as np

    limits = gpu_runtime.instruments(0).limits
    row = next((row for row in RATES if row.kernel == kernel and row.since <= limits.compute_capability), None)
    if row is None or (row.module == "rates_sm90a" and limits.compute_capability != (9, 0)):
        pytest.skip(f"{kernel} does not run on {limits.compute_capability}")
    backend, blocks = gpu_runtime.backend, 3
    sink = backend.alloc(4 * blocks * row.threads)
    try:
        found = []
        for rounds, extra in ((0, 0), (5, 0), (5, 1)):
            backend.memset(sink, 0, 4 * blocks * row.threads, 0)
            backend.launch(kernel, (rounds, extra, *row.operands, sink), 0, blocks=blocks, threads=row.threads)
            backend.synchronize()
            found.append(np.frombuffer(backend.download(sink, 4 * blocks * row.threads), np.float32))
    finally:
        backend.free(sink)
    none, five, more = found
    assert not none.any(), "no rounds, nothing stored"
    assert np.isfinite(five).all()
    if kernel != "mma_fp16_half":
        assert np.count_nonzero(five) > 0.9 * five.size
        assert np.unique(five).size > 30
        changed = np.flatnonzero(five != more)
        assert 0 < changed.size <= row.lanes, "one worker did one round more"
        assert changed.max() < row.lanes


def test_the_bus_carries_what_it_should(gpu_runtime):
    backend = gpu_runtime.backend
    gpu_runtime.instruments(0)
    rates = {row.name: row.ways * (1 << 28) / time_transfer(backend, row, 1 << 28, 0.1).number for row in TRANSFERS}
    say(str({name: f"{rate / 1e9:.1f} GB/s" for name, rate in rates.items()}))
    assert rates["pinned, to device"] > rates["pageable, to device"]
    assert rates["pinned, both at once"] > 1.3 * rates["pinned, to device"]
    # PCIe 3 x16 to PCIe 6 x16.
    assert all(8e9 < rates[name] < 130e9 for name in ("pinned, to device", "pinned, from device"))


def test_the_l2_reads_faster_than_the_memory(gpu_runtime):
    found = measure_machine(limit=0.05, sizes=(1 << 28,))
    say("\n".join(machine_lines(found)))
    if "RESULTS" in os.environ:
        (Path(os.environ["RESULTS"]) / "roofs.json").write_text(json.dumps(found, indent=1))
    memory = next(row["rate"]["number"] for row in found["bandwidth"] if (row["traffic"], row["cache"]) == ("read", "cold"))
    assert found["l2"][0]["rate"]["number"] > 1.2 * memory
    assert all(row["rate"]["number"] for row in (*found["transfers"], *found["operations"]) if row["rate"]["reason"] is None)
