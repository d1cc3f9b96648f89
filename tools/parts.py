"""Run the parts of `make test`, each as its own process; go on after a failing one; end with what failed and the seconds."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))

import chromium
import pick_constraints

ROOT = Path(__file__).resolve().parent.parent
NOTHING_COLLECTED = 5
PYTEST = ("-m", "pytest", "-q")
#: Two processes; who is done takes over what the other has not begun.
TWO = ("-n", "2", "--dist", "worksteal")
#: The files whose tests need a browser: collecting all others would take longer than some of them.
BROWSER = ("tests/test_report_browser.py", "tests/test_details_browser.py", "tests/test_docs_site.py")


def no_gpu() -> str:
    """Return why GPU tests cannot run here, or nothing."""
    return "" if pick_constraints.driver_cuda_version() else "no NVIDIA GPU on this machine"


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One process of the test run: arguments of this Python, a limit in seconds, and what may keep it from running.

    `missing` returns why the part cannot run here, or nothing; `empty` says why it may collect no test (where it may).
    """

    name: str
    arguments: tuple[str, ...]
    limit_s: int = 300
    every_run: bool = True
    missing: Callable[[], str] | None = None
    empty: str = ""


PARTS: tuple[Part, ...] = (
    Part("lint", ("-m", "ruff", "check", ".")),
    Part("types", ("-m", "mypy")),
    Part("tests", (*PYTEST, *TWO, "tests", "-m", "not browser and not gpu and not slow"), limit_s=480),
    Part("docstrings", (*PYTEST, "-p", "tools.doctest_names", "--doctest-modules", "pytest_gpuperf")),
    Part("suites", (*PYTEST, "--gpuperf", "--gpuperf-report=build/suites.html", *TWO, "suites"), limit_s=420),
    # -W: a broken link, and a page that no menu leads to, are errors. -E: what an earlier build has cached warns of nothing.
    Part("docs", ("-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-n", "docs", "build/docs")),
    Part("wheel", ("tools/wheel_test.py",)),
    Part("browser", (*PYTEST, *TWO, *BROWSER), missing=chromium.missing),
    Part("slow", (*PYTEST, "tests", "-m", "slow"), limit_s=1800, every_run=False, empty="no test is marked slow"),
    Part("gpu", (*PYTEST, "tests", "-m", "gpu"), limit_s=1800, every_run=False, missing=no_gpu, empty="no test is marked gpu"),
    Part("alone", (*PYTEST, "--gpuperf", "--gpuperf-report=build/alone.html", "suites"), limit_s=900, every_run=False),
    Part("idle", ("benchmarks/idle.py",), limit_s=900, every_run=False),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended: `passed`, `failed` or `not run`, after how many seconds, and why."""

    name: str
    verdict: str
    seconds: float
    why: str = ""

    def __str__(self) -> str:
        """Return the part's line of the table."""
        return f"{self.name:<12}{self.verdict:<9}{self.seconds:8.1f} s{'  ' + self.why if self.why else ''}"


def environment() -> dict[str, str]:
    """Return the environment of the parts: the caller's, less what would change what they test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GPUPERF_", "NUMBA_")) and name != "PYTHONPATH"}
    kept.pop("PYTEST_ADDOPTS", None)
    return kept | {"PYTHONUNBUFFERED": "1"}


def run_part(part: Part) -> Outcome:
    """Run one part to its end or its limit, its output going straight through; ends its whole process group on a limit or Ctrl-C."""
    started = time.monotonic()
    why = part.missing() if part.missing else ""
    if why:
        return Outcome(part.name, "not run", time.monotonic() - started, why)
    process = subprocess.Popen(
        (sys.executable, *part.arguments), cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        status = process.wait(part.limit_s)
    except subprocess.TimeoutExpired:
        stop(process)
        return Outcome(part.name, "failed", time.monotonic() - started, f"still running after its limit of {part.limit_s} s")
    except KeyboardInterrupt:
        stop(process)
        raise
    seconds = time.monotonic() - started
    if status == NOTHING_COLLECTED and part.empty:
        return Outcome(part.name, "not run", seconds, part.empty)
    return Outcome(part.name, "failed" if status else "passed", seconds, f"exit status {status}" if status else "")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a part and the processes that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def select(names: list[str], *, everything: bool) -> list[Part]:
    """Return the parts that were asked for by name, or those of every run; SystemExit names an unknown one."""
    known = [part.name for part in PARTS]
    for name in names:
        if name not in known:
            raise SystemExit(f"no part {name!r}; there are: {', '.join(known)}")
    if names:
        return [part for part in PARTS if part.name in names]
    return [part for part in PARTS if part.every_run or everything]


def closing(outcomes: list[Outcome]) -> list[str]:
    """Return the last lines: a table, what failed, and the count.

    >>> closing([Outcome("lint", "passed", 0.5), Outcome("wheel", "failed", 21.0, "exit status 1")])[-2:]
    ['failed: wheel', 'parts: 1 passed, 1 failed, 0 skipped']
    """
    count = {verdict: sum(outcome.verdict == verdict for outcome in outcomes) for verdict in ("passed", "failed", "not run")}
    failed = ", ".join(outcome.name for outcome in outcomes if outcome.verdict == "failed")
    lines = ["", *map(str, outcomes), f"{'together':<12}{'':<9}{sum(outcome.seconds for outcome in outcomes):8.1f} s"]
    if failed:
        lines.append(f"failed: {failed}")
    return [*lines, f"parts: {count['passed']} passed, {count['failed']} failed, {count['not run']} skipped"]


def main() -> NoReturn:
    """Run the selected parts in the order of PARTS; exit status 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", help=f"only these: {', '.join(part.name for part in PARTS)}")
    parser.add_argument("--all", action="store_true", help="also the parts that take long")
    arguments = parser.parse_args()
    outcomes = []
    for part in select(arguments.part, everything=arguments.all):
        print(f"\n[{part.name}] python {' '.join(part.arguments)}", flush=True)
        outcomes.append(run_part(part))
        print(outcomes[-1], flush=True)
    print("\n".join(closing(outcomes)), flush=True)
    raise SystemExit(any(outcome.verdict == "failed" for outcome in outcomes))


if __name__ == "__main__":
    main()
