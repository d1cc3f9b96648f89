"""KV compression, the same bits as when somebody last looked: one golden file for the reference in NumPy, the simulator and every GPU."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from kernels import compression
from kernels import compression_references as references
from suites.compressed import STORED, THREADS


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a configuration: `ends` and `counts` are tokens of each request after it, and how many of them are new."""

    name: str
    head_dim: int
    ratio: int
    kv: str
    state: str
    ends: tuple[int, ...]
    counts: tuple[int, ...]
    page: int = 8
    road: str = "decode"
    special: bool = False
    #: Takes too long in the simulator.
    large: bool = False


STEPS = (
    Step("published emit", 512, 128, "bfloat16", "float32", (128, 256), (4, 4), large=True),
    Step("emit", 128, 128, "bfloat16", "float32", (128,), (4,), large=True),
    # The output is in kv's dtype: rounded to bfloat16, 1 number in 6000 shows another order of the sums.
    Step("emit float32", 128, 128, "float32", "float32", (128,), (4,)),
    Step("emit bfloat16 state", 128, 128, "bfloat16", "bfloat16", (130, 127), (5, 4), page=6, large=True),
    Step("overlap", 128, 4, "bfloat16", "float32", (9, 4), (6, 4)),
    Step("overlap bfloat16 state", 128, 4, "bfloat16", "bfloat16", (13, 7), (5, 3), page=6),
    Step("overlap float32 special numbers", 128, 4, "float32", "float32", (16,), (8,), special=True),
    Step("overlap prefill", 128, 4, "bfloat16", "float32", (10, 3), (7, 3), road="prefill"),
)


class Source:
    """Numbers that stay the same in every version of NumPy: it promises that of the raw words, and of nothing that it makes of them."""

    def __init__(self, seed):
        self.bits = np.random.PCG64(seed)

    def words(self, count):
        return self.bits.random_raw(count)

    def numbers(self, shape, dtype="float32", scale=1):
        """Return evenly spread numbers from -2 * scale to 2 * scale, each exact in fp32, as they are stored."""
        whole = (self.words(math.prod(shape)) >> np.uint64(40)).astype(np.int64) - (1 << 23)
        return references.narrow((whole.astype(np.float32) * np.float32(scale * 2.0**-22)).reshape(shape), STORED[dtype])

    def table(self, requests, blocks):
        """Return pages for every block in some order, and a page that nobody has."""
        return np.argsort(self.words(requests * blocks + 1))[: requests * blocks].astype(np.int32).reshape(requests, blocks)


def inputs(step):
    """Return kv_score, ape, the state, lengths, cu_seq_lens, cu_kv_comp and the output before the step."""
    source = Source(step.head_dim + step.ratio)
    width = step.head_dim * (2 if step.ratio == 4 else 1)
    requests, blocks = len(step.ends), -(-max(step.ends) // step.page)
    rows = source.numbers((sum(step.counts), 2 * width), step.kv, scale=2)
    ape = source.numbers((step.ratio, width))
    pages = (requests * blocks + 1, step.page, width)
    state = references.State(*(source.numbers(pages, step.state) for _ in range(2)), *(source.table(requests, blocks) for _ in range(2)))
    if step.special:
        rows[0, :32] = -0.0
        rows[:, 32:64] = rows[:, width - 96 : width - 64] = -0.0
        state.kv[:, :, 32:64] = -0.0
        rows[2, width + 70] = np.uint32(0xFFC12345).view(np.float32)
        rows[:, width + 80 : width + 90] = -np.inf
    ends, counts = (np.array(given, np.int32) for given in (step.ends, step.counts))
    windows = ends // step.ratio - (ends - counts) // step.ratio
    cu, comp = (np.concatenate([[0], np.cumsum(given)]).astype(np.int32) for given in (counts, windows))
    output = np.zeros((int(comp[-1]), step.head_dim), STORED[step.kv])
    return rows, ape, state, ends if step.road == "decode" else ends - counts, cu, comp, output


def looked_at(gpuperf, step, arrays):
    """Hold the output and both parts of the state against the golden file."""
    for part, array in zip(("output", "kv", "score"), arrays, strict=True):
        gpuperf.golden(f"{step.name}: {part}", array)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_reference_is_bit_identical_to_before(gpuperf, place, step):
    state, output = getattr(references, step.road)(*inputs(step))
    arrays = ((output, step.kv), (state.kv, step.state), (state.score, step.state))
    looked_at(gpuperf, step, [place.put(array, dtype).cpu() for array, dtype in arrays])


@pytest.mark.parametrize(
    "step", [pytest.param(step, id=step.name, marks=pytest.mark.gpuperf(gpu=True) if step.large else []) for step in STEPS]
)
def test_the_kernel_is_bit_identical_to_before(gpuperf, place, step):
    rows, ape, state, lengths, cu, comp, output = inputs(step)
    kept = [place.put(array, step.state) for array in (state.kv, state.score)]
    out = place.put(output, step.kv)
    plan = getattr(compression, f"plan_{step.road}")
    words = {"next_n": max(step.counts)} if step.road == "decode" else {}
    plan(place.put(rows, step.kv), place.put(ape), *kept, place.put(state.kv_table), place.put(state.score_table),
         *(place.put(array) for array in (lengths, cu, comp)), out, threads=THREADS, validate=True, **words)()  # fmt: skip
    looked_at(gpuperf, step, [out, *kept])
