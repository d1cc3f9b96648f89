"""Where the examples run: real kernels where there is a GPU, else made-up ones on a FakeDevice whose name says so."""

from __future__ import annotations

from pytest_gpuperf.testing import FakeSpec, fake_without_gpu

#: A thousandth of a GPU, so that arrays of a few KB are large. Every line, record and page that names the device says that it is none.
FAKE = FakeSpec(name="NVIDIA FAKE (no GPU: made-up figures)", l2=1 << 14, bandwidth=3e9, l2_bandwidth=1.2e10, cupti="usable")


def fake_backend():
    """Return a FakeDevice where there is no GPU, else None: the plugin then takes the GPU."""
    return fake_without_gpu(FAKE)


def device_for(gpuperf, fake):
    """Return the arrays and kernels of the examples, for the GPU or for a FakeDevice."""
    if fake is None:
        from gpu_kernels import GpuKernels

        return GpuKernels(gpuperf)
    from fake_kernels import FakeKernels

    return FakeKernels(gpuperf, fake)
