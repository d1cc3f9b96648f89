"""Acceptance masks, bit for bit: every variant against the reference, on the edges where implementations go wrong."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from kernels import device, masks
from pytest_gpuperf import NotIdentical
from suites import wrong_masks
from suites.batches import batch, random_batch
from suites.place import SIMULATED

gpu_only = pytest.mark.gpuperf(gpu=True)

T, F = True, False

CASES = {
    "request boundary": ([2, 1], [10, 11, 20], [[10, 99, 0], [20, 0, 0]], None, [T, F, T]),
    "second request": ([2, 2], [10, 11, 20, 21], [[10, 11, 5], [20, 99, 0]], None, [T, T, T, F]),
    "match after a mismatch": ([4], [1, 2, 3, 4], [[1, 2, 0, 4]], None, [T, T, F, F]),
    "fewer columns than drafts": ([4], [10, 20, 30, 40], [[10, 20]], None, [T, T, F, F]),
    "no columns": ([2, 1], [1, 2, 3], [[], []], 0, [F, F, F]),
    "bonus never compared": ([2, 1], [1, 2, 7], [[1, 2, 7], [7, 1, 2]], None, [T, T, T]),
    "no drafts first": ([0, 2], [5, 6], [[5, 6, 1], [5, 6, 1]], None, [T, T]),
    "no drafts in the middle": ([1, 0, 0, 1], [5, 6], [[5, 1], [9, 9], [6, 6], [6, 2]], None, [T, T]),
    "no drafts last": ([2, 0], [5, 6], [[5, 7, -1], [6, 6, 6]], None, [T, F]),
    "no drafts anywhere": ([0, 0, 0], [], [[1], [2], [3]], None, []),
    "no requests": ([], [], [], 3, []),
    "padding after the first rejection": ([3, 3], [4, 5, 6, 7, 8, 9], [[4, 0, -1, -1], [0, -1, -1, -1]], None, [T, F, F, F, F, F]),
    "one draft": ([1], [3], [[3, 8]], None, [T]),
}


def run(place, case, function, *, stream=None):
    """Run a variant on outputs full of the wrong answer; return them, with the reference's, on the device."""
    accepted = place.full((len(case.cu),), -7, "int32")
    mask = place.full((len(case.draft),), True, "bool")
    function(*(place.put(array) for array in case.arrays), accepted, mask)
    return (accepted, mask), tuple(place.put(array) for array in case.wanted)


def same(gpuperf, got, wanted):
    for mine, reference in zip(got, wanted, strict=True):
        gpuperf.identical(mine, reference)


def small_kernel(*arrays, **shape):
    """Launch the kernel with few simulated threads, or as it is launched on a GPU."""
    masks.plan(*arrays, **(shape or ({"lanes": 4, "requests": 2} if SIMULATED else {})))()


VARIANTS = [
    pytest.param(small_kernel if row.name == "kernel" else row.function, marks=[gpu_only] if row.name == "graph" else [], id=row.name)
    for row in masks.VARIANTS
]


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("function", VARIANTS)
@pytest.mark.parametrize("case", CASES)
def test_edge_cases(gpuperf, place, case, function, dtype):
    counts, draft, sampled, columns, mask = CASES[case]
    prepared = batch(counts, draft, sampled, columns, dtype)
    assert prepared.wanted[1].tolist() == mask
    same(gpuperf, *run(place, prepared, function))


@pytest.mark.parametrize("requests", [1, 2, 31, 128, 1000, 4096])
def test_batches_of_every_size(gpuperf, place, requests):
    # The simulator has a thread for each of ours, and a block of them goes on with further requests.
    most = 128 if requests <= 31 or not SIMULATED else 3
    shape = {"lanes": 2, "requests": 32, "blocks": 1} if SIMULATED else {}
    same(gpuperf, *run(place, random_batch(requests, most, seed=requests), lambda *arrays: small_kernel(*arrays, **shape)))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 3), (3, 2, 2), (2, 32, 1), (1, 3, 32)], ids=str)
def test_launch_shape_does_not_matter(gpuperf, place, shape, dtype):
    case = random_batch(17, 9, seed=5, dtype=dtype)
    blocks, lanes, requests = shape
    same(gpuperf, *run(place, case, lambda *arrays: masks.plan(*arrays, blocks=blocks, lanes=lanes, requests=requests)()))


@pytest.mark.parametrize("function", VARIANTS[:3])
def test_padding_of_a_smaller_batch(gpuperf, place, function):
    # What a captured graph holds: cu goes on with its last value, drafts beyond it are left over from before.
    inner = random_batch(5, 6, seed=11, acceptance=0.9)
    counts = np.diff(inner.cu, prepend=0)
    leftover = np.concatenate([inner.draft, inner.draft[::-1]])
    padded = batch([*counts, 0, 0, 0], leftover, [*inner.sampled, [1], [2], [3]], columns=7)
    got, _ = run(place, padded, function)
    accepted, mask = inner.wanted
    wanted = np.concatenate([accepted, np.zeros(3, np.int32)]), np.concatenate([mask, np.zeros(len(inner.draft), np.bool_)])
    same(gpuperf, got, [place.put(array) for array in wanted])


@pytest.mark.parametrize(
    "counts", [[3, 3, 3, 3, 3], [3, 3, 2, 3, 3], [3, 4, 2, 3, 3], [0, 3, 3, 3], [3, 3, 0, 0, 3], [4, 4, 4], [1, 5]], ids=str
)
@pytest.mark.parametrize("left_over", [0, 5])
def test_drafts_that_begin_where_the_kernel_guesses_and_elsewhere(gpuperf, place, counts, left_over):
    # Tokens are all different and all sampled, so a draft read from another request's place shows.
    draft = np.arange(100, 100 + sum(counts) + left_over)
    rows = np.split(draft[: sum(counts)], np.cumsum(counts)[:-1])
    case = batch(counts, draft, rows, columns=4)
    assert case.wanted[0].tolist() == [min(count, 4) for count in counts]
    same(gpuperf, *run(place, case, small_kernel))


def test_lanes_follow_the_columns():
    columns = (0, 1, 2, 5, 6, 9, 10, 17, 18, 33, 34, 1000)
    assert [masks.lanes_for(count) for count in columns] == [4, 4, 4, 4, 8, 8, 16, 16, 32, 32, 32, 32]


@pytest.mark.parametrize(
    "shape", [{"lanes": 0}, {"lanes": 4, "requests": 0}, {"lanes": 4, "requests": 33}, {"lanes": 64, "requests": 17}], ids=str
)
def test_launch_shapes_that_do_not_fit_are_refused(place, shape):
    case = random_batch(3, 2, seed=7)
    arrays = (*case.arrays, np.zeros(3, np.int32), np.zeros(len(case.draft), np.bool_))
    with pytest.raises(ValueError, match="takes at most 32 requests and 1024 threads"):
        masks.plan(*(place.put(array) for array in arrays), **shape)


def test_rows_of_sampled_may_have_gaps(gpuperf, place):
    case = random_batch(6, 5, seed=3)
    wide = place.put(np.concatenate([case.sampled, case.sampled], axis=1))[:, : case.sampled.shape[1]]
    accepted, mask = place.full((6,), -7, "int32"), place.full((len(case.draft),), True, "bool")
    small_kernel(place.put(case.draft), place.put(case.cu), wide, accepted, mask)
    same(gpuperf, (accepted, mask), [place.put(array) for array in case.wanted])


@st.composite
def ragged(draw):
    """Few tokens, so that matches after mismatches, and across the ends of requests, are common."""
    counts = draw(st.lists(st.integers(0, 7), min_size=1, max_size=9))
    token = st.integers(0, 2)
    draft = draw(st.lists(token, min_size=sum(counts), max_size=sum(counts)))
    columns = draw(st.integers(0, 8))
    sampled = [draw(st.lists(st.integers(-1, 2), min_size=columns, max_size=columns)) for _ in counts]
    return batch(counts, draft, sampled, columns, draw(st.sampled_from(["int32", "int64"])))


@hypothesis.settings(max_examples=40 if SIMULATED else 300)
@hypothesis.given(case=ragged())
def test_ragged_batches(gpuperf, place, case):
    same(gpuperf, *run(place, case, small_kernel))


@hypothesis.settings(max_examples=60)
@hypothesis.given(case=ragged())
def test_ragged_batches_of_torch(gpuperf, place, case):
    same(gpuperf, *run(place, case, masks.torch_vectorised))


@gpu_only
def test_graph_is_replayed_for_smaller_batches(gpuperf, place):
    graph = masks.Graph(64, 64 * 8, 9, dtype="int64")
    for requests, seed in ((64, 1), (3, 2), (17, 3), (1, 4)):
        case = random_batch(requests, 8, seed, dtype="int64")
        graph.load(*(place.put(array) for array in case.arrays))
        graph.replay()
        accepted, mask = case.wanted
        gpuperf.identical(graph.accepted, place.put(np.pad(accepted, (0, 64 - requests))))
        gpuperf.identical(graph.mask, place.put(np.pad(mask, (0, 64 * 8 - len(mask)))))


def test_a_left_sided_search_is_caught(gpuperf, place):
    case = batch([2, 1], [10, 11, 20], [[10, 99, 0], [20, 0, 0]])
    draft, cu, sampled = (place.put(array) for array in case.arrays)
    accepted, mask = place.full((2,), 0, "int32"), place.full((3,), True, "bool")
    launch = device.configured(wrong_masks.left_sided, 1, (4, 1), 0)
    launch(*(device.flat(device.memory(array, "input"), "int32") for array in (draft, cu, sampled)), 3, 3,
           device.flat(device.memory(accepted, "accepted"), "int32"), device.flat(device.memory(mask, "mask")))  # fmt: skip
    assert mask.tolist() == [True, False, False]
    with pytest.raises(NotIdentical):
        gpuperf.identical(mask, place.put(case.wanted[1]))


class Huge:
    """An int32 array that claims more elements than memory holds; nobody may look at them."""

    dtype = np.dtype(np.int32)

    def __init__(self, count):
        described = {"data": (4096, False), "shape": (count,), "strides": None, "typestr": "<i4", "version": 3}
        self.__array_interface__ = self.__cuda_array_interface__ = described


@pytest.mark.parametrize(("name", "what"), [("draft", "drafts"), ("cu", "requests")])
def test_counts_that_overflow_32_bits_are_refused(place, name, what):
    arrays = {"draft": np.zeros(3, np.int32), "cu": np.array([2, 3], np.int32), "sampled": np.zeros((2, 3), np.int32),
              "accepted": np.zeros(2, np.int32), "mask": np.zeros(3, np.bool_)}  # fmt: skip
    put = {key: place.put(array) for key, array in arrays.items()} | {name: Huge(masks.MAX_COUNT + 1)}
    with pytest.raises(ValueError, match=f"{name}: 1073741825 {what}, takes at most 1073741824"):
        masks.plan(*put.values())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"draft": np.zeros(3, np.int64)}, TypeError, "draft: dtype int64, needs int32"),
        ({"sampled": np.zeros((2, 3), np.float32)}, TypeError, "sampled: dtype float32, needs int32 or int64"),
        ({"sampled": np.zeros((3, 3), np.int32)}, ValueError, "sampled: 3 rows for the 2 requests of cu"),
        ({"accepted": np.zeros(4, np.int32)}, ValueError, "accepted: 4 rows for the 2 requests of cu"),
        ({"mask": np.zeros(4, np.bool_)}, ValueError, "mask: 4 elements for 3 drafts"),
        ({"cu": np.zeros((2, 1), np.int32)}, ValueError, r"cu: shape \(2, 1\) has 2 dimensions, needs 1"),
    ],
)
def test_wrong_arrays_are_refused_before_the_launch(place, change, error, message):
    arrays = {"draft": np.zeros(3, np.int32), "cu": np.array([2, 3], np.int32), "sampled": np.zeros((2, 3), np.int32),
              "accepted": np.zeros(2, np.int32), "mask": np.zeros(3, np.bool_)} | change  # fmt: skip
    with pytest.raises(error, match=message):
        masks.plan(*(place.put(array) for array in arrays.values()))
