"""What is computed about compiled kernels without compiling any: occupancy, opcodes, ELF, texts, keys, the store."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from pytest_gpuperf import StaticError
from pytest_gpuperf.reasons import REASONS
from pytest_gpuperf.static import answers, cache, disassemble, elf, find, offline, sass, source, toolchain
from pytest_gpuperf.static.architectures import ARCHITECTURES, architecture, blocks, occupancy
from pytest_gpuperf.static.model import INSTRUCTIONS, QUANTITIES, Compiled, Reference, Request, compiled_of, plain, request_of
from pytest_gpuperf.timing.launched import text_of

#: (architecture, threads, registers, shared bytes, barriers, blocks of a multiprocessor) as cudaOccMaxActiveBlocksPerMultiprocessor of CUDA 13.0 has them.
KNOWN = (
    ("sm_75", 32, 16, 0, 0, 16), ("sm_75", 256, 64, 0, 1, 4), ("sm_75", 128, 32, 17000, 1, 3), ("sm_75", 1024, 64, 0, 1, 1), ("sm_75", 1024, 72, 0, 1, 0),
    ("sm_80", 256, 56, 0, 1, 4), ("sm_80", 128, 32, 40000, 4, 4), ("sm_80", 96, 168, 0, 0, 4), ("sm_80", 32, 16, 166912, 0, 1), ("sm_80", 32, 16, 232448, 0, 0),
    ("sm_86", 32, 16, 0, 1, 16), ("sm_86", 256, 24, 17000, 1, 5), ("sm_87", 384, 40, 40000, 0, 4), ("sm_89", 32, 24, 1024, 1, 24), ("sm_89", 512, 40, 0, 0, 3),
    ("sm_90", 32, 16, 0, 1, 32), ("sm_90", 32, 16, 0, 4, 16), ("sm_90", 384, 56, 8000, 1, 3), ("sm_90", 128, 128, 60000, 1, 3), ("sm_90", 1024, 32, 0, 0, 2),
    ("sm_100", 256, 255, 0, 0, 1), ("sm_100", 128, 40, 17000, 4, 12), ("sm_103", 96, 72, 100, 1, 9), ("sm_110", 32, 16, 0, 4, 6), ("sm_110", 512, 16, 101376, 0, 2),
    ("sm_120", 32, 16, 0, 1, 24), ("sm_120", 256, 32, 40000, 0, 2), ("sm_120", 96, 16, 101376, 1, 1), ("sm_121", 1024, 40, 0, 1, 1), ("sm_121", 32, 16, 0, 4, 6),
)  # fmt: skip


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: "-".join(map(str, row)))
def test_occupancy_is_that_of_the_calculator(row):
    name, threads, registers, shared, barriers, expected = row
    assert blocks(architecture(name), threads, registers, shared, barriers) == expected


def test_every_architecture_is_known_by_the_calculator():
    assert {row[0] for row in KNOWN} == {row.name for row in ARCHITECTURES}
    assert occupancy(architecture("sm_80"), 96, 168, 0) == 100 * 4 * 3 / 64
    assert occupancy(architecture("sm_80"), 2048, 16, 0) == 0


def test_numba_targets_the_features_of_an_architecture_from_9_on():
    for row in ARCHITECTURES:
        assert row.target == row.name + ("a" if row.capability >= (9, 0) else "")
        assert row.in_section == (row.capability >= (9, 0))


def test_an_unknown_architecture_lists_the_known_ones():
    with pytest.raises(StaticError, match=r"^unknown architecture '90'; .*known: sm_75, .*, sm_90, "):
        architecture("90")


LINES = {
    "LDG.E.128 R4, desc[UR4][R2.64]": {"loads_128"},
    "@!P0 LDG.E.128.STRONG.GPU R4, desc[UR4][R2.64]": {"loads_128"},
    "LDGSTS.E.BYPASS.128 [R1], desc[UR4][R2.64]": {"loads_128"},
    "@!UPT LDG.E.CONSTANT R4, [R2]": {"loads_32"},
    "LDG.E R4, [R2.64]": {"loads_32"},
    "LD.E R4, [R2.64]": {"loads_32"},
    "LDG.E.64 R4, [R2.64]": set(),
    "LDG.E.U8 R4, [R2.64]": set(),
    "LDG.E.U16.CONSTANT R4, [R2.64]": set(),
    "LDS.128 R4, [R2]": set(),
    "LDC R1, c[0x0][0x28]": set(),
    "STG.E.128 desc[UR4][R2.64], R4": {"stores_128"},
    "STG.E [R2.64], R4": set(),
    "FFMA R0, R1, R2, R3": {"fma"},
    "FFMA2 R0, R2, R4, R6": {"fma"},
    "HFMA2.BF16_V2 R0, R1, R2, R3": {"fma"},
    "HFMA2.MMA R0, -RZ, RZ, 1.875, 0": set(),
    "HFMA2 R0, -RZ, RZ, 0, 0": set(),
    "IMAD.WIDE R2, R0, 0x4, R2": set(),
    "MUFU.EX2 R0, R1": {"mufu"},
    "MUFU.RCP64H R0, R1": {"mufu", "f64"},
    "HMMA.16816.F32 R4, R8, R12, R4": {"tensor"},
    "HGMMA.64x128x16.F32.BF16 R24, gdesc[UR8], R24": {"tensor"},
    "UTCHMMA gdesc[UR4], gdesc[UR6], tmem[UR8]": {"tensor"},
    "DMMA.884 R4, R8, R9, R4": {"tensor", "f64"},
    "DFMA R0, R2, R4, R6": {"fma", "f64"},
    "F2F.F64.F32 R2, R0": {"f64"},
    "I2F.F64 R2, R0": {"f64"},
    "F2F.BF16.F32 R2, R0": set(),
    "REDG.E.ADD.F64.RN.STRONG.GPU desc[UR4][R2.64], R4": {"f64"},
    "REDG.E.ADD.F32.FTZ.RN.STRONG.GPU desc[UR4][R2.64], R4": set(),
    "EXIT": set(),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_an_instruction_counts_where_it_belongs(line):
    told = sass.counts(f"        /*0000*/                   {line} ;\n        /*0010*/                   NOP ;\n")
    assert told.pop("instructions") == 1
    assert {name for name, number in told.items() if number} == LINES[line]


def test_every_row_of_opcodes_is_used_and_counts_something():
    assert {row.quantity for row in sass.OPCODES} | {"instructions"} == set(INSTRUCTIONS)
    parsed = [sass.instructions(f"/*0000*/ {line} ;")[0] for line in LINES]
    for row in sass.OPCODES:
        assert any(row.counts(one.opcode, one.modifiers) for one in parsed), row


def test_what_fills_up_the_end_of_a_function_does_not_count():
    text = "/*0000*/ EXIT ;\n/*0010*/ NOP ;\n/*0020*/ RET.REL.NODEC R2 0x0 ;\n/*0030*/ @P0 BRA 0x20;\n/*0040*/ NOP;"
    assert sass.counts(text)["instructions"] == len(sass.instructions(text)) == 3
    assert sass.counts("")["instructions"] == 0


def test_a_disassembly_of_several_is_split_with_addresses_of_their_own():
    text = "/*0000*/ @P0 BRA 0x10 ;\n/*0010*/ EXIT ;\n/*0020*/ BSSY.RECONVERGENT B0, 0x30 ;\n/*0030*/ IADD3 R1, R2, 0x30, RZ ;\n"
    assert disassemble.split(text, [32, 32]) == [
        "/*0000*/ @P0 BRA 0x10 ;\n/*0010*/ EXIT ;",
        "/*0000*/ BSSY.RECONVERGENT B0, 0x10 ;\n/*0010*/ IADD3 R1, R2, 0x30, RZ ;",
    ]
    assert disassemble.split(text, [32, 48]) is None


def test_without_nvdisasm_there_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(disassemble, "find", lambda: None)
    assert disassemble.disassemble([("sm_90a", b"")]) == [disassemble.Unreadable("no-nvdisasm", "")]
    broken = disassemble.disassemble([("sm_90a", b"x" * 16)], str(tmp_path / "nvdisasm"))[0]
    assert broken.code == "no-nvdisasm"
    assert disassemble.version(str(tmp_path / "nvdisasm")) == ""


@pytest.mark.parametrize(("junk", "said"), [(b"", "no 64-bit ELF"), (b"\x7fELF\x02" + b"\xff" * 99, "broken ELF")])
def test_what_is_no_cubin_is_refused(junk, said):
    with pytest.raises(ValueError, match=said):
        elf.read(junk, in_section=True)


def test_rows_go_through_json():
    request = Request("k", Reference("pickle", payload="abc"), "void(int32)", "sm_90", 64, 128, {"max_registers": 32})
    assert request_of(json.loads(json.dumps(plain(request)))) == request
    answer = Compiled("k", "sm_90", "void(int32)", {"registers": 8, "occupancy": 12.5}, {"spills": ("no-report", "")}, code_hash="ab", toolchain={"nvvm": "13"})
    assert compiled_of(json.loads(json.dumps(plain(answer)))) == answer


def test_an_answer_without_a_compiler_has_a_reason_for_everything():
    answer = answers.unmeasured(Request("k", Reference("row"), "void()", "sm_90"), "compile-died", "exit status -11", {})
    assert set(answer.reasons) == set(QUANTITIES)
    assert answer.code_hash is None


@pytest.mark.parametrize(
    ("versions", "code", "said"),
    [
        ({}, "no-compiler", "numba-cuda is not installed: pip install 'pytest-gpuperf[static]'"),
        ({"numba-cuda": "0.30", "nvvm": "13.2.1", "nvjitlink": "13.0.88"}, "toolchain", "pip install 'nvidia-nvvm==13.0.*'"),
    ],
)
def test_what_is_missing_is_told_with_the_line_that_mends_it(versions, code, said):
    found = toolchain.missing(versions)
    assert found.code == code
    assert said in found.detail


def test_compilers_of_one_release_or_a_newer_linker_go_together():
    assert toolchain.missing({"numba-cuda": "0.30", "nvvm": "13.0.88", "nvjitlink": "13.0.39"}) is None
    assert toolchain.missing({"numba-cuda": "0.30", "nvvm": "12.9.1", "nvjitlink": "13.0.39"}) is None


def test_the_store_gives_back_what_it_was_given_and_nothing_else(tmp_path):
    code = cache.Code(b"\x7fELF\n\x00\nbytes", "entry", "ptx", 4, {"nvvm": "13"}, "sass")
    cache.save(tmp_path, "abcd", code)
    assert cache.load(tmp_path, "abcd") == code
    assert cache.load(tmp_path, "abce") is None
    cache.path_of(tmp_path, "abcd").write_bytes(b"torn")
    assert cache.load(tmp_path, "abcd") is None
    (tmp_path / "file").write_text("")
    cache.save(tmp_path / "file", "abcd", code)


def test_a_store_that_cannot_be_used_is_empty_and_nothing_is_left_in_it(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    cache.save(tmp_path, "abcd", cache.Code(b"bytes", "entry", "ptx", 4, {}))
    assert [*tmp_path.rglob("*")] == [tmp_path / "ab"]
    monkeypatch.setattr(Path, "is_file", full)
    assert not cache.has(tmp_path, "abcd")


def test_the_store_of_a_user_without_a_home_is_for_a_while(monkeypatch):
    for name in ("GPUPERF_STATIC_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.os.path, "expanduser", lambda path: path)
    assert cache.default() == Path(cache.tempfile.gettempdir()) / "pytest-gpuperf" / "static"


def test_a_row_is_found_by_its_name_and_a_module_by_its_file(monkeypatch, tmp_path):
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "twice.py").write_text(f"from types import SimpleNamespace as Row\nONE, NUMBER = object(), {number}\nKERNELS = [Row(name=name, function=one) for name, one in [('a', ONE), ('b', ONE), ('b', ONE), ('c', 1), ('c', 2)]]\n")
    monkeypatch.setitem(sys.modules, "twice", types.ModuleType("twice"))
    files = [str(tmp_path / str(number) / "twice.py") for number in (1, 2, 1)]
    assert [find.load("twice", file).NUMBER for file in files] == [1, 2, 1]
    assert find.find(Reference("row", "twice", "b", files[0])) is sys.modules["twice"].ONE
    with pytest.raises(offline.Refused, match=r"^twice\.KERNELS has two kernels named 'c': give each row a name of its own$"):
        find.find(Reference("row", "twice", "c", files[0]))


def test_an_array_that_is_not_aligned_has_no_text():
    numbas = pytest.importorskip("numba").types
    assert text_of(numbas.Array(numbas.float32, 1, "C")) == "float32[::1]"
    assert text_of(numbas.Array(numbas.float32, 1, "C", aligned=False)) == ""


def test_the_store_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("GPUPERF_STATIC_CACHE", str(tmp_path))
    assert cache.default() == tmp_path
    monkeypatch.delenv("GPUPERF_STATIC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default() == tmp_path / "pytest-gpuperf" / "static"


class Kernel:
    """A kernel as numba's dispatchers show theirs."""

    def __init__(self, function, **options):
        self.py_func, self.targetoptions = function, options


@dataclasses.dataclass(frozen=True)
class Shape:
    lanes: int


BASE = """
import collections, enum, types
LIMIT = 4
SQUARE = np.ones((2, 2))
ONE = 1
class Lane(enum.IntEnum):
    FIRST = ONE
Lane.__module__ = Shape.__module__
ends = collections.namedtuple("ends", "near far", module=Shape.__module__)(1, 2)
TABLE = np.arange(4)
SHAPE = Shape(8)
space = types.SimpleNamespace(deep=lambda a: a + 1)
@functools.cache
def helper(a):
    return a * LIMIT
inner = Kernel(lambda a: helper(a) + TABLE[0] + SHAPE.lanes)
def make(width):
    def body(x, y=5):
        return inner(x) + width + space.deep(x) + (x in {"a", "b"}) + SQUARE[0, 0] + Lane.FIRST + ends.near
    return body
kernel = Kernel(make(16), fastmath=False)
"""


def digest_of(text, signature="void()"):
    # As a module that was imported has its globals.
    module = {"np": np, "functools": functools, "Kernel": Kernel, "Shape": Shape, "__name__": __name__}
    exec(compile(text, __file__.replace("test_static_pure", "made"), "exec"), module)
    return source.digest(module["kernel"], {"signature": signature})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 4", "LIMIT = 5"), ("make(16)", "make(17)"), ("y=5", "y=6"), ("a * LIMIT", "a - LIMIT"), ("fastmath=False", "fastmath=True"),
        ("np.arange(4)", "np.arange(1, 5)"), ("np.ones((2, 2))", "np.ones((2, 2), order='F')"), ("ONE = 1", "ONE = 2"), ('"near far"', '"far near"'), ("SHAPE = Shape(8)", "SHAPE = Shape(9)"), ("a + 1", "a + 2"), ('{"a", "b"}', '{"a", "c"}'), ("helper(a) +", "helper(a) -"),
    ],
)  # fmt: skip
def test_whatever_is_compiled_in_is_in_the_key(old, new):
    assert old in BASE
    assert digest_of(BASE) == digest_of(BASE) is not None
    assert digest_of(BASE.replace(old, new)) != digest_of(BASE)


def test_what_is_not_compiled_in_is_not_in_the_key():
    assert digest_of(BASE + "OTHER = 1\ndef unused():\n    return OTHER\n") == digest_of(BASE)
    assert digest_of("\n\n" + BASE) == digest_of(BASE)
    assert digest_of(BASE, "void(int32)") != digest_of(BASE)


def test_lines_count_where_the_code_has_them():
    lined = BASE.replace("fastmath=False", "lineinfo=True")
    assert digest_of("\n\n" + lined) != digest_of(lined)


def test_a_helper_that_is_declared_for_some_types_counts_with_these():
    def text(signature):
        return BASE + f"inner._can_compile = False\ninner.overloads = {{1: types.SimpleNamespace(signature={signature!r})}}\n"

    assert digest_of(text("float32(float32)")) != digest_of(text("float32(float64)")) is not None


def test_what_is_installed_counts_with_all_that_it_refers_to(monkeypatch):
    monkeypatch.setattr(source, "_packages", lambda: frozenset({str(Path(__file__).parent)}))
    for asked in (source._installed, source._of_python):
        monkeypatch.setattr(source, asked.__name__, asked.__wrapped__)
    assert source._installed(__file__)
    assert digest_of(BASE) == digest_of(BASE) is not None
    assert len({digest_of(BASE.replace(*change)) for change in (("", ""), ("make(16)", "make(17)"), ("LIMIT = 4", "LIMIT = 5"))}) == 3


def test_what_cannot_be_told_has_no_key():
    assert digest_of(BASE.replace("TABLE = np.arange(4)", "TABLE = [object()]")) is None


def test_what_is_linked_counts_by_what_it_is(tmp_path):
    file = tmp_path / "helper.cu"
    text = BASE.replace("fastmath=False", f"link=[{str(file)!r}]")
    assert digest_of(text) is None
    file.write_text("__device__ int one() { return 1; }")
    before = digest_of(text)
    file.write_text("__device__ int one() { return 2; }")
    assert before != digest_of(text) is not None
    held = BASE.replace("fastmath=False", 'link=[types.SimpleNamespace(data=b"1")]')
    assert digest_of(held) != digest_of(held.replace('b"1"', 'b"2"'))
    assert digest_of(BASE.replace("fastmath=False", "link=[object()]")) is None


def test_a_function_that_is_only_declared_has_no_key():
    declared = "ExternFunction = type('ExternFunction', (), {})\nLIMIT = type('declared', (), {'key': ExternFunction()})\n"
    assert digest_of(BASE.replace("LIMIT = 4", declared)) is None


def test_a_module_that_extends_numba_counts_whole(monkeypatch, tmp_path):
    file = tmp_path / "extending_module.py"
    file.write_text("from numba.extending import overload\n")
    module = types.ModuleType("extending_module")
    module.__file__ = str(file)
    before = digest_of(BASE)
    monkeypatch.setitem(__import__("sys").modules, "extending_module", module)
    assert str(file) in source.extending()
    assert digest_of(BASE) != before


def test_the_page_of_the_docs_has_every_quantity_and_every_reason():
    root = Path(__file__).resolve().parent.parent
    page = (root / "docs" / "static.md").read_text(encoding="utf-8")
    listed = re.findall(r"`([\w-]+)`", "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `")))
    package = "\n".join(path.read_text(encoding="utf-8") for path in (root / "pytest_gpuperf" / "static").glob("*.py"))
    codes = [cause.code for cause in REASONS if cause.code in {"no-compiler", "toolchain"} or cause.code.startswith(("compile-", "no-nvdisasm", "no-disas", "no-report", "no-block"))]
    assert sorted(listed) == sorted([*QUANTITIES, "code_hash", *codes])
    assert all(f'"{code}"' in package for code in codes)
    assert page.splitlines()[8].split()[:2] == ["kernel", "arch"]
    assert page.splitlines()[8].split()[2:-1] == list(QUANTITIES)
    assert "docs/static.md" in (root / "README.md").read_text(encoding="utf-8")
