"""Poison: what stands in an output before a call, so that an element that nobody writes is seen."""

from __future__ import annotations

import struct
from typing import Any

_MASK = (1 << 64) - 1
#: So many bits in a row that are the poison's are no chance.
ENOUGH_BITS = 32


def poison(number: int) -> int:
    """Return the 8-byte pattern of a sample: no two samples of a measurement have the same, and no byte of it repeats in the next.

    >>> hex(poison(0)), hex(poison(1))
    ('0xa55aa55aa55aa55a', '0x5aa55aa55aa55aa5')
    """
    base = 0xA55AA55AA55AA55A ^ (_MASK * (number % 2))
    return base ^ (((number // 2) * 0x0101010101010101 * 0x1D) & 0x0F0F0F0F0F0F0F0F)


def fresh(number: int, count: int) -> int:
    """Return the 8-byte pattern of fill `count` of buffer `number`: others have others, and no byte of it stands in the next at the same place.

    >>> fresh(1, 0) ^ fresh(1, 1) == 2**64 - 1, len({fresh(1, count) for count in range(1000)})
    (True, 1000)
    """
    base = ((number * 0x9E3779B97F4A7C15 + (count // 2) * 0xBF58476D1CE4E5B9) ^ 0xA55AA55AA55AA55A) & _MASK
    return ((base ^ base >> 31) * 0x94D049BB133111EB & _MASK) ^ (_MASK * (count % 2))


def pattern(word: int, nbytes: int) -> Any:
    """Return what an array of packed bytes holds that was filled with a 64-bit word: uint8[nbytes]."""
    import numpy as np

    return np.resize(np.frombuffer(struct.pack("<Q", word), np.uint8), nbytes)


def kept(packed: Any, word: int, itemsize: int) -> Any:
    """Return which elements of packed bytes hold a fill of a 64-bit word: bool[elements].

    >>> import numpy as np
    >>> held = pattern(poison(0), 8)
    >>> held[4] = 0
    >>> kept(held, poison(0), 4).tolist()
    [True, False]
    """
    return (packed == pattern(word, len(packed))).reshape(-1, itemsize).all(axis=1)


def convincing(mask: Any, bits: int) -> Any:
    """Return which of the marked elements lie in a run that is no chance, where each of them agrees in so many bits.

    An element of 8 bits is what a kernel may well have written; four in a row that hold the poison, byte for byte, are not.

    >>> import numpy as np
    >>> convincing(np.array([True, False, True, True, True, True]), 8).tolist()
    [False, False, True, True, True, True]
    """
    import numpy as np

    need = -(-ENOUGH_BITS // max(bits, 1))
    if need <= 1 or not mask.any():
        return mask
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    found = np.zeros(len(mask), bool)
    for start, end in edges.reshape(-1, 2):
        if end - start >= need:
            found[start:end] = True
    return found
