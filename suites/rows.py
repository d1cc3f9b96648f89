"""Rows of K and V, caches and slots for the staging suites, made as raw bits: every NaN payload may occur."""

from __future__ import annotations

import dataclasses

import numpy as np

#: Unsigned integers as wide as each dtype.
WIDTH = {"float16": np.uint16, "bfloat16": np.uint16, "float32": np.uint32}


@dataclasses.dataclass(frozen=True)
class Staged:
    """Bits of one step: sources [N, H, D], caches [blocks, block_size, H, D], slots [N], mask [N]."""

    key: np.ndarray
    value: np.ndarray
    key_cache: np.ndarray
    value_cache: np.ndarray
    slots: np.ndarray
    mask: np.ndarray
    dtype: str

    def tensors(self, place):
        """Put sources, caches and slots where kernels run."""
        arrays = (self.key, self.value, self.key_cache, self.value_cache)
        return (*(place.put(array, self.dtype) for array in arrays), place.put(self.slots))


def staged(rows, heads=1, depth=64, dtype="float16", *, size=16, seed=0, rate=0.5, slots="scattered", slot_dtype="int64", skipped=0):
    """Make a step of `rows` rows, `skipped` of them with a negative slot, and half as many slots again as rows."""
    random = np.random.default_rng([seed, rows, heads, depth])
    blocks = -(-(rows + rows // 2 + 1) // size)

    def bits(*shape):
        return random.integers(0, np.iinfo(WIDTH[dtype]).max, shape, dtype=WIDTH[dtype], endpoint=True)

    chosen = random.permutation(blocks * size)[:rows] if slots == "scattered" else np.arange(rows)
    chosen[random.permutation(rows)[:skipped]] = -1 - random.integers(0, 3, skipped)
    return Staged(
        bits(rows, heads, depth),
        bits(rows, heads, depth),
        bits(blocks, size, heads, depth),
        bits(blocks, size, heads, depth),
        chosen.astype(slot_dtype),
        random.random(rows) < rate,
        dtype,
    )
