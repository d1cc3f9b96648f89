"""What a counter does not say: writes that L2 kept from DRAM, and bytes of Work that the chip did not move. Pure functions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_gpuperf.format import format_quantity
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from pytest_gpuperf.work import Work

#: A body that writes so many times the L2 pays for nearly all of its writes; of one that writes less, an unknown part stays behind.
ABSORBED_BELOW = 4
#: How far declared and measured bytes may be apart, as a share of the measured ones.
APART = 0.10
#: Fewer bytes read are not held against Work: instructions, constants and parameters are read too.
_FEW = 8 << 20
#: From so many times the measured bytes on, a percentage says less than the factor.
_TIMES = 10


def absorbed(number: float, declared: float | None, l2_bytes: int) -> Reason | None:
    """Say that a count of bytes written to DRAM is of a body that writes less than 4x L2; None where it writes more.

    `declared` are the bytes of Work or of the declared outputs; `l2_bytes` is what L2 may have kept, which of several kernels each may have. L2 keeps at most its own size, so a count below 3x L2 settles it, whatever is
    declared, and one of 4x L2 or more does too.

    >>> absorbed(0, 4e6, 60_000_000).code
    'absorbed-by-l2'
    >>> absorbed(480e6, 512e6, 60_000_000), absorbed(231e6, 256e6, 60_000_000)
    (None, None)
    """
    if number >= ABSORBED_BELOW * l2_bytes:
        return None
    if number >= (ABSORBED_BELOW - 1) * l2_bytes and declared is not None and declared >= ABSORBED_BELOW * l2_bytes:
        return None
    what = f"{format_quantity(number, 'B')} reached DRAM" + (f" of {format_quantity(declared, 'B')} declared" if declared is not None else "")
    return Reason("absorbed-by-l2", f"{what}: less than 4x the {format_quantity(float(l2_bytes), 'B')} that L2 may have kept")


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """One side of Work that is not what was measured: its name, bytes declared and bytes measured."""

    name: str
    declared: float
    measured: float

    def __str__(self) -> str:
        """One line."""
        said = f"Work says {self.name}={format_quantity(self.declared, 'B')}, but DRAM moved {format_quantity(self.measured, 'B')}"
        if not self.measured:
            return said
        off = self.declared / self.measured - 1
        if off >= _TIMES - 1:
            return f"{said}: {off + 1:,.0f} times that"
        return f"{said}: {abs(off):.0%} {'more' if off > 0 else 'less'} than that".replace("%", " %")


def apart(work: Work, read: float | None, written: float | None, l2_bytes: int) -> list[Side]:
    """Return the sides of Work that are more than 10 % from the bytes that DRAM moved; None is a side that was not measured.

    Writes count only where 4x L2 or more are declared or measured: of fewer L2 keeps an unknown part, but never more than its size. Reads count from 8 MB on.

    >>> from pytest_gpuperf.work import Work
    >>> [str(side) for side in apart(Work(reads=2_000_000_000, writes=500_000_000), 1e9, 0.49e9, 60_000_000)]
    ['Work says reads=2.000 GB, but DRAM moved 1.000 GB: 100 % more than that']
    >>> print(apart(Work(reads=20_000_000_000), 1e9, 0, 60_000_000)[0])
    Work says reads=20.00 GB, but DRAM moved 1.000 GB: 20 times that
    """
    found = []
    if read is not None and max(read, work.reads) >= _FEW and _differ(work.reads, read, 0):
        found.append(Side("reads", work.reads, read))
    if written is not None and max(written, work.writes) >= ABSORBED_BELOW * l2_bytes and _differ(work.writes, written, l2_bytes):
        found.append(Side("writes", work.writes, written))
    return found


def _differ(declared: float, measured: float, kept: int) -> bool:
    """Say whether two numbers of bytes are too far apart, where up to `kept` of what was written may be missing in the measured ones."""
    return declared > (measured + kept) * (1 + APART) or declared < measured * (1 - APART)
