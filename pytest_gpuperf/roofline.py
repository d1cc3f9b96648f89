"""The roofline of one body: the roofs of its bytes and of its operations, and which of them binds it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.timing.rates import Roof
    from pytest_gpuperf.values import Listener, Value
    from pytest_gpuperf.work import Work

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: A body that beats a roof by more than its factor, and by more seconds than two honest kernels of such bytes differ in their prologues (0.3 us between our
#: move and an addition of 12 MB that the L2 holds, on an H200), does not do its Work. Bytes that no cache can hold, and operations, leave less room.
_POSSIBLE = {"bytes": 1.05, "reads": 1.03, "flops": 1.03, "zeros": 1.03}
_SMALL = 0.5e-6
#: What a launch adds to a roof of the device clock, and may not add to a time of another source.
_LAUNCH = 1.0e-6
#: Cache states in which the first touch of a byte goes to the memory.
_FIRST_TOUCH = ("cold", "cold-dirty")


@dataclasses.dataclass
class Roofline:
    """What a device needs for a work at the least; each roof is measured at its first use.

    `measure` takes what a roof is of: `bytes` of the work, its `reads` alone, its `flops` on noise, or those on `zeros`.
    """

    work: Work
    cache: str
    measure: Callable[[str], Roof]
    listener: Listener | None = None
    #: The roofs of the device clock, where the source of the time has none of its own: nothing is held against them but what no source could say.
    fastest: Callable[[str], Roof] | None = None
    _known: dict[str, Roof] = dataclasses.field(default_factory=dict)
    _fastest: dict[str, Roof] = dataclasses.field(default_factory=dict)

    def of(self, what: str) -> Value:
        """Return one roof as a Value in seconds."""
        if what not in self._known:
            self._known[what] = self.measure(what)
        return dataclasses.replace(self._known[what].time, listener=self.listener)

    @property
    def bound(self) -> str:
        """What binds the work: `bytes`, or its operations, as `bf16 FLOP`; bytes where the roofs cannot be told apart, `unknown` where one is not known."""
        if self.roof.number is None:
            return "unknown"
        return "bytes" if self._binding() == "bytes" else f"{self.work.kind} FLOP"

    @property
    def roof(self) -> Value:
        """The later of the roofs of bytes and of operations; unmeasured where one of those that count is."""
        return self.of(self._binding())

    def _binding(self) -> str:
        if not self.work.flops:
            return "bytes"
        if not self.work.bytes:
            return "flops"
        moved, computed = self.of("bytes"), self.of("flops")
        if moved.number is None or computed.number is None:
            return "bytes" if moved.number is None else "flops"
        return "flops" if (computed - moved).bounds[0] > 0 else "bytes"

    def impossible(self, time: Value, parts: tuple[str, ...], *, known: bool = False) -> Reason | None:
        """Say why a time cannot be that of the work, as far as `parts` (`bytes`, `flops`) go; None where it can. With `known` nothing is measured for it."""
        if time.number is None:
            return None
        if "bytes" in parts and self.work.bytes:
            if self._beaten(time, "bytes", known=known):
                return self._reason(time, "bytes", f"{self.work.bytes:,} bytes", "moves in this cache state")
            # Reads alone take no longer than all bytes, so who does not beat those need not be held against these.
            first_touch = self.cache in _FIRST_TOUCH and self.work.reads and self._beaten(time, "bytes", _POSSIBLE["reads"], known=known)
            if first_touch and self._beaten(time, "reads", known=known):
                return self._reason(time, "reads", f"{self.work.reads:,} bytes read for the first time", "reads from its memory")
        # Zeros are for who is faster than noise allows: bits that do not change draw less power.
        if "flops" in parts and self.work.flops and self._beaten(time, "flops", known=known) and self._beaten(time, "zeros", known=known):
            return self._reason(time, "zeros", f"{self.work.flops:,} {self.work.kind} operations", "computes, even on zeros")
        return None

    def _beaten(self, time: Value, what: str, factor: float | None = None, *, known: bool = False) -> bool:
        if known and what not in (self._fastest if self.fastest is not None else self._known):
            return False
        roof = self._bound(what)
        if roof.number is None or time.number is None:
            return False
        ratio = time / roof
        if ratio.number is None:
            # Nobody is faster than a roof that cannot be told from zero.
            return False
        _, slowest = ratio.bounds
        small = _SMALL + (_LAUNCH if self.fastest is not None else 0.0)
        return slowest * (factor or _POSSIBLE[what]) < 1 and roof.number - time.number > small

    def _bound(self, what: str) -> Value:
        """Return what no body is faster than: its roof, or that of the device clock where its source has none."""
        if self.fastest is None:
            return self.of(what)
        if what not in self._fastest:
            self._fastest[what] = self.fastest(what)
        return self._fastest[what].time

    def _reason(self, time: Value, what: str, amount: str, does: str) -> Reason:
        times = (self._bound(what) / time).point
        return Reason("impossible", f"{amount} in {time} would be {times:.2f} times what the device {does}")

    def record(self) -> dict[str, Any]:
        """Return the roofs that were measured, and what binds the work where that is known, as plain values."""
        if not self._known:
            return {}
        roofs = [{"of": what, "how": roof.how, "time": roof.time.record()} for what, roof in self._known.items()]
        needed = [what for what, amount in (("bytes", self.work.bytes), ("flops", self.work.flops)) if amount]
        bound = self.bound if set(needed) <= set(self._known) else "unknown"
        return {"bound": None if bound == "unknown" else bound, "roofs": roofs}
