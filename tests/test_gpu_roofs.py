"""Roofs on a real GPU: what a copy reaches of its own roof, and claims that cannot be."""

from __future__ import annotations

import pytest
from gpu_bench import MIB, STATES, say, shown

from pytest_gpuperf.errors import BudgetExceeded, Inconclusive
from pytest_gpuperf.work import Work

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu


def test_torchs_copy_of_a_gibibyte_reaches_its_roof(gpu, torch):
    a = torch.randint(0, 256, (1 << 30,), dtype=torch.uint8, device="cuda")
    out = torch.empty_like(a)
    m = gpu.measure(out.copy_, a, work=Work(reads=1 << 30, writes=1 << 30), outputs=[out], cache="steady")
    say(f"{shown(m)}; {m.bandwidth}; roof {m.roof}; {m.percent}")
    assert 95 < m.percent.point < 103
    assert m.bandwidth.reason is None
    m.require(time="<= 1.06 x roof", bandwidth=">= 94 %")
    with pytest.raises(BudgetExceeded, match="bandwidth: "):
        m.require(bandwidth=">= 7 TB/s")


@pytest.mark.parametrize("nbytes", [1 * MIB, 64 * MIB], ids=["1 MiB", "64 MiB"])
@pytest.mark.parametrize("cache", STATES)
def test_torchs_copy_beside_the_roof_of_its_own_state(gpu, gpu_runtime, torch, nbytes, cache):
    sets = 1
    if cache == "steady":
        sets = -(-4 * gpu_runtime.instruments(0).limits.l2_bytes // (2 * nbytes))
    pairs = [tuple(torch.randint(0, 256, (nbytes,), dtype=torch.uint8, device="cuda") for _ in range(2)) for _ in range(sets)]
    m = gpu.measure(lambda out, a: out.copy_(a) is None, inputs=pairs, work=Work(reads=nbytes, writes=nbytes), cache=cache)
    say(f"{nbytes >> 20} MiB {shown(m)}; roof {m.roof.point * 1e6:.2f} us; {m.percent.point:.1f} %")
    assert m.bandwidth.reason is None, m.bandwidth
    # 1 MiB is a matter of a few ticks.
    assert 60 < m.percent.point < (112 if nbytes == MIB else 105)


@pytest.mark.parametrize("cache", ["steady", "cold"])
def test_a_body_that_claims_twice_its_bytes_is_impossible(gpu, torch, cache):
    a = torch.randint(0, 256, (256 * MIB,), dtype=torch.uint8, device="cuda")
    out = torch.empty_like(a)
    m = gpu.measure(out.copy_, a, work=Work(reads=512 * MIB, writes=512 * MIB), outputs=[out], cache=cache)
    say(str(m.bandwidth))
    assert m.bandwidth.reason.code == "impossible"
    for limit in (">= 80 %", ">= 1 TB/s"):
        with pytest.raises(Inconclusive, match="impossible"):
            m.require(bandwidth=limit)
    with pytest.raises(Inconclusive, match="impossible"):
        m.require(time="<= 1.3 x roof")


def test_a_write_and_a_read_have_roofs_of_their_own(gpu, torch):
    a = torch.randint(0, 256, (1 << 30,), dtype=torch.uint8, device="cuda")
    write = gpu.measure(lambda: a.fill_(7) is None, name="fill", work=Work(writes=1 << 30), cache="steady")
    read = gpu.measure(lambda: a.view(torch.int64).amax(), name="max", work=Work(reads=1 << 30), cache="steady")
    for m in (write, read):
        say(f"{shown(m)}; {m.bandwidth}; {m.percent.point:.1f} %")
        assert m.bandwidth.reason is None, m.bandwidth
        assert 50 < m.percent.point < 105


def test_a_roof_that_does_not_fit_is_unmeasured(gpu, torch):
    a = torch.zeros(1 << 20, device="cuda")
    m = gpu.measure(a.add_, 1, inout=[a], work=Work(reads=1 << 40, writes=1 << 40))
    assert m.roof.reason.code == "no-memory"
    assert m.percent.number is None
