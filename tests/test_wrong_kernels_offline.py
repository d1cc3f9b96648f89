"""What the compiler makes of suites/wrong_counters.py, without a driver: one spills and its twin does not, tiles have the width that they should."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ARCH = (9, 0)


def compile_all() -> dict[str, dict[str, int]]:
    """Compile every kernel to a cubin; runs in a process of its own, since numba decides once whether it simulates."""
    from cuda.core import Linker, LinkerOptions, ObjectCode
    from numba import cuda, types

    from suites import wrong_counters

    flat, square = (types.Array(types.float32, dims, "C") for dims in (1, 2))
    signatures = {"transpose": (square, square), "sums": (flat, flat, types.int64), "copy": (flat, flat)}
    found = {}
    for name in sorted(vars(wrong_counters)):
        signature = signatures.get(name.partition("_")[0])
        if signature is None:
            continue
        kernel = getattr(wrong_counters, name)
        ptx, _ = cuda.compile(kernel.py_func, signature, device=False, abi="numba", cc=ARCH)
        options = LinkerOptions(
            arch=f"sm_{ARCH[0]}{ARCH[1]}", verbose=True, ptxas_options=["-v"], max_register_count=kernel.targetoptions.get("max_registers")
        )
        linker = Linker(ObjectCode.from_ptx(ptx if isinstance(ptx, bytes) else ptx.encode()), options=options)
        linker.link("cubin")
        log = linker.get_info_log()
        log = log.decode() if isinstance(log, bytes) else log
        found[name] = {
            "registers": max(int(number) for number in re.findall(r"[Uu]sed (\d+) registers", log)),
            "stack": sum(int(number) for number in re.findall(r"(\d+) bytes stack frame", log)),
            "spills": sum(int(number) for number in re.findall(r"(\d+) bytes spill", log)),
            "shared": max([0, *(int(number) for number in re.findall(r"(\d+) bytes smem", log))]),
        }
    return found


@pytest.fixture(scope="module")
def compiled():
    clean = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    command = [sys.executable, __file__]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**clean, "PYTHONPATH": str(ROOT)}, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_six_kernels(compiled):
    assert len(compiled) == 6


def test_only_the_one_of_32_registers_spills(compiled):
    spilling = compiled["sums_spilling"]
    assert spilling["registers"] <= 32
    assert spilling["spills"] > 0
    assert spilling["stack"] > 0
    for name, row in compiled.items():
        if name != "sums_spilling":
            assert (row["spills"], row["stack"]) == (0, 0), name


def test_a_padded_tile_has_a_word_more_in_each_row(compiled):
    assert compiled["transpose_padded"]["shared"] - compiled["transpose_conflicting"]["shared"] == 32 * 4
    assert compiled["copy_strided"]["shared"] == compiled["sums_in_registers"]["shared"]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(compile_all()))
