"""What is asked of the compiler for a kernel object of this process: by which name another process finds it, and for which signature."""

from __future__ import annotations

import base64
import os
import sys
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import StaticError
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.static.declared import ROWS, block_of, is_row, shared_of
from pytest_gpuperf.static.model import Reference, Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_gpuperf.static.declared import Declared


def reference_to(kernel: Any, declared: Sequence[Declared], signature: str = "") -> Reference | Reason:
    """Return where another process finds a kernel: a row that has it, its module and name, or the function itself; Reason where it finds it nowhere.

    A function that was made while the simulator is on holds the simulator's primitives, so it never goes over as it is.
    """
    rows = [row for row in declared if row.kernel is kernel]
    row = next((row for row in rows if row.signature == signature), next(iter(rows), None))
    if row is not None:
        return Reference("row", row.module, row.name, _file_of(sys.modules.get(row.module)))
    function = getattr(kernel, "py_func", kernel)
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    home = sys.modules.get(module) if isinstance(module, str) else None
    if home is not None and _found(home, qualname) in (kernel, function):
        return Reference("attribute", str(module), qualname, _file_of(home))
    listed = _listed(kernel)
    if listed is not None:
        return listed
    if not simulates() and callable(function):
        payload = _pickled(function)
        if payload is not None:
            return Reference("pickle", str(module or ""), qualname, payload=payload)
    why = "is made inside a function" if "<locals>" in qualname else f"is not what {module} has by that name"
    return Reason("kernel-unnamed", f"{qualname or type(kernel).__name__} {why}, so another process cannot find it by name")


def _listed(kernel: Any) -> Reference | None:
    """Return the row of any loaded module that has a kernel."""
    for name, module in list(sys.modules.items()):
        rows = getattr(module, "__dict__", {}).get(ROWS)
        if isinstance(rows, (tuple, list)):
            row = next((row for row in rows if is_row(row) and row.function is kernel), None)
            if row is not None:
                return Reference("row", name, row.name, _file_of(module))
    return None


def _found(home: Any, qualname: str) -> Any:
    for part in qualname.split("."):
        home = getattr(home, part, None)
    return home


def _file_of(module: Any) -> str:
    return os.path.realpath(getattr(module, "__file__", None) or "") if getattr(module, "__file__", None) else ""


def simulates() -> bool:
    """Say whether numba's simulator is on in this process; False where numba is not loaded."""
    return bool(getattr(getattr(sys.modules.get("numba"), "config", None), "ENABLE_CUDASIM", False))


def _pickled(function: Any) -> str | None:
    """Return a function, with what it holds, as text; None where something of it cannot be pickled."""
    try:
        from numba.cuda.cloudpickle import dumps

        return base64.b64encode(dumps(function)).decode()
    except Exception:  # noqa: BLE001 - whatever a closure holds that does not pickle, it is found nowhere
        return None


def name_of(kernel: Any) -> str:
    """Return what tables call a kernel: its qualified name without the functions around it.

    >>> name_of(name_of)
    'name_of'
    """
    function = getattr(kernel, "py_func", kernel)
    return str(getattr(function, "__qualname__", type(kernel).__name__)).rpartition("<locals>.")[2]


def request_for(
    kernel: Any,
    signature: str | None,
    arch: str,
    declared: Sequence[Declared],
    *,
    block: int | None = None,
    dynamic_shared: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Request | Reason:
    """Return the request for a kernel or for a row of KERNELS; Reason where no other process finds it, StaticError for what is no kernel or has no signature.

    What a row says of signature and block stands where they are not given.
    """
    name = ""
    if is_row(kernel):
        row, kernel = kernel, kernel.function
        name, signature = row.name, signature or row.signature
        block, dynamic_shared = block_of(row) if block is None else block, dynamic_shared or shared_of(row)
    if not callable(kernel) or isinstance(kernel, type):
        message = f"compiled({kernel!r:.60}): pass a numba kernel, a plain function or a row of {ROWS}"
        raise StaticError(message)
    own = [row for row in declared if row.kernel is kernel]
    if signature is None:
        if len(own) != 1:
            several = f"has {len(own)} {ROWS} rows: {', '.join(row.name for row in own)}" if own else f"has no {ROWS} row"
            message = f"compiled({name_of(kernel)}): needs a signature, as 'void(float32[::1], int64)', or a row: the kernel {several}"
            raise StaticError(message)
        signature = own[0].signature
    matching = [row for row in own if row.signature == signature and name in {"", row.name}]
    if matching and not name:
        name, block = matching[0].name, matching[0].block if block is None else block
    reference = reference_to(kernel, matching or own, signature)
    if isinstance(reference, Reason):
        return reference
    return Request(name or name_of(kernel), reference, signature, arch, block, dynamic_shared, dict(options or {}))
