"""The clock of a fake device: it falls where the device throttles, or where kernels draw more power than the cap for long; cycles are counted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gpuperf.testing.noise import Noise
    from pytest_gpuperf.testing.spec import FakeSpec

#: The clock falls over this share of the cap above it: no jump at the cap.
_BAND = 0.05
#: Bits of the clock event reasons as causes of NVML's counters.
_CAUSES = ((0x04, "power"), (0x20, "thermal"), (0x40, "thermal"))


class Power:
    """Average power, cycles and counters of limited time, brought forward moment by moment."""

    def __init__(self, spec: FakeSpec, noise: Noise) -> None:
        self._spec, self._noise = spec, noise
        self._at = 0.0
        self.watts = spec.power_idle
        self.cycles = 0.0
        self.violations = {"power": 0.0, "thermal": 0.0}

    def forward(self, moment: float, draw: float | None = None) -> None:
        """Let time pass up to a moment, with kernels that draw so many watts or none."""
        throttles = sorted(one for one in (self._noise.throttle_at, self._noise.throttle_until) if self._at < one < moment)
        for end in (*throttles, moment):
            passed = end - self._at
            if passed > 0:
                self.cycles += passed * self.clock(self._at) * 1e6
                for bit, cause in _CAUSES:
                    self.violations[cause] += passed if self.reasons(self._at) & bit else 0.0
                target = self._spec.power_idle if draw is None else draw
                self.watts = target + (self.watts - target) * math.exp(-passed / self._spec.power_time)
                self._at = end

    def factor(self, moment: float) -> float:
        """Return how much longer a kernel takes that starts at a moment, for want of clock."""
        over = (self.watts - self._spec.power_cap) / (_BAND * self._spec.power_cap)
        capped = 1.0 + (self._spec.power_factor - 1.0) * max(0.0, min(1.0, over))
        return max(capped, self._noise.throttle_factor if self._noise.throttled(moment) else 1.0)

    def clock(self, moment: float) -> float:
        """Return the clock in MHz."""
        return self._spec.sm_clock / self.factor(moment)

    def reasons(self, moment: float) -> int:
        """Return the clock event reasons."""
        mask = self._noise.throttle_reasons if self._noise.throttled(moment) else 0
        return mask | (0x4 if self.watts > self._spec.power_cap else 0)
