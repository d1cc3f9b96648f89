"""The state of the machine, read through NVML: each reading stands alone, and one that the device does not give is None."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Any, Final

from pytest_gpuperf.device.backend import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class Throttle:
    """One row of THROTTLE: a bit of NVML's clock event reasons, its name, and what it takes clock away from a running kernel for, if it does."""

    bit: int
    name: str
    cause: str = ""

    @property
    def bad(self) -> bool:
        """Whether it takes clock away from a running kernel."""
        return bool(self.cause)


THROTTLE: tuple[Throttle, ...] = (
    Throttle(0x001, "gpu idle"),
    Throttle(0x002, "application clocks setting"),
    Throttle(0x004, "sw power cap", "power"),
    Throttle(0x008, "hw slowdown", "hardware"),
    Throttle(0x010, "sync boost"),
    Throttle(0x020, "sw thermal slowdown", "thermal"),
    Throttle(0x040, "hw thermal slowdown", "thermal"),
    Throttle(0x080, "hw power brake", "power"),
    Throttle(0x100, "display clock setting"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """One row of VIOLATIONS: the cause, and the name of NVML's counter of the time that the clock was held down for it."""

    cause: str
    policy: str


#: The others of NVML's counters (low utilisation, sync boost, application clocks, base clocks) grow on a healthy, idle device too.
VIOLATIONS: tuple[Violation, ...] = (
    Violation("power", "NVML_PERF_POLICY_POWER"),
    Violation("thermal", "NVML_PERF_POLICY_THERMAL"),
    Violation("board", "NVML_PERF_POLICY_BOARD_LIMIT"),
    Violation("reliability", "NVML_PERF_POLICY_RELIABILITY"),
)

#: A round below this share of the device's clock was held down, whatever NVML says of it.
SLOW: Final = 0.75
#: A round at this share of it or above was not held down: reasons and counters go on for half a second after a hot kernel has ended (seen on an H200).
FULL: Final = 0.99

#: NVML's functions for the reasons: the current name, and the one that drivers before 535 know.
_REASON_READERS: Final = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")


def bad_reasons(mask: int) -> tuple[str, ...]:
    """Return the names of the reasons in a mask that take clock away from a running kernel.

    >>> bad_reasons(0x1), bad_reasons(0x44)
    ((), ('sw power cap', 'hw thermal slowdown'))
    """
    return tuple(row.name for row in THROTTLE if row.bad and mask & row.bit)


def causes_of(evidence: Evidence, sm_clock: float | None) -> tuple[str, ...]:
    """Return what held the clock down in a round, sorted; none for a healthy round.

    Reasons and counters tell causes, unless stamps saw the device's whole clock; where they tell none, a clock below SLOW of it is one: `clock`.

    >>> causes_of(Evidence(throttle=0x4, violations={"power": 0.0, "thermal": 1e-3}), 1980), causes_of(Evidence(throttle=0x1), 1980)
    (('power', 'thermal'), ())
    >>> causes_of(Evidence(effective_clock=1200.0), 1980), causes_of(Evidence(throttle=0x4, effective_clock=1200.0), 1980)
    (('clock',), ('power',))
    >>> causes_of(Evidence(throttle=0x4, effective_clock=1995.0), 1980)
    ()
    """
    share = evidence.effective_clock / sm_clock if sm_clock and evidence.effective_clock is not None else None
    if share is not None and share >= FULL:
        return ()
    told = {row.cause for row in THROTTLE if row.cause and (evidence.throttle or 0) & row.bit}
    told |= {cause for cause, seconds in (evidence.violations or {}).items() if seconds > 0}
    return tuple(sorted(told)) or (("clock",) if share is not None and share < SLOW else ())


def _violations(nvml: Any, handle: Any) -> dict[str, float] | None:
    """Return the counters that this device has, in seconds; None where it has none."""
    found = {}
    for row in VIOLATIONS:
        with contextlib.suppress(AttributeError, nvml.NVMLError):
            found[row.cause] = nvml.nvmlDeviceGetViolationStatus(handle, getattr(nvml, row.policy)).violationTime * 1e-9
    return found or None


def sm_clock_of(handle: Any, nvml: Any) -> int | None:
    """Return what the multiprocessors run at when nothing holds them back, in MHz: the application clock where it is set, else the highest."""
    for reader in ("nvmlDeviceGetApplicationsClock", "nvmlDeviceGetMaxClockInfo"):
        with contextlib.suppress(AttributeError, nvml.NVMLError):
            return int(getattr(nvml, reader)(handle, nvml.NVML_CLOCK_SM))
    return None


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
    ("violations", _violations),
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
