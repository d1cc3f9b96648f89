"""What is asked of the compiler, and what it answers: one frozen row each, plain values only, so that both go through JSON."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What resource report, machine code and launch say, in the order of tables. `spills`, `stack`, `shared` and `local` are bytes, `occupancy` is a percentage
#: and needs the threads of a block; the rest are counts.
RESOURCES = ("registers", "spills", "stack", "shared", "local", "barriers")
INSTRUCTIONS = ("instructions", "loads_128", "loads_32", "stores_128", "fma", "mufu", "tensor", "f64")
QUANTITIES = (*RESOURCES, *INSTRUCTIONS, "occupancy")


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """Where another process finds a kernel.

    `kind` is "attribute" (`qualname` of `module`), "row" (the row of `module`.KERNELS that is named `qualname`) or "pickle" (`payload`: a pickled function in
    base64). `path` is the file of the module, for one that is not on the path by its name.
    """

    kind: str
    module: str = ""
    qualname: str = ""
    path: str = ""
    payload: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One kernel for one signature and architecture.

    `name` is what tables and errors call it. `signature` is a text that numba reads, as "void(float32[::1], int64)". `arch` is as "sm_90". `block` is the number of
    threads of a block (None: occupancy is not asked for), `dynamic_shared` the bytes that the launch adds. `options` are those of numba's `jit`, as max_registers,
    for a plain function; a decorated kernel has its own.
    """

    name: str
    reference: Reference
    signature: str
    arch: str
    block: int | None = None
    dynamic_shared: int = 0
    options: Mapping[str, Any] = dataclasses.field(default_factory=_nothing)


@dataclasses.dataclass(frozen=True, slots=True)
class Compiled:
    """What one request compiled to.

    Each of QUANTITIES is in `quantities` as a number or in `reasons` as (code of REASONS, detail). A kernel that the compiler refuses has `error`, one line that
    names kernel, architecture and cause, and no quantities. `ptx` and `sass` are texts, "" where there is none. `code_hash` is of machine code, constants and
    resource counts, never of names; None where there is no machine code. `toolchain` has versions by name: numba, numba-cuda, nvvm, nvjitlink, nvdisasm.
    """

    kernel: str
    arch: str
    signature: str
    quantities: Mapping[str, float]
    reasons: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=_nothing)
    ptx: str = ""
    sass: str = ""
    code_hash: str | None = None
    toolchain: Mapping[str, str] = dataclasses.field(default_factory=_nothing)
    block: int | None = None
    dynamic_shared: int = 0
    error: str | None = None


def plain(row: Request | Compiled) -> dict[str, Any]:
    """Return a row as JSON takes it.

    >>> plain(Request("k", Reference("attribute", "kernels.masks", "accept"), "void(int32[::1])", "sm_90", 128))["reference"]["qualname"]
    'accept'
    """
    told = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    return {
        name: dataclasses.asdict(value) if isinstance(value, Reference) else dict(value) if hasattr(value, "keys") else value
        for name, value in told.items()
    }


def request_of(told: Mapping[str, Any]) -> Request:
    """Return the request that `plain` wrote."""
    return Request(**{**told, "reference": Reference(**told["reference"])})


def compiled_of(told: Mapping[str, Any]) -> Compiled:
    """Return the answer that `plain` wrote."""
    return Compiled(**{**told, "reasons": {name: tuple(reason) for name, reason in told["reasons"].items()}})
