"""What a reader must know of how a body behaved while it was measured, in a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import device_arrays
from pytest_gpuperf.timing.body import compiled
from pytest_gpuperf.timing.taken import GAP, MIN_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.timing.buffers import Buffers
    from pytest_gpuperf.timing.measure import First, Request
    from pytest_gpuperf.timing.taken import Taken
    from pytest_gpuperf.values import Value


def returns_one_array(before: Any, after: Any) -> bool:
    """Say whether two calls returned one and the same object, with an array on the device in it."""
    return before is after and bool(device_arrays(after))


def is_cached(first: First, time: Value, buffers: Buffers) -> bool:
    """Say whether a body seems to return what an earlier call made: the same array every time, declared by nobody, and nothing launched."""
    nothing = time.reason is not None and time.reason.code == "below-clock"
    return nothing and first.same_result and not buffers.outputs and not buffers.inouts


def notes_on(request: Request, first: First, taken: Taken, time: Value, buffers: Buffers) -> list[str]:
    """Return the notes on one measurement."""
    return list(_notes(request, first, taken, time, buffers))


def _notes(request: Request, first: First, taken: Taken, time: Value, buffers: Buffers) -> Iterator[str]:
    yield from buffers.inputs.notes
    if taken.late:
        samples = "1 sample was" if taken.late == 1 else f"{taken.late} samples were"
        yield f"{samples} held to the deadline and taken again: these calls waited for the device, as where something is compiled or loaded, and the next ones did not"
    number = compiled(request.body)
    if number is not None and first.compiled is not None and number > first.compiled:
        yield f"compiled {number - first.compiled} more times while it was measured: an argument has more types than the first calls showed"
    if is_cached(first, time, buffers):
        yield "launches nothing that the clock sees and returns the same array every time: is it a cached result?"
    if taken.rounds and len(taken.rounds) == MIN_ROUNDS and taken.seconds > request.limit + MIN_ROUNDS * GAP:
        took = f"{MIN_ROUNDS} rounds of {len(taken.rounds[0])} took {taken.seconds:.2f} s"
        yield f"{took}, longer than the limit of {request.limit:g} s: so many are always taken"
