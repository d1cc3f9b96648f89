"""The launch share: what a profiler counts of a launch beside the kernel's own span, by chip."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import Final


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """One row of SHARES: a glob of device names, the share and its half-width in seconds."""

    device: str
    seconds: float
    half: float


#: CUPTI's record of our spin kernels less the span that they read themselves, in several processes, warm and cold, with few and with many parameters.
SHARES: tuple[Share, ...] = (
    Share("H200*", 0.61e-6, 0.02e-6),
    # Less the span that they were asked for, rounded up to a tick: their own reading was not printed there.
    Share("H100*", 0.93e-6, 0.04e-6),
)
#: Of a chip that nobody has looked at: what lies between the rows is not certain.
_UNKNOWN: Final = (0.78e-6, 0.17e-6)


def launch_share(device: str) -> tuple[float, float]:
    """Return the launch share of a device by its NVML name, with its half-width; seconds.

    >>> launch_share("NVIDIA H200"), launch_share("NVIDIA A100-SXM4-80GB")
    ((6.1e-07, 2e-08), (7.8e-07, 1.7e-07))
    """
    name = device.removeprefix("NVIDIA ").casefold()
    return next(((row.seconds, row.half) for row in SHARES if fnmatch.fnmatchcase(name, row.device.casefold())), _UNKNOWN)
