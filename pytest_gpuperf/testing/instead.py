"""A fake device where there is no GPU, so that the same tests run on a laptop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.device.discovery import discover
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.testing.device import FakeDevice

if TYPE_CHECKING:
    from pytest_gpuperf.testing.spec import FakeSpec


def fake_without_gpu(spec: FakeSpec | None = None) -> FakeDevice | None:
    """Return a FakeDevice where this process sees no GPU, else None, for `pytest_gpuperf_backend` in a conftest.

    A GPU whose driver is broken is no missing one: then it is None too, and the plugin says what is wrong. Give the fake a name in `spec` that nobody takes
    for a GPU's: header, records and page show it.

    >>> from pytest_gpuperf.testing import FakeDevice, FakeSpec, fake_without_gpu
    >>> found = fake_without_gpu(FakeSpec(name="NVIDIA FAKE (made-up figures)"))
    >>> found is None or isinstance(found, FakeDevice)
    True
    """
    found = discover()
    return FakeDevice(spec) if isinstance(found, Reason) and found.code == "no-gpu" else None
