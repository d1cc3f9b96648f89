"""Wrong decode steps of KV compression: `plan_decode` with one argument that is not what it should be.

Each takes what compression.plan_decode takes, and is right in all cases but those of its name.
"""

from __future__ import annotations

import itertools

import torch

from kernels import compression
from suites.compressed import Engine

#: New tokens of a request that `plan_four_new` knows of.
FOUR = 4


class Stepped(Engine):
    """An engine whose decode steps are launched by a plan of one's own."""

    plan = staticmethod(compression.plan_decode)

    def _run(self, road, plan, *arguments, **words):
        return super()._run(road, self.plan if road == "decode" else plan, *arguments, **words)

    def move_pages(self):
        """Move the first request's first pages to the spare ones, as an engine does that makes room; others write into the old ones."""
        host = ((self.host.kv, self.host.kv_table), (self.host.score, self.host.score_table))
        for (array, table), tensor, there in zip(host, self.tensors, self.tables, strict=True):
            (spare,) = set(range(len(array))) - set(table.reshape(-1).tolist())
            old = table[0, 0]
            array[spare] = array[old]
            array[old] = self.numbers(array[old].shape, self.state)
            table[0, 0] = spare
            tensor.copy_(self.place.put(array, self.state))
            there.copy_(self.place.put(table))


def plan_one_table(kv_score, ape, paged_kv, paged_score, block_table_kv, block_table_score, *lengths, **words):
    """Find scores by the block table of kv."""
    return compression.plan_decode(kv_score, ape, paged_kv, paged_score, block_table_kv, block_table_kv, *lengths, **words)


def plan_first_tables():
    """Return a plan that keeps the block tables of its first step."""
    kept = []

    def plan(kv_score, ape, paged_kv, paged_score, block_table_kv, block_table_score, *lengths, **words):
        kept.extend(table.clone() for table in (block_table_kv, block_table_score)[len(kept) :])
        return compression.plan_decode(kv_score, ape, paged_kv, paged_score, *kept, *lengths, **words)

    return plan


def plan_four_new(
    kv_score, ape, paged_kv, paged_score, block_table_kv, block_table_score, kv_lens, cu_seq_lens, cu_kv_comp, output, *, next_n, **words
):
    """Take the last FOUR new tokens of each request, where it has more."""
    ends = cu_seq_lens.tolist()
    parts = [kv_score[max(start, end - FOUR) : end] for start, end in itertools.pairwise(ends)]
    begins = torch.tensor([0, *(len(part) for part in parts)], dtype=torch.int32).cumsum(0).to(torch.int32).to(cu_seq_lens.device)
    return compression.plan_decode(torch.cat(parts), ape, paged_kv, paged_score, block_table_kv, block_table_score, kv_lens, begins,
                                   cu_kv_comp, output, next_n=min(next_n, FOUR), **words)  # fmt: skip
