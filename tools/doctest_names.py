"""A pytest plugin (`-p tools.doctest_names`): the names that docstring and README examples use without importing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _names(doctest_namespace: dict[str, Any]) -> Iterator[None]:
    """Give each example `np`, `pytest`, a fake device, and a `gpuperf` that measures on it."""
    import numpy as np

    import pytest_gpuperf
    from pytest_gpuperf.testing import FakeDevice

    fake = FakeDevice()
    with pytest_gpuperf.session(fake) as gpuperf:
        doctest_namespace.update(np=np, pytest=pytest, fake=fake, gpuperf=gpuperf)
        yield
