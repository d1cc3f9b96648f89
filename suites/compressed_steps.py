"""Decode steps of KV compression as they are measured: many requests, in batches of the published benchmark's sizes."""

from __future__ import annotations

import numpy as np
import torch

from kernels import compression
from kernels import compression_references as references
from pytest_gpuperf import Work
from suites.compressed import STORED
from suites.place import Place

PAGE = 32
#: Tokens of a request at most: windows lie at several places of the state.
TOKENS = 512


class Step:
    """One decode step of `requests` requests, of which each `emits`-th completes a window; arrays live where kernels run.

    What the step writes is the same each time, so that calls may follow each other.
    """

    def __init__(self, requests, *, head_dim=512, ratio=128, kv="bfloat16", state="float32", next_n=4, emits=1):
        generator = torch.Generator(device=Place.where).manual_seed(requests)

        def numbers(*shape, dtype):
            return torch.randn(shape, device=Place.where, generator=generator).to(getattr(torch, dtype))

        self.row = compression.config(head_dim, ratio, kv, state, next_n)
        self.next_n, self.requests = next_n, requests
        width, blocks = self.row.width, TOKENS // PAGE
        index = np.arange(requests)
        ends = ratio * (1 + index % (TOKENS // ratio))
        if emits != 1:
            ends = np.where(index % emits == 0 if emits else False, ends, ends - next_n)
        windows = ends // ratio - (ends - next_n) // ratio
        self.emitted = int(windows.sum())
        tables = [
            torch.randperm(requests * blocks, device=Place.where, generator=generator).to(torch.int32).view(requests, blocks)
            for _ in range(2)
        ]
        lens, cu, comp = (
            torch.from_numpy(array.astype(np.int32)).to(Place.where)
            for array in (ends, np.arange(requests + 1) * next_n, np.concatenate([[0], np.cumsum(windows)]))
        )
        self.output = torch.full((max(self.emitted, 1), head_dim), 7.0, device=Place.where).to(getattr(torch, kv))
        self.arrays = (numbers(requests * next_n, 2 * width, dtype=kv), numbers(ratio, width, dtype="float32"),
                       *(numbers(requests * blocks, PAGE, width, dtype=state) for _ in range(2)), *tables, lens, cu, comp, self.output)  # fmt: skip

    def body(self, gpuperf, threads=None):
        """Return the launch, arrays already converted."""
        return compression.plan_decode(*self.arrays, next_n=self.next_n, stream=int(gpuperf.stream), threads=threads)

    @property
    def work(self):
        """What must be read and written: the new rows in, their state out, the old rows of each completed window, its pooled row."""
        kv_score, ape, paged, *_ = self.arrays
        row = self.row.width * paged.element_size()
        old = (2 * self.row.ratio if self.row.ratio == 4 else self.row.ratio) - self.next_n
        # Of an overlapped window's rows only half of the columns enter.
        old_bytes = 2 * old * row // (2 if self.row.ratio == 4 else 1)
        inputs = sum(array.numel() * array.element_size() for array in (kv_score, ape))
        return Work(
            reads=inputs + self.emitted * max(old_bytes, 0),
            writes=2 * self.requests * self.next_n * row + self.emitted * self.row.head_dim * self.output.element_size(),
        )

    def check(self, gpuperf, most=6):
        """Hold the output rows of some requests against the reference, to the last bit."""
        kv_score, ape, kv, score, *tables, lens, cu, comp, output = self.arrays
        chosen = np.unique(np.linspace(0, self.requests - 1, min(most, self.requests)).astype(int))
        for request in chosen.tolist():
            start, end = (int(comp[request + number]) for number in range(2))
            if start == end:
                continue
            # Only this request's pages are brought to the host, as a state of its own.
            blocks = np.arange(TOKENS // PAGE, dtype=np.int32)[None]
            pages = [_host(array[table[request].long()]) for array, table in zip((kv, score), tables, strict=True)]
            rows = _host(kv_score[int(cu[request]) : int(cu[request + 1])])
            before = np.zeros((end - start, output.shape[1]), STORED[self.row.kv])
            _, wanted = references.decode(
                rows, ape.cpu().numpy(), references.State(*pages, blocks, blocks), np.array([int(lens[request])]),
                np.array([0, len(rows)]), np.array([0, end - start]), before,
            )  # fmt: skip
            gpuperf.identical(output[start:end], Place().put(wanted, self.row.kv))


def _host(tensor):
    """Return a tensor as it is stored."""
    return tensor.cpu().view(torch.int16).numpy().view(np.uint16) if tensor.dtype == torch.bfloat16 else tensor.cpu().numpy()
