"""The program compute-sanitizer: where it is, which version, and the command line that runs a target under one of its tools."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = "compute-sanitizer"
#: So many reports a process and no more: a kernel that is wrong in every thread writes hundreds of bytes a thread.
PRINT_LIMIT = 10_000
_HOMES = ("CUDA_HOME", "CUDA_PATH")
_USUAL = Path("/usr/local/cuda/bin")


def find(environ: Mapping[str, str] | None = None, usual: Path = _USUAL) -> Path | None:
    """Return the program: on PATH, else under CUDA_HOME or CUDA_PATH, else in the toolkit's usual folder; None where it is in none of them."""
    environ = os.environ if environ is None else environ
    folders = [folder for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    folders += [str(Path(environ[name]) / part) for name in _HOMES if environ.get(name) for part in ("bin", "compute-sanitizer")]
    found = shutil.which(NAME, path=os.pathsep.join([*folders, str(usual)]))
    return None if found is None else Path(found)


def version(program: Path) -> str | None:
    """Return the program's version; None where it does not say one."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return version_in(said)


def version_in(text: str) -> str | None:
    r"""Return the version that a text names.

    >>> version_in("Copyright (c) NVIDIA\nVersion 2025.3.1.0 (build 36400806) (public-release)")
    '2025.3.1.0'
    """
    match = re.search(r"[Vv]ersion (\d+(?:\.\d+)+)", text)
    return match[1] if match else None


def command(program: Path | str, tool: str, log: Path, target: Sequence[str]) -> list[str]:
    """Return the command that runs `target` under one of the tools, its text in the file `log`.

    A kernel with a precise error ends alone, so that the process goes on and later cases have a verdict of their own; processes that the target
    starts are not checked, as no case could be named for what they do.
    """
    options = ["--tool", tool, "--log-file", str(log).replace("%", "%%"), "--print-limit", str(PRINT_LIMIT)]
    options += ["--destroy-on-device-error", "kernel", "--target-processes", "application-only", "--require-cuda-init", "no"]
    return [str(program), *options, *target]
