"""The store of what was compiled: a file each, named by the hash of its sources, so that nothing in it is ever out of date."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

#: Changes with what is stored, so that older files are not found.
FORMAT = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    """One kernel for one architecture: cubin, its name in there (None: there is no other), PTX, bytes of spills (None where the assembler did not say), and its disassembly where that is done, with its version."""

    cubin: bytes
    entry: str | None
    ptx: str
    spills: int | None
    versions: dict[str, str]
    sass: str | None = None


def default() -> Path:
    """Return the folder of the store: GPUPERF_STATIC_CACHE, else a folder of the user's cache directory."""
    asked = os.environ.get("GPUPERF_STATIC_CACHE")
    if asked:
        return Path(os.path.expanduser(asked))  # noqa: PTH111 - Path's own raises where there is no home
    home = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None) or "~/.cache"
    home = os.path.expanduser(home)  # noqa: PTH111 - as above
    # A container's user may have neither HOME nor an entry of its own.
    return Path(tempfile.gettempdir() if home.startswith("~") else home) / "pytest-gpuperf" / "static"


def path_of(folder: str | Path, key: str) -> Path:
    """Return the file of a key."""
    return Path(folder) / key[:2] / f"{key}.z"


def has(folder: str | Path, key: str) -> bool:
    """Say whether a key is stored; a folder that cannot be looked into has nothing."""
    try:
        return path_of(folder, key).is_file()
    except OSError:
        return False


def load(folder: Path, key: str) -> Code | None:
    """Return what is stored; None where it is not there or cannot be read, which is as if it were not there."""
    try:
        packed = path_of(folder, key).read_bytes()
        head, _, cubin = zlib.decompress(packed).partition(b"\n")
        return Code(cubin=cubin, **json.loads(head))
    except (OSError, ValueError, TypeError, zlib.error):
        return None


def save(folder: Path, key: str, code: Code) -> None:
    """Store one kernel, all of it or nothing; a folder that cannot be written only costs the time of compiling again."""
    told: dict[str, Any] = {"entry": code.entry, "ptx": code.ptx, "spills": code.spills, "versions": code.versions, "sass": code.sass}
    packed = zlib.compress(json.dumps(told).encode() + b"\n" + code.cubin, 1)
    target = path_of(folder, key)
    with contextlib.suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(packed)
            Path(name).replace(target)
        except OSError:
            # A full disk is not made fuller.
            Path(name).unlink(missing_ok=True)
