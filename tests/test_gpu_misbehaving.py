"""Every row of docs/bodies.md on a real GPU; tests/test_misbehaving.py has the same rows on a fake device."""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
import time
import types

import pytest
from gpu_bench import CLOSE, MIB, say, share, span
from misbehaving import Body, check, rows

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

HERE = r"test_gpu_misbehaving\.py:\d+"


@pytest.fixture
def parts(request, gpu, torch, cuda, spin, increment):
    """Everything that a body may be made of."""
    a = torch.rand(1 << 20, device="cuda")
    return types.SimpleNamespace(torch=torch, cuda=cuda, spin=spin, increment=increment, gpu=gpu, a=a, out=torch.empty_like(a), request=request)


def waits(p):
    return Body(lambda: (p.torch.neg(p.a, out=p.out), p.torch.cuda.synchronize())[-1], told=rf"synchronize \({HERE}\)")


def waits_in_c(p):
    wait = ctypes.PyDLL("libcuda.so.1").cuCtxSynchronize
    return Body(lambda: (p.torch.neg(p.a, out=p.out), wait())[-1], told=HERE)


def waits_now_and_then(p):
    calls = itertools.count()

    def body():
        p.torch.neg(p.a, out=p.out)
        if next(calls) % 7 == 6:
            p.torch.cuda.synchronize()

    return Body(body, told=rf"synchronize \({HERE}\)")


def allocates_from_a_pool(p):
    return Body(lambda: p.torch.empty(1 << 20, device="cuda").fill_(1), holds=lambda m: bool((m.result == 1).all()))


def allocates(p):
    from cuda.bindings import driver

    held = []
    p.request.addfinalizer(lambda: [driver.cuMemFree(one) for one in held])

    def body():
        p.torch.neg(p.a, out=p.out)
        error, address = driver.cuMemAlloc(4 * MIB)
        assert not int(error)
        held.append(address)

    return Body(body)


def frees(p):
    from cuda.bindings import driver

    def body():
        p.torch.neg(p.a, out=p.out)
        driver.cuMemFree(driver.cuMemAlloc(MIB)[1])

    return Body(body, told=HERE)


def frees_late(p):
    return Body(lambda: p.increment[64, 256](p.cuda.device_array(1 << 14, "int32")))


def on_another_stream(p):
    owner = p.torch.cuda.Stream()
    out, other = p.cuda.device_array(2, "int64"), p.cuda.external_stream(owner.cuda_stream)
    return Body(lambda: p.spin[1, 1, other](500_000, out), told="busy for", holds=lambda m: owner)


def a_little_on_another_stream(p):
    owner = p.torch.cuda.Stream()
    out, other = p.cuda.device_array(2, "int64"), p.cuda.external_stream(owner.cuda_stream)
    return Body(lambda: p.spin[1, 1, other](2_000, out), holds=lambda m: owner)


def from_another_thread(p):
    out = p.cuda.device_array(2, "int64")

    def body():
        thread = threading.Thread(target=p.spin[1, 1], args=(20_000, out))
        thread.start()
        thread.join()

    return Body(body, holds=lambda m: m.details["body"] == "unknown" and abs(m.time.point - span(out) - share()) < 2 * CLOSE)


def nothing(p):
    return Body(lambda: None, holds=lambda m: m.details["checked"] == "unchecked")


def cached(p):
    return Body(functools.lru_cache(lambda: p.torch.neg(p.a)), told="cached result", holds=lambda m: m.details["checked"] == "unchecked")


def compiles_late(p):
    calls = itertools.count()
    some, other = p.cuda.to_device([1, 2, 3]), p.cuda.to_device([1.0, 2.0, 3.0])

    @p.cuda.jit
    def kernel(array):
        array[0] = 1

    # After the host's clocks, and before the last sample.
    return Body(lambda: kernel[1, 32](other if next(calls) == 120 else some), told=r"compiled 1 more times")


def autotunes(p):
    from gpu_triton import triton, tuned

    def body(a, out):
        tuned[lambda meta: (triton.cdiv(a.numel(), meta["BLOCK"]),)](a, out, a.numel())

    return Body(body, (p.a, p.out), {"outputs": [p.out]}, holds=lambda m: bool((p.out == 2 * p.a).all()) and m.first_call.number is not None)


def changes_an_input(p):
    return Body(p.increment[4096, 256], (p.cuda.to_device([0] * 1024),), told=r"argument 0 \(int64, 1024\)")


def undeclared_output(p):
    return Body(lambda a, out: p.torch.neg(a, out=out), (p.a, p.out.zero_()), told=r"argument 1 \(float32, 1048576\)")


def long(p):
    out = p.cuda.device_array(2, "int64")
    return Body(lambda: p.spin[1, 1](60_000_000, out), told="5 rounds", holds=lambda m: m.time.samples == 5 and 0.0599 < m.time.point < 0.0602)


def thousands(p):
    x = p.torch.zeros(64, device="cuda")

    def body():
        for _ in range(3000):
            x.add_(1)

    return Body(body, (), {"inout": [x]}, told=rf"launch [\d,]+ of one sample.*{HERE}", holds=lambda m: float(x[0]) == 3000)


BODIES = {
    "waits for the device": waits,
    "waits for the device in C, with the interpreter's lock": waits_in_c,
    "waits for the device now and then": waits_now_and_then,
    "allocates from a pool": allocates_from_a_pool,
    "allocates from the driver": allocates,
    "frees at once": frees,
    "frees late": frees_late,
    "launches on another stream": on_another_stream,
    "launches a little on another stream": a_little_on_another_stream,
    "launches from another thread": from_another_thread,
    "launches nothing": nothing,
    "returns a cached array": cached,
    "compiles late": compiles_late,
    "autotunes": autotunes,
    "changes an input": changes_an_input,
    "writes an output that is not declared": undeclared_output,
    "takes longer than the limit": long,
    "queues thousands of launches": thousands,
}


def test_every_row_is_here():
    assert {*BODIES, "raises"} == {*rows()}


@pytest.mark.parametrize("does", BODIES)
def test_it_gets_what_the_table_says(parts, gpu, does):
    body = BODIES[does](parts)
    began = time.perf_counter()
    m = gpu.measure(body.fn, *body.args, **body.keywords)
    say(f"{does}: {time.perf_counter() - began:.2f} s; {m.time}; {m.details['notes']}; host {m.host_time}; {m.details['body']}")
    check(rows()[does], body, m)
    out = parts.cuda.device_array(2, "int64")
    after = gpu.measure(lambda: parts.spin[1, 1](5_000, out), name="afterwards", cache="warm")
    assert after.time.reason is None, after.time
    assert abs(after.time.point - span(out) - share()) < CLOSE, after.time


#: First call, second, host's clocks, pilots, rounds, the last untimed calls: whatever these numbers meet.
@pytest.mark.parametrize("number", [1, 2, 5, 30, 60, 100, 200, 240])
def test_its_error_shows_from_whatever_call(parts, gpu, number):
    calls = itertools.count(1)

    def body():
        if next(calls) == number:
            message = f"call {number} of mine"
            raise ArithmeticError(message)
        parts.torch.neg(parts.a, out=parts.out)

    with pytest.raises(ArithmeticError, match=f"^call {number} of mine$"):
        gpu.measure(body, outputs=[parts.out])
    assert gpu.measure(parts.torch.neg, parts.a, name="afterwards").time.reason is None
