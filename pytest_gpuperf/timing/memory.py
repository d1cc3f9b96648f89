"""How much device memory one call holds at most: torch's own statistics, the driver's allocations by CUPTI, or no answer."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import TYPE_CHECKING, Any, Self

from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.device.profiler import Records
    from pytest_gpuperf.timing.body import Body

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: Code that allocates where torch's statistics do not see it.
_OTHERS = ("numba", "numba_cuda", "cupy", "cupy_backends", "cuda", "ctypes", "cffi", "pytest_gpuperf.testing")


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes above the entry that one call held at most: in torch's caching allocator, and in allocations of the driver besides.

    A part that nothing saw is None; where that leaves the whole unknown, `reason` says why.
    """

    torch: int | None = None
    driver: int | None = None
    reason: Reason | None = None

    @property
    def nbytes(self) -> int | None:
        """Both parts together; None where the whole is unknown."""
        return None if self.reason is not None else (self.torch or 0) + (self.driver or 0)

    @property
    def source(self) -> str:
        """Who saw it."""
        return "cupti" if self.driver is not None else "torch"


def watch_memory(body: Body, calls: Sequence[Records] | Reason) -> Memory:
    """Make one more call of a body, with torch's peak statistics reset before it where torch is loaded; `calls` are those CUPTI recorded."""
    driver = None if isinstance(calls, Reason) else max((one.peak for one in calls), default=0)
    torch = _torch()
    if torch is None:
        body(0)
        return Memory(None, driver, Reason("allocator-unknown", f"torch is not loaded, and {calls.detail or calls.cause.sentence}") if isinstance(calls, Reason) else None)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    entry, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    with _Modules() as seen:
        kept = None
        for index in range(body.sets if body.setup is None else 1):
            # Nothing of the last call may be held while the next one runs.
            kept = None
            kept = body(index)
    torch.cuda.synchronize()
    peak = int(torch.cuda.max_memory_allocated()) - int(entry)
    grown = max(0, int(torch.cuda.max_memory_reserved()) - int(reserved))
    del kept
    if driver is not None:
        # What torch's own pool took from the driver is in its statistics already.
        return Memory(peak, max(0, driver - grown))
    if seen.others:
        assert isinstance(calls, Reason)
        why = f"the body calls {', '.join(sorted(seen.others))}, whose allocations torch does not see, and {calls.detail or calls.cause.sentence}"
        return Memory(peak, None, Reason("allocator-unknown", why))
    return Memory(peak)


def _torch() -> Any:
    """Return torch where it is loaded and has used CUDA."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_available() or not cuda.is_initialized():
        return None
    return sys.modules["torch"]


class _Modules(contextlib.AbstractContextManager["_Modules"]):
    """Watches, for a block, which other allocators Python code calls."""

    def __init__(self) -> None:
        self.others: set[str] = set()
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = sys.getprofile()
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _profile(self, frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            module = str(frame.f_globals.get("__name__", ""))
        elif event == "c_call":
            module = str(getattr(argument, "__module__", "") or "")
        else:
            return
        self.others.update(one for one in _OTHERS if module == one or module.startswith(f"{one}."))
