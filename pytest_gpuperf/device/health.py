"""The state of the machine, read through NVML: each reading stands alone, and one that the device does not give is None."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Final

from pytest_gpuperf.device.backend import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class Throttle:
    """One row of THROTTLE: a bit of NVML's clock event reasons, its name, and whether it takes clock away from a running kernel."""

    bit: int
    name: str
    bad: bool


THROTTLE: tuple[Throttle, ...] = (
    Throttle(0x001, "gpu idle", bad=False),
    Throttle(0x002, "application clocks setting", bad=False),
    Throttle(0x004, "sw power cap", bad=True),
    Throttle(0x008, "hw slowdown", bad=True),
    Throttle(0x010, "sync boost", bad=False),
    Throttle(0x020, "sw thermal slowdown", bad=True),
    Throttle(0x040, "hw thermal slowdown", bad=True),
    Throttle(0x080, "hw power brake", bad=True),
    Throttle(0x100, "display clock setting", bad=False),
)

#: NVML's functions for the reasons: the current name, and the one that drivers before 535 know.
_REASON_READERS: Final = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")


def bad_reasons(mask: int) -> tuple[str, ...]:
    """Return the names of the reasons in a mask that take clock away from a running kernel.

    >>> bad_reasons(0x1), bad_reasons(0x44)
    ((), ('sw power cap', 'hw thermal slowdown'))
    """
    return tuple(row.name for row in THROTTLE if row.bad and mask & row.bit)


def _throttle(nvml: Any, handle: Any) -> int:
    """Return the mask under whichever name this NVML has."""
    first, second = _REASON_READERS
    try:
        return int(getattr(nvml, first)(handle))
    except (AttributeError, nvml.NVMLError):
        return int(getattr(nvml, second)(handle))


def _others(nvml: Any, handle: Any) -> tuple[int, ...]:
    """Return the process ids of others that compute on the device."""
    return tuple(sorted({process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)} - {os.getpid()}))


_READERS: Final[tuple[tuple[str, Callable[[Any, Any], Any]], ...]] = (
    ("sm_clock", lambda nvml, handle: int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))),
    ("memory_clock", lambda nvml, handle: int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM))),
    ("temperature", lambda nvml, handle: int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
    ("power", lambda nvml, handle: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
    ("throttle", _throttle),
    ("utilization", lambda nvml, handle: int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
    ("processes", _others),
)


def evidence(handle: Any, nvml: Any = None) -> Evidence:
    """Return the state of the device of an NVML handle; `nvml` is the pynvml module, or one that answers like it."""
    if nvml is None:
        import pynvml

        nvml = pynvml

    def read(reader: Callable[[Any, Any], Any]) -> Any:
        try:
            return reader(nvml, handle)
        except (AttributeError, nvml.NVMLError):
            return None

    return Evidence(**{name: read(reader) for name, reader in _READERS})
