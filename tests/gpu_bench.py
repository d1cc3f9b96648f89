"""What the tests on a real GPU share: constants, the truth of a spin kernel, and lines for the log."""

from __future__ import annotations

from typing import Any

US = 1e-6
MIB = 1 << 20
#: How far off a time may be: three times the stated systematic part.
CLOSE = 0.30 * US
STATES = ["cold", "warm", "cold-dirty", "steady"]


def share() -> float:
    """Return what a profiler counts of a launch beside the kernel's own span on this device, in seconds."""
    from pytest_gpuperf.device.discovery import open_backend
    from pytest_gpuperf.device.share import launch_share
    from pytest_gpuperf.reasons import Reason

    found = open_backend()
    assert not isinstance(found, Reason), found
    return launch_share(found.facts.name)[0]


def span(out: Any) -> float:
    """Return the own span of the last run of `spin`, in seconds."""
    start, end = out.copy_to_host()
    return float(end - start) * 1e-9


def say(text: str) -> None:
    """Print a figure that a reader of the log wants; `pytest -s` shows it."""
    print(f"\n  {text}")  # noqa: T201


def shown(m: Any) -> str:
    """Describe a measurement in one line."""
    return f"{m.details['body']:8} {m.details['cache']:10} time {m.time}; host {m.host_time}; {m.time.samples} samples, {m.details['wall_s']:.2f} s wall"
