"""The calls of a measurement that no clock runs beside: what they check, and what they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.timing.buffers import VARIES

if TYPE_CHECKING:
    from pytest_gpuperf.timing.buffers import Buffers
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.timing.measure import Request

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: How many calls of each argument set are digested where none is timed on the device.
_UNTIMED = 3


def check_untimed(instruments: Instruments, request: Request, buffers: Buffers) -> str:
    """Digest what a few calls leave that no clock runs beside: all there is to check of a body that has no time; say so."""
    backend, body, stream = instruments.backend, request.body, request.stream
    for number in range(_UNTIMED):
        buffers.room(max(1, buffers.slots(every_set=False)))
        for index in range(body.sets):
            if body.setup is not None:
                body.setup()
            buffers.restore(stream)
            buffers.poison(number, stream, index)
            slots = buffers.digest(index, body(index), 0, stream)
            backend.synchronize()
            buffers.compare([(number, index, slots)])
    return f"{_UNTIMED} untimed calls"


def found_failure(request: Request, buffers: Buffers) -> NotIdentical | None:
    """Say what is wrong with what the timed calls left; None where nothing is."""
    if request.body.varies:
        unwritten = buffers.not_written(request.body, request.stream)
        return NotIdentical(unwritten) if unwritten else None
    if buffers.differs:
        return buffers.explain(request.body, request.stream)
    return None


def leave_and_compare(instruments: Instruments, request: Request, buffers: Buffers, failure: NotIdentical | None) -> tuple[Any, NotIdentical | None]:
    """Leave exactly one call in the buffers; where nothing is wrong yet, hold it, and the calls before the timed ones, against these."""
    compare = failure is None and not request.body.varies
    result = leave_one_call(instruments, request, buffers, compare=compare)
    failure = _untimed_failure(request, buffers) if compare else failure
    if compare and failure is not None:
        # To say what it is took further calls.
        result = leave_one_call(instruments, request, buffers, compare=False)
    return result, failure


def _untimed_failure(request: Request, buffers: Buffers) -> NotIdentical | None:
    if buffers.differs:
        return buffers.explain(request.body, request.stream)
    # A steady batch ends after many calls, which go on from each other's inout.
    early = "" if request.cache == "steady" and buffers.inouts else buffers.early.difference(buffers.left)
    if not early:
        return None
    return NotIdentical(buffers.not_written(request.body, request.stream) or f"changed between calls: {early} {VARIES}")


def leave_one_call(instruments: Instruments, request: Request, buffers: Buffers, *, compare: bool) -> Any:
    """Leave exactly one call from the entry state in the buffers: of every argument set, or of the last where sets share an inout."""
    backend, body, stream = instruments.backend, request.body, request.stream
    shared = buffers.shared_inout()
    buffers.restore(stream)
    result = None
    entries = []
    buffers.room(max(1, buffers.slots(every_set=True)))
    slot = 0
    for index in range(body.sets):
        if body.setup is not None:
            body.setup()
        if shared or (body.setup is not None and body.sets == 1):
            # As in every sample: what setup puts into an inout is no part of the entry state.
            buffers.restore(stream)
        result = body(index)
        if compare:
            slots = buffers.digest(index, result, slot, stream)
            slot += len(slots)
            entries.append((-1, index, slots))
    backend.synchronize()
    # A steady batch ends after many calls: where they go on from each other's inout, one call need not leave the same.
    if compare and not (request.cache == "steady" and buffers.inouts):
        buffers.compare(entries, known_only=request.cache == "steady")
    return result
