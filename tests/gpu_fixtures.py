"""Fixtures of the tests that are marked gpu: one runtime on a real device, and the libraries. Load them with `pytest_plugins`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Sampling of one measurement, in seconds: enough for 10 rounds.
LIMIT = 0.2


@pytest.fixture(scope="session")
def gpu_runtime() -> Iterator[Any]:
    """One runtime on the first visible GPU, calibrated once; skips only where there is no GPU, a broken driver is an error."""
    from pytest_gpuperf.device.discovery import open_backend
    from pytest_gpuperf.options import Config
    from pytest_gpuperf.reasons import Reason
    from pytest_gpuperf.runtime import Runtime

    found = open_backend()
    if isinstance(found, Reason):
        assert found.code == "no-gpu", found
        pytest.skip(str(found))
    os.environ["NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"] = "0"
    runtime = Runtime(Config(enabled=True, limit=LIMIT), found)
    yield runtime
    runtime.close()


@pytest.fixture
def gpu(gpu_runtime: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The fixture's object of a case of its own; afterwards the device must still answer."""
    from pytest_gpuperf.budgets.collect import Marks
    from pytest_gpuperf.case import Case
    from pytest_gpuperf.fixture import GpuPerf

    yield GpuPerf(gpu_runtime, Case(request.node.nodeid, Marks(), gpu_runtime.device))
    if gpu_runtime._instruments is not None:
        gpu_runtime.backend.synchronize()
    assert gpu_runtime.lost is None


@pytest.fixture(scope="session")
def torch(gpu_runtime: Any) -> Any:
    """The torch module; a declared dependency, so its absence is an error."""
    import torch

    return torch


@pytest.fixture(scope="session")
def cuda(gpu_runtime: Any) -> Any:
    """numba.cuda; a declared dependency, so its absence is an error."""
    from numba import cuda

    return cuda


@pytest.fixture(scope="session")
def cupy(gpu_runtime: Any) -> Any:
    """The cupy module, where it is installed."""
    return pytest.importorskip("cupy")


@pytest.fixture(scope="session")
def spin(cuda: Any) -> Any:
    """A numba kernel that spins for `ns` nanoseconds of %globaltimer and leaves its own start and end in out[0], out[1]."""
    from llvmlite import ir
    from numba.core import types
    from numba.cuda.extending import intrinsic

    @intrinsic
    def globaltimer(typing_context):
        def lower(context, builder, signature, args):
            asm = ir.InlineAsm(ir.FunctionType(ir.IntType(64), []), "mov.u64 $0, %globaltimer;", "=l", side_effect=True)
            return builder.call(asm, [])

        return types.int64(), lower

    @cuda.jit
    def kernel(ns, out):
        start = globaltimer()
        now = start
        while now - start < ns:
            now = globaltimer()
        out[0] = start
        out[1] = now

    return kernel


@pytest.fixture(scope="session")
def increment(cuda: Any) -> Any:
    """A numba kernel that adds 1 to every element of a flat array."""

    @cuda.jit
    def kernel(array):
        index = cuda.grid(1)
        if index < array.size:
            array[index] += 1

    return kernel
