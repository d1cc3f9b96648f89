"""pytest-gpuperf: budgets for GPU kernels, judged by pytest on correct times, bandwidths and bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gpuperf.comparison import Comparison
    from pytest_gpuperf.errors import (
        BadBudget,
        BudgetExceeded,
        GpuPerfError,
        Inconclusive,
        NoSource,
        NotCapturable,
        NotClose,
        NotIdentical,
        ReportError,
        RunFileError,
        StaticError,
        TraceError,
        Undeclared,
        Unmeasured,
    )
    from pytest_gpuperf.fixture import GpuPerf
    from pytest_gpuperf.measurement import Measurement
    from pytest_gpuperf.standalone import session
    from pytest_gpuperf.values import Value
    from pytest_gpuperf.work import Work

__version__ = "0.1.0"

_HOMES = {
    "BadBudget": "errors",
    "BudgetExceeded": "errors",
    "Comparison": "comparison",
    "GpuPerf": "fixture",
    "GpuPerfError": "errors",
    "Inconclusive": "errors",
    "Measurement": "measurement",
    "NoSource": "errors",
    "NotCapturable": "errors",
    "NotClean": "errors",
    "NotClose": "errors",
    "NotIdentical": "errors",
    "ReportError": "errors",
    "RunFileError": "errors",
    "StaticError": "errors",
    "TraceError": "errors",
    "Undeclared": "errors",
    "Unmeasured": "errors",
    "Value": "values",
    "Work": "work",
    "session": "standalone",
}

__all__ = [
    "BadBudget",
    "BudgetExceeded",
    "Comparison",
    "GpuPerf",
    "GpuPerfError",
    "Inconclusive",
    "Measurement",
    "NoSource",
    "NotCapturable",
    "NotClean",
    "NotClose",
    "NotIdentical",
    "ReportError",
    "RunFileError",
    "StaticError",
    "TraceError",
    "Undeclared",
    "Unmeasured",
    "Value",
    "Work",
    "session",
]


def __dir__() -> list[str]:
    """Name the public names too, which are not there before their first use."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: a session that does not use the plugin pays for none of them."""
    if name not in _HOMES:
        message = f"module 'pytest_gpuperf' has no attribute {name!r}"
        raise AttributeError(message)
    import importlib

    return getattr(importlib.import_module(f"pytest_gpuperf.{_HOMES[name]}"), name)
