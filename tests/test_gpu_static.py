"""What was compiled without a GPU beside what a GPU has loaded: the same machine code, the same resources, the same occupancy."""

from __future__ import annotations

import functools
import operator
import os

import pytest

from pytest_gpuperf.counters.code import cubin_hash
from pytest_gpuperf.static.adapters import arch_of, compiled
from pytest_gpuperf.static.architectures import architecture, blocks
from pytest_gpuperf.static.compiling import compile_all
from pytest_gpuperf.static.model import Reference, Request

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

FLAT = "void(float32[::1], float32[::1])"
#: A kernel that spills, one with an array in local memory, one with static shared memory, one that calls what it is linked with, and twins of them: rows of KERNELS have no stack.
OTHERS = (
    ("suites.wrong_counters", "sums_spilling", "void(float32[::1], float32[::1], int64)"),
    ("suites.wrong_counters", "sums_in_registers", "void(float32[::1], float32[::1], int64)"),
    ("suites.wrong_counters", "transpose_padded", "void(float32[:,::1], float32[:,::1])"),
    ("static_gpu_kernels", "full", FLAT),
    ("static_gpu_kernels", "staged", FLAT),
    ("static_gpu_kernels", "helped", FLAT),
    ("static_gpu_kernels", "precise", FLAT),
    ("static_gpu_kernels", "together", FLAT),
)


@pytest.fixture(scope="module")
def arch(gpu_runtime):
    from numba import cuda

    major, minor = cuda.get_current_device().compute_capability
    return f"sm_{major}{minor}"


def loaded(kernel, signature):
    """Compile for the device and load, as a launch with such arguments does."""
    from numba.cuda.core import sigutils

    types, _ = sigutils.normalize_signature(signature)
    kernel.compile(types)
    return kernel.overloads[types]


@pytest.fixture(scope="module")
def pairs(arch, tmp_path_factory):
    """What a row compiles to without the device, and what the device has loaded of it."""
    import importlib

    import kernels

    rows = [(row.name, Reference("row", "kernels", row.name), row.signature, functools.reduce(operator.mul, row.block), row.function) for row in kernels.KERNELS]
    rows += [(name, Reference("attribute", module, name), text, 256, getattr(importlib.import_module(module), name)) for module, name, text in OTHERS]
    requests = [Request(name, reference, text, arch, block) for name, reference, text, block, _ in rows]
    offline = compile_all(requests, store=tmp_path_factory.mktemp("store"), processes=os.cpu_count() or 1)
    assert [one.error for one in offline if one.error] == []
    return [(one, loaded(kernel, text)) for one, (_, _, text, _, kernel) in zip(offline, rows, strict=True)]


def test_the_machine_code_is_that_of_the_device(pairs, arch):
    differing = []
    for one, kernel in pairs:
        code = bytes(kernel._codelibrary.get_cubin().code)
        assert arch_of(code) == arch
        if cubin_hash(code) != one.code_hash:
            differing.append(one.kernel)
    assert differing == []
    assert len({one.code_hash for one, _ in pairs}) > len(pairs) / 3


@pytest.mark.parametrize(("quantity", "attribute"), [("registers", "regs_per_thread"), ("shared", "shared_mem_per_block"), ("local", "local_mem_per_thread")])
def test_a_resource_is_what_the_driver_says(pairs, quantity, attribute):
    differing = {one.kernel: (one.quantities[quantity], getattr(kernel, attribute)) for one, kernel in pairs if one.quantities[quantity] != getattr(kernel, attribute)}
    assert differing == {}
    assert any(one.quantities[quantity] for one, _ in pairs)


def test_as_many_blocks_fit_as_the_driver_says(pairs, arch):
    from cuda.bindings import driver

    differing = {}
    for one, kernel in pairs:
        for threads, dynamic in ((one.block, 0), (64, 0), (256, 20_000)):
            handle = kernel._codelibrary.get_cufunc().handle
            status, number = driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(driver.CUfunction(int(getattr(handle, "value", handle))), threads, dynamic)
            assert int(status) == 0
            told = blocks(architecture(arch), threads, one.quantities["registers"], one.quantities["shared"] + dynamic, one.quantities["barriers"])
            if number != told:
                differing[one.kernel, threads, dynamic] = (told, number)
    assert differing == {}


def test_what_spills_has_local_memory_on_the_device_too(pairs):
    spilling = {one.kernel: kernel for one, kernel in pairs if one.quantities["spills"]}
    assert "sums_spilling" in spilling
    assert all(kernel.local_mem_per_thread > 0 for kernel in spilling.values())


def test_what_was_launched_is_read_as_what_was_compiled(pairs):
    import kernels

    row = kernels.KERNELS[0]
    offline = next(one for one, _ in pairs if one.kernel == row.name)
    same = [one for one in compiled(row.function) if one.code_hash == offline.code_hash]
    assert len(same) == 1
    known = {name: number for name, number in offline.quantities.items() if name not in {"spills", "occupancy"}}
    assert dict(same[0].quantities) == known


def test_triton_kernels_are_read(gpu_runtime):
    pytest.importorskip("triton")
    torch = pytest.importorskip("torch")
    from gpu_triton import add

    x = torch.ones(4096, device="cuda")
    launched = add[(4,)](x, x, torch.empty_like(x), 4096, BLOCK=1024)
    one = compiled(launched)[0]
    assert one.quantities["registers"] == launched.n_regs
    assert one.quantities["local"] == 4 * launched.n_spills
    assert not one.reasons
