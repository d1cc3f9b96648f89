"""Whether the argument sets of a body are large enough together for the state `steady`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.device.arrays import device_arrays
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.cache import MAX_SETS, ROTATION

if TYPE_CHECKING:
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.timing.measure import Request


def needs_inputs(instruments: Instruments, request: Request) -> Reason | None:
    """Say why `steady` cannot be measured with these inputs; None where it can."""
    if request.cache != "steady" or request.roof:
        return None
    needed = ROTATION * instruments.limits.l2_bytes
    work = request.body.work
    moved = 0 if work is None else work.bytes
    if moved >= needed:
        return None
    if request.body.sets > MAX_SETS:
        return Reason("needs-inputs", f"steady rotates at most {MAX_SETS} inputs= sets in a blocked stream, not {request.body.sets:,}; make each of them larger")
    sizes = {one.address: one.nbytes for arguments in request.body.arguments for one in device_arrays(list(arguments))}
    rotated = sum(sizes.values()) if request.body.sets > 1 else 0
    if rotated >= needed:
        return None
    return Reason("needs-inputs", f"steady needs a work, or inputs= sets, of at least {needed:,} bytes (4x L2): work is {moved:,}, the inputs {rotated:,}")
