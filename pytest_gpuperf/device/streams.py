"""Streams: whoever's stream object as a handle, and the session's stream as whoever's object."""

from __future__ import annotations

import functools
import sys
from typing import Any

from pytest_gpuperf.device.backend import LEGACY_STREAM


class StreamHandle(int):
    """A CUDA stream as its handle; an int, with the forms that libraries want beside it.

    numba takes it where a stream goes (`kernel[grid, block, gpuperf.stream]`); `.torch` and `.cupy` are these libraries' objects of the
    same stream. Handle 0 is the legacy default stream.

    >>> StreamHandle(0)
    StreamHandle(0x0)
    >>> StreamHandle(7).__cuda_stream__()
    (0, 7)
    """

    def __cuda_stream__(self) -> tuple[int, int]:
        """Return version and handle, as cuda-core's protocol wants them."""
        return 0, int(self)

    def __repr__(self) -> str:
        """Show the handle as drivers print it."""
        return f"StreamHandle({int(self):#x})"

    @property
    def torch(self) -> Any:
        """The torch stream; torch must be loaded."""
        torch: Any = sys.modules["torch"]
        return torch.cuda.default_stream() if not self else torch.cuda.ExternalStream(int(self))

    @property
    def cupy(self) -> Any:
        """The CuPy stream; CuPy must be loaded."""
        cupy: Any = sys.modules["cupy"]
        if not self:
            return cupy.cuda.Stream.null
        # CuPy 14 takes whatever has __cuda_stream__, and deprecates the class for bare handles.
        made = getattr(cupy.cuda.Stream, "from_external", None)
        return cupy.cuda.ExternalStream(int(self)) if made is None else made(self)


def as_stream(handle: int) -> StreamHandle:
    """Return a handle in the form that every loaded library takes."""
    driver: Any = sys.modules.get("numba.cuda.cudadrv.driver")
    numba_stream = getattr(driver, "Stream", None)
    if not isinstance(numba_stream, type) or handle == LEGACY_STREAM:
        return StreamHandle(handle)
    stream: StreamHandle = _also_numba(numba_stream)(handle)
    stream.handle = handle  # type: ignore[attr-defined]
    stream.external = True  # type: ignore[attr-defined]
    return stream


@functools.cache
def _also_numba(numba_stream: type) -> Any:
    """Make the class once: a body may ask for its stream at every call."""
    return type("StreamHandle", (StreamHandle, numba_stream), {"__init__": lambda _self, *_: None, "__hash__": int.__hash__, "__eq__": int.__eq__})


def current_stream() -> int:
    """Return the stream that bodies launch on: torch's current one where torch is loaded and uses CUDA, else the legacy default."""
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_available():
        return LEGACY_STREAM
    return int(cuda.current_stream().cuda_stream)


#: Attributes that hold a stream's handle, by library: torch, CuPy, numba.
_ATTRIBUTES = ("cuda_stream", "ptr", "handle")


def handle_of(stream: Any) -> int:
    """Return the handle of a stream object of torch, CuPy, numba or cuda-core, or of an int.

    >>> handle_of(0)
    0
    """
    if isinstance(stream, int) and not isinstance(stream, bool):
        return int(stream)
    for name in _ATTRIBUTES:
        value = getattr(stream, name, None)
        value = getattr(value, "value", value)
        if value is not None and hasattr(value, "__int__"):
            return int(value)
    if hasattr(stream, "__cuda_stream__"):
        return int(stream.__cuda_stream__()[1])
    message = f"stream={stream!r}: no CUDA stream; pass a stream of torch, CuPy, numba or cuda-core, or its handle as an int"
    raise TypeError(message)
