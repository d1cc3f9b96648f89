"""KV staging, bit for bit: properties of write_all and commit_masked against NumPy, for every dtype, stride and launch shape."""

from __future__ import annotations

import dataclasses

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from numba import cuda

from kernels import references, staging
from pytest_gpuperf import NotIdentical
from suites.place import SIMULATED
from suites.rows import staged

DTYPES = staging.DTYPES
#: rows, heads, depth; the simulator has a thread for each of ours
SIZES = [(5, 1, 64), (40, 1, 64), (5, 8, 64), (6, 1, 256)] + (
    [] if SIMULATED else [(n, h, d) for n in (5, 40, 112, 288, 1152, 8192) for h in (1, 8) for d in (64, 128, 256)]
)


def write(place, step, **shape):
    """Run write_all; return both caches."""
    tensors = step.tensors(place)
    staging.plan_write_all(*tensors, **shape)()
    return tensors[2:4]


def commit(place, step, mask=None, **shape):
    """Run commit_masked; return both caches."""
    tensors = step.tensors(place)
    staging.plan_commit_masked(*tensors, place.put(step.mask if mask is None else mask), **shape)()
    return tensors[2:4]


def same(gpuperf, got, wanted):
    for mine, reference in zip(got, wanted, strict=True):
        gpuperf.identical(mine, reference)


def wanted(place, step, mask=None):
    """Both caches by the reference; without a mask every row is written."""
    pairs = ((step.key, step.key_cache), (step.value, step.value_cache))
    if mask is None:
        results = (references.write_all(source, cache, step.slots) for source, cache in pairs)
    else:
        results = (references.commit_masked(source, cache, step.slots, mask) for source, cache in pairs)
    return tuple(place.put(result, step.dtype) for result in results)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_write_all(gpuperf, place, size, dtype):
    step = staged(*size, dtype, skipped=2)
    same(gpuperf, write(place, step), wanted(place, step))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("slots", ["contiguous", "scattered"])
def test_commit_masked(gpuperf, place, slots, rate):
    step = staged(40, rate=rate, slots=slots, skipped=3)
    same(gpuperf, commit(place, step), wanted(place, step, step.mask))


@pytest.mark.parametrize("dtype", DTYPES)
def test_p1_commit_of_all_is_write_all(gpuperf, place, dtype):
    step = staged(12, 2, 64, dtype, skipped=1)
    same(gpuperf, commit(place, step, np.ones(12, np.bool_)), write(place, step))


@pytest.mark.parametrize("size", [16, 32])
def test_p2_other_slots_keep_their_bytes(gpuperf, place, size):
    step = staged(20, size=size, seed=2, skipped=2)
    key_cache, value_cache = commit(place, step)
    others = np.ones(step.key_cache.shape[0] * size, np.bool_)
    others[step.slots[step.mask & (step.slots >= 0)]] = False
    assert others[step.slots[~step.mask & (step.slots >= 0)]].all()
    selected = place.put(others)
    for after, before in ((key_cache, step.key_cache), (value_cache, step.value_cache)):
        gpuperf.identical(after.flatten(0, 1)[selected], place.put(before, step.dtype).flatten(0, 1)[selected])


@pytest.mark.parametrize("shape", [(1, (1, 1)), (1, (3, 2)), (2, (8, 1)), (5, (2, 4)), (7, (32, 1))], ids=str)
def test_p4_launch_shape_does_not_matter(gpuperf, place, shape):
    step = staged(9, 2, 64, skipped=1)
    blocks, threads = shape
    same(gpuperf, write(place, step, blocks=blocks, threads=threads), wanted(place, step))
    same(gpuperf, commit(place, step, blocks=blocks, threads=threads), wanted(place, step, step.mask))


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_p5_committed_rows_are_those_of_the_mask(gpuperf, place, rate):
    step = staged(40, depth=8, rate=rate, seed=5)
    # The sources hold no row of the cache: a slot that changed is a row that was committed.
    clean = dataclasses.replace(step, key_cache=np.zeros_like(step.key_cache), value_cache=np.zeros_like(step.value_cache),
                                key=step.key | 1, value=step.value | 1)  # fmt: skip
    for cache in commit(place, clean):
        assert int((cache.view(torch.int16) != 0).flatten(2).any(-1).sum()) == step.mask.sum()


def test_p6_negative_slots_are_ignored(gpuperf, place):
    step = staged(12, skipped=12)
    same(gpuperf, write(place, step), (place.put(step.key_cache, step.dtype), place.put(step.value_cache, step.dtype)))


@pytest.mark.parametrize("gap", [1, 3, 8, 64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_p8_rows_may_have_gaps(gpuperf, place, dtype, gap):
    # gap * itemsize is no multiple of 16 in some of these: rows then move as single bytes.
    step = staged(6, 1, 32, dtype, seed=8)
    key, value, key_cache, value_cache, slots = step.tensors(place)
    rows = torch.cat([key.flatten(1), value.flatten(1), key.flatten(1)[:, :1].repeat(1, gap)], dim=1)
    before = rows.clone()
    plan = staging.plan_write_all(rows[:, :32].unflatten(1, (1, 32)), rows[:, 32:64].unflatten(1, (1, 32)), key_cache, value_cache, slots)
    assert (plan.vectors > 0) == (rows.stride(0) * rows.element_size() % 16 == 0)
    plan()
    same(gpuperf, (key_cache, value_cache), wanted(place, step))
    gpuperf.identical(rows, before)


@pytest.mark.parametrize(("heads", "depth", "dtype"), [(1, 5, "float16"), (3, 7, "bfloat16"), (1, 1, "float32"), (2, 3, "float32")])
def test_rows_that_16_bytes_do_not_divide(gpuperf, place, heads, depth, dtype):
    step = staged(9, heads, depth, dtype, skipped=1)
    same(gpuperf, commit(place, step), wanted(place, step, step.mask))


def test_vectors_and_a_tail_of_bytes(gpuperf, place):
    # 44 bytes a row at a distance of 48: two vectors and twelve bytes.
    step = staged(6, 1, 11, "float32", slots="contiguous")

    def apart(tensor):
        wide = place.full((*tensor.shape[:-1], 12), 0.0, "float32")
        wide[..., :11] = tensor
        return wide[..., :11]

    key, value, key_cache, value_cache, slots = step.tensors(place)
    caches = apart(key_cache), apart(value_cache)
    plan = staging.plan_write_all(apart(key), apart(value), *caches, slots)
    assert (plan.vectors, plan.row_bytes) == (2, 44)
    plan()
    same(gpuperf, caches, wanted(place, step))


@pytest.mark.skipif(not SIMULATED, reason="only the simulator shows each access")
@pytest.mark.parametrize("threads", [(4, 2), (8, 4), (2, 1)])
def test_no_access_leaves_its_array(place, monkeypatch, threads):
    # Three vectors a row: some lanes have none, and the last block has rows too many.
    def inside(access):
        def checked(array, index, *stored):
            assert 0 <= index <= array.shape[0] - 16
            return access(array, index, *stored)

        return checked

    monkeypatch.setattr(staging, "load16", inside(staging.load16))
    monkeypatch.setattr(staging, "store16", inside(staging.store16))
    step = staged(5, 3, 8, skipped=1)
    write(place, step, threads=threads)
    commit(place, step, threads=threads)


@pytest.mark.parametrize("slot_dtype", ["int32", "int64"])
@pytest.mark.parametrize("size", [16, 32])
def test_caches_of_one_allocation(gpuperf, place, size, slot_dtype):
    # [blocks, 2, block_size, H, D], as engines keep K and V together: blocks have gaps, and both caches share one span of memory.
    step = staged(12, size=size, seed=4, slot_dtype=slot_dtype, skipped=1)
    key, value, key_cache, value_cache, slots = step.tensors(place)
    both = torch.stack([key_cache, value_cache], dim=1).contiguous()
    staging.commit_masked(key, value, both[:, 0], both[:, 1], slots, place.put(step.mask))
    same(gpuperf, (both[:, 0], both[:, 1]), wanted(place, step, step.mask))


def test_numba_arrays(gpuperf, place):
    step = staged(6)
    arrays = [cuda.to_device(array.view(np.float16)) for array in (step.key, step.value, step.key_cache, step.value_cache)]
    staging.commit_masked(*arrays, cuda.to_device(step.slots), cuda.to_device(step.mask.astype(np.uint8)))
    same(gpuperf, arrays[2:], wanted(place, step, step.mask))


def test_no_rows(gpuperf, place):
    step = staged(0)
    same(gpuperf, write(place, step), wanted(place, step))


@hypothesis.settings(max_examples=30 if SIMULATED else 200)
@hypothesis.given(rows=st.integers(1, 9), heads=st.integers(1, 3), depth=st.integers(1, 20), dtype=st.sampled_from(DTYPES),
                  size=st.sampled_from([1, 16, 24]), skipped=st.integers(0, 1), seed=st.integers(0, 99))  # fmt: skip
def test_ragged_rows(gpuperf, place, rows, heads, depth, dtype, size, skipped, seed):
    step = staged(rows, heads, depth, dtype, size=size, seed=seed, skipped=skipped)
    threads = (4, 2) if SIMULATED else None
    same(gpuperf, write(place, step, threads=threads), wanted(place, step))
    same(gpuperf, commit(place, step, threads=threads), wanted(place, step, step.mask))


def test_a_row_too_many_is_caught(gpuperf, place):
    step = staged(12, seed=1)
    more = step.mask.copy()
    more[np.flatnonzero(~more)[0]] = True
    with pytest.raises(NotIdentical):
        same(gpuperf, commit(place, step, more), wanted(place, step, step.mask))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"key": ((4, 1, 8), "int16")}, TypeError, "key: dtype int16, needs float16 or bfloat16 or float32"),
        ({"value": ((4, 1, 8), "float32")}, TypeError, "value: dtype float32 beside key's float16"),
        ({"key_cache": ((2, 16, 1, 8), "bfloat16")}, TypeError, "key_cache: dtype bfloat16 beside key's float16"),
        ({"value": ((5, 1, 8), "float16")}, ValueError, r"value: shape \(5, 1, 8\) beside \(4, 1, 8\) of key"),
        (
            {"value_cache": ((3, 16, 1, 8), "float16")},
            ValueError,
            r"value_cache: shape \(3, 16, 1, 8\) beside \(2, 16, 1, 8\) of key_cache",
        ),
        ({"key": ((4, 8), "float16")}, ValueError, r"key: shape \(4, 8\) has 2 dimensions, needs 3"),
        (
            {"key": ((4, 1, 4), "float16"), "value": ((4, 1, 4), "float16")},
            ValueError,
            r"key_cache: heads and depth \(1, 8\) beside key's \(1, 4\)",
        ),
        ({"slots": ((3,), "int64")}, ValueError, "slot_mapping: 3 entries for the 4 rows of key"),
        ({"slots": ((4,), "float32")}, TypeError, "slot_mapping: dtype float32, needs int32 or int64"),
        ({"mask": ((4,), "int32")}, TypeError, "mask: dtype int32, needs bool or uint8"),
    ],
)
def test_wrong_arrays_are_refused_before_the_launch(place, change, error, message):
    specs = {"key": ((4, 1, 8), "float16"), "value": ((4, 1, 8), "float16"), "key_cache": ((2, 16, 1, 8), "float16"),
             "value_cache": ((2, 16, 1, 8), "float16"), "slots": ((4,), "int64"), "mask": ((4,), "bool")} | change  # fmt: skip
    with pytest.raises(error, match=message):
        staging.plan_commit_masked(*(place.full(shape, 0, dtype) for shape, dtype in specs.values()))


def test_gaps_inside_a_row_are_refused(place):
    key, value, key_cache, value_cache, slots = staged(4, 2, 8).tensors(place)
    with pytest.raises(ValueError, match=r"key: strides .* leave gaps inside a row"):
        staging.write_all(key.transpose(1, 2).contiguous().transpose(1, 2), value, key_cache, value_cache, slots)


def test_odd_block_size_with_gaps_is_refused(place):
    key, value, key_cache, value_cache, slots = staged(4, size=24).tensors(place)
    both = torch.stack([key_cache, value_cache, key_cache], dim=1).contiguous()
    both = torch.cat([both, both])
    with pytest.raises(ValueError, match="block size 24 with gaps between blocks"):
        staging.write_all(key, value, both[:, 0], both[:, 1], slots)
