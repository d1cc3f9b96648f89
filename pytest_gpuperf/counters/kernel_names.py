"""Names of kernels as people say them: without types, namespaces and what a compiler added, whichever tool printed them."""

from __future__ import annotations

import re

_OPENS, _CLOSES = "<([{", ">)]}"
_ANONYMOUS = re.compile(r"\((?:anonymous namespace|unnamed)\)|<unnamed>|\{[^{}]*\}")


def plain_kernel(name: str) -> str:
    """Return the bare name of a kernel.

    >>> plain_kernel("copy[abi:v1,cw51cXTLSU](Array<float, 1, C, mutable, aligned>, long long)"), plain_kernel("__main__::copy[v1,cw51]")
    ('copy', 'copy')
    >>> plain_kernel("void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>, std::array<char*, 1ul>>(int, char*)")
    'vectorized_elementwise_kernel'
    >>> plain_kernel("range"), plain_kernel("_Z4copyPf"), plain_kernel("void (anonymous namespace)::softmax<float>(float*)"), plain_kernel("")
    ('range', '_Z4copyPf', 'softmax', '')
    """
    depth, kept = 0, []
    for char in _ANONYMOUS.sub("", name):
        if char in _OPENS:
            depth += 1
        elif char in _CLOSES and depth:
            depth -= 1
        elif not depth:
            kept.append(char)
    # What is left of a return type stands before the last space, namespaces before the last "::".
    words = "".join(kept).split()
    return words[-1].rpartition("::")[2] or name if words else name
