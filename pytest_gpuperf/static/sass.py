"""OPCODES: what is counted in machine code, and the reading of nvdisasm's text. Pure functions."""

from __future__ import annotations

import collections
import dataclasses
import functools
import re

#: One instruction: its address, then a predicate, the opcode with its modifiers, and operands.
_LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.+?)\s*;", re.MULTILINE)
_QUICK = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)((?:\.[\w.]+)?)([^;]*);", re.MULTILINE)
_CODE = re.compile(r"^(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)((?:\.[\w.]+)?)(.*)$")
#: A sum of a product of zeros and two halves is how the assembler fills a register.
_FILL = re.compile(r"-RZ, RZ, ")
_NOTHING = "NOP"
_FILLING = ("HFMA2", "HFMA2_32I")
_WIDTHS = ("U8", "S8", "U16", "S16", "64", "128", "256")


@dataclasses.dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: where it is, its opcode, the opcode's modifiers, and the whole text."""

    address: int
    opcode: str
    modifiers: tuple[str, ...]
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Opcode:
    """One quantity: opcodes as a pattern of the whole name, modifiers of which one must be there or none may be; `fills` are counted too unless it is False."""

    quantity: str
    opcodes: str
    modifiers: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    fills: bool = True

    def counts(self, opcode: str, modifiers: tuple[str, ...], *, fills: bool = False) -> bool:
        """Say whether an instruction counts; `fills` says that it only fills registers."""
        return bool(
            re.fullmatch(self.opcodes, opcode)
            and (not self.modifiers or any(name in modifiers for name in self.modifiers))
            and not any(name in modifiers for name in self.without)
            and (self.fills or not fills)
        )


#: Rows of one quantity add up; an instruction counts once in each quantity.
OPCODES: tuple[Opcode, ...] = (
    Opcode("loads_128", "LDG|LD|LDGSTS", modifiers=("128",)),
    Opcode("loads_32", "LDG|LD|LDGSTS", without=_WIDTHS),
    Opcode("stores_128", "STG|ST", modifiers=("128",)),
    Opcode("fma", "FFMA|FFMA2|FFMA32I|DFMA"),
    Opcode("fma", "HFMA2|HFMA2_32I", fills=False),
    Opcode("mufu", "MUFU"),
    Opcode("tensor", "[A-Z]*MMA"),
    Opcode("f64", "DADD|DMUL|DFMA|DSETP|DMNMX|DMMA"),
    Opcode("f64", "F2F|F2I|I2F|FRND|F2FP", modifiers=("F64",)),
    Opcode("f64", "MUFU", modifiers=("RCP64H", "RSQ64H")),
    # Sums that memory does.
    Opcode("f64", "RED|REDG|ATOM|ATOMG", modifiers=("F64",)),
)


def instructions(text: str) -> list[Instruction]:
    r"""Return the instructions of a disassembly, less the NOPs that fill up the ends of functions.

    >>> [one.modifiers for one in instructions("/*0000*/ @!P0 LDG.E.128 R4, desc[UR4][R2.64] ;\n/*0010*/ EXIT ;\n/*0020*/ NOP ;")]
    [('E', '128'), ()]
    """
    found = []
    for address, body in _LINE.findall(text):
        parts = _CODE.match(body)
        if parts is None or parts[1] == _NOTHING:
            continue
        found.append(Instruction(int(address, 16), parts[1], tuple(parts[2].split(".")[1:]), body))
    return found


def counts(text: str) -> dict[str, int]:
    r"""Return the number of instructions of a disassembly, and of those that each quantity of OPCODES counts.

    >>> counts("/*0000*/ LDG.E.128 R4, desc[UR4][R2.64] ;\n/*0010*/ @P0 DFMA R2, R2, R4, R6 ;")["f64"]
    1
    """
    return dict(_counts(text))


@functools.lru_cache(maxsize=512)
def _counts(text: str) -> dict[str, int]:
    found = [one for one in _QUICK.findall(text) if one[0] != _NOTHING]
    told = {"instructions": len(found)} | {row.quantity: 0 for row in OPCODES}
    kinds = collections.Counter((opcode, modifiers, opcode in _FILLING and bool(_FILL.search(rest))) for opcode, modifiers, rest in found)
    for (opcode, modifiers, fills), number in kinds.items():
        for quantity in _quantities(opcode, tuple(modifiers.split(".")[1:]), fills):
            told[quantity] += number
    return told


@functools.cache
def _quantities(opcode: str, modifiers: tuple[str, ...], fills: bool) -> frozenset[str]:
    return frozenset(row.quantity for row in OPCODES if row.counts(opcode, modifiers, fills=fills))
