"""The hash of a body's code: equal for what was compiled again, other for other code, constants or resources, None where something cannot be told."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from pytest_gpuperf.counters.code import code_hash, counts, cubin_hash, sections

ROOT = Path(__file__).resolve().parent.parent
PLAIN = "def k(x, y):\n    i = cuda.grid(1)\n    if i < x.size:\n        y[i] = x[i] * 2.0\n"
#: Keeps many values alive, so that fewer registers are another program.
FULL = """def k(x, y):
    i = cuda.grid(1)
    s = cuda.shared.array(64, "float32")
    t = 0.0
    for j in range(x.size):
        t += x[j] * y[i] + x[(i + j) % x.size]
    s[cuda.threadIdx.x] = t
    cuda.syncthreads()
    y[i] = s[63 - cuda.threadIdx.x]
"""
#: (source, registers at most), each compiled in one process of its own, as numba decides once whether it simulates.
BUILT = {
    "first": (PLAIN, None), "again": (PLAIN, None), "constant": (PLAIN.replace("2.0", "3.0"), None), "full": (FULL, None), "fewer": (FULL, 24),
    "larger": (FULL.replace("64", "128").replace("63", "127"), None), "shared only": (FULL.replace("array(64", "array(96"), None),
}  # fmt: skip
BUILD = """
import json, sys
from numba import cuda
from cuda.core import Linker, LinkerOptions, ObjectCode
built = {}
for name, (source, registers) in json.loads(sys.argv[1]).items():
    space = {"cuda": cuda}
    exec(source, space)
    ptx, _ = cuda.compile(space["k"], "void(float32[:], float32[:])", device=False, abi="numba", cc=(9, 0))
    options = LinkerOptions(arch="sm_90", **({"max_register_count": registers} if registers else {}))
    built[name] = bytes(Linker(ObjectCode.from_ptx(ptx if isinstance(ptx, bytes) else ptx.encode()), options=options).link("cubin").code).hex()
print(json.dumps(built))
"""


@pytest.fixture(scope="module")
def built():
    pytest.importorskip("numba.cuda", reason="compiles kernels: needs the extra `static`")
    done = subprocess.run([sys.executable, "-c", BUILD, json.dumps(BUILT)], capture_output=True, text=True, check=False, cwd=ROOT, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return {name: bytes.fromhex(text) for name, text in json.loads(done.stdout).items()}


def test_compiled_again_it_is_the_same_code_in_another_file(built):
    assert built["first"] != built["again"]
    assert cubin_hash(built["first"]) == cubin_hash(built["again"])


@pytest.mark.parametrize(("one", "other"), [("first", "constant"), ("full", "fewer"), ("full", "larger"), ("full", "shared only")])
def test_other_code_or_resources_are_another_hash(built, one, other):
    assert cubin_hash(built[one]) != cubin_hash(built[other])


def test_resource_counts_are_read(built):
    found = {name: dict(counts(data)) for name in ("full", "fewer") for section, data in sections(built[name]) if section == ".nv.info"}
    assert found["fewer"][0x2F] <= 24 < found["full"][0x2F]


def test_registers_count_where_the_code_is_the_same(built):
    info = next(data for name, data in sections(built["full"]) if name == ".nv.info")
    at = info.index(bytes([4, 0x2F, 8, 0])) + 8
    more = built["full"].replace(info, info[:at] + bytes([info[at] + 8]) + info[at + 1 :])
    assert cubin_hash(more) != cubin_hash(built["full"])


@pytest.mark.parametrize("junk", [b"", b"no ELF at all", b"\x7fELF\x02" + b"\xff" * 100])
def test_what_is_no_cubin_is_refused(junk):
    with pytest.raises(ValueError, match="ELF"):
        cubin_hash(junk)


class Kernel:
    """A compiled kernel as numba's dispatchers show theirs."""

    def __init__(self, *cubins):
        self.py_func = lambda: None
        self.overloads = {number: types.SimpleNamespace(_codelibrary=types.SimpleNamespace(get_cubin=lambda one=one: one)) for number, one in enumerate(cubins)}

    def __getitem__(self, _):
        return self

    def __call__(self, *arguments):
        pass


@dataclasses.dataclass
class Body:
    function: object
    arguments: tuple = ((),)
    keywords: dict = dataclasses.field(default_factory=dict)


GRID = 7
X = np.zeros(4)


def helper(kernel):
    kernel[GRID, 64](X)


def made(kernel, grid=1):
    return lambda: kernel[grid, 32](X)


def test_a_body_is_its_kernels_and_what_launches_them(built):
    same = [code_hash(Body(made(Kernel(built[name])))) for name in ("first", "again")]
    assert same[0] == same[1] is not None
    others = [
        Body(made(Kernel(built["constant"]))), Body(made(Kernel(built["first"]), grid=2)), Body(made(Kernel(built["first"], built["full"]))),
        Body(Kernel(built["first"])), Body(helper, ((Kernel(built["first"]),),)), Body(functools.partial(made(Kernel(built["first"])))),
    ]  # fmt: skip
    hashes = [code_hash(one) for one in others]
    assert None not in hashes
    assert len({*hashes, same[0]}) == len(others) + 1


def test_globals_count_by_their_values(built, monkeypatch):
    body = Body(helper, ((Kernel(built["first"]),),))
    before = code_hash(body)
    monkeypatch.setitem(globals(), "GRID", 8)
    assert code_hash(body) != before


class Staged:
    def __init__(self, kernel, grid=3):
        self.kernel, self.grid, self.unused = kernel, grid, object()

    def commit(self):
        self.kernel[self.grid, 32](X)


def test_a_method_counts_with_what_it_names_of_its_object(built):
    hashes = [code_hash(Body(Staged(Kernel(built[name]), grid).commit)) for name, grid in (("first", 3), ("again", 3), ("first", 4), ("full", 3))]
    assert None not in hashes
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def strange(kernel, thing):
    return lambda: (kernel[1, 1](X), thing)


@pytest.mark.parametrize(
    "body",
    [
        lambda kernel: Body(strange(kernel, object())),
        lambda kernel: Body(strange(kernel, subprocess)),
        lambda kernel: Body(strange(kernel, [object()])),
        lambda kernel: Body(lambda: None),
        lambda kernel: Body(made(Kernel())),
        lambda kernel: Body(strange(kernel, lambda: subprocess)),
        lambda kernel: Body(lambda one: one, ((object().__repr__,),)),
    ],
    ids=["an object", "a module", "a list of one", "no kernel", "not compiled", "deeper", "an argument"],
)
def test_what_cannot_be_told_is_none(built, body):
    assert code_hash(body(Kernel(built["first"]))) is None


def test_kernels_in_containers_count(built):
    hashes = [code_hash(Body(strange(Kernel(built["first"]), {"other": [Kernel(built[name])]}))) for name in ("first", "again", "full")]
    assert hashes[0] == hashes[1] != hashes[2] is not None


def test_triton_counts_by_its_cubins(built):
    kind = type("JITFunction", (), {"__module__": "triton.runtime.jit"})

    def body(cubin):
        function = kind()
        function.device_caches = {0: ({"key": types.SimpleNamespace(asm={"cubin": cubin})}, None)}
        return Body(lambda: function[1](X))

    assert code_hash(body(built["first"])) == code_hash(body(built["again"])) != code_hash(body(built["full"]))


def test_a_number_of_numpy_is_a_size_as_others_are():
    def body(count):
        return lambda: count

    from pytest_gpuperf.counters.code import _walk

    assert list(_walk(body(np.int64(5)), 0)) != list(_walk(body(np.int64(6)), 0))
    assert list(_walk(body(np.zeros(5)), 0)) == list(_walk(body(np.ones(5)), 0))
