"""An engine's state for KV compression, twice: tensors that the kernels change, and NumPy arrays that the reference does."""

from __future__ import annotations

import numpy as np

from kernels import compression
from kernels import compression_references as references
from suites.place import SIMULATED

STORED = {"bfloat16": np.uint16, "float32": np.float32}
#: Few threads, since the simulator has one for each of ours.
THREADS = (8, 2) if SIMULATED else None
#: What the output holds before a step: rows that no window belongs to must keep it.
UNTOUCHED = 0x4321


class Engine:
    """Requests with paged states of one configuration; every step runs by kernel and by reference, and both are compared whole."""

    def __init__(self, gpuperf, place, ratio, head_dim, *, requests=1, kv="bfloat16", state="float32", out="bfloat16", page=8, tokens=64,
                 seed=0, threads=THREADS):  # fmt: skip
        self.gpuperf, self.place = gpuperf, place
        self.random = np.random.default_rng([seed, ratio, head_dim])
        self.ratio, self.head_dim, self.requests = ratio, head_dim, requests
        self.kv, self.state, self.out, self.threads = kv, state, out, threads
        self.width = head_dim * (2 if ratio == 4 else 1)
        self.ape = self.random.standard_normal((ratio, self.width)).astype(np.float32)
        blocks = -(-tokens // page)
        pages = requests * blocks + 1
        # Numbers, not zeros, and another permutation of the pages for each table: a wrong page shows.
        self.host = references.State(
            *(self.numbers((pages, page, self.width), state) for _ in range(2)),
            *(self.random.permutation(pages)[: requests * blocks].astype(np.int32).reshape(requests, blocks) for _ in range(2)),
        )
        self.tensors = [place.put(array, state) for array in (self.host.kv, self.host.score)]
        self.tables = [place.put(table) for table in (self.host.kv_table, self.host.score_table)]

    def numbers(self, shape, dtype):
        """Return random numbers as they are stored."""
        return references.narrow(self.random.standard_normal(shape).astype(np.float32), STORED[dtype])

    def rows(self, count):
        """Return kv and scores of new tokens; scores spread over several powers of e."""
        array = self.random.standard_normal((count, 2 * self.width)).astype(np.float32)
        array[:, self.width :] *= 3
        return references.narrow(array, STORED[self.kv])

    def decode(self, kv_lens, counts, kv_score=None, **words):
        """Run one decode step; return the output as the reference has it, of the windows that are complete."""
        lens = np.array(kv_lens, np.int32)
        return self._run("decode", compression.plan_decode, lens, lens - np.array(counts), counts, kv_score,
                         next_n=max(1, *counts), **words)  # fmt: skip

    def prefill(self, starts, counts, kv_score=None, **words):
        """Run one prefill; return the output."""
        starts = np.array(starts, np.int32)
        return self._run("prefill", compression.plan_prefill, starts, starts, counts, kv_score, **words)

    def _run(self, road, plan, lengths, starts, counts, kv_score, **words):
        ends = starts + np.array(counts)
        cu = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        windows = ends // self.ratio - starts // self.ratio
        comp = np.concatenate([[0], np.cumsum(windows)]).astype(np.int32)
        kv_score = self.rows(int(cu[-1])) if kv_score is None else kv_score
        before = np.full((int(comp[-1]) + 2, self.head_dim), UNTOUCHED, np.uint16 if self.out == "bfloat16" else np.uint32).view(
            STORED[self.out]
        )
        output = self.place.put(before, self.out)
        launch = plan(self.place.put(kv_score, self.kv), self.place.put(self.ape), *self.tensors, *self.tables,
                      *(self.place.put(array) for array in (lengths, cu, comp)), output, **{"threads": self.threads, "validate": True} | words)  # fmt: skip
        launch()
        self.host, wanted = getattr(references, road)(kv_score, self.ape, self.host, lengths, cu, comp, before)
        self.same(output, wanted, self.out)
        self.check()
        return wanted[: comp[-1]]

    def check(self):
        """Compare the whole state."""
        for tensor, array in zip(self.tensors, (self.host.kv, self.host.score), strict=True):
            self.same(tensor, array, self.state)

    def same(self, tensor, array, dtype):
        """Compare a tensor with what the reference stored."""
        self.gpuperf.identical(tensor, self.place.put(array, dtype))

    def keep(self):
        """Return the state as it is, to go back to."""
        return self.host.copy(), [tensor.clone() for tensor in self.tensors]

    def back(self, kept):
        """Go back to a state."""
        host, tensors = kept
        self.host = host.copy()
        for tensor, old in zip(self.tensors, tensors, strict=True):
            tensor.copy_(old)
