"""What the timed calls leave in memory: restored before, poisoned before, digested after every one of them."""

from __future__ import annotations

import gc
import struct
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import ArrayView, device_arrays, view
from pytest_gpuperf.device.poison import kept, poison
from pytest_gpuperf.errors import GpuPerfError, NotIdentical
from pytest_gpuperf.timing.early import Early
from pytest_gpuperf.timing.extents import extent, shares
from pytest_gpuperf.timing.inputs import Inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.device.operations import Operations
    from pytest_gpuperf.timing.body import Body

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_ODD = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_SLOT = 8
VARIES = "(pass varies=True where that is meant, as with atomics or dropout)"


class SnapshotTooLarge(GpuPerfError, MemoryError):
    """The snapshot of `inout` would take more than half of the free device memory."""


class Buffers:
    """The declared outputs and inouts of one measurement, with their snapshots and the digests of what the calls left."""

    def __init__(self, backend: Backend, operations: Operations, body: Body, outputs: Sequence[Any], inout: Sequence[Any]) -> None:
        """Look at the arrays and take the snapshot of every inout."""
        self.backend = backend
        self.operations = operations
        self.varies = body.varies
        self.outputs = [_on_device(one, "outputs") for one in outputs]
        self.inouts = [_on_device(one, "inout") for one in inout]
        self._refuse_overlap()
        self._named = _names("outputs", self.outputs) + _names("inout", self.inouts)
        self.inputs = Inputs(backend, operations, body, [*self.outputs, *self.inouts])
        self.early = Early(self)
        self._sets = [[extent(one) for one in device_arrays(list(arguments))] for arguments in body.arguments]
        self.snapshots: list[int] = []
        self._borrowed = False
        self._slots: tuple[int, int] = (0, 0)
        self._seen: dict[tuple[int, str], tuple[int, int]] = {}
        self._known: dict[int, set[str]] = {}
        self._returned = 0
        self._lost = ""
        self._first_difference: tuple[int, int, str] | None = None
        self.digested = 0

    def _refuse_overlap(self) -> None:
        for name, one in _names("outputs", self.outputs):
            for other_name, other in _names("inout", self.inouts):
                if shares(one, other):
                    message = f"{name} and {other_name} share memory: it is poisoned as one and restored as the other; name it once"
                    raise ValueError(message)

    def snapshot(self, stream: int) -> None:
        """Copy every inout aside, so that each call starts from the same bits."""
        needed = sum(one.nbytes for one in self.inouts)
        free, _ = self.backend.memory()
        if needed > free // 2:
            # Arrays in cycles that nobody holds any more still count; a collection costs 0.1 s, so only here.
            gc.collect()
            free, _ = self.backend.memory()
        if needed > free // 2:
            message = (
                f"a snapshot of inout= takes {needed:,} bytes, above half of the {free:,} bytes that are free; "
                "leave these arrays out of inout= and put them back yourself in setup="
            )
            raise SnapshotTooLarge(message)
        for one in self.inouts:
            address = self.backend.alloc(max(one.nbytes, 1))
            self.snapshots.append(address)
            self.operations.snapshot(one, address, stream)

    def share(self, other: Buffers) -> None:
        """Restore from the snapshots of another that has the same inouts and keeps them."""
        self.snapshots = other.snapshots
        self._borrowed = True

    def prepare(self, stream: int) -> None:
        """Allocate, outside of every timed window, what strided arrays need."""
        for one in (*self.outputs, *self.inouts):
            self.operations.prepare(one, stream)

    def look_at_inouts(self, stream: int) -> list[int]:
        """Return the digests of what the inouts of the first argument set hold now; waits for the stream."""
        arrays = self.of_set(self.inouts, 0)
        self.room(len(arrays))
        for number, one in enumerate(arrays):
            self.operations.digest(one, self._slots[0] + number * _SLOT, stream)
        self.backend.synchronize(stream)
        return list(struct.unpack(f"<{len(arrays)}Q", self.backend.download(self._slots[0], len(arrays) * _SLOT))) if arrays else []

    def given_up(self, entry: Sequence[int], first: Sequence[int], stream: int) -> NotIdentical | None:
        """Say which inout the first call changed and the last one left as it was: a body that stopped writing leaves the same bits every time."""
        for number, (before, after, last) in enumerate(zip(entry, first, self.look_at_inouts(stream), strict=True)):
            if after != before and last == before:
                return NotIdentical(f"changed between calls: inout[{number}] was changed by the first call and not by the last one, from the same inputs")
        return None

    def restore(self, stream: int) -> None:
        """Put every inout back."""
        for one, address in zip(self.inouts, self.snapshots, strict=True):
            self.operations.restore(one, address, stream)

    def poison(self, number: int, stream: int, index: int = 0) -> None:
        """Fill the outputs of one argument set with the pattern of a sample."""
        for one in self.of_set(self.outputs, index):
            self.operations.fill(one, poison(number), stream)

    def of_set(self, arrays: Sequence[ArrayView], index: int) -> list[ArrayView]:
        """Return the arrays that a call with argument set `index` touches: those among its arguments, and those among no set's."""
        return [one for one in arrays if self._touched(one, index)]

    def _touched(self, array: ArrayView, index: int) -> bool:
        """Say whether a call with set `index` touches an array: it lies in one of its arguments (the whole, or a view of it), or in none of any set's."""
        if len(self._sets) < 2:
            return True
        mine = [_inside(array, ranges) for ranges in self._sets]
        return mine[index % len(mine)] or not any(mine)

    def shared_inout(self) -> bool:
        """Say whether several argument sets change the same array."""
        if len(self._sets) < 2:
            return False
        return any(sum(_inside(one, ranges) for ranges in self._sets) != 1 for one in self.inouts)

    def expect(self, index: int, result: Any) -> None:
        """Remember what a first call with set `index` returned: so many digests have room, and later calls must return as many."""
        self._returned = max(self._returned, len(device_arrays(result)))
        self._known.setdefault(index, {name for name, _ in self.arrays_of(index, result)})

    def slots(self, *, every_set: bool) -> int:
        """Return how many digests one call leaves at most, or one call of every argument set."""
        counts = [sum(self._touched(one, index) for _, one in self._named) + self._returned for index in range(len(self._sets))]
        return sum(counts) if every_set else max(counts)

    @property
    def checked(self) -> bool:
        """Whether anything was digested at all."""
        return self.digested > 0

    def room(self, count: int) -> None:
        """Make room for the digests of one round."""
        if self._slots[1] < count:
            if self._slots[1]:
                self.backend.free(self._slots[0])
            self._slots = (self.backend.alloc(count * _SLOT), count)

    def digest(self, index: int, result: Any, first_slot: int, stream: int) -> list[tuple[str, int]]:
        """Digest, in the stream, what a call with set `index` left and returned; return the name and the slot of each."""
        named = self.arrays_of(index, result)
        names = {name for name, _ in named}
        known = self._known.setdefault(index, names)
        self._lost = self._lost or min(names ^ known, default="")
        named = [(name, one) for name, one in named if name in known]
        assert first_slot + len(named) <= self._slots[1], "digests would be written behind their slots"
        for number, (_, one) in enumerate(named):
            self.operations.digest(one, self._slots[0] + (first_slot + number) * _SLOT, stream)
        return [(name, first_slot + number) for number, (name, _) in enumerate(named)]

    def digests(self, index: int, result: Any, stream: int) -> dict[str, int]:
        """Digest what a call with set `index` left and returned, and wait for it; return the digests by name."""
        self.room(max(1, self.slots(every_set=False)))
        slots = self.digest(index, result, 0, stream)
        if not slots:
            return {}
        self.backend.synchronize(stream)
        values = struct.unpack(f"<{len(slots)}Q", self.backend.download(self._slots[0], len(slots) * _SLOT))
        return {name: values[slot] for name, slot in slots}

    def digest_others(self, last: int, first_slot: int, stream: int) -> list[tuple[int, list[tuple[str, int]]]]:
        """Digest what the calls with all sets but `last` left, where no later call of another set wrote over it."""
        entries = []
        for index in range(len(self._sets)):
            mine = [(name, one) for name, one in self._named if index != last and self._touched(one, index) and not self._touched(one, last)]
            for number, (_, one) in enumerate(mine):
                self.operations.digest(one, self._slots[0] + (first_slot + number) * _SLOT, stream)
            if mine:
                entries.append((index, [(name, first_slot + number) for number, (name, _) in enumerate(mine)]))
            first_slot += len(mine)
        return entries

    def arrays_of(self, index: int, result: Any) -> list[tuple[str, ArrayView]]:
        """Return, by name, all arrays that a call with set `index` is answerable for: outputs, inouts, and device arrays it returned."""
        named = [(name, one) for name, one in self._named if self._touched(one, index)]
        known = {one.address for _, one in named}
        return named + [(name, one) for name, one in _names("returned array", device_arrays(result)) if one.address not in known and one.nbytes]

    def compare(self, entries: Sequence[tuple[int, int, Sequence[tuple[str, int]]]], *, known_only: bool = False) -> None:
        """Read the digests of a round, (sample, set, names and slots) each, and hold them against the first ones of the same set.

        With `known_only`, what was not digested before is passed over.
        """
        last = max((slot for _, _, slots in entries for _, slot in slots), default=-1)
        if last < 0:
            return
        values = struct.unpack(f"<{last + 1}Q", self.backend.download(self._slots[0], (last + 1) * _SLOT))
        for sample, index, slots in entries:
            for name, slot in slots:
                if known_only and (index, name) not in self._seen:
                    continue
                self.digested += 1
                first, known = self._seen.setdefault((index, name), (sample, values[slot]))
                if known != values[slot] and self._first_difference is None:
                    self._first_difference = (first, sample, name)

    @property
    def differs(self) -> bool:
        """Whether two calls left different bits, or returned different arrays."""
        return bool(self._lost) or self._first_difference is not None

    @property
    def left(self) -> dict[tuple[int, str], int]:
        """The digest of what every argument set left, by set and name of the array."""
        return {key: value for key, (_, value) in self._seen.items()}

    @property
    def combined(self) -> str | None:
        """All digests of the first set in one hexadecimal word; None where nothing was digested."""
        if not self._seen:
            return None
        word = 0
        for position, ((index, _), (_, value)) in enumerate(sorted(self._seen.items())):
            word = ((word ^ (value + (index + 1) * _ODD + position)) * 0xBF58476D1CE4E5B9) & _MASK
        return f"{word:016x}"

    def explain(self, body: Body, stream: int) -> NotIdentical:
        """Say why digests differ: two more calls with different poison tell an element not written from one that changes."""
        unwritten = self.not_written(body, stream)
        if unwritten:
            return NotIdentical(unwritten)
        if self._first_difference is None:
            return NotIdentical(f"changed between calls: {self._lost} is returned by some calls and not by others, from the same inputs")
        first, sample, name = self._first_difference
        later = f"timed call {sample + 1}" if sample >= 0 else "the last, untimed call"
        return NotIdentical(
            f"changed between calls: {name} has other bits after {later} than after timed call {first + 1}, from the same inputs {VARIES}"
        )

    def not_written(self, body: Body, stream: int) -> str:
        """Call the body twice with each argument set, on different poison, and describe the elements that keep both; empty where none does."""
        return next(filter(None, (self._not_written(body, index, stream) for index in range(body.sets))), "") if self.outputs else ""

    def _not_written(self, body: Body, index: int, stream: int) -> str:
        kept = []
        for number in (0, 1):
            if body.setup is not None:
                body.setup()
            self.restore(stream)
            self.poison(number, stream, index)
            body(index)
            self.backend.synchronize()
            kept.append([self.operations.download(one) for one in self.of_set(self.outputs, index)])
        named = [(name, one) for name, one in _names("outputs", self.outputs) if self._touched(one, index)]
        for (name, one), *sides in zip(named, *kept, strict=True):
            count, first = _unwritten(one, sides)
            if count:
                place = list(_unravel(first, one.shape))
                return (
                    f"not written: {count:,} of {one.elements:,} elements of {name} keep the poison, first at {place} "
                    "(declare an array that is written in part as inout=)"
                )
        return ""

    def close(self) -> None:
        """Free snapshots and slots."""
        for address in () if self._borrowed else self.snapshots:
            self.backend.free(address)
        if self._slots[1]:
            self.backend.free(self._slots[0])
        self.inputs.close()
        self.snapshots, self._slots = [], (0, 0)


def _names(kind: str, arrays: Sequence[ArrayView]) -> list[tuple[str, ArrayView]]:
    """Name arrays by their place in a list; those that a body returned are counted without brackets."""
    return [(f"{kind} {number}" if " " in kind else f"{kind}[{number}]", one) for number, one in enumerate(arrays)]


def _inside(array: ArrayView, ranges: Sequence[tuple[int, int]]) -> bool:
    """Say whether an array lies within one of some ranges of addresses; an empty one lies nowhere."""
    low, high = extent(array)
    return low < high and any(start <= low and high <= end for start, end in ranges)


def _on_device(array: Any, where: str) -> ArrayView:
    found = view(array)
    if found.place != "device":
        message = f"{where}=: {type(array).__name__} of shape {found.shape} is not on the device"
        raise TypeError(message)
    return found


def _unwritten(array: ArrayView, sides: Sequence[Any]) -> tuple[int, int]:
    """Count the elements that hold the poison of both calls, and find the first."""
    mask = None
    for number, packed in enumerate(sides):
        held = kept(packed, poison(number), array.itemsize)
        mask = held if mask is None else mask & held
    if mask is None or not mask.any():
        return 0, 0
    return int(mask.sum()), int(mask.argmax())


def _unravel(flat: int, shape: Sequence[int]) -> list[int]:
    """Return the index of a flat position in C order."""
    index: list[int] = []
    for size in reversed(shape):
        flat, rest = divmod(flat, size)
        index.insert(0, rest)
    return index
