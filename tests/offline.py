"""Kernels of this project as a GPU would load them, for tests that read their machine code; kept in the user's store from session to session."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_gpuperf.static.compiling import Compiler
from pytest_gpuperf.static.model import Reference, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_gpuperf.static.model import Compiled

ARCH = "sm_90"


def compiled_rows(module: str, chosen: Callable[[str], bool] = lambda _: True, archs: Sequence[str] = (ARCH,)) -> dict[tuple[str, str], Compiled]:
    """Compile the rows of KERNELS that a module has; by (name, architecture)."""
    with Compiler() as compiler:
        rows = [row for row in compiler.kernels(module, ARCH) if chosen(row.name)]
        found = compiler.compile([Request(row.name, row.reference, row.signature, arch, row.block) for row in rows for arch in archs])
    return whole(found)


def compiled_attributes(wanted: Iterable[tuple[str, str, str]], archs: Sequence[str] = (ARCH,)) -> dict[tuple[str, str], Compiled]:
    """Compile kernels given as (module, attribute, signature); by (attribute, architecture)."""
    with Compiler() as compiler:
        return whole(
            compiler.compile([Request(name, Reference("attribute", module, name), signature, arch) for module, name, signature in wanted for arch in archs])
        )


def whole(found: Iterable[Compiled]) -> dict[tuple[str, str], Compiled]:
    """Return answers by (kernel, architecture); what could not be compiled or read is a failure here."""
    found = list(found)
    assert [one.error for one in found if one.error] == []
    assert [(one.kernel, dict(one.reasons)) for one in found if set(one.reasons) - {"occupancy"}] == []
    return {(one.kernel, one.arch): one for one in found}


def lines(one: Compiled) -> list[str]:
    """Return the instructions of a kernel, predicates and operands included."""
    return re.findall(r"^/\*[0-9a-f]+\*/ (.*?) ;$", one.sass, re.MULTILINE)


def order(one: Compiled) -> list[str]:
    """Return loads and stores of global memory, barriers, jumps and ends of a kernel, by their opcodes."""
    return re.findall(r"\b(LDG\.E[.\w]*|STG\.E[.\w]*|BAR|BRA|EXIT)\b", one.sass)
