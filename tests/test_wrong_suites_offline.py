"""What the compiler makes of the kernels of suites/test_wrong.py, without a driver: all compile, and they are wrong in what they say alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
ARCH = (9, 0)


def compile_all() -> dict[str, dict[str, object]]:
    """Compile every kernel to PTX; runs in a process of its own, since numba decides once whether it simulates."""
    from numba import cuda, types
    from ptx_arithmetic import doubles

    from suites import wrong_calls, wrong_pages, wrong_places, wrong_values

    floats, words = (types.Array(kind, 1, "C") for kind in (types.float32, types.int32))
    signatures = {
        "sums": (floats, floats), "relu": (floats, floats), "scaled": (floats, floats), "zeroed": (floats, floats), "magnitudes": (floats, floats),
        "copy": (words, words), "mirrored": (words, words, words), "totals": (floats, floats),
    }  # fmt: skip
    found = {}

    def put(name, kernel, signature):
        ptx, _ = cuda.compile(kernel.py_func, signature, device=False, abi="numba", cc=ARCH)
        text = ptx.decode() if isinstance(ptx, bytes) else ptx
        found[name] = {"barriers": len(re.findall(r"\bbar\.sync|\bbarrier\.sync", text)), "doubles": doubles(text)}

    for module in (wrong_values, wrong_calls, wrong_places):
        for name, kernel in vars(module).items():
            if not hasattr(kernel, "py_func"):
                continue
            signature = signatures.get(name.partition("_")[0])
            if module is wrong_calls:
                signature = (words, *[floats] * (3 if name in ("doubled_anew", "doubled_from_cache") else 2))
            elif name.startswith("doubled"):
                signature = (floats, floats, types.int64)
            put(name, kernel, signature)
    pages = f"void({', '.join(['uint8[::1]'] * 4 + ['int32[::1]'] * 5 + ['uint8[::1]', *['int64'] * 11])})"
    for by_row in (True, False):
        put(f"pages, by_row={by_row}", wrong_pages.decode("bfloat16", "float32", "bfloat16", by_row=by_row), pages)
    return found


@pytest.fixture(scope="module")
def compiled():
    clean = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run([sys.executable, __file__], check=False, capture_output=True, text=True, env={**clean, "PYTHONPATH": path}, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_compile_and_none_computes_in_float64(compiled):
    assert len(compiled) == 24
    assert not [name for name, row in compiled.items() if row["doubles"]]


def test_only_the_race_lacks_its_barrier(compiled):
    assert compiled["mirrored"]["barriers"] == 1
    assert compiled["mirrored_too_soon"]["barriers"] == 0


if __name__ == "__main__":
    from pytest_gpuperf.static.offline import device, prepare

    # Helpers of kernels are device functions, for which numba asks what device there is.
    prepare()
    with device(ARCH):
        sys.stdout.write(json.dumps(compile_all()))
