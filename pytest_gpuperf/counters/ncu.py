"""Nsight Compute's ncu: where it is, the command line of a profiled child, and what its messages mean."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gpuperf.nvtx_ranges import DOMAIN
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KERNEL, APP_RANGE = "kernel", "app-range"
REPLAYS = (KERNEL, APP_RANGE)

#: Slugs begin with a g, and start/end ranges match an expression without a slash.
_RANGES = f"regex:{DOMAIN}@g.+"
_HOMES = ("CUDA_HOME", "CUDA_PATH")
_FOLDERS = ("/usr/local/cuda/bin",)
_VERSION = re.compile(r"Version (\d[\w.]*)")
_ANSWER_SECONDS = 60
#: What it says where it came to its end and writes no report.
NOTHING = "No kernels were profiled"


@dataclasses.dataclass(frozen=True, slots=True)
class Says:
    """One row of MESSAGES: a text of ncu, the reason that it means, and whether that holds for every case or for the one that ran."""

    text: str
    reason: Reason
    everything: bool = True


MESSAGES: tuple[Says, ...] = (
    Says(r"ERR_NVGPUCTRPERM", Reason("ncu-permission")),
    Says(r"driver resource was unavailable|DCGM", Reason("ncu-busy")),
    Says(r"\bMIG\b", Reason("mig")),
    Says(r"LibraryNotLoaded|Failed to initialize the profiler", Reason("ncu-failed")),
    Says(r"Failed to (create|open) .*lock file", Reason("ncu-failed")),
    Says(r"No space left on device|Failed to (write|save|create) .*report", Reason("ncu-failed")),
    Says(r"LaunchFailed", Reason("ncu-died"), everything=False),
)


def find_ncu(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the path of ncu: on PATH, in the CUDA toolkit's folder, or the newest Nsight Compute; None where there is none."""
    environ = os.environ if environ is None else environ
    found = shutil.which("ncu", path=environ.get("PATH"))
    if found:
        return found
    folders = [*(Path(environ[name]) / "bin" for name in _HOMES if environ.get(name)), *map(Path, _FOLDERS)]
    folders += sorted(Path("/opt/nvidia/nsight-compute").glob("*"), reverse=True)
    return next((str(folder / "ncu") for folder in folders if os.access(folder / "ncu", os.X_OK)), None)


def version_of(ncu: str) -> str | Reason:
    """Return ncu's version, as "2025.3.1.0"; a reason where it does not answer."""
    said = ask([ncu, "--version"])
    if isinstance(said, Reason):
        return said
    found = _VERSION.search(said)
    return found[1] if found else Reason("ncu-failed", f"ncu --version says no version: {said.strip()[:80]!r}")


def listing_of(ncu: str) -> str:
    """Return what `ncu --query-metrics` lists for the chips that are here; empty where it lists nothing."""
    said = ask([ncu, "--query-metrics"])
    return "" if isinstance(said, Reason) else said


def ask(command: Sequence[str]) -> str | Reason:
    """Return what a short command prints; a reason where it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Reason("ncu-failed", f"{' '.join(command)}: {error}")
    return done.stdout


def command(ncu: str, metrics: Sequence[str], report: Path, log: Path, child: Sequence[str], replay: str = KERNEL) -> list[str]:
    """Return the command line that profiles a child: clocks as found, caches flushed before every kernel, nothing but what lies in our ranges.

    >>> line = command("ncu", ["dram__bytes_write.sum"], Path("a.ncu-rep"), Path("a.log"), ["python", "-m", "pytest"])
    >>> line[line.index("--clock-control") + 1], line[-3:]
    ('none', ['python', '-m', 'pytest'])
    """
    return [
        ncu, "--config-file", "off", "--target-processes", "application-only",
        "--clock-control", "none", "--cache-control", "all", "--replay-mode", replay,
        "--nvtx", "--nvtx-include", _RANGES,
        "--metrics", ",".join(metrics), "--force-overwrite", "--export", str(report), "--log-file", str(log),
        *child,
    ]  # fmt: skip


def explain(log: str) -> tuple[Reason, bool] | None:
    """Return what a log's errors mean, and whether that is true of every case; None where they mean nothing that is known.

    >>> reason, everything = explain("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission")
    >>> reason.code, everything
    ('ncu-permission', True)
    """
    errors = [line for line in log.splitlines() if line.startswith(("==ERROR==", "==WARNING=="))]
    for row in MESSAGES:
        for line in errors:
            if re.search(row.text, line):
                return Reason(row.reason.code, f"ncu: {_bare(line)}"), row.everything
    return None


def trouble(log: str) -> str:
    """Return the first error of a log that is not about how the target ended; empty where there is none.

    >>> trouble("==ERROR== The application returned an error code (6)."), trouble("==ERROR== Failed to profile copy in process 7")
    ('', 'Failed to profile copy in process 7')
    """
    errors = [line for line in log.splitlines() if line.startswith("==ERROR==") and "application returned an error code" not in line]
    return _bare(errors[0]) if errors else ""


def last_error(log: str) -> str:
    r"""Return the last error of a log, else its last line; empty for an empty log.

    >>> last_error("==PROF== Connected\n==ERROR== The application returned an error code (6).\n==PROF== Report: a.ncu-rep")
    'The application returned an error code (6).'
    """
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("==ERROR==")]
    chosen = errors or lines
    return _bare(chosen[-1]) if chosen else ""


def _bare(line: str) -> str:
    return re.sub(r"^==\w+==\s*", "", line).strip()
