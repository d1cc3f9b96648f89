from __future__ import annotations

import subprocess
import sys
import textwrap

import ml_dtypes
import numpy as np
import pytest
import torch

from pytest_gpuperf.device.arrays import device_arrays, host_bytes, packed_strides, resolved, view
from pytest_gpuperf.testing import FakeDevice

TORCH = ("float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "bool", "int8", "uint8", "int16", "int32", "int64", "complex64", "complex128")


def test_a_numpy_array_is_described_as_it_lies_in_memory():
    array = np.arange(24, dtype="float32").reshape(2, 3, 4)[:, ::-1, 1:3]
    seen = view(array)
    assert (seen.framework, seen.place, seen.shape, seen.strides) == ("numpy", "host", (2, 3, 2), (48, -16, 4))
    assert seen.address == array.ctypes.data
    assert (seen.elements, seen.nbytes, seen.contiguous) == (12, 48, False)
    assert host_bytes(seen).tobytes() == array.tobytes()


@pytest.mark.parametrize("name", TORCH)
def test_torch_and_numpy_name_a_dtype_alike_and_lend_the_same_bytes(name):
    tensor = torch.arange(12).reshape(3, 4).to(getattr(torch, name))
    kind = np.dtype(getattr(ml_dtypes, name, name))
    seen = view(tensor.T)
    assert (seen.dtype, seen.itemsize, seen.contiguous) == (view(np.zeros(1, kind)).dtype, kind.itemsize, False)
    assert seen.dtype == name
    want = np.arange(12).reshape(3, 4).astype(kind).T
    assert host_bytes(seen).tobytes() == np.ascontiguousarray(want).tobytes()


def test_a_pending_conjugation_or_negation_is_carried_out_by_resolved_alone():
    tensor = torch.tensor([1 + 2j, 3 - 4j])
    assert host_bytes(resolved(tensor.conj())).tobytes() == np.array([1 - 2j, 3 + 4j], "complex64").tobytes()
    assert host_bytes(resolved(tensor.conj().imag)).tobytes() == np.array([-2, 4], "float32").tobytes()
    assert view(tensor.conj()).address == tensor.data_ptr()


def test_a_tensor_that_needs_gradients_is_read():
    assert host_bytes(view(torch.ones(2, requires_grad=True))).tobytes() == np.ones(2, "float32").tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 5, 1)])
def test_scalars_and_empty_arrays_are_contiguous(shape):
    array = np.ones(shape, "int16")
    assert view(array).contiguous
    assert view(array).nbytes == array.nbytes
    assert host_bytes(view(array)).tobytes() == array.tobytes()


def test_a_dimension_of_one_may_have_any_stride():
    array = np.ones((4, 6), "int16")[::4]
    assert array.strides == (48, 2)
    assert view(array).contiguous
    assert not view(np.ones((4, 6), "int16")[::2]).contiguous


def test_fortran_order_is_packed_in_c_order():
    array = np.asfortranarray(np.arange(6, dtype="int32").reshape(2, 3))
    assert not view(array).contiguous
    assert host_bytes(view(array)).view("int32").tolist() == [0, 1, 2, 3, 4, 5]


def test_a_broadcast_array_is_packed_in_full():
    assert host_bytes(view(np.broadcast_to(np.int8(7), (2, 3)))).tolist() == [7] * 6
    assert host_bytes(view(torch.ones(1, dtype=torch.int8).expand(4))).tolist() == [1] * 4


def test_numpy_scalars_are_arrays_without_dimensions():
    assert view(np.float32(1.5)).shape == ()
    assert host_bytes(view(np.float32(1.5))).tobytes() == np.float32(1.5).tobytes()


def test_other_byte_orders_and_records_have_names_of_their_own():
    assert view(np.zeros(1, ">f4")).dtype == "float32 (byte-swapped)"
    record = np.dtype([("a", "i4"), ("b", "f4")])
    assert view(np.zeros(1, record)).dtype != view(np.zeros(1, [("a", "i4"), ("c", "f4")])).dtype


@pytest.mark.parametrize(
    ("thing", "line"),
    [
        (3.5, "float is no array.*numpy.asarray"),
        ([1, 2], "list is no array"),
        (object(), "object is no array"),
        (np.array([object()]), "dtype object"),
        (np.ma.masked_array([1, 2], [0, 1]), "mask"),
        (torch.ones(2, 2).to_sparse(), "sparse"),
        (torch.ones(2, device="meta"), "meta"),
    ],
)
def test_what_has_no_bits_is_refused_by_name(thing, line):
    with pytest.raises(TypeError, match=line):
        view(thing)


class Lender:
    """An array of a framework that nobody knows."""

    def __init__(self, **interface):
        self.__cuda_array_interface__ = {"version": 3, "shape": (2, 3), "typestr": "<f4", "data": (4096, False)} | interface


def test_the_cuda_array_interface_is_enough():
    seen = view(Lender())
    assert (seen.place, seen.framework, seen.address, seen.shape, seen.strides, seen.dtype) == ("device", "cuda", 4096, (2, 3), (12, 4), "float32")
    assert view(Lender(strides=(4, 8))).strides == (4, 8)
    assert view(Lender(shape=(), typestr="|b1")).dtype == "bool"
    with pytest.raises(TypeError, match="mask"):
        view(Lender(mask=Lender()))


def test_host_bytes_refuses_an_array_on_the_device():
    with pytest.raises(ValueError, match="on the device"):
        host_bytes(view(Lender()))


def test_device_arrays_are_found_in_nested_results_in_order_and_once():
    fake = FakeDevice()
    first, second = fake.array(3), fake.array((2, 2), "int8")
    nest = {"a": (first, 1, "text"), "b": [np.zeros(3), {"c": second}, first]}
    nest["self"] = nest
    assert [one.owner for one in device_arrays(nest)] == [first, second]
    assert device_arrays(None) == []


def test_bfloat16_on_the_device_keeps_its_name():
    assert view(FakeDevice().array(4, ml_dtypes.bfloat16)).dtype == "bfloat16"


def test_packed_strides_are_numpys():
    for shape in ((), (3,), (2, 3, 4), (5, 1)):
        assert packed_strides(shape, 4) == np.zeros(shape, "float32").strides


def test_arrays_of_numbas_simulator_lie_on_the_host_and_nothing_heavy_is_imported():
    script = """
        import os, sys
        import pytest_gpuperf.device.arrays as arrays, pytest_gpuperf.identity.bits as bits
        assert not {"numpy", "torch", "numba", "cupy"} & set(sys.modules)
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
        import numpy as np
        from numba import cuda
        held = cuda.to_device(np.arange(6, dtype="int16").reshape(2, 3))
        seen = arrays.view(held)
        assert (seen.framework, seen.place, seen.dtype) == ("numba-simulator", "host", "int16"), seen
        assert arrays.host_bytes(seen).tobytes() == np.arange(6, dtype="int16").tobytes()
        assert bits.identical(held, np.arange(6, dtype="int16").reshape(2, 3)) == "6 elements of int16, raw bits"
        assert arrays.device_arrays([held]) == []
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
