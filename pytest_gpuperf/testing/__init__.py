"""Public fakes for tests of measuring code: a device on a virtual clock, and pytest runs of example files.

>>> from pytest_gpuperf.testing import FakeDevice
>>> fake = FakeDevice()
>>> body = fake.kernel(20e-6)
>>> body.overloads
{}
"""

from __future__ import annotations

from pytest_gpuperf.testing.arrays import FakeArray
from pytest_gpuperf.testing.body import FakeKernel
from pytest_gpuperf.testing.device import FakeDevice
from pytest_gpuperf.testing.engine import FakeEvent, FakeLaunch
from pytest_gpuperf.testing.example import FAKE_CONFTEST, Example, Result, fake_conftest
from pytest_gpuperf.testing.instead import fake_without_gpu
from pytest_gpuperf.testing.ncu import FakeNcu
from pytest_gpuperf.testing.spec import FakeDeviceError, FakeSpec

__all__ = [
    "FAKE_CONFTEST",
    "Example",
    "FakeArray",
    "FakeDevice",
    "FakeDeviceError",
    "FakeEvent",
    "FakeKernel",
    "FakeLaunch",
    "FakeNcu",
    "FakeSpec",
    "Result",
    "fake_conftest",
    "fake_without_gpu",
]
