"""Guarded arrays: memory between red zones, poisoned, so that writes outside and elements that nobody wrote are seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import view
from pytest_gpuperf.device.poison import convincing, fresh, kept
from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.identity.bits import as_words, hexadecimal
from pytest_gpuperf.identity.formats import decode, format_of
from pytest_gpuperf.identity.held import Held
from pytest_gpuperf.identity.likes import ALIGNED, like_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.device.operations import Operations

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: A red zone has at least so many bytes, and at most those of one row where that is longer.
ZONE, LONGEST = 4096, 1 << 20


def zone_bytes(shape: tuple[int, ...], itemsize: int) -> int:
    """Return the bytes of each red zone: a row's, so that one row too many is seen whole, in a multiple of elements and of CUDA's alignment.

    >>> zone_bytes((32,), 4), zone_bytes((2, 5000), 4), zone_bytes((2,), 12)
    (4096, 20224, 4608)
    """
    row = math.prod(shape[1:]) * itemsize if len(shape) > 1 else itemsize
    step = math.lcm(ALIGNED, itemsize)
    return -(-max(ZONE, min(row, LONGEST)) // step) * step


class Guarded:
    """An array between two red zones; `array` is what a kernel is given.

    `check` is called by the plugin at the end of the case where the test does not. `poison` puts a new poison into the array before another
    call: an element counts as not written where it holds the poison of every call, so that a value that is one poison by chance is none of both.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: Any,
        like: str | None,
        operations: Operations | None,
        judge: Callable[[Guarded, bool], None],
        *,
        number: int,
        partial: bool = False,
        zones: bool = True,
    ) -> None:
        """Allocate and poison; `judge` is what `check` calls, `number` what tells the bits of this array's poison and zones from those of others."""
        import numpy as np

        self.name, self.partial = name, partial
        self._judge = judge
        row = like_of(like, None if operations is None else operations.backend)
        kind, itemsize = row.dtype(dtype)
        self._number, self._fills = number, 0
        self._zone, self._size = zone_bytes(shape, itemsize) if zones else 0, math.prod(shape) * itemsize
        self._whole = row.bytes(max(2 * self._zone + self._size, 1), operations is not None)
        self.array = row.part(self._whole, self._zone, shape, kind)
        self._all = Held(name, view(self._whole), operations)
        self._body = Held(name, view(self.array), operations)
        self._suspects: Any = None
        self._bits = 0
        self.failed = False
        rest = np.random.default_rng(self._number)
        self._zones = [np.frombuffer(rest.bytes(self._zone), np.uint8) for _ in range(2)]
        if zones:
            self._fill_zones()
        self.poison()

    def poison(self) -> None:
        """Fill the array anew: with a pattern that no call before had."""
        if self._fills:
            self._look_for_unwritten()
        self._word = fresh(self._number, self._fills)
        self._fills += 1
        self._settle()
        self._body.poison(self._word)
        self._settle()

    def check(self) -> None:
        """Raise NotIdentical where something was written outside of the array, or an element was never written."""
        __tracebackhide__ = True
        self._judge(self, True)

    def end(self, *, unwritten: bool) -> None:
        """Check as the case ends."""
        __tracebackhide__ = True
        self._judge(self, unwritten)

    def look(self, *, unwritten: bool = True) -> str:
        """Return what was found to be right, or raise NotIdentical."""
        __tracebackhide__ = True
        self._settle()
        found = self._outside()
        if unwritten and not self.partial:
            self._look_for_unwritten()
            found += self._unwritten()
        if found:
            self.failed = True
            raise NotIdentical("\n".join(found))
        array = self._body.array
        return f"{array.elements:,} element{'' if array.elements == 1 else 's'} of {array.dtype}, nothing outside of them in {self._zone:,} bytes before and after"

    def _fill_zones(self) -> None:
        import numpy as np

        whole = np.concatenate([self._zones[0], np.zeros(self._size, np.uint8), self._zones[1]])
        self._settle()
        self._all.write(whole)
        self._settle()

    def _settle(self) -> None:
        if self._all.operations is not None:
            self._all.operations.backend.synchronize()

    def _outside(self) -> list[str]:
        """Describe the elements that were written before and after the array."""
        import numpy as np

        array, packed = self._body.array, self._all.bytes()
        found = []
        for where, held, wanted in (("before the start", packed[: self._zone], self._zones[0]), ("after the end", packed[self._zone + self._size :], self._zones[1])):
            wrong = np.flatnonzero((held != wanted).reshape(-1, array.itemsize).any(axis=1))
            if not len(wrong):
                continue
            # The one next to the array is what a kernel that runs over writes first.
            place = int(wrong[-1] if where.startswith("before") else wrong[0])
            index = place - self._zone // array.itemsize if where.startswith("before") else array.elements + place
            value = shown(held[place * array.itemsize : (place + 1) * array.itemsize], array.dtype, array.itemsize)
            few = f"{len(wrong):,} element{'' if len(wrong) == 1 else 's'}"
            found.append(f"written outside: {few} {where}, nearest at flat index {index} of an array of {array.elements:,} ({list(array.shape)}): {value}")
        return found

    def _look_for_unwritten(self) -> None:
        """Remember which elements hold the poison of every fill until now."""
        held = kept(self._body.bytes(), self._word, self._body.array.itemsize)
        self._suspects = held if self._suspects is None else self._suspects & held

    def _unwritten(self) -> list[str]:
        import numpy as np

        array = self._body.array
        mask = convincing(self._suspects, 8 * array.itemsize * self._fills)
        if not mask.any():
            return []
        index = [int(one) for one in np.unravel_index(int(mask.argmax()), array.shape)] if array.shape else []
        calls = "the poison" if self._fills == 1 else f"the poison of all {self._fills} fills"
        return [f"not written: {int(mask.sum()):,} of {array.elements:,} elements hold {calls}, first at {index} (guarded(..., partial=True) where that is meant)"]


def shown(packed: Any, dtype: str, itemsize: int) -> str:
    """Write one element as bits, and as a number where it is one.

    >>> import numpy as np
    >>> shown(np.frombuffer(np.float32(1.5).tobytes(), np.uint8), "float32", 4)
    '0x3fc00000 (1.5)'
    """
    word = as_words(packed, dtype, itemsize)[0]
    form = format_of(dtype)
    if form is None or word.ndim:
        return hexadecimal(word)
    return f"{hexadecimal(word)} ({decode(word.reshape(1), form)[0]:.9g})"
