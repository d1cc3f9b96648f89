"""A Triton kernel, in a file of its own: Triton reads a kernel's source, and knows its globals only."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def add(a, b, out, size, BLOCK: tl.constexpr):  # noqa: N803 - Triton's own way to write a constant
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    tl.store(out + place, tl.load(a + place, mask=inside) + tl.load(b + place, mask=inside), mask=inside)


@triton.autotune(configs=[triton.Config({"BLOCK": 256}), triton.Config({"BLOCK": 1024})], key=["size"])
@triton.jit
def tuned(a, out, size, BLOCK: tl.constexpr):  # noqa: N803 - Triton's own way to write a constant
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    tl.store(out + place, 2 * tl.load(a + place, mask=inside), mask=inside)
