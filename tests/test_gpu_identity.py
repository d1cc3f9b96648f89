"""Bits of arrays of every framework and type, where they really lie on a device."""

from __future__ import annotations

import time

import pytest
from gpu_bench import say

from pytest_gpuperf.errors import NotIdentical

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

DTYPES = ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64", "bool", "complex64", "int8", "uint8", "int16", "int64"]
SIZE = 100_003


def random_bits(torch, dtype, size=SIZE):
    """Return a tensor of random bits, so that NaN payloads, infinities and both zeros are among them."""
    kind = getattr(torch, dtype)
    if dtype == "bool":
        return torch.randint(0, 2, (size,), device="cuda").bool()
    width = torch.empty(0, dtype=kind).element_size()
    return torch.randint(0, 256, (size * width,), dtype=torch.uint8, device="cuda").view(kind)


def flip(torch, tensor, index):
    """Return a copy that differs in the lowest bit of one element."""
    other = tensor.clone()
    raw = other.view(torch.uint8)
    raw[index * tensor.element_size()] ^= 1
    return other


@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_tensors_on_the_device(gpu, torch, dtype):
    a = random_bits(torch, dtype)
    gpu.identical(a, a.clone())
    for index in (0, SIZE // 2, SIZE - 1):
        with pytest.raises(NotIdentical, match=rf"^bits differ: 1 of 100,003 elements, first at \[{index}\]: "):
            gpu.identical(a, flip(torch, a, index))
    host = a.cpu()
    gpu.identical(a, host)
    gpu.identical(host, a)
    with pytest.raises(NotIdentical, match=r"first at \[5\]"):
        gpu.identical(host, flip(torch, a, 5))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "int8", "complex64"])
def test_views_that_are_not_contiguous(gpu, torch, dtype):
    a = random_bits(torch, dtype, 300 * 333).reshape(300, 333)
    for make in (lambda t: t.t(), lambda t: t[:, ::2], lambda t: t[3:, 5:100], lambda t: t.reshape(3, 100, 333).permute(2, 0, 1), lambda t: t[0].expand(7, 333), lambda t: t[:0]):
        one, two = make(a), make(a.clone())
        gpu.identical(one, two)
        gpu.identical(one, two.contiguous())
        gpu.identical(one.cpu(), two)
    b = a.clone()
    b.view(torch.uint8).view(300, -1)[11, 7 * a.element_size()] ^= 1
    with pytest.raises(NotIdentical, match=r"^bits differ: 1 of 99,900 elements, first at \[7, 11\]"):
        gpu.identical(a.t(), b.t())
    gpu.identical(a[:, 8:], b[:, 8:])


def test_unaligned_addresses(gpu, torch):
    a = torch.randint(0, 256, (1 << 16,), dtype=torch.uint8, device="cuda")
    for shift in (1, 3, 8, 15):
        b = torch.empty((1 << 16) + 16, dtype=torch.uint8, device="cuda")[shift : shift + (1 << 16)]
        b.copy_(a)
        gpu.identical(a, b)
        b[-1] ^= 1
        with pytest.raises(NotIdentical, match=r"^bits differ: 1 of 65,536 elements, first at \[65535\]"):
            gpu.identical(a, b)


def test_the_sign_of_zero_and_nan_payloads_count(gpu, torch):
    zeros = torch.zeros(1000, device="cuda")
    with pytest.raises(NotIdentical, match="only in the sign of zero"):
        gpu.identical(zeros, -zeros)
    quiet = torch.full((1000,), 0x7FC00000, dtype=torch.int32, device="cuda")
    with pytest.raises(NotIdentical, match="only in NaN payloads"):
        gpu.identical(quiet.view(torch.float32), (quiet + 1).view(torch.float32))
    with pytest.raises(NotIdentical, match=r"1 of 1,000 .* \(1 ulp\)"):
        one = torch.ones(1000, device="cuda")
        gpu.identical(one, flip(torch, one, 3))


def test_frameworks_in_every_mixture(gpu, torch, cuda, cupy):
    import numpy as np

    host = np.arange(5000, dtype=np.float32).reshape(50, 100)
    forms = {
        "numpy": host,
        "torch cpu": torch.from_numpy(host.copy()),
        "torch": torch.from_numpy(host).cuda(),
        "numba": cuda.to_device(host),
        "cupy": cupy.asarray(host),
        "cupy fortran": cupy.asfortranarray(cupy.asarray(host)),
        "numba view": cuda.to_device(np.repeat(host, 2, axis=1))[:, ::2],
    }
    wrong = host.copy()
    wrong[49, 99] = -1
    for name, one in forms.items():
        for other in forms.values():
            gpu.identical(one, other, name=name)
            gpu.close(one, other, ulp=0)
        for bad in (wrong, cuda.to_device(wrong), cupy.asarray(wrong), torch.from_numpy(wrong).cuda()):
            with pytest.raises(NotIdentical, match=r"^bits differ: 1 of 5,000 elements, first at \[49, 99\]"):
                gpu.identical(one, bad)


def test_shapes_and_dtypes_have_messages_of_their_own(gpu, torch):
    a = torch.zeros(4, 6, device="cuda")
    with pytest.raises(NotIdentical, match=r"^shapes differ: \[4, 6\] != \[6, 4\]"):
        gpu.identical(a, a.t())
    with pytest.raises(NotIdentical, match=r"^dtypes differ: float32 != int32"):
        gpu.identical(a, a.int())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn", "complex64"])
def test_close_on_the_device(gpu, torch, dtype):
    values = torch.linspace(0.5, 100, 4000, device="cuda")
    a = values.to(getattr(torch, dtype))
    gpu.close(a, a.clone(), ulp=0)
    gpu.close(a, a.cpu(), rtol=0)
    gpu.close(a, flip(torch, a, 70), ulp=1)
    with pytest.raises(AssertionError, match=r"^not close: 1 of 4,000 elements beyond 0 ulp, worst at \[70\]"):
        gpu.close(a, flip(torch, a, 70), ulp=0)
    with pytest.raises(AssertionError, match="was it written at all"):
        gpu.close(torch.zeros_like(a), a, rtol=1e9)
    if dtype != "complex64":
        gpu.close(a, values, rtol={"float32": 0, "float16": 1e-3, "bfloat16": 8e-3}.get(dtype, 0.0626))


@pytest.mark.parametrize("kind", ["int8", "int64", "bool"])
def test_close_of_whole_numbers(gpu, torch, kind):
    a = (torch.arange(1000, device="cuda") % 2).to(getattr(torch, kind))
    gpu.close(a, a.cpu(), atol=0)
    b = a.clone()
    b[9] = not a[9]
    with pytest.raises(AssertionError, match=r"^not close: 1 of 1,000 elements .*worst at \[9\]"):
        gpu.close(a, b, atol=0)


def test_half_a_gigabyte_is_compared_at_memory_speed(gpu, torch):
    nbytes = 512 << 20
    a = torch.randint(0, 256, (nbytes,), dtype=torch.uint8, device="cuda")
    b = a.clone()
    gpu.identical(a, b)
    torch.cuda.synchronize()
    times = []
    for _ in range(5):
        began = time.perf_counter()
        gpu.identical(a, b)
        times.append(time.perf_counter() - began)
    best = 2 * nbytes / min(times)
    say(f"identical of 2 x 512 MiB: {min(times) * 1e3:.3f} ms, {best / 1e9:.0f} GB/s")
    assert best > 2e12
    wide = torch.empty(1 << 14, 1 << 16, dtype=torch.uint8, device="cuda")[:, : 1 << 15]
    wide.copy_(a.view(1 << 14, 1 << 15))
    gpu.identical(wide, b.view(1 << 14, 1 << 15))
    began = time.perf_counter()
    gpu.identical(wide, b.view(1 << 14, 1 << 15))
    took = time.perf_counter() - began
    say(f"one of them strided: {took * 1e3:.3f} ms, {2 * nbytes / took / 1e9:.0f} GB/s")
    assert 2 * nbytes / took > 5e11


def test_work_still_running_on_another_stream_is_waited_for(gpu, torch):
    a, b = torch.zeros(1 << 26, device="cuda"), torch.ones(1 << 26, device="cuda")
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(20):
            a.add_(0)
        a.add_(1)
    gpu.identical(a, b)
