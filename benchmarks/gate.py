"""Time what a gate does with many records: a comparison of 20,000 cases, and an index that is made anew from 1,000 runs of 100 cases.

Both by the console script, in processes of their own: wall time is judged, processor time (of all its processes) stands beside it, as other work on the machine
touches it less. The records have 200 samples and 10 rounds of evidence a measurement, as an H200's have. Exit status 1: a bar is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

CONSOLE = "import sys; from pytest_gpuperf.cli import main; sys.exit(main())"


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a command: by the wall's clock and of processors, and the largest memory of its processes."""

    wall: float
    processor: float
    memory_mb: float


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """One row of the table: what is done, how long it may take."""

    name: str
    seconds: float


BARS = (Bar("compare", 5.0), Bar("index", 30.0), Bar("index again", 1.0))


def timed(*words: str, status: int = 0) -> Cost:
    """Run the console script and return what it cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CONSOLE, *words], check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != status:
        message = f"gpuperf {' '.join(words)}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        raise SystemExit(message)
    print(done.stdout.strip().splitlines()[-1])
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024)


def shifted(run: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a run as another session would have written it: another id, times up to 3 % apart."""
    made: dict[str, Any] = json.loads(json.dumps(run))
    made["run"] |= {"id": f"20261121T{number:06d}-1", "started": f"2026-11-{1 + number // 60 % 28:02d}T{number // 3600 % 24:02d}:{number % 60:02d}:00Z"}
    for place, case in enumerate(made["cases"]):
        for one in case["measurements"]:
            value = one["values"]["time"]
            if value["number"] is not None:
                share = 1 + (place + number) % 7 * 0.005
                value |= {key: value[key] * share for key in ("number", "low", "high")}
    return made


def main() -> int:
    """Make the records, run the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000, help="cases of the comparison (default: 20,000)")
    parser.add_argument("--runs", type=int, default=1_000, help="runs of the index, of 100 cases each (default: 1,000)")
    options = parser.parse_args()
    from run_files import make_run

    from pytest_gpuperf.records.runfile import write

    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        big = make_run(passed=options.cases - 10)
        write(shifted(big, 0), where / "a.json")
        write(shifted(big, 1), where / "b.json")
        small = make_run(passed=90)
        for number in range(options.runs):
            write(shifted(small, number), where / "history" / f"{number:06d}.json")
        case = small["cases"][0]["nodeid"]
        found = {"compare": timed("compare", str(where / "a.json"), str(where / "b.json"))}
        found["index"] = timed("show", case, "--history", str(where / "history"))
        found["index again"] = timed("show", case, "--history", str(where / "history"))
    for bar in BARS:
        cost = found[bar.name]
        print(f"{bar.name:<12} {cost.wall:6.2f} s wall, {cost.processor:6.2f} s of processors (bar {bar.seconds:g} s), {cost.memory_mb:,.0f} MB")
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    return int(any(found[bar.name].wall > bar.seconds for bar in BARS))


if __name__ == "__main__":
    sys.exit(main())
