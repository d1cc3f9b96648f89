"""What each kernel must compute, in NumPy, as directly as the definitions allow."""

from __future__ import annotations

from typing import Any

import numpy as np


def acceptance(draft: Any, cu: Any, sampled: Any) -> tuple[Any, Any]:
    """Return `accepted` int32 [B] and `mask` bool [T] of ragged drafts.

    `draft` [T], `cu` [B] the inclusive running sum of drafts a request, `sampled` [B, C]; padding beyond cu[-1] is False.
    """
    accepted = np.zeros(len(cu), dtype=np.int32)
    mask = np.zeros(len(draft), dtype=np.bool_)
    start = 0
    for request, end in enumerate(cu.tolist()):
        for column in range(end - start):
            if column >= sampled.shape[1] or int(sampled[request, column]) != int(draft[start + column]):
                break
            accepted[request] += 1
            mask[start + column] = True
        start = end
    return accepted, mask


def write_all(source: Any, cache: Any, slots: Any) -> Any:
    """Return a copy of `cache` [blocks, block_size, H, D] with row r of `source` [N, H, D] in slot `slots`[r], negative ones skipped."""
    return commit_masked(source, cache, slots, np.ones(len(slots), dtype=np.bool_))


def commit_masked(source: Any, cache: Any, slots: Any, mask: Any) -> Any:
    """Return a copy of `cache` [blocks, block_size, H, D] with the rows of `source` [N, H, D] whose mask is set and slot is not negative."""
    result = cache.copy()
    size = cache.shape[1]
    for row, (slot, wanted) in enumerate(zip(slots.tolist(), mask.tolist(), strict=True)):
        if wanted and slot >= 0:
            result[slot // size, slot % size] = source[row]
    return result
