"""gpuperf static: the table of a module's kernels, its errors, its exit status."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("numba.cuda", reason="compiles kernels: needs the extra `static`")

from pytest_gpuperf.cli import main
from pytest_gpuperf.cli.static import table
from pytest_gpuperf.static.model import INSTRUCTIONS, QUANTITIES, Compiled


def test_a_module_is_a_table(tmp_path, monkeypatch, capsys):
    (tmp_path / "few.py").write_text(
        "from numba import cuda\n"
        "@cuda.jit('void(float32[::1], float32)')\ndef fill(x, value):\n    x[cuda.grid(1)] = value\n"
        "@cuda.jit(['void(float32[::1])', 'void(float64[::1])'])\ndef twice(x):\n    x[cuda.grid(1)] *= 2\n"
        "@cuda.jit('void(float32[::1])')\ndef wrong(x):\n    x[0] = x.nothing\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    arguments = ["static", "few", "--store", str(tmp_path / "store"), "--arch", "sm_90", "--arch", "sm_80"]
    assert main(arguments) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["kernel", "arch", *QUANTITIES, "code"]
    rows = [line.split() for line in printed[1:7]]
    assert [(row[0], row[1]) for row in rows] == [(name, arch) for name in ("fill", "twice", "twice.1") for arch in ("sm_90", "sm_80")]
    f64 = {row[0]: row[2 + QUANTITIES.index("f64")] for row in rows}
    assert (f64["fill"], f64["twice"]) == ("0", "0")
    assert int(f64["twice.1"]) >= 1
    assert [line for line in printed if line.startswith("error: wrong on sm_90: ")]
    assert "- is UNMEASURED no-block" in printed
    assert re.match(r"compiled by numba-cuda \S+, nvvm \S+, nvjitlink \S+, nvdisasm \S+$", printed[-1])
    assert main([*arguments, "--kernel", "fill", "--sass"]) == 0
    printed = capsys.readouterr().out
    assert "twice" not in printed
    assert re.search(r"fill on sm_80\n/\*0000\*/ .*;\n", printed)
    assert main([*arguments, "--kernel", "nothing"]) == 2
    assert capsys.readouterr().err == "gpuperf static: no kernel of few has 'nothing' in its name\n"


def test_an_architecture_that_is_not_known_is_an_error(capsys):
    assert main(["static", "kernels", "--arch", "sm90"]) == 2
    assert capsys.readouterr().err.startswith("gpuperf static: unknown architecture 'sm90'; nearest 'sm_90'; known: sm_75, ")


def test_a_table_without_numbers_says_why():
    nothing = Compiled("k", "sm_90", "void()", {}, dict.fromkeys(QUANTITIES, ("no-compiler", "NVVM does not load: pip install x")), toolchain={"numba-cuda": "0.30"})
    assert [*table([nothing])][-2:] == ["- is UNMEASURED no-compiler: NVVM does not load: pip install x", "compiled by numba-cuda 0.30"]
    some = Compiled("k", "sm_90", "void()", {"registers": 8, "occupancy": 37.5}, dict.fromkeys(INSTRUCTIONS, ("no-disassembly", "")), code_hash="0123456789")
    assert [*table([some])][1].split()[:3] == ["k", "sm_90", "8"]
    assert [*table([some])][1].split()[-2:] == ["38%", "01234567"]
