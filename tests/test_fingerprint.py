"""The record of a body's inputs: equal for equal bits wherever they lie, other for other bits, shapes, dtypes and numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_gpuperf.device.operations import Operations
from pytest_gpuperf.testing import FakeDevice
from pytest_gpuperf.timing.body import Body
from pytest_gpuperf.timing.fingerprint import inputs_record


@pytest.fixture
def device():
    device = FakeDevice()
    device.open()
    return device


@pytest.fixture
def record(device):
    operations = Operations(device)

    def record(*sets, inout=(), outputs=(), **keywords):
        return inputs_record(device, operations, Body(print, sets or ((),), keywords), inout, 0, outputs)

    return record


def filled(device, values, dtype="float32"):
    array = device.array(np.shape(values), dtype=dtype)
    array.numpy()[...] = values
    return array


def test_addresses_do_not_matter_and_bits_do(device, record):
    first, again = filled(device, [1, 2, 3]), filled(device, [1, 2, 3])
    zero, minus = filled(device, [0.0]), filled(device, [-0.0])
    assert record((first,)) == record((again,)) == record((first,))
    assert record((zero,))["digests"] != record((minus,))["digests"]
    assert record((first,))["shapes"] == ["float32 3"]


def test_shapes_and_dtypes_matter_where_bytes_are_the_same(device, record):
    records = [record((filled(device, np.zeros(shape), dtype),)) for shape, dtype in (((4, 1), "float32"), ((2, 2), "float32"), ((2, 2), "int32"))]
    assert len({tuple(one["shapes"]) for one in records}) == 3
    assert len({tuple(one["digests"]) for one in records}) == 1


def test_a_strided_array_counts_by_its_elements(device, record):
    wide, other = filled(device, [[1, 8, 2, 9]]), filled(device, [[1, 5, 2, 5]])
    packed = filled(device, [[1, 2]])
    assert record((wide[:, ::2],)) == record((other[:, ::2],)) == record((packed,))
    assert record((np.array([[1, 8, 2]])[:, ::2],)) == record((np.array([[1, 2]]),))


def test_every_set_keyword_and_inout_has_its_name(device, record):
    array = filled(device, [1])
    found = record((array, 1), (array, [2, {"k": 3.0}]), inout=[array], flag=True, text="x" * 100, none=None)
    assert found["names"] == [
        "inputs[0][0]", "inputs[0][1]", "inputs[1][0]", "inputs[1][1][0]", "inputs[1][1][1]['k']", "argument flag=", "argument text=", "argument none=", "inout[0]",
    ]  # fmt: skip
    assert found["digests"][3:6] == ["2", "3.0", "True"]
    assert len(found["digests"][6]) == 16
    assert len(found["digests"]) == len(found["shapes"]) == 9
    assert record((1,))["digests"] != record((2,))["digests"]
    assert record((1,))["shapes"] != record((1.0,))["shapes"]


def test_outputs_count_by_their_shape_alone(device, record):
    source, out = filled(device, [1, 2]), filled(device, [7, 7])
    before = record((out, source), outputs=[out])
    out.numpy()[:] = 8
    assert record((out, source), outputs=[out]) == before
    assert record((out, source))["digests"] != before["digests"]
    assert before["digests"][0] == "output"


def test_what_is_no_data_is_said_to_be_passed_over(record):
    ring = []
    ring.append(ring)
    assert record((object(), print, ring))["ignored"] == ["argument 0: object", "argument 1: builtin_function_or_method", "argument 2[0]: list"]


def test_nothing_is_left_on_the_device(device, record):
    array = filled(device, [1, 2])
    free = device.memory()
    record((array, np.ones(3)))
    assert device.memory() == free
