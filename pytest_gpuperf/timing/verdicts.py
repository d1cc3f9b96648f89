"""What the evidence says against a measurement: throttling that changed, foreign load, another stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.device.health import bad_reasons
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.device.backend import Evidence


def find_reason(evidence: Sequence[Evidence], other_stream: str, foreign: str) -> Reason | None:
    """Return the first thing that keeps a measurement from being judged, or None.

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
    known = [bad_reasons(one.throttle) for one in evidence if one.throttle is not None]
    if len(set(known)) > 1:
        shown = " -> ".join(", ".join(names) or "none" for names in _changes(known))
        return Reason("throttled", f"clock-limit reasons changed between rounds: {shown}")
    return None


def _changes(states: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return a sequence of states without its repeats.

    >>> _changes([("a",), ("a",), ()])
    [('a',), ()]
    """
    return [state for place, state in enumerate(states) if place == 0 or states[place - 1] != state]
