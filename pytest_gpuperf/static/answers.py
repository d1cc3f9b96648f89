"""From a cubin to an answer: the quantities of one kernel, whoever compiled it, each a number or a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.counters.code import cubin_hash
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.static import sass
from pytest_gpuperf.static.architectures import architecture, occupancy
from pytest_gpuperf.static.elf import read
from pytest_gpuperf.static.model import INSTRUCTIONS, QUANTITIES, Compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gpuperf.static.cache import Code
    from pytest_gpuperf.static.disassemble import Unreadable
    from pytest_gpuperf.static.model import Request


def answered(request: Request, code: Code, unreadable: Unreadable | None = None) -> Compiled:
    """Return the answer to a request from the machine code of its kernel."""
    row = architecture(request.arch)
    binary = read(code.cubin, code.entry, in_section=row.in_section)
    numbers: dict[str, float] = {**binary.resources}
    reasons: dict[str, tuple[str, str]] = {}
    if code.spills is None:
        reasons["spills"] = _told(Reason("no-report"))
    else:
        numbers["spills"] = code.spills
    if code.sass is None:
        reasons |= dict.fromkeys(
            INSTRUCTIONS, _told(Reason("no-disassembly") if unreadable is None else Reason(unreadable.code, unreadable.detail))
        )
    else:
        numbers |= sass.counts(code.sass)
    if request.block is None:
        reasons["occupancy"] = _told(Reason("no-block"))
    else:
        shared = binary.resources["shared"] + request.dynamic_shared
        numbers["occupancy"] = occupancy(row, request.block, binary.resources["registers"], shared, binary.resources["barriers"])
    return Compiled(
        kernel=request.name,
        arch=request.arch,
        signature=request.signature,
        quantities={name: numbers[name] for name in QUANTITIES if name in numbers},
        reasons=reasons,
        ptx=code.ptx,
        sass=code.sass or "",
        code_hash=cubin_hash(code.cubin),
        toolchain=code.versions,
        block=request.block,
        dynamic_shared=request.dynamic_shared,
    )


def refused(request: Request, error: str, versions: Mapping[str, str]) -> Compiled:
    """Return the answer for a kernel that does not compile: one line that names it."""
    line = f"{request.name} on {request.arch}: {error}"
    return Compiled(
        request.name,
        request.arch,
        request.signature,
        {},
        toolchain=dict(versions),
        block=request.block,
        dynamic_shared=request.dynamic_shared,
        error=line,
    )


def unmeasured(request: Request, code: str, detail: str, versions: Mapping[str, str]) -> Compiled:
    """Return the answer where nothing could be compiled: every quantity has the same reason."""
    reasons = dict.fromkeys(QUANTITIES, (code, detail))
    return Compiled(
        request.name,
        request.arch,
        request.signature,
        {},
        reasons,
        toolchain=dict(versions),
        block=request.block,
        dynamic_shared=request.dynamic_shared,
    )


def _told(reason: Reason) -> tuple[str, str]:
    return reason.code, reason.detail
