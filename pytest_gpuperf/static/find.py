"""Which kernel a reference means, and which kernels a module has. Runs in the child, where kernels are numba's and not the simulator's."""

from __future__ import annotations

import base64
import functools
import importlib
import importlib.util
import os
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.metrics import nearest
from pytest_gpuperf.static.offline import Refused, declared, one_line

if TYPE_CHECKING:
    import types
    from collections.abc import Iterator

    from pytest_gpuperf.static.model import Reference

#: The list of a module's or a package's kernels: rows with name, function, signature, block and, in a package, module.
ROWS = "KERNELS"


def find(reference: Reference) -> Any:
    """Return what a reference means; Refused names what is not there."""
    if reference.kind == "pickle":
        try:
            return pickle.loads(base64.b64decode(reference.payload))  # noqa: S301 - our own parent wrote it
        except Exception as error:
            message = f"it cannot be carried to the compiling process: {one_line(error)}"
            raise Refused(message) from error
    module = load(reference.module, reference.path)
    if reference.kind == "row":
        listed = getattr(module, ROWS, ())
        rows = {str(row.name): row for row in listed}
        if any(str(row.name) == reference.qualname and row.function is not rows[reference.qualname].function for row in listed):
            message = f"{reference.module}.{ROWS} has two kernels named {reference.qualname!r}: give each row a name of its own"
            raise Refused(message)
        if reference.qualname not in rows:
            message = f"no row {reference.qualname!r} in {reference.module}.{ROWS}{nearest(reference.qualname, [*rows]) if rows else ''}"
            raise Refused(message)
        return rows[reference.qualname].function
    try:
        return functools.reduce(getattr, reference.qualname.split("."), module)
    except AttributeError as error:
        message = f"no {reference.qualname!r} in {reference.module}{nearest(reference.qualname, [name for name in vars(module) if name[0] != '_'])}"
        raise Refused(message) from error


def load(name: str, path: str = "") -> types.ModuleType:
    """Return a module by its name, or from its file where it is not importable by that; Refused says why it cannot be imported."""
    try:
        found = sys.modules.get(name) if name != "__main__" else None
        if path and found is not None and os.path.realpath(getattr(found, "__file__", None) or "") != os.path.realpath(path):
            # Another file that was imported by the same name.
            found = None
        found = found or _by_path(name, path) or importlib.import_module(name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        message = f"module {name} cannot be imported: {type(error).__name__}: {one_line(error)}"
        raise Refused(message) from error
    return found


def _by_path(name: str, path: str) -> types.ModuleType | None:
    """Return a module that its file names and the path does not; None where its name finds that file."""
    if not path:
        return None
    try:
        known = importlib.util.find_spec(name) if name != "__main__" else None
    except (ImportError, ValueError):
        known = None
    if known is not None and known.origin and Path(known.origin) == Path(path):
        return None
    spec = importlib.util.spec_from_file_location(name if name != "__main__" else "__gpuperf_main__", path)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def rows_of(name: str) -> Iterator[dict[str, Any]]:
    """Yield name, reference, signature and block of each kernel of a module: of its KERNELS, of those of its package, else of its decorated kernels' own signatures."""
    module = load(name)
    own = getattr(module, ROWS, None)
    if own is not None:
        yield from (_row(row, name) for row in own)
        return
    package, _, last = name.rpartition(".")
    shared = getattr(load(package), ROWS, None) if package else None
    if shared is not None:
        mine = [row for row in shared if getattr(row, "module", None) in {last, name}]
        yield from (_row(row, package) for row in mine)
        if mine:
            return
    for attribute, value in vars(module).items():
        for number, signature in enumerate(declared(value)):
            label = attribute if number == 0 else f"{attribute}.{number}"
            yield {
                "name": label,
                "reference": {"kind": "attribute", "module": name, "qualname": attribute, "path": "", "payload": ""},
                "signature": signature,
                "block": None,
            }


def _row(row: Any, module: str) -> dict[str, Any]:
    block = getattr(row, "block", None)
    threads = functools.reduce(lambda a, b: a * b, block, 1) if isinstance(block, (tuple, list)) else block
    return {
        "name": str(row.name),
        "reference": {"kind": "row", "module": module, "qualname": str(row.name), "path": "", "payload": ""},
        "signature": str(row.signature),
        "block": threads,
        "dynamic_shared": int(getattr(row, "dynamic_shared", 0) or 0),
    }
