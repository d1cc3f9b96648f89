"""What the calls before the first timed one leave: a body that is wrong at its eleventh call is wrong, though no clock of the device ran beside it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gpuperf.timing.buffers import Buffers

#: So many calls are looked at: as many as `deterministic` makes where nobody says otherwise.
LOOKED = 20
#: What an autotuner leaves at first may be another candidate's bits, or what all of them added up.
TUNES = "(call the body before it is measured, where its first call tunes)"


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """What one call with argument set `index` left: digests by name; `call` counts from 1."""

    call: int
    index: int
    digests: dict[str, int]


class Early:
    """The digests of the early calls, to be held against those of the timed ones."""

    def __init__(self, buffers: Buffers) -> None:
        """Nothing has been called yet."""
        self._buffers = buffers
        self._calls = 0
        #: By argument set, one after the other; a call that left what the one before it left is not kept.
        self._left: dict[int, list[Left]] = {}

    def look(self, index: int, result: Any, stream: int) -> None:
        """Count a call and digest what it left and returned; the device is idle before and after."""
        self._calls += 1
        if self._buffers.varies or self._calls > LOOKED:
            return
        digests = self._buffers.digests(index, result, stream)
        known = self._left.setdefault(index, [])
        if digests and (not known or known[-1].digests != digests):
            known.append(Left(self._calls, index, digests))

    def difference(self, timed: dict[tuple[int, str], int]) -> str:
        """Say which calls left something else than the later ones, of which `timed` has the digests by set and name; empty where none did."""
        every = sorted((one for calls in self._left.values() for one in calls), key=lambda one: one.call)
        for one in every:
            for name, digest in one.digests.items():
                if timed.get((one.index, name), digest) != digest:
                    tunes = f" {TUNES}" if one.call == 1 else ""
                    return f"{name} has other bits after {self._calls_like(one)} than after later ones, from the same inputs{tunes}"
        return ""

    def _calls_like(self, one: Left) -> str:
        """Return the number of a call, and of the last one that left the same."""
        mine = self._left[one.index]
        place = mine.index(one) + 1
        last = mine[place].call - 1 if place < len(mine) else min(self._calls, LOOKED)
        return f"call {one.call}" if one.call == last else f"calls {one.call} to {last}"
