"""What changed between two compilations of one kernel, in sentences: resources, the mix of instructions, or that it is the same machine code."""

from __future__ import annotations

import collections
import re
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.metrics import metric
from pytest_gpuperf.static.model import QUANTITIES
from pytest_gpuperf.static.versions import COMPILERS, release

if TYPE_CHECKING:
    from collections.abc import Mapping

Record = dict[str, Any]

#: Kinds of instructions that are named; the rest are counted together.
_KINDS = 8
#: An instruction of disassembled code, less its address and its predicate: the opcode up to the first dot is its kind.
_INSTRUCTION = re.compile(r"^\s*(?:/\*[0-9a-f]+\*/)?\s*(?:@!?U?P[T0-9]+\s+)?(?P<kind>[A-Z][A-Z0-9_]*)[.\w]*", re.MULTILINE)


def mix_of(sass: str) -> dict[str, int]:
    r"""Count the instructions of disassembled code by kind, the most frequent first.

    >>> mix_of("/*0000*/ LDG.E.128 R4, [R2] ;\n/*0010*/ @!P0 FADD R1, R1, R4 ;\n/*0020*/ LDG.E R8, [R2] ;\n.L_x_0:\n")
    {'LDG': 2, 'FADD': 1}
    """
    return dict(collections.Counter(match["kind"] for match in _INSTRUCTION.finditer(sass)).most_common())


def same_code(here: Record, there: Record) -> bool:
    """Say whether two records are of the same machine code: both have a hash, and it is one."""
    return bool(here.get("code_hash")) and here["code_hash"] == there.get("code_hash")


def explain(here: Record, there: Record) -> list[str]:
    """Return what changed from the record `there` of a compiled kernel to the record `here`, a sentence each; both as the run file has them.

    >>> kernel = {"kernel": "decode", "arch": "sm_90", "code_hash": "ab", "quantities": {"registers": 40, "loads_128": 4}, "mix": {"LDG": 4, "IMAD": 2}, "toolchain": {}}
    >>> explain(kernel, kernel)
    ['decode on sm_90: same machine code']
    >>> other = {**kernel, "code_hash": "cd", "quantities": {"registers": 56, "loads_128": 0}, "mix": {"LDG": 16, "IMAD": 2}}
    >>> explain(other, kernel)
    ['decode on sm_90: registers 40 -> 56, loads_128 4 -> 0', 'decode on sm_90: instructions by kind LDG +12']
    """
    title = f"{here['kernel']} on {here['arch']}"
    if same_code(here, there):
        return [f"{title}: same machine code"]
    found = []
    moved = changes(here, there)
    if moved:
        found.append(f"{title}: {', '.join(moved)}")
    mixed = _mix(here.get("mix") or {}, there.get("mix") or {})
    if mixed:
        found.append(f"{title}: instructions by kind {mixed}")
    if here.get("code_hash") and there.get("code_hash") and not found:
        found.append(f"{title}: other machine code of the same size and resources")
    tools = _tools(here.get("toolchain") or {}, there.get("toolchain") or {})
    if tools and found:
        found.append(f"{title}: compiled by another toolchain: {tools}")
    return found


def changes(here: Record, there: Record) -> list[str]:
    """Return the quantities that differ, as "registers 40 -> 56"."""
    mine, theirs = here.get("quantities") or {}, there.get("quantities") or {}
    found = []
    for name in QUANTITIES:
        one, other = theirs.get(name), mine.get(name)
        if one is not None and other is not None and one != other:
            row = metric(name)
            unit = " %" if row is not None and row.unit == "%" else ""
            found.append(f"{name} {one:g} -> {other:g}{unit}")
    return found


def _mix(mine: Mapping[str, int], theirs: Mapping[str, int]) -> str:
    apart = {kind: mine.get(kind, 0) - theirs.get(kind, 0) for kind in (*mine, *theirs)}
    moved = sorted((kind for kind in apart if apart[kind]), key=lambda kind: (-abs(apart[kind]), kind))
    shown = ", ".join(f"{kind} {apart[kind]:+d}" for kind in moved[:_KINDS])
    return f"{shown} and {len(moved) - _KINDS} more" if len(moved) > _KINDS else shown


def _tools(mine: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    return ", ".join(
        f"{title} {release(theirs[name])} -> {release(mine[name])}"
        for name, title in COMPILERS.items()
        if mine.get(name) and theirs.get(name) and release(mine[name]) != release(theirs[name])
    )


def cause_of(slower: float, here: list[Record], there: list[Record]) -> str:
    """Say what became of the machine code behind a changed time, from what the two measurements were compiled to: "same", "launch" (same, in other blocks), "other", or "" where that is not known.

    `slower` is the relative change of the time; `here` and `there` are the compiled kernels of both, as the run file has them.

    >>> kernel = {"kernel": "decode", "arch": "sm_90", "signature": "void()", "code_hash": "ab"}
    >>> cause_of(0.08, [kernel], [kernel]), cause_of(0.08, [kernel], [{**kernel, "code_hash": "cd"}]), cause_of(0.08, [kernel], [])
    ('same', 'other', '')
    >>> cause_of(0.08, [{**kernel, "block": 32}], [{**kernel, "block": 128}])
    'launch'
    >>> cause_of(0.08, [{**kernel, "code_hash": "cd"}, kernel], [kernel])
    ''
    """
    mine = {identity(one): one for one in here}
    theirs = {identity(one): one for one in there}
    known = all(one.get("code_hash") for one in (*here, *there))
    # Two kernels of one name cannot be told apart in another run.
    known &= all(same_code(one, by_name[identity(one)]) for records, by_name in ((here, mine), (there, theirs)) for one in records)
    if not slower or not mine or mine.keys() != theirs.keys() or not known:
        return ""
    if not all(same_code(mine[key], theirs[key]) for key in mine):
        return "other"
    return "launch" if any(mine[key].get("block") != theirs[key].get("block") for key in mine) else "same"


#: What `cause_of` means, as a reader is told.
CAUSES = {
    # Grid, block and the host's part of the body are not in the hash: equal code clears the compiler, not the change.
    "same": "same machine code: look at the launch (grid, block, launches), the inputs and the machine",
    "launch": "same machine code, in blocks of another number of threads",
    "other": "other machine code",
}


def identity(record: Record) -> tuple[str, str, str]:
    """Return what a compiled kernel is known by in two runs: its name, architecture and signature."""
    return str(record.get("kernel")), str(record.get("arch")), str(record.get("signature"))
