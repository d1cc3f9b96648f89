"""KV compression, bit for bit: kernels against the NumPy reference, on every corner where implementations go wrong.

In the simulator a window of 128 tokens takes seconds, so there the long cases begin just before a window ends.
"""

from __future__ import annotations

import numpy as np
import pytest

from kernels import compression
from kernels import compression_references as references
from suites.compressed import STORED, Engine
from suites.place import SIMULATED, Gapped

gpu_only = pytest.mark.gpuperf(gpu=True)


def grid(*rows):
    """Return cases as parameters; those whose last entry is "gpu" only where there is one."""
    return [pytest.param(*row[:-1], marks=gpu_only if row[-1] == "gpu" else [], id="-".join(map(str, row[:-1]))) for row in rows]


def steps(engine, next_n, count, start=0):
    """Decode `count` steps of `next_n` tokens from `start` on for every request; return how many rows they gave."""
    rows = 0
    for end in range(start + next_n, start + next_n * count + 1, next_n):
        rows += len(engine.decode([end] * engine.requests, [next_n] * engine.requests))
    assert rows == engine.requests * ((start + next_n * count) // engine.ratio - start // engine.ratio)
    return rows


@pytest.mark.parametrize(
    ("requests", "ratio", "head_dim", "count", "start"),
    grid((1, 4, 128, 12, 0, ""), (1, 4, 512, 2, 2, ""), (1, 128, 128, 2, 126, ""),
         (1, 4, 512, 8, 0, "gpu"), (1, 128, 128, 256, 0, "gpu"), (1, 128, 512, 256, 0, "gpu")),
)  # fmt: skip
def test_decode_token_by_token(gpuperf, place, requests, ratio, head_dim, count, start):
    assert steps(Engine(gpuperf, place, ratio, head_dim, requests=requests, tokens=start + count), 1, count, start) > 0


@pytest.mark.parametrize(
    ("requests", "ratio", "head_dim", "next_n", "count", "start"),
    grid((1, 4, 128, 4, 4, 0, ""), (1, 4, 128, 3, 6, 0, ""), (1, 4, 128, 8, 2, 3, ""), (2, 128, 128, 4, 2, 122, "gpu"), (1, 128, 128, 8, 1, 125, "gpu"),
         (1, 4, 512, 3, 6, 0, "gpu"), (2, 128, 128, 4, 128, 0, "gpu"), (1, 128, 512, 4, 128, 0, "gpu"), (1, 4, 512, 8, 2, 0, "gpu"),
         *((1, 128, 512, next_n, -(-512 // next_n), 0, "gpu") for next_n in (5, 6, 7, 8))),
)  # fmt: skip
def test_several_tokens_a_step(gpuperf, place, requests, ratio, head_dim, next_n, count, start):
    steps(Engine(gpuperf, place, ratio, head_dim, requests=requests, tokens=start + count * next_n, seed=1), next_n, count, start)


@pytest.mark.parametrize(
    ("ratio", "page", "start"),
    grid((4, 1, 3, ""), (4, 6, 3, ""), (4, 8, 3, ""), (4, 32, 3, ""), (4, 256, 3, ""), (128, 6, 125, ""), (128, 8, 125, ""),
         *((ratio, page, start, "gpu") for ratio, start in ((4, 9), (128, 381)) for page in (1, 2, 4, 12, 16, 24, 32, 64, 100, 128, 256))),
)  # fmt: skip
def test_page_sizes(gpuperf, place, ratio, page, start):
    engine = Engine(gpuperf, place, ratio, 128, page=page, tokens=start + 8, seed=2)
    assert len(engine.decode([start + 5], [5])) > 0


@pytest.mark.parametrize(
    "row", [row for row in compression.CONFIGS if not SIMULATED or (row.head_dim, row.ratio) == (128, 4)], ids=lambda row: row.name
)
@pytest.mark.parametrize("out", ["bfloat16", "float32"])
def test_every_configuration(gpuperf, place, row, out):
    start = 3 if row.ratio == 4 else 126
    engine = Engine(gpuperf, place, row.ratio, row.head_dim, requests=2, kv=row.kv, state=row.state, out=out, tokens=start + 8, seed=3)
    engine.decode([start + 3, start + 4], [3, 4])
    engine.prefill([0, 0], [row.ratio + 1, row.ratio])


@pytest.mark.parametrize(
    ("kv", "state", "out"), [("float32", "bfloat16", "bfloat16"), pytest.param("bfloat16", "bfloat16", "float32", marks=gpu_only)]
)
def test_long_windows_of_other_dtypes(gpuperf, place, kv, state, out):
    engine = Engine(gpuperf, place, 128, 128, kv=kv, state=state, out=out, tokens=136, seed=4)
    assert len(engine.decode([130], [5])) == 1


@pytest.mark.parametrize("next_n", range(1, 9))
def test_overlap_begins_with_four_rows(gpuperf, place, next_n):
    engine = Engine(gpuperf, place, 4, 128, tokens=16, seed=5)
    start = max(0, 4 - next_n)
    assert len(engine.decode([start + next_n], [next_n])) == (start + next_n) // 4


def test_requests_of_their_own_lengths(gpuperf, place):
    # One emits nothing, one two rows, one none with no tokens at all, one a row.
    engine = Engine(gpuperf, place, 4, 128, requests=4, tokens=40, seed=6)
    engine.decode([3, 16, 9, 21], [2, 8, 0, 3])
    long = Engine(gpuperf, place, 128, 128, requests=3, tokens=300, seed=6)
    assert len(long.decode([127, 130, 7], [4, 3, 7])) == 1


@pytest.mark.parametrize(("ratio", "threads"), [(4, (8, 1)), (4, (16, 4)), (4, (32, 8)), (128, (32, 1))]
                         + ([] if SIMULATED else [(ratio, (lanes, rows)) for ratio in (4, 128) for lanes in (8, 16, 32) for rows in (1, 2, 4, 8, 16)]))  # fmt: skip
def test_launch_shape_does_not_matter(gpuperf, place, ratio, threads):
    engine = Engine(gpuperf, place, ratio, 128, threads=threads, tokens=ratio + 8, seed=7)
    assert len(engine.decode([ratio + 3], [6])) == 1


@pytest.mark.parametrize("state", ["float32", pytest.param("bfloat16", marks=gpu_only)])
@pytest.mark.parametrize(("width", "next_n", "end"), grid((2, 2, 128, ""), (2, 3, 126, ""), *((width, next_n, 128, "gpu") for width in (2, 4) for next_n in (1, 5, 8)), (2, 8, 130, "gpu"), (4, 4, 120, "gpu")))  # fmt: skip
def test_columns_of_a_thread_do_not_matter(gpuperf, place, state, width, next_n, end):
    # With two columns, half of the blocks write the rows of a request that emits nothing, four columns a thread.
    engine = Engine(gpuperf, place, 128, 128, state=state, tokens=136, seed=15, threads=(8, 16))
    assert len(engine.decode([end], [next_n], width=width)) == (end >= 128)
    overlap = Engine(gpuperf, place, 4, 128, state=state, tokens=16, seed=15, threads=(8, 2))
    assert len(overlap.decode([9], [next_n], width=width)) == (9 // 4 - (9 - next_n) // 4)


@pytest.mark.parametrize("ratio", [4, 128])
@pytest.mark.parametrize("state", ["float32", pytest.param("bfloat16", marks=gpu_only)])
def test_rows_may_have_gaps(gpuperf, ratio, state):
    # Distances between rows are constants of a kernel only where none of the arrays has gaps.
    engine = Engine(gpuperf, Gapped(), ratio, 128, state=state, tokens=ratio + 8, seed=16)
    assert len(engine.decode([ratio + 2], [3])) == 1
    assert not len(engine.decode([ratio + 3], [1]))
    engine.prefill([ratio + 3], [1])


SPECIAL = {
    "all -inf": lambda score, kv: score.fill(-np.inf),
    "some -inf": lambda score, kv: score.__setitem__(slice(0, None, 2), -np.inf),
    "a partition of -inf": lambda score, kv: score.__setitem__(slice(0, 8), -np.inf),
    "+inf": lambda score, kv: score.__setitem__(1, np.inf),
    "NaN score": lambda score, kv: score.__setitem__(2, np.uint32(0xFFC12345).view(np.float32)),
    "NaN value": lambda score, kv: kv.__setitem__(2, np.uint32(0x7FA00001).view(np.float32)),
    "inf value": lambda score, kv: kv.__setitem__(3, -np.inf),
    "-0.0 values": lambda score, kv: kv.fill(-0.0),
    "subnormal values": lambda score, kv: kv.__imul__(np.float32(1e-41)),
    "far scores": lambda score, kv: score.__imul__(np.float32(40)),
    "equal scores": lambda score, kv: score.fill(0.5),
    "large values": lambda score, kv: kv.__imul__(np.float32(1e37)),
}  # fmt: skip


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("ratio", [4, pytest.param(128, marks=gpu_only)])
def test_special_numbers(gpuperf, place, ratio, special):
    engine = Engine(gpuperf, place, ratio, 128, kv="float32", out="float32", tokens=ratio + 8, seed=8)
    rows = engine.rows(ratio)
    SPECIAL[special](rows[:, engine.width :], rows[:, : engine.width])
    for t in range(0, ratio, 4):
        wanted = engine.decode([t + 4], [4], rows[t : t + 4])
    if special in ("all -inf", "NaN score", "+inf", "NaN value"):
        assert (wanted.view(np.uint32) == 0x7FC00000).all()


def test_infinities_of_long_windows(gpuperf, place):
    # Whole partitions of -inf beside others; the state was written by earlier steps, which the reference alone replays here.
    engine = Engine(gpuperf, place, 128, 128, out="float32", tokens=128, seed=9)
    for position in range(124):
        if position // 8 in (0, 3, 15):
            engine.host.row("score", 0, position)[:] = -np.inf
        if position % 8 == 2:
            engine.host.row("score", 0, position)[:8] = -np.inf
    engine.host.score[:, :, 16] = -np.inf
    engine.tensors[1].copy_(place.put(engine.host.score, "float32"))
    rows = engine.rows(4)
    rows[:, 128 + 16] = 0xFF80
    (wanted,) = engine.decode([128], [4], rows)
    assert np.isnan(wanted[16])
    assert np.isfinite(np.delete(wanted, 16)).all()


@pytest.mark.parametrize(
    ("ratio", "head_dim", "start", "count"),
    grid((4, 128, 4, 4, ""), (4, 128, 6, 5, "gpu"), (4, 128, 3, 9, ""), (4, 128, 5, 7, "gpu"), (128, 128, 125, 6, "gpu"),
         *((4, 512, *row, "gpu") for row in ((4, 4), (4, 8), (8, 8), (4, 5), (6, 4), (6, 5), (5, 7), (3, 9))),
         *((128, 128, *row, "gpu") for row in ((128, 128), (50, 206), (5, 251)))),
)  # fmt: skip
def test_chunked_prefill_is_decode(gpuperf, place, ratio, head_dim, start, count):
    whole, single = (Engine(gpuperf, place, ratio, head_dim, page=32, out="float32", tokens=start + count + 8, seed=10) for _ in range(2))
    rows = whole.rows(start + count)
    head = [engine.prefill([0], [start], rows[:start]) for engine in (whole, single)]
    assert len(head[0]) == start // ratio
    pooled = whole.prefill([start], [count], rows[start:])
    parts = []
    for t in range(start, start + count, 3):
        size = min(3, start + count - t)
        parts.append(single.decode([t + size], [size], rows[t : t + size]))
    assert np.array_equal(pooled.view(np.uint32), np.concatenate(parts).view(np.uint32))
    # And both go on alike, from what each road has left in the state.
    last = rows[:4]
    ends = [engine.decode([start + count + 4], [4], last) for engine in (whole, single)]
    assert np.array_equal(ends[0].view(np.uint32), ends[1].view(np.uint32))


@pytest.mark.parametrize(
    ("ratio", "lengths"), grid((4, (8, 12, 4, 16), ""), (4, (1, 0, 7), ""), (128, (128, 3), "gpu"), (128, (128, 256, 64, 192), "gpu"))
)
@pytest.mark.parametrize("state", ["float32", pytest.param("bfloat16", marks=gpu_only)])
def test_prefill_of_several_requests(gpuperf, place, ratio, lengths, state):
    engine = Engine(gpuperf, place, ratio, 128, requests=len(lengths), state=state, page=32, tokens=max(lengths) + 8, seed=11)
    assert len(engine.prefill([0] * len(lengths), lengths)) == sum(length // ratio for length in lengths)
    engine.decode([length + 2 for length in lengths], [2] * len(lengths))


def test_a_step_repeated_gives_the_same_state(gpuperf, place):
    engine = Engine(gpuperf, place, 4, 128, requests=2, tokens=32, seed=12)
    rows = engine.rows(11)
    first = engine.decode([9, 14], [5, 6], rows)
    kept = engine.host.copy()
    second = engine.decode([9, 14], [5, 6], rows)
    assert np.array_equal(first, second)
    assert all(np.array_equal(getattr(kept, name), getattr(engine.host, name)) for name in ("kv", "score"))


@pytest.mark.parametrize(("ratio", "start"), [(4, 5), pytest.param(128, 124, marks=gpu_only)])
def test_rollback(gpuperf, place, ratio, start):
    # Six drafts, two are accepted: the length shrinks over the end of a window and goes on with other tokens.
    engine = Engine(gpuperf, place, ratio, 128, tokens=start + 24, seed=13)
    engine.decode([start + 6], [6])
    engine.decode([start + 2 + 6], [6])
    engine.decode([start + 1 + 8], [8])


@pytest.mark.parametrize("ratio", [4, 128])
def test_accuracy_against_float64(gpuperf, place, ratio):
    engine = Engine(gpuperf, place, ratio, 128, tokens=ratio + 4, seed=14)
    before = engine.keep()
    rows = engine.rows(4)
    wanted = engine.decode([ratio + 1], [4], rows)
    args = (np.array([ratio + 1], np.int32), np.array([0, 4], np.int32), np.array([0, 1], np.int32), np.zeros((1, 128), np.float32))
    exact, naive = (references.decode(rows, engine.ape, before[0], *args, pool=pool)[1] for pool in (references.pool64, references.naive))
    exact, naive = (references.narrow(array, np.uint16).astype(int) for array in (exact, naive))
    assert np.abs(wanted.astype(int) - exact).max() <= 1
    assert (wanted != exact).sum() <= (naive != exact).sum()


def test_float64_and_exact_reference_agree_where_they_must():
    random = np.random.default_rng(1)
    scores, values = (random.standard_normal((128, 64)).astype(np.float32) for _ in range(2))
    assert np.abs(references.pool(scores, values) - references.pool64(scores, values)).max() < 1e-6
    assert STORED["bfloat16"] is np.uint16
