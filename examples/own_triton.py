"""A Triton kernel in a file of its own: Triton reads its source, and knows the globals of its file only."""

import triton
import triton.language as tl


@triton.jit
def add(a, b, out, size, BLOCK: tl.constexpr):  # noqa: N803 - Triton's own way to write a constant
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    tl.store(out + place, tl.load(a + place, mask=inside) + tl.load(b + place, mask=inside), mask=inside)
