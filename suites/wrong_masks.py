"""A mask kernel with a published bug, which the suite must reject."""

from __future__ import annotations

from numba import cuda


@cuda.jit
def left_sided(draft, cu, sampled, columns, row_step, accepted, mask):
    """Look up a draft's request by a left-sided search in the inclusive sum: the first draft of every later request goes to the one before."""
    t = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if t < mask.shape[0]:
        request = 0
        while request < cu.shape[0] and cu[request] < t:
            request += 1
        start = 0
        if request > 0:
            start = cu[request - 1]
        agreed = True
        for p in range(t - start + 1):
            if p >= columns or sampled[request * row_step + p] != draft[start + p]:
                agreed = False
        mask[t] = agreed
        if agreed:
            cuda.atomic.add(accepted, request, 1)
