"""Hooks that this plugin adds to pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gpuperf.device.backend import Backend


@pytest.hookspec(firstresult=True)
def pytest_gpuperf_backend(config: pytest.Config) -> Backend | None:
    """Return the backend that this session measures on; the first result wins, None passes the question on.

    A conftest returns a `pytest_gpuperf.testing.FakeDevice` here to test what its suite does with measured values.
    """
