"""The fixture's object outside pytest: for notebooks and scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pytest_gpuperf.budgets.collect import Marks
from pytest_gpuperf.case import Case
from pytest_gpuperf.checks import end_checks
from pytest_gpuperf.fixture import GpuPerf
from pytest_gpuperf.metrics import nearest
from pytest_gpuperf.options import Config
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.runtime import Runtime

if TYPE_CHECKING:
    from pytest_gpuperf.device.backend import Backend


#: The fields of Config that mean something without pytest.
_OPTIONS = ("limit", "cache", "clock")


class Session(GpuPerf):
    """A GpuPerf with a beginning and an end: a with block, or `close_session()`, gives the device back."""

    def __init__(self, backend: Backend | None = None, **options: Any) -> None:
        """Use the first visible GPU where no backend is given; nothing is opened before it is needed."""
        why = None
        for name in options:
            if name not in _OPTIONS:
                message = f"session({name}=...): no such option{nearest(name, _OPTIONS)}"
                raise TypeError(message)
        if backend is None:
            from pytest_gpuperf.device.discovery import open_backend

            found = open_backend()
            backend, why = (None, found) if isinstance(found, Reason) else (found, None)
        runtime = Runtime(Config(enabled=True, **options), backend, why)
        super().__init__(runtime, Case("session", Marks(), runtime.device))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Look at guarded arrays that were not checked, and give the device back."""
        __tracebackhide__ = True
        try:
            found = end_checks(self._case, whole=True) if kind is None else None
        finally:
            self.close_session()
        if found is not None:
            raise found

    def close_session(self) -> None:
        """Give the device back; what was measured stays readable."""
        self._runtime.close()


def session(backend: Backend | None = None, **options: Any) -> Session:
    """Give the fixture's object outside pytest; as a context manager it gives the device back at its end.

    `options` are `limit` (seconds a measurement), `cache` and `clock`; without a backend the first visible GPU is used.

    >>> import pytest_gpuperf
    >>> from pytest_gpuperf.testing import FakeDevice
    >>> fake = FakeDevice()
    >>> with pytest_gpuperf.session(fake) as gpuperf:
    ...     m = gpuperf.measure(fake.kernel(5e-6))
    >>> m.time < 6e-6
    True
    """
    return Session(backend, **options)
