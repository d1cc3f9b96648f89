"""A kernel's name as a drawing has room for it."""

from __future__ import annotations

import re

from pytest_gpuperf.counters.kernel_names import plain_kernel
from pytest_gpuperf.format import visible

_LENGTH = re.compile(r"[0-9]+")


def kernel_label(name: str) -> str:
    """Return the bare name of a kernel, mangled or not, with invisible characters written out.

    >>> kernel_label("_ZN6cudapy8__main__5saxpyB2v1B3cw5EfLi1E5ArrayIfLi1E1C7mutable7alignedE"), kernel_label("_Z4copyPf"), kernel_label("void at::fill<4>(int)")
    ('saxpy', 'copy', 'fill')
    >>> kernel_label("_ZN2at6native12_GLOBAL__N_17softmaxIfEEvPT_"), kernel_label("_Z"), kernel_label("")
    ('softmax', '_Z', '')
    """
    if not name.startswith("_Z"):
        return visible(plain_kernel(name))
    nested = name.startswith("_ZN")
    at, found = 3 if nested else 2, ""
    while length := _LENGTH.match(name, at):
        begin, at = length.end(), length.end() + int(length[0])
        found = name[begin:at]
        if not nested:
            break
    return visible(found or name)
