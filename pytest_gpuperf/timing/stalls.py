"""Where a body waits while its stream is held: for the device, or for room in a full queue, and in which line."""

from __future__ import annotations

import dataclasses
import os
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.body import asks_for_a_stream, launches, module_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.timing.clock import Stopwatch

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: A held stream takes about 1,000 operations; of a body that got so far, it was the queue that was full. A launch can be several operations.
FULL = 250
#: Calls of the launching libraries that are no launches: they wait by their nature, however much was queued before.
WAITING = frozenset({"synchronize", "wait", "item", "cpu", "tolist", "numpy", "nonzero", "copy_to_host", "get", "query", "free", "close"})
#: A wait is one where it takes this share of the hold.
_SHARE = 0.7


@dataclasses.dataclass(frozen=True, slots=True)
class Stall:
    """A wait of the host in a held stream: seconds, the call that waited, the user's line, launches before, and whether it was one."""

    seconds: float
    call: str
    line: str
    launches: int
    launching: bool

    @property
    def reason(self) -> Reason:
        """Why the body has no time.

        >>> print(Stall(1.0, "torch.cuda.synchronize", "test_it.py:7", 1, True).reason.detail)
        the body synchronises with the host in torch.cuda.synchronize (test_it.py:7), so it has no time of its own on the device
        """
        where = f"{self.call} ({self.line})" if self.line else self.call
        if self.launching and self.launches >= FULL and self.call.rpartition(".")[2] not in WAITING:
            return Reason("queue-full", f"launch {self.launches:,} of one sample, {where}, waits for room: a held stream takes about 1,000 operations")
        return Reason("sync", f"the body synchronises with the host in {where}, so it has no time of its own on the device")


def find_stall(backend: Backend, watch: Stopwatch, body: Callable[[], Any], stream: int, hold: float) -> Stall | None:
    """Call the body on a stream that is held for `hold` seconds and return where it waited to the end of that; None where it did not."""
    found: list[Stall | None] = []
    watch.read(watch.start(lambda: found.append(longest_wait(body, backend.now)), stream, hold))
    backend.synchronize()
    stall = found[0]
    return stall if stall is not None and stall.seconds >= _SHARE * hold else None


@dataclasses.dataclass(slots=True)
class _Moment:
    """The last thing that the profile function heard of: when, in which frame and line, and the C function that was called."""

    time: float
    frame: Any
    line: int
    function: str


def longest_wait(call: Callable[[], Any], now: Callable[[], float]) -> Stall | None:
    """Call something under a profile function and return the longest pause between two events of it."""
    found: Stall | None = None
    last: _Moment | None = None
    count, launching = 0, None

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal found, last, count, launching
        moment = now()
        if last is not None and (found is None or moment - last.time > found.seconds):
            found = _stall(last, moment - last.time, count, launching=launching is not None)
        if event in {"call", "c_call"}:
            function = _name(argument) if event == "c_call" else ""
            module, name = (module_of(argument), getattr(argument, "__name__", "")) if event == "c_call" else (frame.f_globals.get("__name__", ""), frame.f_code.co_name)
            if launching is None and launches(str(module), str(name)) and not asks_for_a_stream(frame):
                count, launching = count + 1, (frame, event)
            last = _Moment(now(), frame, frame.f_lineno, function)
            return
        if launching == (frame, event.replace("return", "call").replace("exception", "call")):
            launching = None
        # After a return it is the caller that goes on.
        back = frame if event != "return" else frame.f_back
        last = _Moment(now(), back, back.f_lineno, "") if back is not None else None

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    return found


def _stall(last: _Moment, seconds: float, count: int, *, launching: bool) -> Stall:
    """Describe a pause after `last`: the user's innermost line, and what that line called."""
    chain: list[tuple[Any, int]] = [(last.frame, last.line)]
    while (back := chain[-1][0].f_back) is not None and back.f_globals.get("__name__") != __name__:
        chain.append((back, back.f_lineno))
    user = next((place for place, (frame, _) in enumerate(chain) if _is_users(frame)), len(chain))
    if user:
        # A decorator's inner function tells less than what it wraps.
        called = [frame for frame, _ in reversed(chain[:user])]
        frame = next((one for one in called if not one.f_code.co_name.startswith(("_", "<"))), called[0])
        call = f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"
    else:
        call = last.function or f"a call in {last.frame.f_code.co_qualname}"
    line = ""
    if user < len(chain):
        frame, number = chain[user]
        line = f"{os.path.basename(frame.f_code.co_filename)}:{number}"  # noqa: PTH119 - no path object for every event
    elif last.function:
        call = last.function
    return Stall(seconds, call, line, count, launching)


_PLACES = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def _is_users(frame: Any) -> bool:
    if str(frame.f_globals.get("__name__", "")).partition(".")[0] == "pytest_gpuperf":
        return False
    path = frame.f_code.co_filename
    return not path.startswith("<") and not os.path.realpath(path).startswith(_PLACES)


def _name(function: Any) -> str:
    module = module_of(function)
    name = getattr(function, "__qualname__", getattr(function, "__name__", "a C function"))
    return f"{module}.{name}" if module and not module.startswith("builtins") else str(name)
