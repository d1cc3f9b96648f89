"""Which launches are seen, by whom, and how their signatures are spelled."""

from __future__ import annotations

import types

import numpy as np
import pytest
from numba import typeof
from numba import types as kinds

from pytest_gpuperf.static.asking import name_of, reference_to
from pytest_gpuperf.static.declared import Declared, stray, types_of
from pytest_gpuperf.timing.body import watch_kind, watched_once
from pytest_gpuperf.timing.launched import Launch, normal, once, seen_launches, signature_of, text_of


def dispatcher(typeof_pyval=typeof):
    """Return a kernel that launches nothing, through a function that is where numba's is."""
    module = types.ModuleType("numba.cuda.dispatcher")
    exec("def call(self, args, launch_config):\n    return len(args)\n", vars(module))
    kernel = types.SimpleNamespace(py_func=dispatcher, typeof_pyval=typeof_pyval)
    return kernel, lambda *args: module.call(kernel, args, types.SimpleNamespace(blockdim=(32, 4, 1), sharedmem=256))


def test_a_launch_is_seen_by_a_profile_function_with_its_types_and_shape():
    kernel, launch = dispatcher()
    found = []
    result, _ = watch_kind(lambda: launch(np.zeros(3, np.float32), np.zeros((2, 2))[:, ::2], np.int32(1), 2.0, True, (1, 2)), found)
    assert result == 6
    assert found == [Launch(kernel, "void(float32[::1], float64[:, :], int32, float64, boolean, UniTuple(int64, 2))", 128, 256)]


def test_a_launch_whose_types_have_no_text_says_which_argument_and_ends_nothing():
    _, launch = dispatcher()
    found = []
    watch_kind(lambda: launch(np.zeros(2, [("x", "f4")])), found)
    assert found[0].signature == ""
    assert "argument 0 is" in found[0].unknown

    def raising(_):
        raise ValueError("no such type")

    _, launch = dispatcher(raising)
    assert watch_kind(lambda: launch(1), found)[0] == 1
    assert found[1].unknown == "an argument: no such type"


def test_only_the_first_of_several_calls_is_watched():
    _, launch = dispatcher()
    found = []
    call = watched_once(lambda: launch(1), found)
    assert [call(), call()] == [1, 1]
    assert len(found) == 1


def test_nothing_is_seen_where_there_is_no_simulator():
    assert seen_launches(lambda: 3) == (3, ())


def test_launches_of_one_code_are_one():
    launch = Launch("k", "void()", 32)
    assert once([launch, Launch("k", "void()", 32), Launch("k", "void()", 64)]) == (launch, Launch("k", "void()", 64))


@pytest.mark.parametrize(
    "kind",
    [
        kinds.float32[::1], kinds.float32[:, ::1], kinds.float32[::1, :], kinds.float32[:, :], kinds.boolean, kinds.int64, kinds.complex64, kinds.none,
        kinds.UniTuple(kinds.int32, 3), kinds.Tuple((kinds.int32, kinds.float32[::1])), kinds.Array(kinds.float32, 1, "C", readonly=True),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_written_numba_reads_as_the_same_type(kind):
    from numba.core import sigutils

    text, unknown = signature_of([kind])
    assert unknown == ""
    assert sigutils.normalize_signature(text)[0] == (kind,)
    assert normal(text) == text


def test_what_numba_does_not_read_has_no_text():
    assert text_of(kinds.Array(kinds.float32, 0, "C")) == ""


def test_a_launch_is_held_against_the_nearest_row():
    rows = [Declared("m", name, None, signature, None, ("m", "k")) for name, signature in (("a", "void(int32, int32)"), ("b", "void(float32[::1], float32)"))]
    assert stray([(("m", "k"), "void(float32[::1], float64)"), (("m", "k"), "void(int32, int32)")], rows) == [
        "m.k was launched with (float32[::1], float64), which no KERNELS row declares; argument 1 is float64, b has float32"
    ]
    assert stray([(("m", "k"), "void(int32)")], rows)[0].endswith("which no KERNELS row declares; a has 2 arguments")
    assert types_of("void(UniTuple(int64, 2), float32[:, ::1])") == ["UniTuple(int64, 2)", "float32[:, ::1]"]


def test_a_closure_goes_to_another_process_as_it_is_where_nothing_is_simulated():
    def inner(array):
        array[0] = 1

    found = reference_to(inner, [])
    assert found.kind == "pickle"
    assert found.payload
    assert name_of(inner) == "inner"
    assert reference_to(dispatcher, []).qualname == "dispatcher"
