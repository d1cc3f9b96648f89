"""Measure what a session pays for pytest-gpuperf when the plugin is installed and unused, beside pytest-benchmark.

Each arm runs plain pytest on one empty test in a process of its own; the arms take turns in a new random order every round, so that a machine that gets slower hits
all of them alike. Wall time is judged; processor time stands beside it, because other work on the machine touches it less. What is reported is the difference to the arm
with neither plugin, round by round. Exit status 1: the whole interval is above the bar, or a heavy module was imported; 2: a plugin that is compared is not installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR_MS = 10.0
HEAVY = ("numpy", "numba", "torch", "cuda", "jinja2")
OURS, PEER = "pytest_gpuperf.plugin", "benchmark"

CONFTEST = """
import os, pathlib, sys

def pytest_unconfigure():
    if "IDLE_MODULES" in os.environ:
        pathlib.Path(os.environ["IDLE_MODULES"]).write_text("\\n".join(sys.modules))
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Arm:
    """One way to start pytest: the plugins that it must not load."""

    name: str
    without: tuple[str, ...]

    def command(self) -> list[str]:
        """Return the command line; plugins that are neither compared nor needed are off in all arms alike."""
        off = (*self.without, "hypothesispytest", "xdist", "xdist.looponfail", "cacheprovider")
        return [sys.executable, "-m", "pytest", "-q", *(part for name in off for part in ("-p", f"no:{name}"))]


ARMS: tuple[Arm, ...] = (
    Arm("neither", (OURS, PEER)),
    Arm("pytest-gpuperf", (PEER,)),
    Arm("pytest-benchmark", (OURS,)),
    # The first arm again: what this benchmark calls a difference where there is none.
    Arm("neither, again", (OURS, PEER)),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What one session took: wall and processor time, in ms."""

    wall: float
    processor: float


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """A median with its 95 % interval from order statistics, in the unit of the samples."""

    middle: float
    low: float
    high: float


def median_interval(samples: list[float]) -> Interval:
    """Return the median and the order statistics that hold it with at least 95 %, whatever the distribution; needs 6 samples or more.

    >>> median_interval([float(n) for n in range(1, 26)])
    Interval(middle=13.0, low=8.0, high=18.0)
    """
    ordered, count = sorted(samples), len(samples)
    if count < 6:
        raise ValueError(f"{count} samples: a 95 % interval of the median needs 6")
    below, rank = 0.0, 0
    while (below := below + math.comb(count, rank) / 2**count) <= 0.025:
        rank += 1
    return Interval(statistics.median(ordered), ordered[rank - 1], ordered[count - rank])


def session(arm: Arm, folder: Path, modules: Path | None = None) -> Cost:
    """Run one session; return what it took. `modules`: where the session writes what it had imported."""
    # Without PYTHONDONTWRITEBYTECODE, too: a plugin that is compiled anew in each session is nobody's plugin.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "GPUPERF"))}
    if modules:
        environment["IDLE_MODULES"] = str(modules)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(arm.command(), cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall * 1e3, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3)


def rounds(count: int, folder: Path) -> dict[str, list[Cost]]:
    """Return what each arm took, once a round; an unrecorded round goes before."""
    times: dict[str, list[Cost]] = {arm.name: [] for arm in ARMS}
    for number in range(count + 1):
        for arm in random.sample(ARMS, len(ARMS)):
            taken = session(arm, folder)
            if number:
                times[arm.name].append(taken)
    return times


def report(what: str, times: dict[str, list[float]]) -> dict[str, Interval]:
    """Print the table of `what`; return each arm's difference to the first one, in ms."""
    bare = times[ARMS[0].name]
    differences = {}
    print(f"{what:<18}{'median':>10}{'difference':>13}   95 % interval     ratio   95 % interval")
    for arm in ARMS:
        mine = times[arm.name]
        line = f"{arm.name:<18}{statistics.median(mine):7.1f} ms"
        if mine is not bare:
            gap = differences[arm.name] = median_interval([one - other for one, other in zip(mine, bare, strict=True)])
            ratio = median_interval([one / other for one, other in zip(mine, bare, strict=True)])
            line += f"{gap.middle:+10.2f} ms   {gap.low:+.2f} .. {gap.high:+.2f}".ljust(32)
            line += f"{ratio.middle:8.3f}   {ratio.low:.3f} .. {ratio.high:.3f}"
        print(line)
    return differences


def heavy_modules(folder: Path) -> list[str]:
    """Return the heavy modules that a session with our plugin imported and used nothing of."""
    found = folder / "modules.txt"
    session(ARMS[1], folder, found)
    loaded = set(found.read_text(encoding="utf-8").splitlines())
    if OURS not in loaded:
        raise SystemExit(f"{OURS} was not loaded: nothing is measured here")
    return sorted(loaded & set(HEAVY))


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60, help="sessions of each arm (60; at least 6)")
    count = parser.parse_args().rounds
    if count < 6:
        parser.error(f"--rounds {count}: an interval needs 6 or more")
    installed = {entry.name for entry in importlib.metadata.entry_points(group="pytest11")}
    if lost := {OURS, PEER} - installed:
        print(f"not installed as a pytest plugin: {', '.join(sorted(lost))} (`make test` installs both)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="gpuperf-idle-") as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        (folder / "test_empty.py").write_text("def test_empty():\n    pass\n", encoding="utf-8")
        heavy = heavy_modules(folder)
        print(f"{count} rounds of one empty test, Python {sys.version.split()[0]}, pytest {importlib.metadata.version('pytest')}")
        taken = rounds(count, folder)
        report("processor time", {name: [cost.processor for cost in costs] for name, costs in taken.items()})
        gap = report("wall time", {name: [cost.wall for cost in costs] for name, costs in taken.items()})["pytest-gpuperf"]
    print(f"of {', '.join(HEAVY)} imported: {', '.join(heavy) or 'none'}")
    verdict = "met" if gap.high < BAR_MS else "missed" if gap.low > BAR_MS else "undecided: more rounds"
    print(f"less than {BAR_MS:.0f} ms: {verdict}")
    return int(bool(heavy) or verdict == "missed")


if __name__ == "__main__":
    raise SystemExit(main())
