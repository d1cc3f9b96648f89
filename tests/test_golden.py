"""golden: bits as somebody has reviewed them, in a file beside the suite; each kind of difference is told by name."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from pytest_gpuperf.device.arrays import view
from pytest_gpuperf.device.digest import digest_bytes
from pytest_gpuperf.errors import GpuPerfError, NotIdentical
from pytest_gpuperf.identity.golden import KEPT_BYTES, Goldens, copy_path, read_file
from pytest_gpuperf.identity.held import Held
from pytest_gpuperf.testing import FakeDevice


def operations(fake):
    from pytest_gpuperf.device.operations import Operations

    fake.open()
    return Operations(fake)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "golden" / "test_x.json"


def write(file, key, array, *, keep=None, goldens=None, who="test_x.py::test_a"):
    goldens = goldens or Goldens(file.parent.parent, update=True)
    return goldens.check(file, key, array, who, keep=keep, operations=None)


def check(file, key, array, operations=None):
    return Goldens(file.parent.parent).check(file, key, array, "test_x.py::test_a", keep=None, operations=operations)


VALUES = np.array([1.0, -0.0, np.nan, 3.0], np.float32)


def test_what_was_written_is_found_again(file):
    assert write(file, "out", VALUES) == "4 elements of float32, written in golden/test_x.json"
    assert check(file, "out", VALUES.copy()) == "4 elements of float32, as in golden/test_x.json"
    (entry,) = read_file(file).values()
    assert (entry.dtype, entry.shape, entry.nan, entry.negative_zero) == ("float32", (4,), 1, 1)


def test_the_file_has_a_sorted_line_for_each_entry_and_does_not_change_without_need(file):
    goldens = Goldens(file.parent.parent, update=True)
    for key in ("b", "a", "c"):
        write(file, key, VALUES, goldens=goldens)
    text = file.read_text()
    assert [line.split('"')[1] for line in text.splitlines()[1:-1]] == ["a", "b", "c"]
    before = file.stat().st_mtime_ns
    again = Goldens(file.parent.parent, update=True)
    assert write(file, "a", VALUES, goldens=again) == "4 elements of float32, unchanged in golden/test_x.json"
    assert (file.stat().st_mtime_ns, again.changes) == (before, {})
    assert not [one for one in file.parent.iterdir() if one.name.startswith(".")]


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (1, 0.0, r"first at \[1\]: 0x00000000 != 0x80000000 \(sign of zero\), largest 0 ulp \(this run != golden/test_x.json\)\nthey differ only in the sign of zero"),
        (0, np.nextafter(np.float32(1), np.float32(2)), r"first at \[0\]: 0x3f800001 != 0x3f800000 \(1 ulp\), largest 1 ulp"),
        (2, np.uint32(0x7FC00001).view(np.float32), r"first at \[2\]: 0x7fc00001 != 0x7fc00000 \(NaN payload\) \(this run"),
    ],
    ids=["sign of zero", "one ulp", "NaN payload"],
)
def test_an_array_that_was_kept_shows_the_elements(file, place, value, said):
    write(file, "out", VALUES)
    other = VALUES.copy()
    other[place] = value
    with pytest.raises(NotIdentical, match=said):
        check(file, "out", other)


def test_without_a_copy_digests_and_counts_are_told(file):
    write(file, "out", VALUES, keep=False)
    other = VALUES.copy()
    other[1] = 0.0
    with pytest.raises(NotIdentical, match=r"^bits differ from golden/test_x.json: digest [0-9a-f]{16} != [0-9a-f]{16}, -0.0 0 != 1 \(no copy of the array was kept: golden\(\.\.\., keep=True\)"):
        check(file, "out", other)


def test_a_copy_of_other_bits_is_no_copy(file):
    write(file, "out", VALUES)
    np.save(copy_path(file, "out"), VALUES[::-1])
    with pytest.raises(NotIdentical, match="no copy of the array was kept"):
        check(file, "out", VALUES + 1)


def test_small_arrays_are_kept_unasked_and_large_ones_where_asked(file):
    goldens = Goldens(update=True)
    large = np.zeros(KEPT_BYTES // 4 + 1, np.float32)
    write(file, "small", large[:-1], goldens=goldens)
    write(file, "large", large, goldens=goldens)
    assert copy_path(file, "small").exists()
    assert not copy_path(file, "large").exists()
    write(file, "large", large, keep=True)
    assert np.array_equal(np.load(copy_path(file, "large")), large)
    write(file, "large", large, keep=False)
    assert not copy_path(file, "large").exists()


def test_shape_and_dtype_are_part_of_it(file):
    write(file, "out", VALUES)
    with pytest.raises(NotIdentical, match=r"^golden: float32 of shape \[2, 2\], and in golden/test_x.json float32 of shape \[4\]"):
        check(file, "out", VALUES.reshape(2, 2))
    with pytest.raises(NotIdentical, match="golden: int32 of shape"):
        check(file, "out", VALUES.view(np.int32))


def test_a_missing_entry_names_the_nearest_and_the_option(file):
    with pytest.raises(NotIdentical, match=r"^golden: there is no golden/test_x.json: run with --gpuperf-update-golden to write it, and review the file$"):
        check(file, "out", VALUES)
    write(file, "out", VALUES)
    with pytest.raises(NotIdentical, match=r"golden/test_x.json has no entry 'outs' \(nearest 'out'\): run with --gpuperf-update-golden"):
        check(file, "outs", VALUES)


def test_a_file_that_cannot_be_read_is_no_missing_entry(file):
    file.parent.mkdir()
    file.write_text('{"out": {"digest": 3}}')
    with pytest.raises(GpuPerfError, match=r"cannot be read \(KeyError: 'shape'\)"):
        check(file, "out", VALUES)


def test_a_name_that_stands_twice_is_no_entry(file):
    write(file, "out", VALUES)
    line = file.read_text().splitlines()[1]
    file.write_text(f"{{\n{line},\n{line}\n}}\n")
    with pytest.raises(GpuPerfError, match=r"cannot be read \(ValueError: 'out' stands there twice\)"):
        check(file, "out", VALUES)


def test_counts_that_were_edited_by_hand_are_told(file):
    write(file, "out", VALUES)
    file.write_text(re.sub(r'"nan": \d+', '"nan": 77', file.read_text()))
    with pytest.raises(NotIdentical, match=r'^golden: the bits are those of golden/test_x.json, whose line was edited: "out": .*"nan": 77.*, needs "out": .*"nan": [01],'):
        check(file, "out", VALUES)


def test_two_cases_that_write_other_bits_under_one_name_are_told_apart(file):
    goldens = Goldens(update=True)
    write(file, "out", VALUES, goldens=goldens, who="test_x.py::test_a[1]")
    write(file, "out", VALUES, goldens=goldens, who="test_x.py::test_b")
    with pytest.raises(NotIdentical, match=r"test_a\[1\] has written other bits as 'out' in this run .* give each its own name, as f'out-\{parameter\}'"):
        write(file, "out", VALUES + 1, goldens=goldens, who="test_x.py::test_a[2]")


@pytest.mark.parametrize("nbytes", [0, 1, 7, 8, 9, 4096, 100_003])
def test_device_and_host_have_one_digest(nbytes):
    fake = FakeDevice()
    ready = operations(fake)
    values = np.random.default_rng(3).integers(0, 256, nbytes, np.uint8)
    array = fake.array(nbytes, "uint8")
    array.numpy()[:] = values
    on_device, on_host = Held("a", view(array), ready).digest(), Held("b", view(values), None).digest()
    assert on_device == on_host == digest_bytes(values)


def test_what_a_simulator_wrote_a_device_is_held_against(file):
    fake = FakeDevice()
    ready = operations(fake)
    values = np.random.default_rng(3).random((5, 7)).astype(np.float32)
    write(file, "out", values)
    array = fake.array((5, 7))
    array.numpy()[:] = values
    assert check(file, "out", array, ready).startswith("35 elements")
    array.numpy()[3, 2] = 2.0
    with pytest.raises(NotIdentical, match=r"1 of 35 elements, first at \[3, 2\]: 0x40000000 != "):
        check(file, "out", array, ready)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float16", "bool", "complex64", "int64"])
def test_torch_tensors_of_every_type(file, dtype):
    torch = pytest.importorskip("torch")
    kind = getattr(torch, dtype)
    tensor = torch.tensor([0, 1, 1, 0]).to(kind)
    write(file, "out", tensor)
    check(file, "out", tensor.clone())
    other = tensor.clone()
    other.view(torch.uint8)[0] ^= 1
    with pytest.raises(NotIdentical, match=r"bits differ: 1 of 4 elements, first at \[0\]"):
        check(file, "out", other)


def test_names_that_look_alike_have_copies_of_their_own(file):
    assert copy_path(file, "a b") != copy_path(file, "a/b")
    assert copy_path(file, "../../x").parent == file.parent / "test_x"


def test_entries_are_json_that_others_can_read(file):
    write(file, "größe", VALUES)
    assert list(json.loads(file.read_text(encoding="utf-8"))) == ["größe"]
