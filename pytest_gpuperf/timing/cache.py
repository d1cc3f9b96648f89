"""Cache states: what the L2 holds when a timed call starts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pytest_gpuperf.device.operations import THREADS, blocks_for

if TYPE_CHECKING:
    from pytest_gpuperf.device.backend import Backend, DeviceLimits

#: A flush covers this many times the L2: it has two partitions on large chips and no exact replacement order.
_COVER = 2
#: A flush starts at one of so many places, one after the other: where it lies beside the body's arrays costs a short body 0.4 us more in one placement of 30 (seen
#: on an H200, the same in every sample of it), and so becomes scatter that a median sees through.
_PLACES = 17
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
        self._step = self.nbytes // (4 * _PLACES) // 256 * 256
        self._whole = self.nbytes + self._step * (_PLACES - 1)
        self._places = itertools.cycle(range(_PLACES))
        self._buffers: tuple[int, int] | None = None

    def _take(self) -> tuple[int, int, int]:
        """Return where to write, where to read, and where the reader's sum may go; at another place each time."""
        if self._buffers is None:
            self._buffers = (self.backend.alloc(self._whole), self.backend.alloc(self._whole + 256))
            self.backend.memset(self._buffers[1], 0, self._whole + 256, 0)
            self.backend.synchronize()
        written, read = self._buffers
        offset = next(self._places) * self._step
        return written + offset, read + offset, read + self._whole

    def clean(self, stream: int) -> None:
        """Leave the L2 full of lines that were only read: nothing is written back at the expense of who comes next."""
        written, read, sink = self._take()
        self.backend.memset(written, 0x5A, self.nbytes, stream)
        blocks = blocks_for(self.nbytes, self.limits.sm_count)
        self.backend.launch("flush_read", (read, self.nbytes, sink), stream, blocks=blocks, threads=THREADS)

    def dirty(self, stream: int) -> None:
        """Leave the L2 full of dirty lines, as timers do that flush by a memset."""
        written, _, _ = self._take()
        self.backend.memset(written, 0x5A, self.nbytes, stream)

    def close(self) -> None:
        """Free the buffers."""
        for address in self._buffers or ():
            self.backend.free(address)
        self._buffers = None
