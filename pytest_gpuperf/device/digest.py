"""The digest of an array's bits on the host: what the kernel `digest` makes of the same bytes on a device."""

from __future__ import annotations

from typing import Any

_GOLDEN = 0x9E3779B97F4A7C15
#: Words at a time: they stay in the host's cache.
_CHUNK = 1 << 16


def digest(data: Any) -> int:
    """Return the digest of 64-bit words: the sum of mix(word XOR ((index + 1) * golden ratio)) modulo 2**64.

    >>> import numpy as np
    >>> hex(digest(np.zeros(1, np.uint64)))
    '0xe220a8397b1dcdaf'
    """
    import numpy as np

    total = 0
    for start in range(0, len(data), _CHUNK):
        part = data[start : start + _CHUNK]
        x = part ^ (np.arange(start + 1, start + 1 + len(part), dtype=np.uint64) * np.uint64(_GOLDEN))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x ^= x >> np.uint64(shift)
            x *= np.uint64(factor)
        x ^= x >> np.uint64(31)
        total += int(x.sum(dtype=np.uint64))
    return total % (1 << 64)


def digest_bytes(packed: Any) -> int:
    """Return the digest of packed bytes, uint8[nbytes], as little-endian words of which the last one is zero-padded.

    >>> import numpy as np
    >>> digest_bytes(np.zeros(3, np.uint8)) == digest(np.zeros(1, np.uint64)), digest_bytes(np.empty(0, np.uint8))
    (True, 0)
    """
    import numpy as np

    whole = len(packed) // 8 * 8
    total = digest(np.ascontiguousarray(packed[:whole]).view("<u8"))
    if whole == len(packed):
        return total
    last = int.from_bytes(packed[whole:].tobytes(), "little")
    # The last word has an index of its own: the digest of zeros up to it, less those zeros, would be slower to say.
    return (total + _mixed(last, whole // 8 + 1)) % (1 << 64)


def _mixed(word: int, place: int) -> int:
    """Return what one word adds to a digest; `place` counts from 1."""
    mask = (1 << 64) - 1
    x = word ^ (place * _GOLDEN & mask)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ x >> shift) * factor & mask
    return x ^ x >> 31
