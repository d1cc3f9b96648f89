"""What counters cost: sessions of 5, 20 and 50 cases with counters beside the same sessions without, one ncu run a case beside them, and whether times stay.

Every case has a numba kernel of its own; the metric set takes one pass. `python benchmarks/counters.py --json FILE --markdown FILE` needs a GPU,
numba-cuda and ncu.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from counters_table import lines_of, page_of, same

_ROOT = Path(__file__).resolve().parent.parent
SIZES = (5, 20, 50)
#: One pass of a kernel collects it, beside the kernel's time, which weighs ratios.
METRIC = "sm__warps_launched.sum"
_ALONE = 5
ELEMENTS = 1 << 25
_TIMEOUT = 400

#: A kernel a case: written so that numba compiles each, as in a suite of so many kernels.
_KERNELS = """
from numba import cuda


def make(number):
    @cuda.jit
    def fill(array):
        index = cuda.grid(1)
        if index < array.size:
            array[index] = number

    return fill


def launch(number, array):
    kernel = make(float(number))
    return lambda: kernel[(array.size + 255) // 256, 256](array)
"""
#: 134 MB: some 40 us, of which the clocks of two processes differ by less than 1 %.
_CASES = f"""
import numpy as np
import pytest
from numba import cuda
from kernels_here import launch


@pytest.mark.gpuperf(counters=["{METRIC}"])
@pytest.mark.parametrize("number", range(COUNT))
def test_case(gpuperf, number):
    array = cuda.device_array({ELEMENTS}, np.float32)
    gpuperf.measure(launch(number, array), outputs=[array])
"""
_ONE = f"""
import sys

import numpy as np
from numba import cuda
from kernels_here import launch

array = cuda.device_array({ELEMENTS}, np.float32)
body = launch(int(sys.argv[1]), array)
body()
cuda.synchronize()
body()
cuda.synchronize()
"""


def main() -> None:
    """Run everything, print the table, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--markdown", type=Path, default=None)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of cases, comma-separated")
    parser.add_argument("--limit", default="0.2", help="seconds of sampling of each measurement")
    arguments = parser.parse_args()
    ncu = find_ncu()
    with tempfile.TemporaryDirectory(prefix="gpuperf-counters-") as folder:
        found = measure(Path(folder), ncu, tuple(int(one) for one in arguments.sizes.split(",")), arguments.limit)
    print("\n".join(lines_of(found)))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if arguments.markdown is not None:
        arguments.markdown.write_text(page_of(found), encoding="utf-8")


def find_ncu() -> str:
    """Return the path of ncu, on PATH or of the toolkit; ends where there is none."""
    search = os.pathsep.join([os.environ.get("PATH", ""), f"{os.environ.get('CUDA_HOME') or '/usr/local/cuda'}/bin"])
    return shutil.which("ncu", path=search) or sys.exit("no ncu: put it on PATH")


def measure(folder: Path, ncu: str, sizes: tuple[int, ...], limit: str) -> dict[str, Any]:
    """Return everything that the table shows, in seconds."""
    folder.joinpath("kernels_here.py").write_text(_KERNELS, encoding="utf-8")
    folder.joinpath("one.py").write_text(_ONE, encoding="utf-8")
    # Not counted: what the first session of a machine pays for files that nobody had read.
    session(folder, 1, "off", limit)
    rows, pairs = [], []
    for size in sizes:
        without, with_pass = session(folder, size, "off", limit), session(folder, size, "require", limit)
        told = with_pass["run"]["counters"]
        counted = sum(counter_of(case) == ELEMENTS // 32 for case in with_pass["run"]["cases"])
        rows.append({"cases": size, "without": without["wall"], "with": with_pass["wall"], "starts": told["starts"], "pass": told["wall_s"], "counted": counted})
        pairs += [one | {"cases": size} for one in same(without["run"], with_pass["run"])]
    device = with_pass["run"]["devices"][0]
    return {
        "device": {"name": device["name"], "driver": device["driver"]},
        "ncu": told["ncu"],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": os.environ.get("GPUPERF_COMMIT", ""),
        "metric": METRIC,
        "rows": rows,
        "alone": [alone(folder, ncu, number) for number in range(_ALONE)],
        "pairs": pairs,
    }


def session(folder: Path, cases: int, ncu: str, limit: str) -> dict[str, Any]:
    """Run one session; return its wall time and its run file. Ends where it fails."""
    folder.joinpath("test_cases.py").write_text(_CASES.replace("COUNT", str(cases)), encoding="utf-8")
    folder.joinpath("pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "pytest_gpuperf.plugin", "-p", "no:cacheprovider", "-q", "--gpuperf", f"--gpuperf-ncu={ncu}", f"--gpuperf-limit={limit}"]
    began = time.perf_counter()
    done = subprocess.run([*command, "--gpuperf-json=run.json"], cwd=folder, env=environment(), capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{cases} cases, --gpuperf-ncu={ncu}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return {"wall": wall, "run": json.loads(folder.joinpath("run.json").read_text(encoding="utf-8"))}


def counter_of(case: dict[str, Any]) -> float | None:
    """Return the counter of a case; None where it has none."""
    counters = case["measurements"][0].get("counters") or {}
    number: float | None = counters.get(METRIC, {}).get("number")
    return number


def alone(folder: Path, ncu: str, number: int) -> float:
    """Return the wall time of one ncu run of the script that launches one case's kernel, without any test around it."""
    options = ["--config-file", "off", "--clock-control", "none", "--cache-control", "all", "--launch-skip", "1", "--launch-count", "1", "--metrics", METRIC]
    began = time.perf_counter()
    done = subprocess.run([ncu, *options, sys.executable, "one.py", str(number)], cwd=folder, env=environment(), capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    wall = time.perf_counter() - began
    if METRIC not in done.stdout:
        sys.exit(f"ncu by itself counted nothing, exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return wall


def environment() -> dict[str, str]:
    """Return the environment of a session: this one's, with this tree first on the path."""
    path = os.pathsep.join(part for part in (str(_ROOT), os.environ.get("PYTHONPATH", "")) if part)
    return os.environ | {"PYTHONPATH": path, "NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


if __name__ == "__main__":
    main()
