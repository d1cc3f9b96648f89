from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpuperf.device.operations import Operations
from pytest_gpuperf.errors import NotClose, NotIdentical
from pytest_gpuperf.identity.bits import identical
from pytest_gpuperf.identity.close import close
from pytest_gpuperf.identity.formats import FORMATS, decode, is_nan, ulps
from pytest_gpuperf.testing import FakeDevice

DTYPES = ("float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "bool", "int8", "int64", "complex64", "complex128")


def first_line(a, b, **keywords):
    with pytest.raises(NotIdentical) as caught:
        identical(a, b, **keywords)
    return str(caught.value).splitlines()[0]


def whole(a, b):
    with pytest.raises(NotIdentical) as caught:
        identical(a, b)
    return str(caught.value)


def test_the_message_is_the_whole_story():
    a = np.ones((4, 8192), "float32")
    b = a.copy()
    a.view("u4")[0, 4711] += 1
    a.view("u4")[3, 7] += 3
    assert first_line(a, b) == "bits differ: 2 of 32,768 elements, first at [0, 4711]: 0x3f800001 != 0x3f800000 (1 ulp), largest 3 ulp"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(DTYPES), st.integers(1, 40), st.data())
def test_any_flipped_bit_is_found_where_it_is(name, count, data):
    kind = np.dtype(getattr(ml_dtypes, name, name))
    raw = np.frombuffer(data.draw(st.binary(min_size=count * kind.itemsize, max_size=count * kind.itemsize)), np.uint8).copy()
    other = raw.copy()
    bit = data.draw(st.integers(0, raw.size * 8 - 1))
    other[bit // 8] ^= 1 << (bit % 8)
    assert identical(raw.view(kind), raw.copy().view(kind)).endswith("raw bits")
    assert f"1 of {count} elements, first at [{bit // 8 // kind.itemsize}]:" in first_line(raw.view(kind), other.view(kind))


def test_signs_of_zero_and_nan_payloads_count_and_are_named():
    text = whole(np.array([0.0, 1.0], "float16"), np.array([-0.0, 1.0], "float16"))
    assert text.endswith("0x0000 != 0x8000 (sign of zero), largest 0 ulp\nthey differ only in the sign of zero")
    cuda, x86 = np.array([0x7FFFFFFF, 0], "u4").view("f4"), np.array([0xFFC00000, 0], "u4").view("f4")
    assert whole(cuda, x86).endswith("0x7fffffff != 0xffc00000 (NaN payload)\nthey differ only in NaN payloads")


def test_nan_against_a_number_is_said_apart_from_distances():
    a, b = np.array([np.nan, 2.0, 1.0], "float32"), np.array([1.0, 2.0000002, 1.0], "float32")
    assert first_line(a, b).endswith("(NaN), largest 1 ulp, 1 NaN against a number")
    both = whole(np.array([np.nan, 0.0], "float32"), np.array([1.0, -0.0], "float32"))
    assert "only" not in both


@pytest.mark.parametrize("kind", ["int32", "bool", "uint8"])
def test_integers_have_no_ulp(kind):
    a, b = np.zeros(3, kind), np.ones(3, kind)
    b[0] = 0
    width = 2 * np.dtype(kind).itemsize
    assert first_line(a, b) == f"bits differ: 2 of 3 elements, first at [1]: 0x{0:0{width}x} != 0x{1:0{width}x}"


def test_complex_numbers_differ_by_parts():
    a, b = np.array([1 + 1j], "complex64"), np.array([1 + 1j], "complex64")
    b.view("u4")[1] += 2
    assert first_line(a, b).endswith("(0x3f800000, 0x3f800000) != (0x3f800000, 0x3f800002) (2 ulp), largest 2 ulp")


def test_shape_and_dtype_have_their_own_messages():
    assert first_line(np.zeros((2, 3)), np.zeros(6)) == "shapes differ: [2, 3] != [6]"
    assert first_line(np.zeros(2, "int32"), np.zeros(2, "float32")) == "dtypes differ: int32 != float32 (both of shape [2])"


def test_frameworks_and_layouts_do_not_matter():
    values = np.arange(12, dtype="float32").reshape(3, 4)
    assert identical(torch.from_numpy(values.copy()).T, np.asfortranarray(values).T) == "12 elements of float32, raw bits"
    half = torch.arange(4).to(torch.bfloat16)
    assert identical(half, np.arange(4).astype(ml_dtypes.bfloat16)).startswith("4 elements of bfloat16")
    assert identical(torch.tensor([1 + 2j]).conj(), np.array([1 - 2j], "complex64"))
    assert first_line(torch.tensor([1 + 2j]).conj(), np.array([1 + 2j], "complex64")).startswith("bits differ: 1 of 1 elements")


def test_scalars_empty_arrays_and_records():
    assert identical(np.float32(1), np.float32(1)) == "1 element of float32, raw bits"
    assert "first at []" in first_line(np.array(1.0), np.array(2.0))
    assert identical(np.zeros((0, 3)), np.zeros((0, 3))) == "0 elements of float64, raw bits"
    record = [("a", "i4"), ("b", "u1")]
    assert first_line(np.array([(1, 2)], record), np.array([(1, 3)], record)) == "bits differ: 1 of 1 elements, first at [0]: 0x0100000002 != 0x0100000003"


def test_an_array_compared_with_itself_is_said_to_be():
    array = np.zeros(3)
    assert identical(array, array).endswith("(one and the same memory)")


def test_two_arrays_on_the_device_are_compared_there():
    fake = FakeDevice()
    operations = Operations(fake)
    a, b = fake.array((64, 64)), fake.array((64, 64))
    a.numpy()[:] = b.numpy()[:] = 1.0
    assert identical(a, b, operations=operations) == "4,096 elements of float32, raw bits"
    brought = sum(1 for name in fake.calls.elements() if name == "download")
    assert brought == 1  # the count alone
    assert identical(a[:, ::3], b[:, ::3], operations=operations) == "1,408 elements of float32, raw bits"
    b.numpy()[5, 6] = -1.0
    assert "1 of 4,096 elements, first at [5, 6]: 0x3f800000 != 0xbf800000" in first_line(a, b, operations=operations)
    assert "first at [5, 2]" in first_line(a[:, ::3], b[:, ::3], operations=operations)
    assert identical(a[:, ::4], b[:, ::4], operations=operations)


def test_device_against_host_and_device_without_a_device():
    fake = FakeDevice()
    a = fake.array(4, "int16")
    a.numpy()[:] = np.arange(4)
    assert identical(a, np.arange(4, dtype="int16"), operations=Operations(fake))
    assert "first at [3]" in first_line(np.array([0, 1, 2, 4], "int16"), a, operations=Operations(fake))
    with pytest.raises(ValueError, match="no device is open"):
        identical(a, np.arange(4, dtype="int16"))


@pytest.mark.parametrize("form", [row for row in FORMATS if row.bits <= 16], ids=lambda row: row.name)
def test_every_word_of_a_small_format_decodes_and_orders_as_ml_dtypes_has_it(form):
    kind = np.dtype(getattr(ml_dtypes, form.name, form.name))
    words = np.arange(1 << form.bits, dtype=f"u{form.itemsize}")
    with np.errstate(invalid="ignore"):
        truth = words.view(kind).astype(np.float64)
    np.testing.assert_array_equal(decode(words, form), truth)
    np.testing.assert_array_equal(is_nan(words, form), np.isnan(truth))
    numbers = np.unique(truth[~np.isnan(truth)])
    in_order = words[np.argsort(truth, kind="stable")][: int((~np.isnan(truth)).sum())]
    steps = ulps(in_order[:-1], in_order[1:], form)
    assert set(steps.tolist()) <= {0, 1}
    assert int(steps.sum()) == len(numbers) - 1


def test_ulp_distance_of_the_furthest_doubles_does_not_overflow():
    form = next(row for row in FORMATS if row.name == "float64")
    far = ulps(np.array([-math.inf]).view("u8"), np.array([math.inf]).view("u8"), form)
    assert int(far[0]) == 2 * 0x7FF0_0000_0000_0000


def message(a, b, **keywords):
    with pytest.raises(NotClose) as caught:
        close(a, b, **keywords)
    return str(caught.value)


def test_close_reports_the_worst_element():
    a, b = np.array([[1.0, 2.0], [3.0, 4.5]]), np.array([[1.0, 2.1], [3.0, 4.0]])
    assert message(a, b, rtol=0.01) == "not close: 2 of 4 elements beyond rtol 0.01, worst at [1, 1]: 4.5 != 4 (differs by 0.5, allowed 0.04)"
    assert close(a, b, atol=0.6) == "4 elements of float64 within atol 0.6, worst 0.5"
    assert message(np.float32([1, 1]), np.float32([1, 1.0000005]), ulp=3) == "not close: 1 of 2 elements beyond 3 ulp, worst at [1]: 1 != 1.00000048 (4 ulp)"


def test_ulp_counts_across_zero_and_in_small_formats():
    assert close(np.float32([-1e-45, 2]), np.float32([1e-45, 3]) - np.float32([0, 1]), ulp=2).endswith("worst 2 ulp")
    a = torch.tensor([1.0, 2.0]).to(torch.bfloat16)
    b = (a.view(torch.int16) + 2).view(torch.bfloat16)
    assert close(a, b, ulp=2)
    assert "beyond 1 ulp" in message(a, b, ulp=1)


def test_dtypes_may_differ_for_rtol_alone():
    reference = np.array([1.0, 3.0], "float32")
    assert close(torch.tensor([1.0, 3.0]).to(torch.bfloat16), reference, rtol=1e-2)
    with pytest.raises(TypeError, match="one floating dtype, not bfloat16 and float32"):
        close(reference.astype(ml_dtypes.bfloat16), reference, ulp=1)
    with pytest.raises(TypeError, match="one floating dtype"):
        close(np.arange(3), np.arange(3), ulp=1)


def test_nan_and_infinity_match_only_themselves():
    assert close(np.array([np.nan, np.inf, 1.0]), np.array([np.nan, np.inf, 1.0]), rtol=0.1)
    for other in (np.nan, np.inf, -np.inf):
        for a, b in ((1.0, other), (other, 1.0)):
            assert "NaN and infinity match only themselves" in message(np.array([a, 5.0]), np.array([b, 5.0]), atol=1e9)
    assert "match only themselves" in message(np.float32([np.inf, 0]), np.float32([3.4028235e38, 0]), ulp=5)


@pytest.mark.parametrize("stuck", [0.0, -3.0, np.nan])
def test_a_constant_output_fails_however_wide_the_tolerance(stuck):
    text = message(np.full(4, stuck), np.array([1.0, 2.0, 3.0, 2.0]), atol=100.0)
    assert text == f"the output is {stuck:g} in all 4 elements, while the reference runs from 1 to 3: was it written at all?"


def test_a_constant_reference_may_have_a_constant_output():
    assert close(np.zeros(4), np.full(4, 1e-9), atol=1e-6)
    assert close(np.zeros(1), np.full(1, 1e-9), atol=1e-6)
    assert close(np.ones(3, "float32"), np.array([1, 1.00001, 1]), rtol=1e-4)
    assert close(np.ones(3, ml_dtypes.bfloat16), np.array([1, 1.003, 1]), rtol=1e-2)
    assert close(np.full(3, 1 + 2j), np.array([1 + 2j, 1.00001 + 2j, 1 + 2j]), rtol=1e-2)
    assert "written at all" in message(np.ones(3, "float32"), np.array([1, 1.003, 1]), rtol=1e-2)


def test_integers_are_compared_without_overflow():
    a, b = np.array([-(2**63), 5]), np.array([2**63 - 1, 5])
    assert "differs by 1.84467e+19" in message(a, b, atol=10)
    assert close(np.array([3, 200], "uint8"), np.array([4, 199], "uint8"), atol=1)


def test_complex_numbers_are_judged_by_their_parts():
    a, b = np.array([1 + 1j, 2 + 2j]), np.array([1 + 1j, 2 + 3j])
    assert "worst at [1] (imaginary part): 2 != 3" in message(a, b, atol=0.5)


@pytest.mark.parametrize(
    ("keywords", "error"),
    [({}, TypeError), ({"ulp": 1, "rtol": 0.1}, TypeError), ({"rtol": -1}, ValueError), ({"atol": math.nan}, ValueError), ({"ulp": 1.5}, ValueError)],
)
def test_bad_tolerances_are_refused(keywords, error):
    with pytest.raises(error, match="close"):
        close(np.zeros(2), np.zeros(2), **keywords)


def test_close_needs_numbers_and_one_shape():
    assert message(np.zeros(2), np.zeros(3), rtol=0.1) == "shapes differ: [2] != [3]"
    with pytest.raises(TypeError, match="holds no numbers"):
        close(np.zeros(2, "M8[s]"), np.zeros(2, "M8[s]"), rtol=0.1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=20), st.integers(0, 6), st.data())
def test_close_in_ulp_agrees_with_counting_steps(values, steps, data):
    b = np.array(values, "float32")
    at = data.draw(st.integers(0, len(values) - 1))
    a = b.copy()
    for _ in range(steps):
        a[at] = np.nextafter(a[at], np.float32(np.inf))
    if not np.isfinite(a).all() or (a == a[0]).all():
        return
    assert close(a, b, ulp=steps)
    if steps:
        assert f"({steps} ulp)" in message(a, b, ulp=steps - 1)
