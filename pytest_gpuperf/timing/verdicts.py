"""What the evidence says of a measurement: its state, and what keeps it from being judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.device.health import causes_of
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.backoff import limited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.device.backend import Evidence
    from pytest_gpuperf.timing.taken import Taken


def find_reason(evidence: Sequence[Evidence], other_stream: str, foreign: str, sm_clock: float | None = None) -> Reason | None:
    """Return the first thing that keeps a measurement from being judged, or None; `evidence` is of the rounds that count.

    A power cap that holds in every round is a state of such a kernel; one that comes or goes is not.

    >>> from pytest_gpuperf.device.backend import Evidence
    >>> find_reason([Evidence(throttle=0x4), Evidence(throttle=0x4)], "", "") is None
    True
    >>> find_reason([Evidence(throttle=0), Evidence(throttle=0x8)], "", "").code
    'throttled'
    """
    if other_stream:
        return Reason("other-stream", other_stream)
    if foreign:
        return Reason("foreign-load", foreign)
    causes = [causes_of(one, sm_clock) for one in evidence]
    if len(set(causes)) > 1:
        shown = " -> ".join(limited(names) or "none" for names in _changes(causes))
        return Reason("throttled", f"clock-limit reasons changed between rounds: {shown}")
    return None


def state_of(evidence: Sequence[Evidence], sm_clock: float | None = None) -> str | None:
    """Name the state that the device was in throughout, as power-limited; None where its clock was free, or the state changed.

    >>> from pytest_gpuperf.device.backend import Evidence
    >>> state_of([Evidence(throttle=0x4)] * 5), state_of([Evidence(throttle=0)] * 5), state_of([])
    ('power-limited', None, None)
    """
    causes = {causes_of(one, sm_clock) for one in evidence}
    return limited(causes.pop()) or None if len(causes) == 1 else None


def no_tails(taken: Taken) -> Reason | None:
    """Say why a percentile cannot be judged: rounds that were left out may be where the tail was."""
    left_out = [one.discarded for one in taken.seen if one.discarded]
    if not left_out:
        return None
    return Reason("throttled", f"{len(left_out)} of {len(taken.seen)} rounds were discarded ({', '.join(sorted(set(left_out)))}): the tail of the others is not the tail")


def clock_of(evidence: Sequence[Evidence]) -> str:
    """Return the middle SM clock of some rounds in words: that of the stamps where they told it, else NVML's; empty where neither did.

    >>> from pytest_gpuperf.device.backend import Evidence
    >>> clock_of([Evidence(sm_clock=1980, effective_clock=1485.4)]), clock_of([Evidence(sm_clock=1980)]), clock_of([Evidence()])
    ('SM 1485 MHz', 'SM 1980 MHz', '')
    """
    stamped = sorted(one.effective_clock for one in evidence if one.effective_clock is not None)
    clocks = stamped or sorted(one.sm_clock for one in evidence if one.sm_clock is not None)
    return f"SM {clocks[len(clocks) // 2]:.0f} MHz" if clocks else ""


def _changes(states: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return a sequence of states without its repeats.

    >>> _changes([("a",), ("a",), ()])
    [('a',), ()]
    """
    return [state for place, state in enumerate(states) if place == 0 or states[place - 1] != state]
