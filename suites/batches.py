"""Ragged batches of drafts, as NumPy arrays, with what the target model sampled."""

from __future__ import annotations

import dataclasses

import numpy as np

from kernels import references


@dataclasses.dataclass(frozen=True)
class Batch:
    """Inputs of one acceptance mask and the outputs that the reference gives."""

    draft: np.ndarray
    cu: np.ndarray
    sampled: np.ndarray

    @property
    def arrays(self):
        return self.draft, self.cu, self.sampled

    @property
    def wanted(self):
        """`accepted` and `mask` by the reference."""
        return references.acceptance(*self.arrays)


def batch(counts, draft, sampled, columns=None, dtype="int32"):
    """Make a batch of requests with `counts` drafts; `sampled` rows are padded with -1 to `columns`."""
    width = max((len(row) for row in sampled), default=0) if columns is None else columns
    table = np.full((len(counts), width), -1, dtype=dtype)
    for row, values in zip(table, sampled, strict=True):
        row[: len(values)] = values[:width]
    return Batch(np.array(draft, dtype=np.int32), np.cumsum(counts, dtype=np.int32), table)


def random_batch(requests, most, seed, dtype="int32", least=0, acceptance=0.8):
    """Make a batch in which each draft agrees with probability `acceptance`; rows are -1 after the first mismatch, as engines pad them."""
    random = np.random.default_rng(seed)
    counts = random.integers(least, most + 1, requests)
    draft = random.integers(0, 32000, counts.sum())
    rows, start = [], 0
    for count in counts:
        row = draft[start : start + count].copy()
        wrong = np.flatnonzero(random.random(count) >= acceptance)
        if len(wrong):
            row[wrong[0]] += 1
            row = row[: wrong[0] + 1]
        else:
            row = np.append(row, random.integers(0, 32000))
        rows.append(row)
        start += count
    return batch(counts, draft, rows, columns=most + 1, dtype=dtype)
