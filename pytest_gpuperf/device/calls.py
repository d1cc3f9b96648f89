"""Calls of the CUDA driver, each one checked; what a failure means and what to do."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from pytest_gpuperf.errors import GpuPerfError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class Advice:
    """One row of ADVICE: a code of the driver, whether the context is lost with it, and what to do."""

    code: int
    sticky: bool
    text: str


_LOST: Final = "An earlier kernel did this; the context is lost. Run this case alone under compute-sanitizer."
ADVICE: tuple[Advice, ...] = (
    Advice(2, False, "Free device memory, or measure something smaller."),
    Advice(4, True, "The driver is shutting down; keep device work out of exit handlers."),
    Advice(46, False, "The device is in exclusive or prohibited compute mode and another process holds it."),
    Advice(100, False, "No device is visible to CUDA; look at CUDA_VISIBLE_DEVICES."),
    Advice(201, False, "The context of this thread was destroyed or never made; a reset of the device in the test does that."),
    Advice(218, False, "This driver's assembler refuses kernels.ptx; report it with the driver's version."),
    Advice(222, False, "The driver is too old for PTX 7.8; it needs CUDA 11.8 or newer, and cuda-bindings 13 needs 580 or newer."),
    Advice(400, False, "A stream, event or address is not valid any more: was it destroyed while it was in use?"),
    Advice(700, True, _LOST),
    Advice(702, True, _LOST),
    Advice(710, True, _LOST),
    Advice(714, True, _LOST),
    Advice(715, True, _LOST),
    Advice(716, True, _LOST),
    Advice(717, True, _LOST),
    Advice(718, True, _LOST),
    Advice(719, True, _LOST),
    Advice(801, False, "The device or its driver model does not support this operation."),
    Advice(900, False, "The stream is being captured into a graph; capture it with gpuperf.graph and measure that."),
    Advice(901, False, "A call before this one broke the capture of a graph: look for one that waits, allocates or uses the legacy stream."),
)


class DeviceError(GpuPerfError):
    """A call of the CUDA driver failed; `code` is its CUresult (0: no code), `sticky` whether the context is lost with it."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.sticky = any(row.sticky for row in ADVICE if row.code == code)


def _failure(driver: Any, call: str, status: Any) -> DeviceError:
    """Return the error of a failed call: what failed, under which name and code, what to do."""
    code = int(status)

    def told(function: Any) -> str:
        error, text = function(status)
        return text.decode() if not int(error) and isinstance(text, bytes) else ""

    name, sentence = told(driver.cuGetErrorName) or "unknown error", told(driver.cuGetErrorString)
    advice = next((row.text for row in ADVICE if row.code == code), "Run the case alone; if it stays, look at the driver's log.")
    return DeviceError(f"{call}: {name} ({code})" + (f": {sentence}" if sentence else "") + f"\n{advice}", code)


def checked(driver: Any, name: str) -> Callable[..., Any]:
    """Return a function of the driver that raises DeviceError, and returns its value, a tuple of several, or None."""
    call = getattr(driver, name)

    def run(*arguments: Any) -> Any:
        result = call(*arguments)
        if result[0]:
            raise _failure(driver, name, result[0])
        count = len(result)
        return None if count == 1 else result[1] if count == 2 else result[1:]

    return run
