"""The environment of a run: interpreter, platform, packages and commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

#: Distributions whose version can move a time, a register count or a bit.
PACKAGES: tuple[str, ...] = (
    "pytest-gpuperf",
    "pytest",
    "pytest-xdist",
    "numpy",
    "numba",
    "numba-cuda",
    "llvmlite",
    "torch",
    "triton",
    "cupy",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "ml-dtypes",
    "cuda-bindings",
    "cuda-core",
    "cuda-toolkit",
    "nvidia-nvvm",
    "nvidia-nvjitlink",
    "nvidia-cuda-nvrtc",
    "nvidia-cuda-runtime",
    "nvidia-ml-py",
    "cupti-python",
    "nvtx",
    "filelock",
)

#: Names the commit where the tree under test has no repository: in an image, or on a machine that got a copy.
COMMIT_VARIABLE = "GPUPERF_COMMIT"

# A repository that does not answer in this time (a cold network disk) costs the record its commit, not the session its start.
_GIT_SECONDS = 2.0


def environment(rootpath: Path) -> dict[str, Any]:
    """Return python, platform, packages, commit and dirty, as the record of a run has them; no path of this machine.

    `dirty` is about tracked files alone: looking for untracked ones would walk the whole tree. Both are null where git or
    the repository is not there, except that GPUPERF_COMMIT then gives the commit.
    """
    commit, dirty = git_state(rootpath)
    if commit is None:
        commit = os.environ.get(COMMIT_VARIABLE, "").strip() or None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages(),
        "commit": commit,
        "dirty": dirty,
    }


def packages() -> dict[str, str]:
    """Return the installed versions of PACKAGES; what is not installed is not in it."""
    found = {}
    for name in PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = version
    return found


def git_state(rootpath: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the repository around `rootpath` and whether tracked files differ from it; None where unknown."""
    command = ["git", "-C", str(rootpath), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        # Without optional locks the question changes nothing: a git command of the user at the same time never fails by it.
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None, None
    if answer.returncode != 0:
        return None, None
    return parse_status(answer.stdout)


def parse_status(text: str) -> tuple[str | None, bool | None]:
    r"""Read `git status --porcelain=v2 --branch`.

    >>> parse_status("# branch.oid 3f2a91\n# branch.head main\n1 .M N... x.py\n")
    ('3f2a91', True)
    >>> parse_status("# branch.oid (initial)\n")
    (None, None)
    """
    lines = text.splitlines()
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid ") and "(" not in line), None)
    if commit is None:
        return None, None
    return commit, any(not line.startswith("#") for line in lines)
