"""A fake device on the bench: measurements without pytest around them, for the measuring rules."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest_gpuperf
from pytest_gpuperf.testing import FakeDevice, FakeSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Nothing varies, so that what a rule changes is all there is to see.
STILL = {"jitter": 0.0, "launch_jitter": 0.0}
US = 1e-6


def device(uuid: str = "GPU-rules", kind: type[FakeDevice] = FakeDevice, **knobs: Any) -> Any:
    """Make a fake device with a small cache; `knobs` are those of FakeSpec."""
    import os

    return kind(FakeSpec(**{"uuid": f"{uuid}-{os.getpid()}", "l2": 1 << 16, **knobs}))


@contextlib.contextmanager
def bench(fake: FakeDevice, limit: float = 0.02, **options: Any) -> Iterator[Any]:
    """Give the fixture's object on a fake device; sampling ends soon."""
    with pytest_gpuperf.session(fake, limit=limit, **options) as gpuperf:
        yield gpuperf


def measured(fake: FakeDevice, fn: Any, *args: Any, limit: float = 0.02, **keywords: Any) -> Any:
    """Measure one body on a fake device."""
    with bench(fake, limit) as gpuperf:
        return gpuperf.measure(fn, *args, **keywords)
