from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpuperf.device.arrays import view
from pytest_gpuperf.device.operations import Operations, blocks_for, rows_of
from pytest_gpuperf.testing import FakeDevice
from pytest_gpuperf.testing.kernels import digest

WORD = 0x0807060504030201


@pytest.fixture
def fake():
    return FakeDevice()


@pytest.fixture
def operations(fake):
    return Operations(fake)


def filled(fake, shape, dtype="int32"):
    array = fake.array(shape, dtype)
    array.numpy()[...] = np.arange(array.numpy().size).reshape(shape)
    return array


CUTS = {
    "contiguous": np.s_[...],
    "rows": np.s_[:, 1:, :],
    "step": np.s_[:, :, ::2],
    "reversed": np.s_[::-1, :, ::-1],
    "one": np.s_[1:2, 2:3, 3:4],
    "scalar": np.s_[1, 2, 3:4],
    "empty": np.s_[:, 2:2, :],
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_snapshot_and_its_restoration_touch_the_array_and_nothing_else(fake, operations, cut):
    whole = filled(fake, (3, 4, 5))
    part = whole[CUTS[cut]]
    before, packed = whole.numpy().copy(), part.numpy().copy()
    aside = fake.alloc(max(part.nbytes, 1))
    operations.snapshot(view(part), aside, 0)
    assert fake.download(aside, part.nbytes) == packed.tobytes()
    part.numpy()[...] = -1
    operations.restore(view(part), aside, 0)
    np.testing.assert_array_equal(whole.numpy(), before)


@pytest.mark.parametrize("cut", CUTS)
def test_fill_follows_the_packed_bytes_and_stays_inside(fake, operations, cut):
    whole = filled(fake, (3, 4, 5), "int16")
    part = whole[CUTS[cut]]
    outside = np.ones(whole.shape, bool)
    outside[CUTS[cut]] = False
    before = whole.numpy().copy()
    operations.fill(view(part), WORD, 0)
    want = np.resize(np.arange(1, 9, dtype=np.uint8), part.nbytes)
    assert part.numpy().tobytes() == want.tobytes()
    np.testing.assert_array_equal(whole.numpy()[outside], before[outside])


@pytest.mark.parametrize("cut", CUTS)
def test_a_digest_is_that_of_the_packed_bytes(fake, operations, cut):
    part = filled(fake, (3, 4, 5))[CUTS[cut]]
    slot = fake.alloc(8)
    fake.memset(slot, 0xFF, 8, 0)
    operations.digest(view(part), slot, 0)
    packed = part.numpy().tobytes()
    want = digest(np.frombuffer(packed + bytes(-len(packed) % 8), "<u8"))
    assert int.from_bytes(fake.download(slot, 8), "little") == want


@pytest.mark.parametrize("cut", CUTS)
def test_download_brings_packed_bytes(fake, operations, cut):
    part = filled(fake, (3, 4, 5))[CUTS[cut]]
    assert operations.download(view(part)).tobytes() == part.numpy().tobytes()


def test_download_of_a_host_array_needs_no_device_call(fake, operations):
    before = fake.calls.total()
    assert operations.download(view(np.arange(3)[::-1])).view(int).tolist() == [2, 1, 0]
    assert fake.calls.total() == before


def test_differ_counts_words(fake, operations):
    a, b = filled(fake, 100), filled(fake, 100)
    count = lambda: operations.differ(view(a).address, view(b).address, a.nbytes, 0)  # noqa: E731
    assert count() == 0
    b.numpy()[[3, 50, 52]] += 1
    assert count() == 3
    b.numpy()[2] += 1  # in the word of element 3
    assert count() == 3


def test_tables_and_scratch_are_made_once_and_all_freed(fake, operations):
    free = fake.memory()[0]
    parts = [filled(fake, (8, 8))[:, ::2] for _ in range(3)]
    with_arrays = fake.memory()[0]
    for part in parts:
        operations.prepare(view(part), 0)
    made = fake.calls["alloc"]
    for part in parts * 2:
        operations.fill(view(part), WORD, 0)
        operations.download(view(part))
    assert fake.calls["alloc"] == made == 2
    assert fake.calls["upload"] == 1
    operations.close()
    assert fake.memory()[0] == with_arrays
    operations.fill(view(parts[0]), WORD, 0)
    operations.close()
    del parts, part
    assert fake.memory()[0] == free


def test_scratch_grows_for_a_larger_array(fake, operations):
    small, large = filled(fake, (4, 4))[:, ::2], filled(fake, (64, 64))[:, ::2]
    for part in (small, large, small):
        assert operations.download(view(part)).tobytes() == part.numpy().tobytes()


def test_a_failed_upload_leaves_nothing_allocated(fake, operations, monkeypatch):
    part = filled(fake, (4, 4))[:, ::2]
    free = fake.memory()[0]

    def refuse(target, data):
        raise RuntimeError

    monkeypatch.setattr(fake, "upload", refuse)
    with pytest.raises(RuntimeError):
        operations.prepare(view(part), 0)
    assert fake.memory()[0] == free


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rows_are_the_longest_inner_runs(data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=0, max_size=4))
    whole = np.arange(int(np.prod(shape)), dtype="int32").reshape(shape)
    order = data.draw(st.permutations(range(len(shape))))
    cuts = tuple(data.draw(st.sampled_from([slice(None), slice(None, None, -1), slice(None, None, 2), slice(1, None)])) for _ in shape)
    part = whole.transpose(order)[cuts] if shape else whole
    if not part.size:
        return
    rows = rows_of(part.shape, part.strides, 4)
    start = part.__array_interface__["data"][0] - whole.ctypes.data
    packed = b"".join(whole.tobytes()[start + one : start + one + rows.row_bytes] for one in rows.offsets.tolist())
    assert packed == part.tobytes()
    if part.flags.c_contiguous:
        assert rows.count == 1


def test_a_padded_row_is_one_row():
    rows = rows_of((4, 2, 8), (256, 32, 4), 4)
    assert (rows.row_bytes, rows.count) == (64, 4)


def test_blocks_grow_with_the_bytes_up_to_a_wave():
    assert [blocks_for(nbytes, 10) for nbytes in (0, 1, 16384, 16385, 1 << 40)] == [1, 1, 1, 2, 80]
