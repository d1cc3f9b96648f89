"""A quiet host around the timed window: no garbage collection, no frees that wait for the device."""

from __future__ import annotations

import contextlib
import gc
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def quiet_host() -> Iterator[None]:
    """Keep the collector and numba's lazy frees out of the block.

    Garbage in cycles waits: nothing of it runs while the collector is off, and a full collection of a process with torch costs 0.1 s.
    """
    with contextlib.ExitStack() as stack:
        if gc.isenabled():
            gc.disable()
            stack.callback(gc.enable)
        numba_cuda: Any = sys.modules.get("numba.cuda")
        if numba_cuda is not None and _has_context(numba_cuda):
            # A free inside the window would synchronise: what is pending goes before, what comes later waits.
            numba_cuda.current_context().deallocations.clear()
            stack.enter_context(numba_cuda.defer_cleanup())
        yield


def _has_context(numba_cuda: Any) -> bool:
    if "numba.cuda.simulator" in str(getattr(getattr(numba_cuda, "jit", None), "__module__", "")):
        return False
    # Imported where there is no driver, as beside a fake device: numba raises at the first question.
    if not numba_cuda.is_available():
        return False
    devices = sys.modules.get("numba.cuda.cudadrv.devices")
    return devices is not None and getattr(getattr(devices, "_runtime", None), "gpus", None) is not None
