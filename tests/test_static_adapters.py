"""The same quantities of what other compilers made: CUDA C through NVRTC, really; Triton's and numba's objects by their shape."""

from __future__ import annotations

import types

import pytest

pytest.importorskip("cuda.core", reason="compiles CUDA C: needs the extra `static`")

from pytest_gpuperf import StaticError
from pytest_gpuperf.static import adapters
from pytest_gpuperf.static.adapters import arch_of, compiled, nvrtc
from pytest_gpuperf.static.elf import NoKernel, read
from pytest_gpuperf.static.model import QUANTITIES

SOURCE = r"""
template <class T> __global__ void add(T *x, const T *y) {
    __shared__ T tile[64];
    tile[threadIdx.x] = y[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] += tile[63 - threadIdx.x];
}
extern "C" __global__ void copy(float4 *x, const float4 *y) { x[threadIdx.x] = y[threadIdx.x]; }
extern "C" __global__ void four(float *x, const float *y) { for (int i = 0; i < 4; ++i) x[4 * threadIdx.x + i] = y[4 * threadIdx.x + i]; }
extern "C" __global__ void full(float *x, int n) {
    float kept[64];
    #pragma unroll
    for (int i = 0; i < 64; ++i) kept[i] = x[i * n];
    __syncthreads();
    #pragma unroll
    for (int i = 0; i < 64; ++i) x[i * n] = kept[63 - i];
}
"""


@pytest.mark.parametrize("arch", ["sm_75", "sm_120"])
def test_cuda_c_has_every_quantity(arch):
    one = nvrtc(SOURCE, "add<double>", arch, block=64)
    assert (set(one.quantities), one.reasons) == (set(QUANTITIES), {})
    assert {name: one.quantities[name] for name in ("shared", "barriers", "spills", "f64", "loads_32")} == {"shared": 512, "barriers": 1, "spills": 0, "f64": 1, "loads_32": 0}


def test_a_load_of_16_bytes_that_becomes_four_is_seen():
    whole, parts = (nvrtc(SOURCE, name, "sm_90").quantities for name in ("copy", "four"))
    assert (whole["loads_128"], whole["stores_128"], whole["loads_32"]) == (1, 1, 0)
    assert (parts["loads_128"], parts["stores_128"], parts["loads_32"]) == (0, 0, 4)


def test_registers_that_do_not_suffice_spill():
    free, held = (nvrtc(SOURCE, "full", "sm_90", options=options) for options in ({}, {"max_register_count": 32}))
    assert (free.quantities["spills"], free.quantities["stack"]) == (0, 0)
    assert held.quantities["registers"] <= 32
    assert min(held.quantities["spills"], held.quantities["stack"]) > 0
    assert free.code_hash != held.code_hash


def test_functions_that_are_called_count_and_others_do_not():
    called = """
    __device__ __noinline__ double deep(double a) { return a * a; }
    __device__ __noinline__ double called(double a) { return a + deep(a); }
    __device__ __noinline__ float other(float a) { return a * a * a + __cosf(a); }
    extern "C" __global__ void calls(double *x) { x[0] = called(x[1]); }
    extern "C" __global__ void beside(float *x) { x[0] = other(x[1]); }
    """
    calls, beside = (nvrtc(called, name, "sm_90").quantities for name in ("calls", "beside"))
    assert (calls["f64"], calls["mufu"], calls["loads_32"]) == (2, 0, 0)
    assert (beside["f64"], beside["mufu"]) == (0, 1)


def test_an_error_of_nvrtc_is_one_line():
    with pytest.raises(StaticError, match=r'^k on sm_90: .*\(1\): error: identifier "y" is undefined$'):
        nvrtc('extern "C" __global__ void k(float *x) { x[0] = y; }', "k", "sm_90")


def test_an_architecture_that_is_not_known_lists_those_that_are():
    with pytest.raises(StaticError, match="known: sm_75"):
        nvrtc(SOURCE, "copy", "sm_60")


@pytest.fixture(scope="module")
def cubin():
    from cuda.core import Program, ProgramOptions

    return bytes(Program(SOURCE, "c++", ProgramOptions(arch="sm_90a")).compile("cubin").code)


def test_a_cubin_of_several_kernels_is_read_by_name(cubin):
    with pytest.raises(NoKernel, match=r"^a cubin with 3 kernels: it has copy, four, full; name one$"):
        read(cubin, in_section=True)
    with pytest.raises(NoKernel, match=r"^no kernel 'fill' in the cubin: it has copy, four, full$"):
        read(cubin, "fill", in_section=True)
    registers = {name: read(cubin, name, in_section=True).resources["registers"] for name in ("copy", "four", "full")}
    assert registers["full"] > max(registers["copy"], registers["four"])
    assert len(read(cubin, "full", in_section=True).text) > len(read(cubin, "copy", in_section=True).text)


@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90", "sm_100", "sm_120"])
def test_a_cubin_says_what_it_is_for(arch):
    from cuda.core import Program, ProgramOptions

    from pytest_gpuperf.static.architectures import architecture

    code = Program('extern "C" __global__ void k() {}', "c++", ProgramOptions(arch=architecture(arch).target)).compile("cubin")
    assert arch_of(bytes(code.code)) == arch


def test_a_cubin_for_something_else_is_refused():
    with pytest.raises(StaticError, match="unknown architecture: flags 0x3c"):
        arch_of(b"\x7fELF\x02".ljust(0x30, b"\0") + b"\x3c\0\0\0")


class CompiledKernel:
    """A kernel as Triton 3 holds it: its spills are known once a driver has loaded it."""

    def __init__(self, cubin, name, loads):
        self.asm = {"cubin": cubin, "ptx": ".version 9.0", "ttir": "module {}"}
        target = types.SimpleNamespace(backend="cuda", arch=90, warp_size=32)
        self.metadata = types.SimpleNamespace(name=name, num_warps=4, shared=40_000, target=target)
        self.n_spills = None
        self._loads = loads

    def _init_handles(self):
        if not self._loads:
            raise RuntimeError("0 active drivers ([]). There should only be one.")
        self.n_regs, self.n_spills = 18, 6


def test_triton_kernels_have_the_same_quantities(cubin):
    one = compiled(CompiledKernel(cubin, "copy", loads=True))[0]
    assert (one.kernel, one.arch, one.block, one.dynamic_shared, one.ptx) == ("copy", "sm_90", 128, 40_000, ".version 9.0")
    assert set(one.quantities) == set(QUANTITIES)
    assert one.quantities["spills"] == 24
    # Five blocks of four warps: what their shared memory lets in.
    assert one.quantities["occupancy"] == 100 * 5 * 4 / 64


def test_what_triton_does_not_know_without_a_gpu_has_a_reason(cubin):
    one = compiled(CompiledKernel(cubin, "copy", loads=False))[0]
    assert one.reasons == {"spills": ("no-report", "")}
    assert one.quantities["loads_128"] == 1


def test_kernels_that_numba_has_launched_are_read_as_they_were_loaded(cubin):
    library = types.SimpleNamespace(get_cubin=lambda: types.SimpleNamespace(code=cubin))
    overload = types.SimpleNamespace(_codelibrary=library, entry_name="copy")
    kernel = types.SimpleNamespace(overloads={("x", "y"): overload}, targetoptions={}, py_func=lambda: None)
    kernel.py_func.__name__ = "copies"
    one = compiled(kernel)[0]
    assert (one.kernel, one.arch, one.signature) == ("copies", "sm_90", "('x', 'y')")
    assert set(one.reasons) == {"spills", "occupancy"}
    assert one.code_hash


def test_each_adapter_leaves_what_is_not_its_own():
    for adapter in adapters.ADAPTERS:
        assert adapter(object()) is None
    with pytest.raises(StaticError, match=r"^builtins.object is no kernel that an adapter knows"):
        compiled(object())
