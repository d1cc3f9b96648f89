"""Kernels compiled without a GPU: what is counted in them, what is said of those that cannot be compiled, and what is kept."""

from __future__ import annotations

import base64
import dataclasses
import pickle
import re
import textwrap

import pytest

pytest.importorskip("numba.cuda", reason="compiles kernels: needs the extra `static`")

from pytest_gpuperf import StaticError
from pytest_gpuperf.static import compiling, disassemble
from pytest_gpuperf.static.compiling import Compiler
from pytest_gpuperf.static.model import INSTRUCTIONS, QUANTITIES, RESOURCES, Reference, Request

FLAT = "void(float32[::1], float32[::1])"
MODULE = "static_kernels"


def asked(name, arch="sm_90", signature=FLAT, **words):
    return Request(name, Reference("attribute", MODULE, name), signature, arch, **words)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def compiler(store):
    # The parent may simulate, as a suite does where there is no GPU: its children never do.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_ENABLE_CUDASIM", "1")
        with Compiler(store=store, processes=1) as made:
            yield made


KERNELS = ("scale", "widened", "staged", "full", "helped")


@pytest.fixture(scope="module")
def found(compiler):
    requests = [asked(name, arch, block=256) for name in KERNELS for arch in ("sm_80", "sm_90", "sm_100")]
    return {(one.kernel, one.arch): one for one in compiler.compile(requests)}


def test_every_quantity_is_a_number_without_a_gpu(found):
    assert len(found) == 15
    for one in found.values():
        assert (set(one.quantities), dict(one.reasons), one.error) == (set(QUANTITIES), {}, None)
        assert one.ptx.startswith("//") or ".version" in one.ptx
        assert {"numba-cuda", "nvvm", "nvjitlink", "nvdisasm"} <= set(one.toolchain)


def test_the_code_is_for_what_numba_targets(found):
    for (_, arch), one in found.items():
        assert f".target {arch}{'' if arch == 'sm_80' else 'a'}" in one.ptx


def test_a_float64_constant_is_seen(found):
    for arch in ("sm_80", "sm_90", "sm_100"):
        assert found["scale", arch].quantities["f64"] == 0
        assert found["widened", arch].quantities["f64"] >= 2


def test_shared_memory_and_barriers_are_the_kernels_own(found):
    for arch in ("sm_80", "sm_90", "sm_100"):
        told = found["staged", arch].quantities
        assert (told["shared"], told["barriers"], told["loads_32"]) == (1024, 1, 1)
        assert found["scale", arch].quantities["shared"] == 0


def test_a_kernel_that_is_held_to_few_registers_keeps_an_array_in_local_memory(found):
    for arch in ("sm_80", "sm_90", "sm_100"):
        told = found["full", arch].quantities
        assert told["registers"] <= 24
        assert told["stack"] == told["local"] >= 96 * 4
        assert found["scale", arch].quantities["stack"] == 0


def test_occupancy_is_of_the_block_and_its_dynamic_shared_memory(compiler, found):
    assert found["scale", "sm_90"].quantities["occupancy"] == 100
    some, none = compiler.compile([asked("scale", block=256, dynamic_shared=100_000), asked("scale")])
    assert some.quantities["occupancy"] == 100 * 2 * 8 / 64
    assert none.reasons == {"occupancy": ("no-block", "")}
    assert set(none.quantities) == set(QUANTITIES) - {"occupancy"}


def test_the_code_does_not_depend_on_which_architecture_is_compiled_for_first(found, tmp_path):
    with Compiler(store=tmp_path, processes=1) as fresh:
        again = fresh.compile([asked("helped", "sm_100"), asked("helped", "sm_75"), asked("helped", "sm_80")])
    assert [one.code_hash for one in again[::2]] == [found["helped", arch].code_hash for arch in ("sm_100", "sm_80")]
    assert len({one.code_hash for one in again}) == 3


def test_what_was_compiled_is_not_compiled_again(compiler, found, monkeypatch):
    tasks = []
    run = compiler._pool.run
    monkeypatch.setattr(compiler._pool, "run", lambda given, **words: tasks.extend(given) or run(given, **words))
    monkeypatch.setattr(disassemble, "disassemble", lambda *_: pytest.fail("disassembled again"))
    again = compiler.compile([asked(name, "sm_90", block=256) for name in KERNELS])
    assert [task["task"] for task in tasks] == ["keys"] * 5
    assert again == [found[name, "sm_90"] for name in KERNELS]


def test_two_names_of_one_kernel_are_compiled_once(compiler, monkeypatch):
    tasks = []
    run = compiler._pool.run
    monkeypatch.setattr(compiler._pool, "run", lambda given, **words: tasks.extend(given) or run(given, **words))
    first, second = compiler.compile([asked(name, signature="void(float64[::1], float64[::1])") for name in ("staged", "also_staged")])
    assert [task["task"] for task in tasks] == ["keys", "keys", "compile"]
    assert (first.kernel, second.kernel) == ("staged", "also_staged")
    assert first.code_hash == second.code_hash is not None


def test_a_text_that_cannot_be_read_leaves_the_rest(compiler, monkeypatch):
    monkeypatch.setattr(disassemble, "disassemble", lambda codes, *_: [disassemble.Unreadable("no-disassembly", "Illegal instruction found")] * len(codes))
    one = compiler.compile([asked("scale", signature="void(float64[::1], float64[::1])", block=64)])[0]
    assert set(one.reasons) == set(INSTRUCTIONS)
    assert set(one.reasons.values()) == {("no-disassembly", "Illegal instruction found")}
    assert {*RESOURCES, "occupancy"} == set(one.quantities)
    assert one.code_hash
    monkeypatch.undo()
    assert not compiler.compile([asked("scale", signature="void(float64[::1], float64[::1])", block=64)])[0].reasons


WRONG = [
    (asked("unwritable"), r"unwritable on sm_90: No implementation of function .* found for signature: add\(float32, Literal\[str\]\(text\)\).*"),
    (asked("scale", signature="void(float99)"), r"scale on sm_90: its signature 'void\(float99\)' cannot be read: name 'float99' is not defined"),
    (asked("scale", signature="int32(float32[::1], float32[::1])"), r"scale on sm_90: its signature returns int32, and a kernel returns nothing"),
    (asked("scale", signature="void(float32[::1])"), r"scale on sm_90: Signature mismatch: 1 argument types given, but function takes 2 arguments"),
    (asked("scal"), r"scal on sm_90: no 'scal' in static_kernels; nearest 'scale'"),
    (asked("helper"), r"helper on sm_90: it is a device function: ask for a kernel that calls it"),
    (asked("NOT_A_KERNEL"), r"NOT_A_KERNEL on sm_90: it is builtins\.tuple, no kernel of numba"),
    (dataclasses.replace(asked("k"), reference=Reference("attribute", "no_such_module", "k")), r"k on sm_90: module no_such_module cannot be imported: .*"),
    (dataclasses.replace(asked("k"), reference=Reference("row", "kernels", "accept.int31")), r"k on sm_90: no row 'accept.int31' in kernels.KERNELS; nearest 'accept.int32'"),
    (dataclasses.replace(asked("k"), reference=Reference("pickle", payload="AAAA")), r"k on sm_90: it cannot be carried to the compiling process: .*"),
]  # fmt: skip


def test_what_does_not_compile_says_so_in_one_line_and_costs_no_other(compiler, found):
    answers = compiler.compile([*(request for request, _ in WRONG), asked("scale", block=256)])
    for (_, said), one in zip(WRONG, answers, strict=False):
        assert re.fullmatch(said, one.error), one.error
        assert (one.quantities, one.reasons) == ({}, {})
    assert answers[-1] == found["scale", "sm_90"]


def test_an_unknown_architecture_is_refused_before_anything_starts():
    with pytest.raises(StaticError, match="unknown architecture 'sm_91'; nearest 'sm_90'; known: "):
        compiling.compile_all([asked("scale", "sm_91")])


def test_a_kernel_is_found_among_those_that_it_is_linked_with(compiler):
    one = compiler.compile([dataclasses.replace(asked("together"), reference=Reference("attribute", "static_gpu_kernels", "together"))])[0]
    assert one.error is None
    assert (one.quantities["spills"], one.quantities["loads_32"] >= 3) == (0, True)
    # With the two functions that it calls, without those that it does not.
    assert one.sass.count("RET.") == 2
    assert 60 < one.quantities["instructions"] < 300


def test_a_plain_function_is_compiled_with_the_options_it_is_given(compiler):
    free, held = compiler.compile([asked("_full"), asked("_full", options={"max_registers": 24})])
    assert held.quantities["registers"] <= 24 < free.quantities["registers"]


def test_a_function_can_be_carried(compiler):
    import static_plain

    payload = base64.b64encode(pickle.dumps(static_plain.plain)).decode()
    one = compiler.compile([dataclasses.replace(asked("carried"), reference=Reference("pickle", payload=payload))])[0]
    assert (one.error, one.quantities["loads_32"]) == (None, 1)


def test_a_kernel_whose_decorator_has_signatures_is_the_one_that_numba_launches(compiler):
    strided, none, own = compiler.compile(
        [asked("declared", signature="void(float64[:], float64[:])"), asked("chosen", signature="void(float32[:, :], int32[:])"), asked("chosen")]
    )
    assert (strided.quantities["f64"], strided.signature.count("float32, 1, 'C'")) == (0, 2)
    assert (own.quantities["loads_32"], own.signature.count("float32, 1, 'A'")) == (1, 2)
    assert none.error == "chosen on sm_90: its decorator has 2 signatures, and none is for void(float32[:, :], int32[:])"


def test_a_helper_that_is_declared_for_some_types_is_compiled_for_these(compiler):
    one = compiler.compile([asked("narrowed", signature="void(float64[::1], float32[::1])")])[0]
    assert "DMUL" not in one.sass
    assert "FMUL" in one.sass


def test_kernels_of_a_module(compiler):
    assert [row.name for row in compiler.kernels(MODULE, "sm_90")] == ["declared", "chosen", "chosen.1"]
    assert compiler.compile(compiler.kernels(MODULE, "sm_90"))[0].quantities["loads_32"] == 1
    rows = {row.name: row for row in compiler.kernels("kernels", "sm_80")}
    assert rows["accept.int32"].block == 256
    assert {row.name for row in compiler.kernels("kernels.masks", "sm_80")} == {"accept.int32", "accept.int64"}
    with pytest.raises(StaticError, match=r"^kernels.numerics has no kernels to compile: neither rows in KERNELS"):
        compiler.kernels("kernels.numerics", "sm_90")
    with pytest.raises(StaticError, match=r"^module no_such_module cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"):
        compiler.kernels("no_such_module", "sm_90")


def test_a_child_that_dies_or_hangs_costs_its_own_task_only(found, store, tmp_path, monkeypatch):
    (tmp_path / "dying.py").write_text("import os, sys\nprint('a last word', file=sys.stderr, flush=True)\nos._exit(7)\n")
    (tmp_path / "hanging.py").write_text("import time\ntime.sleep(600)\n")
    (tmp_path / "talking.py").write_text(textwrap.dedent("""
        from static_kernels import scale
        import os
        print("a line that is no answer", flush=True)
        os.write(1, b"another\\n")
    """))
    monkeypatch.syspath_prepend(str(tmp_path))
    requests = [dataclasses.replace(asked("k"), reference=Reference("attribute", name, "scale")) for name in ("dying", "hanging", "talking")]
    with Compiler(store=store, processes=1, timeout=6) as made:
        died, hung, talked, fine = made.compile([*requests, asked("scale", block=256)])
    assert set(died.reasons) == set(QUANTITIES)
    assert died.reasons["registers"] == ("compile-died", "exit status 7: a last word")
    assert hung.reasons["registers"] == ("compile-hang", "no answer in 6 s")
    assert talked.quantities["registers"] == fine.quantities["registers"]
    assert fine == found["scale", "sm_90"]


def test_where_nothing_can_be_compiled_each_answer_says_why(store, tmp_path, monkeypatch):
    package = tmp_path / "numba"
    package.mkdir()
    (package / "__init__.py").write_text("raise AttributeError('module numpy has no attribute row_stack')")
    monkeypatch.syspath_prepend(str(tmp_path))
    one = compiling.compile_all([asked("scale")], store=store)[0]
    code, detail = one.reasons["registers"]
    assert code == "toolchain"
    assert detail == "numba-cuda cannot be imported (module numpy has no attribute row_stack): pip install 'pytest-gpuperf[static]'"
