"""Cache states: what the L2 holds when a timed call starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.device.operations import THREADS, blocks_for

if TYPE_CHECKING:
    from pytest_gpuperf.device.backend import Backend, DeviceLimits

#: A flush covers this many times the L2: it has two partitions on large chips and no exact replacement order.
_COVER = 2
#: Bytes of a steady rotation, in multiples of the L2: what returns after that many is not there any more.
ROTATION = 4
#: Argument sets of a steady rotation at most: a rotation and a batch must fit into the queue of a blocked stream, about 1000 operations.
MAX_SETS = 250


class Flusher:
    """Buffers that push everything else out of the L2, and leave it clean or dirty."""

    def __init__(self, backend: Backend, limits: DeviceLimits) -> None:
        """Take the buffers at the first flush."""
        self.backend = backend
        self.limits = limits
        self.nbytes = _COVER * limits.l2_bytes
        self._buffers: tuple[int, int] | None = None

    def _take(self) -> tuple[int, int]:
        if self._buffers is None:
            self._buffers = (self.backend.alloc(self.nbytes), self.backend.alloc(self.nbytes + 256))
            self.backend.memset(self._buffers[1], 0, self.nbytes + 256, 0)
            self.backend.synchronize()
        return self._buffers

    def clean(self, stream: int) -> None:
        """Leave the L2 full of lines that were only read: nothing is written back at the expense of who comes next."""
        written, read = self._take()
        self.backend.memset(written, 0x5A, self.nbytes, stream)
        blocks = blocks_for(self.nbytes, self.limits.sm_count)
        self.backend.launch("flush_read", (read, self.nbytes, read + self.nbytes), stream, blocks=blocks, threads=THREADS)

    def dirty(self, stream: int) -> None:
        """Leave the L2 full of dirty lines, as timers do that flush by a memset."""
        written, _ = self._take()
        self.backend.memset(written, 0x5A, self.nbytes, stream)

    def close(self) -> None:
        """Free the buffers."""
        for address in self._buffers or ():
            self.backend.free(address)
        self._buffers = None
