"""What ptxas reports of a kernel beside its machine code, which does not say what of its loads and stores are spills. Pure functions over text."""

from __future__ import annotations

import re

_KERNELS = re.compile(r"Compiling entry function '([^']+)'")
_FUNCTIONS = re.compile(r"Function properties for (\S+)\s*\n[^\n]*?(\d+) bytes spill stores, (\d+) bytes spill loads")


def spilled(log: str, entry: str) -> int | None:
    r"""Return the bytes that a kernel and the functions beside it spill, by the report of ptxas -v; None where it does not speak of the kernel.

    >>> spilled("Compiling entry function 'k' for 'sm_90'\nFunction properties for k\n 8 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads", "k")
    12
    """
    kernels = set(_KERNELS.findall(log))
    found = {name: int(stores) + int(loads) for name, stores, loads in _FUNCTIONS.findall(log) if name == entry or name not in kernels}
    return sum(found.values()) if entry in found else None
