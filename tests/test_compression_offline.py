"""What the compiler makes of every configuration of KV compression, without a driver: no spills, 16-byte loads, only the arithmetic written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def builds(*, every: bool) -> dict[str, tuple[object, tuple[object, ...], dict[str, object]]]:
    """Return what is built for the rows of CONFIGS: for each the launch shape of few requests and one output, or `every` one of all."""
    from kernels import compression, prefilling, stepping

    found = {}
    for row in compression.CONFIGS:
        decode = stepping.decode4 if row.ratio == 4 else stepping.decode128
        for out in (row.kv, "float32" if row.kv == "bfloat16" else "bfloat16")[: 2 if every else 1]:
            for by_row in (False, True)[: 2 if every else 1]:
                for launch in row.warps[: None if every else 1]:
                    name = f"r{row.ratio}.{row.kv}.{row.state}.{out}.{'row' if by_row else 'page'}.{launch.lanes}"
                    words = {"by_row": by_row, "lanes": launch.lanes}
                    whole = words | {"packed": not by_row}
                    found[f"decode.{name}"] = decode, (row.head_dim, row.kv, row.state, out), whole
                    if every or (row.kv, row.state) == ("bfloat16", "float32"):
                        found[f"prefill.{name}"] = prefilling.prefill, (row.ratio, row.kv, row.state, out), words
    return found


def compile_all(*, every: bool) -> dict[str, dict[str, object]]:
    """Compile the builds; runs in a process of its own, since numba decides once whether it simulates."""
    from numba import cuda
    from ptx_arithmetic import doubles, stray
    from test_kernels_offline import ARCH, _linked

    found = {}
    for name, (build, args, words) in builds(every=every).items():
        # Ten addresses, and numbers.
        signature = f"void({', '.join(['int64'] * (24 if name.startswith('prefill') else 22))})"
        kernel = build(*args, **words)
        ptx, _ = cuda.compile(kernel.py_func, signature, device=False, abi="numba", cc=ARCH)
        text = ptx.decode() if isinstance(ptx, bytes) else ptx
        linked = _linked(text.encode(), kernel.targetoptions.get("max_registers"))
        found[name] = {key: linked[key] for key in ("registers", "spills", "spill_lines", "stack", "sass")} | {
            "stray": stray(text),
            "doubles": doubles(text),
            "shuffles": len(re.findall(r"\bSHFL\b", " ".join(linked["instructions"]))),
            # Loads, barriers and maxima: what computes with the rows begins with their maximum.
            "order": re.findall(r"\b(?:LDG\.E[.\w]*|BAR|FMNMX[.\w]*|CCTL[.\w]*)", " ".join(linked["instructions"])),
        }
    return found


def ran(*, every: bool) -> dict[str, dict[str, object]]:
    """Compile in a child."""
    clean = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, __file__, *(["every"] if every else [])], check=False, capture_output=True, text=True, env={**clean, "PYTHONPATH": path}, cwd=ROOT, timeout=1200
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=["one of each row", pytest.param("every one", marks=pytest.mark.slow)])
def compiled(request):
    return ran(every=request.param == "every one")


def test_nothing_spills(compiled):
    for name, row in compiled.items():
        assert row["spill_lines"] > 0, f"{name}: ptxas did not say what it spilled"
        assert (row["spills"], row["stack"]) == (0, 0), name


def test_registers_keep_memory_busy(compiled):
    # 1024 threads of an SM, each with eight rows of eight bytes under way at least, are twice what its share of the bandwidth needs.
    for name, row in compiled.items():
        assert row["registers"] <= 64, f"{name}: {row['registers']} registers"


def test_no_arithmetic_that_is_not_written(compiled):
    for name, row in compiled.items():
        assert (row["stray"], row["doubles"], row["shuffles"]) == ([], [], 0), name


def test_eight_rows_are_under_way_before_the_first_is_waited_for(compiled):
    for name, row in compiled.items():
        if name.startswith("decode"):
            # Two columns a thread, and nothing between that computes: of scores, then of values. No line takes a place in L1.
            vector = r"LDG\.E\.NA\.64" if name.split(".")[3] == "float32" else r"LDG\.E\.NA"
            runs = re.findall(rf"(?:{vector}(?![.\w]) ?){{8}}", " ".join(row["order"]))
            assert len(runs) >= 2, f"{name}: {row['order']}"


def test_every_row_is_there(compiled):
    from kernels import compression

    assert {tuple(name.split(".")[1:4]) for name in compiled if name.startswith("decode")} == {
        (f"r{row.ratio}", row.kv, row.state) for row in compression.CONFIGS
    }


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    sys.stdout.write(json.dumps(compile_all(every="every" in sys.argv[1:])))
