"""What makes the spans of a fake device vary: jitter with autocorrelation, drift, throttling, other processes."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gpuperf.testing.spec import FakeSpec


class Noise:
    """Factors for spans at a moment, from a seed; the load of others and throttling can be changed while it runs."""

    def __init__(self, spec: FakeSpec) -> None:
        self._spec = spec
        self._random = random.Random(spec.seed)  # noqa: S311 - jitter, not secrets
        self._state = self._random.gauss(0.0, 1.0)
        self.throttle_at = math.inf if spec.throttle_at is None else spec.throttle_at
        self.throttle_until = math.inf
        self.throttle_factor = spec.throttle_factor
        self.throttle_reasons = spec.throttle_reasons
        self.utilization = spec.foreign_utilization
        self.processes = spec.foreign_processes
        self.slowdown = spec.foreign_slowdown

    def throttled(self, moment: float) -> bool:
        """Say whether the device throttles at a moment."""
        return self.throttle_at <= moment < self.throttle_until

    def kernel(self, moment: float) -> float:
        """Return the factor of the next kernel's span, at the device's own clock."""
        spec = self._spec
        rho = spec.autocorrelation
        self._state = rho * self._state + math.sqrt(1.0 - rho * rho) * self._random.gauss(0.0, 1.0)
        factor = max(0.2, 1.0 + spec.jitter * self._state) * max(0.2, 1.0 + spec.drift * moment)
        return factor * self.slowdown

    def launch(self) -> float:
        """Return the seconds that this launch adds or saves; never more than 0.3 us."""
        return max(-0.3e-6, min(0.3e-6, self._random.gauss(0.0, self._spec.launch_jitter)))
