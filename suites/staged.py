"""Sources, caches, slots and exact answers of KV staging, for the suites that measure it."""

from __future__ import annotations

import torch

from pytest_gpuperf import Work
from suites.place import SIMULATED, Place

SIZE = 16
HEADS, DEPTH = (1, 64) if SIMULATED else (8, 256)


class Step:
    """Sources, caches with a slot for every row, slots, and an exact answer computed by torch's indexing."""

    def __init__(self, rows, *, scattered=False):
        generator = torch.Generator(device=Place.where).manual_seed(rows)

        def bits(*shape):
            # 16-bit patterns of every kind, NaN payloads too.
            return torch.randint(-(2**15), 2**15, shape, dtype=torch.int16, device=Place.where, generator=generator).view(torch.float16)

        self.key, self.value = bits(rows, HEADS, DEPTH), bits(rows, HEADS, DEPTH)
        self.caches = bits(rows // SIZE, SIZE, HEADS, DEPTH), bits(rows // SIZE, SIZE, HEADS, DEPTH)
        order = torch.randperm(rows, device=Place.where, generator=generator) if scattered else torch.arange(rows, device=Place.where)
        self.slots = order.to(torch.int64)
        self.chance = torch.rand(rows, device=Place.where, generator=generator)
        self.arrays = (self.key, self.value, *self.caches, self.slots)
        self.row_bytes = HEADS * DEPTH * self.key.element_size()

    def mask(self, rate):
        """Return a mask that accepts about `rate` of the rows; all of them at 1."""
        return self.chance < rate

    def work(self, moved, mask_bytes=0):
        """Return what must be read and written to move `moved` rows of K and V."""
        rows = 2 * moved * self.row_bytes
        return Work(reads=rows + self.slots.numel() * 8 + mask_bytes, writes=rows)

    def wanted(self, mask=None):
        """Both caches as torch's indexing leaves them, in bits."""
        answers = []
        for source, cache in zip((self.key, self.value), self.caches, strict=True):
            answer = cache.view(torch.int16).flatten(0, 1).clone()
            rows = slice(None) if mask is None else mask
            answer[self.slots[rows]] = source.view(torch.int16)[rows]
            answers.append(answer.view_as(cache).view(torch.float16))
        return answers


def same(gpuperf, got, wanted):
    for mine, reference in zip(got, wanted, strict=True):
        gpuperf.identical(mine, reference)
