"""ARCHITECTURES: what a multiprocessor of each architecture holds, and how many warps of a kernel fit on it.

The limits are those of the table "Technical Specifications per Compute Capability" of NVIDIA's programming guide; how registers, shared memory and barriers are
given out is as in cuda_occupancy.h of the CUDA toolkit.
"""

from __future__ import annotations

import dataclasses

from pytest_gpuperf.errors import StaticError
from pytest_gpuperf.metrics import nearest

WARP = 32
#: Registers of a multiprocessor and of a block at most, given to warps in units of 256 in each of four parts.
REGISTERS = 65536
_REGISTER_UNIT = 256
_PARTS = 4
MOST_THREADS = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture: warps and blocks that a multiprocessor holds at most, its shared memory and what of it a block may have, in bytes.

    `reserved` is what the driver takes of each block for itself, `unit` what shared memory is given out in, `barriers` how many a
    multiprocessor has where they limit its blocks, else 0. `target` is
    the architecture that numba compiles for on such a device, and `in_section` says whether the compiler counts the reserved bytes in a kernel's own section.
    """

    name: str
    warps: int
    blocks: int
    shared: int
    shared_block: int
    reserved: int
    unit: int
    barriers: int
    target: str
    in_section: bool = False

    @property
    def capability(self) -> tuple[int, int]:
        """Compute capability.

        >>> architecture("sm_120").capability
        (12, 0)
        """
        return int(self.name[3:-1]), int(self.name[-1])


_KB = 1024

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("sm_75", 32, 16, 64 * _KB, 64 * _KB, 0, 256, 0, "sm_75"),
    Architecture("sm_80", 64, 32, 164 * _KB, 163 * _KB, _KB, 128, 0, "sm_80"),
    Architecture("sm_86", 48, 16, 100 * _KB, 99 * _KB, _KB, 128, 0, "sm_86"),
    Architecture("sm_87", 48, 16, 164 * _KB, 163 * _KB, _KB, 128, 0, "sm_87"),
    Architecture("sm_89", 48, 24, 100 * _KB, 99 * _KB, _KB, 128, 0, "sm_89"),
    Architecture("sm_90", 64, 32, 228 * _KB, 227 * _KB, _KB, 128, 64, "sm_90a", in_section=True),
    Architecture("sm_100", 64, 32, 228 * _KB, 227 * _KB, _KB, 128, 64, "sm_100a", in_section=True),
    Architecture("sm_103", 64, 32, 228 * _KB, 227 * _KB, _KB, 128, 64, "sm_103a", in_section=True),
    Architecture("sm_110", 48, 24, 228 * _KB, 227 * _KB, _KB, 128, 24, "sm_110a", in_section=True),
    Architecture("sm_120", 48, 24, 100 * _KB, 99 * _KB, _KB, 128, 24, "sm_120a", in_section=True),
    Architecture("sm_121", 48, 24, 100 * _KB, 99 * _KB, _KB, 128, 24, "sm_121a", in_section=True),
)

_BY_NAME = {row.name: row for row in ARCHITECTURES}


def architecture(name: str) -> Architecture:
    """Return the row of an architecture; StaticError lists the known ones.

    >>> architecture("sm_90").target
    'sm_90a'
    >>> architecture("sm_91")
    Traceback (most recent call last):
        ...
    pytest_gpuperf.errors.StaticError: unknown architecture 'sm_91'; nearest 'sm_90'; known: sm_75, sm_80, sm_86, sm_87, sm_89, sm_90, sm_100, sm_103, sm_110, sm_120, sm_121
    """
    found = _BY_NAME.get(name)
    if found is None:
        near = nearest(name, [*_BY_NAME])
        message = f"unknown architecture {name!r}{near if near.startswith('; nearest') else ''}; known: {', '.join(_BY_NAME)}"
        raise StaticError(message)
    return found


def blocks(row: Architecture, threads: int, registers: int, shared: int, barriers: int = 0) -> int:
    """Return how many blocks of `threads` threads a multiprocessor holds at a time; 0 for a block that cannot be launched.

    `registers` are of a thread, `shared` are the bytes of a block, static and dynamic, `barriers` are of a block.

    >>> blocks(architecture("sm_90"), 256, 40, 0)
    6
    """
    if not 0 < threads <= MOST_THREADS or shared > row.shared_block:
        return 0
    warps = -(-threads // WARP)
    limits = [row.blocks, row.warps // warps]
    if registers:
        each = _up(registers * WARP, _REGISTER_UNIT)
        if each * _up(warps, _PARTS) > REGISTERS:
            return 0
        limits.append(REGISTERS // _PARTS // each * _PARTS // warps)
    taken = _up(shared + row.reserved, row.unit)
    if taken:
        limits.append(row.shared // taken)
    if barriers and row.barriers:
        limits.append(row.barriers // barriers)
    return min(limits)


def occupancy(row: Architecture, threads: int, registers: int, shared: int, barriers: int = 0) -> float:
    """Return the theoretical occupancy: warps that fit, in % of those that a multiprocessor can hold.

    >>> occupancy(architecture("sm_90"), 256, 40, 0)
    75.0
    """
    return 100.0 * blocks(row, threads, registers, shared, barriers) * -(-threads // WARP) / row.warps


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
