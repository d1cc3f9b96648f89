"""What the compiler makes of every row of KERNELS, without a driver: it builds for sm_90, spills nothing, moves rows as vectors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from ptx_arithmetic import doubles, stray

ARCH = (9, 0)
ROOT = Path(__file__).resolve().parents[1]


def compile_all() -> dict[str, object]:
    """Compile every row to SASS; runs in a process of its own, since numba decides once whether it simulates."""
    from numba import cuda
    from numba.cuda.dispatcher import CUDADispatcher

    import kernels

    modules = {module for name, module in sys.modules.items() if name.startswith("kernels.")}
    launched = {
        f"{name}.{attribute}"
        for name, module in ((module.__name__, module) for module in modules)
        for attribute, value in vars(module).items()
        if isinstance(value, CUDADispatcher) and not value.targetoptions.get("device") and value.py_func.__module__ == name
    }
    rows = {}
    for row in kernels.KERNELS:
        ptx, _ = cuda.compile(row.function.py_func, row.signature, device=False, abi="numba", cc=ARCH)
        rows[row.name] = {
            "function": f"{row.function.py_func.__module__}.{row.function.py_func.__name__}",
            "module": row.module,
            "threads": row.block[0] * row.block[1],
            **_linked(ptx if isinstance(ptx, bytes) else ptx.encode()),
        }
    return {"launched": sorted(launched), "rows": rows, "count": len(kernels.KERNELS)}


def _linked(ptx: bytes, registers: int | None = None) -> dict[str, object]:
    """Assemble PTX for so many registers at most; return what ptxas says of it, and how often each vector access is in the PTX and in the SASS."""
    from cuda.core import Linker, LinkerOptions, ObjectCode

    options = LinkerOptions(arch=f"sm_{ARCH[0]}{ARCH[1]}", verbose=True, ptxas_options=["-v"], max_register_count=registers)
    linker = Linker(ObjectCode.from_ptx(ptx), options=options)
    cubin = linker.link("cubin")
    log = linker.get_info_log()
    log = log.decode() if isinstance(log, bytes) else log
    sass = _sass(cubin.code)
    text = ptx.decode()
    return {
        "registers": int(re.search(r"[Uu]sed (\d+) registers", log)[1]),
        "spills": sum(int(number) for number in re.findall(r"(\d+) bytes spill", log)),
        "spill_lines": len(re.findall(r"bytes spill", log)),
        "stack": sum(int(number) for number in re.findall(r"(\d+) bytes stack frame", log)),
        "ptx": {access: len(re.findall(re.escape(access), text)) for access in ("ld.global.v4.b32", "st.global.v4.b32")},
        "sass": {access: len(re.findall(rf"\b{re.escape(access)}\b", sass)) for access in ("LDG.E.128", "STG.E.128")},
        "stray": stray(text),
        "doubles": doubles(text),
        "instructions": re.findall(r"^\s+/\*[0-9a-f]{4}\*/\s+(.*?)\s*;", sass, re.MULTILINE),
        "order": re.findall(r"\b(LDG\.E[.\w]*|STG\.E[.\w]*|BAR|BRA|EXIT)\b", sass),
    }


def _sass(cubin: bytes) -> str:
    """Disassemble by the cuobjdump that the `static` extra brings."""
    tool = next(Path(sysconfig.get_paths()["purelib"], "nvidia").glob("cu*/bin/cuobjdump"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(cubin)
        # cuobjdump calls nvdisasm, which lies beside it.
        search = os.pathsep.join([str(tool.parent), os.environ.get("PATH", "")])
        done = subprocess.run([tool, "-sass", file], check=True, capture_output=True, text=True, env={**os.environ, "PATH": search})
    return done.stdout


@pytest.fixture(scope="module")
def compiled():
    clean = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    done = subprocess.run(
        [sys.executable, __file__],
        check=False,
        capture_output=True,
        text=True,
        env={**clean, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_kernel_has_a_row_and_every_name_is_used_once(compiled):
    assert compiled["launched"] == sorted({row["function"] for row in compiled["rows"].values()})
    assert len(compiled["rows"]) == compiled["count"]
    assert all(row["function"].startswith(f"kernels.{row['module']}.") for row in compiled["rows"].values())


def test_nothing_spills(compiled):
    for name, row in compiled["rows"].items():
        assert row["spill_lines"] > 0, f"{name}: ptxas did not say what it spilled"
        assert (row["spills"], row["stack"]) == (0, 0), name


def test_registers_leave_half_of_an_sm_busy(compiled):
    # 65,536 registers an SM, given out to warps in steps of 8 a thread: 1,024 of its 2,048 threads keep enough loads under way.
    for name, row in compiled["rows"].items():
        each = -(-row["registers"] // 8) * 8
        assert 65536 // (each * row["threads"]) * row["threads"] >= 1024, f"{name}: {row['registers']} registers"


def test_no_kernel_computes_but_as_it_is_written(compiled):
    # Every operation on floating-point numbers is a primitive with its rounding: the compiler fuses none, and widens none.
    for name, row in compiled["rows"].items():
        assert (row["stray"], row["doubles"]) == ([], []), name


@pytest.fixture(scope="module")
def staging(compiled):
    return {name: row for name, row in compiled["rows"].items() if row["module"] == "staging"}


def test_staging_moves_vectors(staging):
    # A write: two that do not wait for the slot, two of a loop. A commit: four of a loop, two behind it.
    accesses = {"write_all": 4, "commit_masked": 6}
    assert {name.split(".")[0] for name in staging} == set(accesses)
    for name, row in staging.items():
        expected = accesses[name.split(".")[0]]
        assert row["ptx"]["ld.global.v4.b32"] == row["ptx"]["st.global.v4.b32"] == expected, name
        # ptxas may unroll the loop, so there may be more of them in SASS.
        assert row["sass"]["LDG.E.128"] == row["sass"]["STG.E.128"] >= expected, name


def test_a_write_reads_rows_beside_their_slots(staging):
    for name, row in staging.items():
        if name.startswith("write_all."):
            lines = row["instructions"]
            before = lines[: next(number for number, line in enumerate(lines) if "BAR.SYNC" in line)]
            slot, *vectors = (number for number, line in enumerate(before) if re.search(r"\bLDG\.", line))
            assert ["LDG.E.128" in before[number] for number in vectors] == [True, True], f"{name}: {before}"
            first = int(re.search(r"LDG\S* R(\d+),", before[slot])[1])
            # Whatever names the slot's registers would wait for it.
            waits = [line for line in before[slot + 1 :] if re.search(rf"\bR({first}|{first + 1})\b", line)]
            assert not waits, f"{name}: {waits}"


def test_a_commit_waits_once_for_slot_and_mask(staging):
    slot = {"int32": "LDG.E", "int64": "LDG.E.64"}
    for name, row in staging.items():
        if name.startswith("commit_masked."):
            first = next(number for number, access in enumerate(row["order"]) if access.startswith("LDG"))
            assert set(row["order"][first : first + 2]) == {slot[name.split(".")[1]], "LDG.E.U8"}, f"{name}: {row['order']}"
            # Then it has four loads under way before its first store.
            vectors = [access for access in row["order"][first + 2 :] if access.endswith(".128")]
            assert vectors[:5] == ["LDG.E.128"] * 4 + ["STG.E.128"], f"{name}: {vectors}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(compile_all()))
