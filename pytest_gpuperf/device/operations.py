"""What the plugin does to arrays on the device: poison, snapshot, restore, digest, compare, bring home."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import host_bytes

if TYPE_CHECKING:
    from pytest_gpuperf.device.arrays import ArrayView
    from pytest_gpuperf.device.backend import Backend

THREADS = 256
#: A multiprocessor holds 2048 threads: one full wave of blocks, and the kernels stride over the rest.
BLOCKS_A_MULTIPROCESSOR = 8
#: What a thread should have to do before another block is worth its launch.
BYTES_A_THREAD = 64


def blocks_for(nbytes: int, sm_count: int) -> int:
    """Return how many blocks of THREADS threads work on some bytes: enough for them, at most one full wave.

    >>> blocks_for(1, 132), blocks_for(1 << 20, 132), blocks_for(1 << 30, 132)
    (1, 64, 1056)
    """
    return max(1, min(math.ceil(nbytes / (THREADS * BYTES_A_THREAD)), BLOCKS_A_MULTIPROCESSOR * sm_count))


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """A strided array as rows of contiguous bytes, with the offset of each from the array's address."""

    row_bytes: int
    offsets: Any

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.offsets)


def rows_of(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Rows:
    """Cut a strided array into its longest contiguous inner runs; offsets in bytes as int64, in C order of the rows.

    >>> rows = rows_of((2, 3, 4), (192, 32, 4), 4)
    >>> rows.row_bytes, rows.offsets.tolist()
    (16, [0, 32, 64, 192, 224, 256])
    """
    import numpy as np

    outer = [(extent, stride) for extent, stride in zip(shape, strides, strict=True) if extent != 1]
    row_bytes = itemsize
    while outer and outer[-1][1] == row_bytes:
        row_bytes *= outer.pop()[0]
    offsets = np.zeros(1, np.int64)
    for extent, stride in outer:
        offsets = (offsets[:, None] + np.arange(extent, dtype=np.int64) * stride).reshape(-1)
    return Rows(row_bytes, offsets)


class Operations:
    """Carry out what identity and cache rules need on one open backend; asynchronous in the stream, unless said otherwise.

    A strided array is packed through a table of row offsets, made once for each shape and strides (8 bytes a row on the device),
    and scratch memory, one buffer for each stream and use. Both are allocated at the first use, which waits for the device: call
    `prepare` before anything is timed. Bytes are always those of the packed array in C order.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._limits = backend.open()
        self._tables: dict[tuple[tuple[int, ...], tuple[int, ...], int], tuple[Rows, int]] = {}
        self._scratch: dict[tuple[str, int], tuple[int, int]] = {}

    def prepare(self, array: ArrayView, stream: int) -> None:
        """Allocate what the other calls need for an array, so that none of them waits for the device."""
        if not array.contiguous:
            self._table(array)
            self._buffer("packed", stream, array.nbytes)

    def fill(self, array: ArrayView, word: int, stream: int) -> None:
        """Set byte i of the array to byte i % 8 of a little-endian 64-bit word."""
        if array.nbytes == 0:
            return
        target = array.address if array.contiguous else self._buffer("packed", stream, array.nbytes)
        self._launch("fill", (target, array.nbytes, word), array.nbytes, stream)
        if not array.contiguous:
            self._rows("unpack", array, target, stream)

    def snapshot(self, array: ArrayView, target: int, stream: int) -> None:
        """Copy the array's packed bytes to `target`."""
        if array.nbytes == 0:
            return
        if array.contiguous:
            self.backend.copy(target, array.address, array.nbytes, stream)
        else:
            self._rows("pack", array, target, stream)

    def restore(self, array: ArrayView, source: int, stream: int) -> None:
        """Copy packed bytes from `source` back into the array."""
        if array.nbytes == 0:
            return
        if array.contiguous:
            self.backend.copy(array.address, source, array.nbytes, stream)
        else:
            self._rows("unpack", array, source, stream)

    def digest(self, array: ArrayView, slot: int, stream: int) -> None:
        """Write the 64-bit digest of the array's packed bytes to the 8 bytes at `slot`, whatever stood there."""
        self.backend.memset(slot, 0, 8, stream)
        if array.nbytes:
            self._launch("digest", (self.packed(array, stream), array.nbytes, slot), array.nbytes, stream)

    def packed(self, array: ArrayView, stream: int, use: str = "packed") -> int:
        """Return the address of the array's packed bytes: its own, or scratch that holds until the next call of the same use."""
        if array.contiguous:
            return array.address
        scratch = self._buffer(use, stream, array.nbytes)
        self._rows("pack", array, scratch, stream)
        return scratch

    def differ(self, address_a: int, address_b: int, nbytes: int, stream: int) -> int:
        """Return how many 8-byte words of two device memories differ, the last one zero-padded; waits for the stream."""
        if nbytes == 0:
            return 0
        slot = self._buffer("count", stream, 8)
        self.backend.memset(slot, 0, 8, stream)
        self._launch("diff", (address_a, address_b, nbytes, slot), 2 * nbytes, stream)
        self.backend.synchronize(stream)
        return int.from_bytes(self.backend.download(slot, 8), "little")

    def download(self, array: ArrayView, stream: int = 0) -> Any:
        """Return the array's packed bytes as uint8[nbytes] on the host; waits for the stream. Host arrays need no device for it."""
        import numpy as np

        if array.place == "host":
            return host_bytes(array)
        if array.nbytes == 0:
            return np.empty(0, np.uint8)
        address = self.packed(array, stream)
        self.backend.synchronize(stream)
        return np.frombuffer(self.backend.download(address, array.nbytes), np.uint8)

    def close(self) -> None:
        """Free every table and buffer; the next use makes them anew."""
        held = [address for _, address in self._tables.values()] + [address for address, _ in self._scratch.values()]
        self._tables.clear()
        self._scratch.clear()
        for address in held:
            self.backend.free(address)

    def _launch(self, kernel: str, arguments: tuple[int, ...], nbytes: int, stream: int) -> None:
        self.backend.launch(kernel, arguments, stream, blocks=blocks_for(nbytes, self._limits.sm_count), threads=THREADS)

    def _rows(self, kernel: str, array: ArrayView, other: int, stream: int) -> None:
        rows, table = self._table(array)
        source, target = (array.address, other) if kernel == "pack" else (other, array.address)
        self._launch(kernel, (source, table, rows.count, rows.row_bytes, target), array.nbytes, stream)

    def _table(self, array: ArrayView) -> tuple[Rows, int]:
        key = (array.shape, array.strides, array.itemsize)
        if key not in self._tables:
            rows = rows_of(*key)
            address = self.backend.alloc(rows.offsets.nbytes)
            try:
                self.backend.upload(address, rows.offsets.tobytes())
            except BaseException:
                self.backend.free(address)
                raise
            self._tables[key] = rows, address
        return self._tables[key]

    def _buffer(self, use: str, stream: int, nbytes: int) -> int:
        address, size = self._scratch.get((use, stream), (0, 0))
        if size < nbytes:
            if size:
                del self._scratch[use, stream]
                # the stream may still read the smaller buffer, and not every driver's free waits for it
                self.backend.synchronize(stream)
                self.backend.free(address)
            address = self.backend.alloc(nbytes)
            self._scratch[use, stream] = address, nbytes
        return address
