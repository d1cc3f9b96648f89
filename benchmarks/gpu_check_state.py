"""What the sections of gpu_check share."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gpuperf.device.backend import Backend, DeviceLimits

MIB = 1 << 20


@dataclasses.dataclass
class Check:
    """What the sections share: the open backend, its limits, the streams, the amount of work, and what they found."""

    backend: Backend
    limits: DeviceLimits
    streams: dict[str, int]
    fake: bool
    quick: bool
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    rows: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    #: what a blocked event pair adds to the span of a kernel, less the launch share that a profiler counts; seconds
    constant: float = 2.2e-6

    def say(self, section: str, what: str, result: str) -> None:
        """Add a row of the table and print it at once."""
        self.rows.append((section, what, result))
        print(f"{section:<12} {what:<58} {result}", flush=True)

    def timed(self, body: Callable[[int], None], stream: int, samples: int) -> list[float]:
        """Return raw blocked event times of a body in seconds."""
        backend = self.backend
        start, end = backend.event(), backend.event()
        body(stream)
        backend.synchronize()
        raw = []
        for _ in range(samples):
            backend.block(stream, 2.0)
            try:
                backend.record(start, stream)
                body(stream)
                backend.record(end, stream)
            finally:
                released = backend.release()
            backend.wait(end)
            if not released:
                message = "the gate was opened by the helper: the body waits for the device"
                raise RuntimeError(message)
            raw.append(backend.elapsed(start, end))
        return raw


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, median absolute deviation, least and largest."""
    middle = statistics.median(values)
    return {
        "median": middle,
        "mad": statistics.median(abs(v - middle) for v in values),
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }
