"""The process that compiles: it reads one task a line and answers each with one line, so that what it dies of costs one task.

Started as `python -m pytest_gpuperf.static.child`, with the path of the parent in its first line. numba decides once a process whether it simulates, and here it must not.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.static import cache, find, offline, source, toolchain
from pytest_gpuperf.static.model import Reference

if TYPE_CHECKING:
    from collections.abc import Callable

#: Settings of numba that do not change what it compiles to.
_HARMLESS = ("NUMBA_ENABLE_CUDASIM", "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_DISABLE_PERFORMANCE_WARNINGS")
#: Kernels after which garbage is collected: numba makes so much that a collection in between costs a tenth of the time.
_COLLECT = 8


def main() -> int:
    """Answer tasks until there are no more."""
    # What modules print on import must not come between our lines.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    first = json.loads(sys.stdin.readline())
    sys.path[:] = first["path"]
    warnings.simplefilter("ignore")
    lacking = toolchain.missing()
    if lacking is None:
        offline.prepare()
    gc.disable()
    versions = toolchain.versions()
    _answer(answers, {"versions": versions, "missing": None if lacking is None else [lacking.code, lacking.detail]})
    for number, line in enumerate(sys.stdin):
        task = json.loads(line)
        _answer(answers, _TASKS[task["task"]](task, first, versions))
        if number % _COLLECT == _COLLECT - 1:
            gc.collect()
    return 0


def _answer(answers: Any, told: dict[str, Any]) -> None:
    answers.write(json.dumps(told) + "\n")
    answers.flush()


def _rows(task: dict[str, Any], _first: dict[str, Any], _versions: dict[str, str]) -> dict[str, Any]:
    """Answer which kernels a module has."""
    try:
        return {"rows": [*find.rows_of(task["module"])]}
    except offline.Refused as error:
        return {"error": str(error)}


def _keys(task: dict[str, Any], first: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """Answer the keys of a kernel by architecture, None where its sources cannot be told, and for which the store has it; or the error."""
    try:
        kernel = offline.kernel_of(find.find(Reference(**task["reference"])), task["options"])
        signature = offline.served(kernel, task["signature"])
    except offline.Refused as error:
        return {"error": str(error)}
    keys = {arch: _key(kernel, signature, arch, versions) for arch in task["archs"]}
    return {"signature": signature, "keys": keys, "stored": [arch for arch, key in keys.items() if key and cache.has(first["cache"], key)]}


def _compile(task: dict[str, Any], _first: dict[str, Any], _versions: dict[str, str]) -> dict[str, Any]:
    """Answer what a kernel was compiled to, by architecture; or the error."""
    try:
        kernel = offline.kernel_of(find.find(Reference(**task["reference"])), task["options"])
        signature = offline.served(kernel, task["signature"])
    except offline.Refused as error:
        return {"error": str(error)}
    built = offline.build(kernel, signature, task["archs"])
    return {"built": {arch: _told(one) for arch, one in zip(task["archs"], built, strict=True)}}


def _told(built: offline.Built | offline.Refused) -> dict[str, Any]:
    if isinstance(built, offline.Refused):
        return {"error": str(built)}
    return {"cubin": base64.b64encode(built.cubin).decode(), "entry": built.entry, "ptx": built.ptx, "spills": built.spills}


def _key(kernel: Any, signature: str, arch: str, versions: dict[str, str]) -> str | None:
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_") and name not in _HARMLESS)
    about = {
        "config": offline.settings(_HARMLESS),
        "libraries": toolchain.unversioned(versions),
        "signature": signature,
        "arch": arch,
        "versions": versions,
        "python": list(sys.version_info[:2]),
        "settings": settings,
        "format": cache.FORMAT,
    }
    return source.digest(kernel, about)


_TASKS: dict[str, Callable[[dict[str, Any], dict[str, Any], dict[str, str]], dict[str, Any]]] = {
    "rows": _rows,
    "keys": _keys,
    "compile": _compile,
}


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Nothing is left to tidy up, and with all that numba has made that takes a while.
    os._exit(status)
