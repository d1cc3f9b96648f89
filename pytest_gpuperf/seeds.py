"""Seeds: one number of a run, from which every purpose has its own."""

from __future__ import annotations

import hashlib


def derived(seed: int, *parts: object) -> int:
    """Return a seed of 63 bits for one purpose of a run.

    >>> derived(0, "call", "test_x.py::test_y") == derived(0, "call", "test_x.py::test_y")
    True
    >>> derived(0, "call", "test_x.py::test_y") == derived(1, "call", "test_x.py::test_y")
    False
    """
    text = "\0".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.blake2s(text.encode("utf-8", "surrogatepass")).digest()[:8], "little") >> 1
