"""Doors: the Python functions through which a body's launches pass with a stream of their own, watched while it is captured."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.capture import FORBIDDEN, LEGACY_HANDLES
from pytest_gpuperf.device.streams import handle_of
from pytest_gpuperf.errors import NotCapturable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_NOTHING = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Door:
    """One row of DOORS: a function by module prefix and name, how its stream is found among its locals, and whether it launches or only switches."""

    module: str
    function: str
    stream: Callable[[Mapping[str, Any]], Any]
    launches: bool = True


def _local(values: Mapping[str, Any]) -> Any:
    return values.get("stream", _NOTHING)


DOORS: tuple[Door, ...] = (
    Door("numba.cuda", "launch", _local),
    Door("numba_cuda", "launch", _local),
    Door("torch.cuda", "set_stream", _local, launches=False),
    Door("pytest_gpuperf.testing.body", "launch", lambda values: values["self"].where()),
)

#: Libraries with streams of their own that switch without a Python frame: where each launch goes cannot be seen.
UNSEEN = ("cupy",)


class Watch:
    """Calls a body once, and sees that each launch goes to the capture: one that would run at once is stopped before it does.

    A `careful` watch also stops a switch to a stream that is not captured (yet), and libraries whose switches cannot be seen.
    """

    def __init__(self, capturing: Callable[[int], bool], stream: int, *, careful: bool) -> None:
        """Keep who knows which streams are captured, and the one that is captured first."""
        self._capturing, self._stream, self._careful = capturing, stream, careful
        self._switched: set[int] = set()
        self.stopped: NotCapturable | None = None

    def call(self, body: Callable[[], Any]) -> Any:
        """Call the body; NotCapturable where a launch went past the capture, also where the body swallows that."""
        before = sys.getprofile()
        sys.setprofile(self._look)
        try:
            result = body()
        finally:
            sys.setprofile(before)
        astray = next((one for one in self._switched if not self._is_captured(one)), None)
        if astray is not None and self.stopped is None:
            self.stopped = NotCapturable(
                f"the body switches to stream {astray:#x}, which is not captured\nLet that stream wait for gpuperf.stream first, and gpuperf.stream for it at the end."
            )
        if self.stopped is not None:
            raise self.stopped
        return result

    def _is_captured(self, handle: int) -> bool:
        return handle not in LEGACY_HANDLES and self._capturing(handle)

    def _look(self, frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            module = str(frame.f_globals.get("__name__", ""))
        elif event == "c_call":
            module = str(getattr(argument, "__module__", None) or "")
        else:
            return
        if self._careful and module.partition(".")[0] in UNSEEN:
            self._stop(f"{module.partition('.')[0]}'s switches of streams cannot be seen from here", "Measure gpuperf.graph(fn): it counts what was captured.")
        if event != "call":
            return
        for door in DOORS:
            if frame.f_code.co_name == door.function and (module == door.module or module.startswith(door.module + ".")):
                stream = door.stream(frame.f_locals)
                if stream is not _NOTHING:
                    self._pass(door, handle_of(stream))
                return

    def _pass(self, door: Door, handle: int) -> None:
        if self._is_captured(handle):
            return
        if not door.launches and not self._careful:
            self._switched.add(handle)
            return
        if not self._capturing(self._stream):
            broken = FORBIDDEN[-1]
            self._stop(f"{broken.what} ({broken.name})", f"{broken.next_step[0].upper()}{broken.next_step[1:]}.")
        what = "launches on" if door.launches else "switches to"
        if handle in LEGACY_HANDLES:
            said = f"the body {what} the legacy default stream, which a capture forbids (CUDA_ERROR_STREAM_CAPTURE_IMPLICIT)"
            self._stop(said, "Launch on gpuperf.stream, read inside the body at each call: kernel[grid, block, gpuperf.stream](...).")
        self._stop(f"the body {what} stream {handle:#x}, which is not captured", "Launch on gpuperf.stream, or let that stream wait for it first.")

    def _stop(self, what: str, next_step: str) -> None:
        self.stopped = NotCapturable(f"{what}\n{next_step}")
        raise self.stopped
