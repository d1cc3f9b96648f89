"""The L2 of a fake device: which bytes are resident, which are dirty, and what a kernel pays for both."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclasses.dataclass(slots=True)
class _Line:
    """A run of resident bytes; `writer` is the number of the kernel that left it dirty, 0 for clean."""

    start: int
    end: int
    writer: int


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """What one kernel moved: bytes read and written, bytes of these reads that were not in the L2, dirty bytes written back (own, of others)."""

    reads: int
    writes: int
    missed: int
    own: int
    others: int

    @property
    def total(self) -> int:
        """Bytes over the L2."""
        return self.reads + self.writes

    @property
    def memory(self) -> int:
        """Bytes over the memory's pins."""
        return self.missed + self.own + self.others

    @property
    def hits(self) -> int:
        """Bytes that were read from the L2 alone."""
        return self.reads - self.missed


class L2:
    """Least recently used bytes leave first; dirty ones leave at the latest when they are more than `dirty_capacity`.

    >>> l2 = L2(capacity=100, dirty_capacity=40)
    >>> l2.run(reads=[], writes=[(0, 30)])
    Traffic(reads=0, writes=30, missed=0, own=0, others=0)
    >>> l2.run(reads=[(0, 20), (1000, 50)], writes=[])
    Traffic(reads=70, writes=0, missed=50, own=0, others=0)
    >>> l2.run(reads=[(2000, 100)], writes=[])  # pushes everything out: the 30 dirty bytes are written back
    Traffic(reads=100, writes=0, missed=100, own=0, others=30)
    >>> l2.dirty
    0
    """

    def __init__(self, capacity: int, dirty_capacity: int) -> None:
        self.capacity = capacity
        self.dirty_capacity = dirty_capacity
        self._lines: list[_Line] = []
        self._kernel = 0

    @property
    def dirty(self) -> int:
        """Dirty bytes."""
        return sum(one.end - one.start for one in self._lines if one.writer)

    def run(self, reads: Iterable[tuple[int, int]], writes: Iterable[tuple[int, int]]) -> Traffic:
        """Let one kernel read and write ranges (address, bytes), in order, and return what that moved."""
        self._kernel += 1
        read = written = missed = 0
        for address, nbytes in reads:
            read += nbytes
            missed += nbytes - self._touch(address, address + nbytes, writer=0)
        for address, nbytes in writes:
            written += nbytes
            self._touch(address, address + nbytes, writer=self._kernel)
        own, others = self._settle()
        return Traffic(read, written, missed, own, others)

    def forget(self, address: int, nbytes: int) -> None:
        """Drop what is resident of memory that was freed."""
        self._cut(address, address + nbytes)

    def _touch(self, start: int, end: int, writer: int) -> int:
        """Make a range the most recently used one and return how much of it was resident; a read leaves dirty bytes dirty."""
        if start == end:
            return 0
        found = self._cut(start, end)
        kept = [] if writer else [one for one in found if one.writer]
        position = start
        for one in sorted(kept, key=lambda line: line.start):
            if one.start > position:
                self._lines.append(_Line(position, one.start, writer))
            self._lines.append(one)
            position = one.end
        if position < end:
            self._lines.append(_Line(position, end, writer))
        return sum(one.end - one.start for one in found)

    def _cut(self, start: int, end: int) -> list[_Line]:
        """Take a range out and return the parts of it that were resident."""
        kept: list[_Line] = []
        found: list[_Line] = []
        for one in self._lines:
            low, high = max(one.start, start), min(one.end, end)
            if low >= high:
                kept.append(one)
                continue
            found.append(_Line(low, high, one.writer))
            if one.start < low:
                kept.append(_Line(one.start, low, one.writer))
            if high < one.end:
                kept.append(_Line(high, one.end, one.writer))
        self._lines = kept
        return found

    def _settle(self) -> tuple[int, int]:
        """Evict what is too much and write back what is too dirty; return the written-back bytes: the kernel's own, and others'."""
        back = {True: 0, False: 0}
        excess = sum(one.end - one.start for one in self._lines) - self.capacity
        while excess > 0:
            one = self._lines[0]
            gone = min(excess, one.end - one.start)
            if one.writer:
                back[one.writer == self._kernel] += gone
            one.start += gone
            excess -= gone
            if one.start == one.end:
                self._lines.pop(0)
        excess = self.dirty - self.dirty_capacity
        position = 0
        while excess > 0:
            one = self._lines[position]
            if one.writer:
                cleaned = min(excess, one.end - one.start)
                back[one.writer == self._kernel] += cleaned
                if cleaned < one.end - one.start:
                    self._lines.insert(position, _Line(one.start, one.start + cleaned, 0))
                    one.start += cleaned
                else:
                    one.writer = 0
                excess -= cleaned
            position += 1
        return back[True], back[False]
