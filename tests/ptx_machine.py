"""A machine that runs kernels.ptx without a GPU: PTX becomes Python, threads become generators that stop at barriers."""

from __future__ import annotations

import dataclasses
import re
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PTX = (resources.files("pytest_gpuperf.device") / "kernels.ptx").read_text(encoding="utf-8")
M32 = (1 << 32) - 1


class Memory:
    """Buffers far apart; an access outside of one, or misaligned, is an error, as it is on a device."""

    def __init__(self) -> None:
        self.buffers: dict[int, tuple[int, bytearray]] = {}
        self.read_bytes: set[int] = set()

    def put(self, data: bytes, offset: int = 0) -> int:
        """Place data at an address that is `offset` past a multiple of 256."""
        slot = len(self.buffers) + 1
        self.buffers[slot] = (offset, bytearray(data))
        return (slot << 32) + offset

    def get(self, address: int) -> bytes:
        return bytes(self.buffers[address >> 32][1])

    def at(self, address: int, width: int, access: int) -> tuple[bytearray, int]:
        offset, data = self.buffers[address >> 32]
        start = (address & M32) - offset
        assert address % access == 0, f"misaligned access of {access} bytes at {address:#x}"
        assert 0 <= start <= len(data) - width, f"access of {width} bytes at {start} of a buffer of {len(data)}"
        return data, start

    def load(self, address: int, width: int, count: int) -> list[int]:
        data, start = self.at(address, width * count, width * count)
        self.read_bytes.update(range(address, address + width * count))
        return [int.from_bytes(data[start + i * width : start + (i + 1) * width], "little") for i in range(count)]

    def store(self, address: int, width: int, values: Sequence[int]) -> None:
        data, start = self.at(address, width * len(values), width * len(values))
        for i, value in enumerate(values):
            data[start + i * width : start + (i + 1) * width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")


def _parse() -> dict[str, tuple[list[str], list[str], list[str], dict[str, int]]]:
    """Return for every function its results, parameters, instructions and labels."""
    functions = {}
    text = re.sub(r"//[^\n]*", "", PTX)
    for match in re.finditer(r"\.(?:visible \.entry|func)\s*(\([^)]*\))?\s*(\w+)\(([^)]*)\)[^{;]*\{\n(.*?)\n\}\n", text, re.DOTALL):
        names = [re.findall(r"(\w+)(?=,|\)|$)", part or "") for part in (match[1], match[3])]
        body: list[str] = []
        labels: dict[str, int] = {}
        for line in match[4].splitlines():
            line = line.strip()
            if line.endswith(":"):
                labels[line[:-1]] = len(body)
            elif line and not line.startswith((".reg", ".shared", ".pragma")):
                assert line.endswith(";"), line
                body.append(line[:-1])
        functions[match[2]] = (names[0], names[1], body, labels)
    return functions


FUNCTIONS = _parse()

#: Python of each operation on unsigned numbers of a width; `m` is its mask.
OPERATIONS = {
    "mov": "{0}",
    "cvt": "{0}",
    "add": "({0} + {1}) & {m}",
    "sub": "({0} - {1}) & {m}",
    "mul.lo": "({0} * {1}) & {m}",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
    "xor": "{0} ^ {1}",
    "min": "min({0}, {1})",
    "max": "max({0}, {1})",
    "neg": "-{0} & {m}",
    "clz": "{bits} - ({0}).bit_length()",
    "shl": "({0} << {1}) & {m} if {1} < {bits} else 0",
    "shr": "{0} >> {1}",
}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


@dataclasses.dataclass
class Thread:
    """What one thread of a launch sees."""

    memory: Memory
    shared: bytearray
    tid: int
    ntid: int
    ctaid: int
    nctaid: int
    smid: int = 0
    clock: int = 0
    cycles: int = 0

    def globaltimer(self) -> int:
        """Time passes when it is looked at, a tick at a time."""
        self.clock += 32
        return self.clock

    def clock64(self) -> int:
        """Cycles pass as well; every thread has its own number."""
        self.cycles += 63
        return self.cycles + 1000 * self.tid


def _operand(text: str) -> str:
    """Return the Python of a register, special register or number."""
    if text.startswith("%"):
        return f"t.{text[1:]}()" if text in {"%globaltimer", "%clock64"} else "t." + text[1:].removesuffix(".x")
    return text if text[0].isdigit() else "0" if text == "partial" else f"r_{text}"


def _access(name: str, width: int, operands: list[str]) -> str:
    """Return the Python of a load, store or reduction."""
    load = name.startswith("ld.")
    listed, where = operands if load else operands[::-1]
    names = [_operand(item) for item in re.findall(r"\w+", listed)]
    base, _, more = where[1:-1].partition("+")
    address = f"{_operand(base)} + {more or 0}"
    if ".param" in name:
        return f"{names[0]} = {address}"
    if ".shared" in name:
        place = f"t.shared[{address} : {address} + {width}]"
        return f"{names[0]} = int.from_bytes({place}, 'little')" if load else f"{place} = {names[0]}.to_bytes({width}, 'little')"
    if load:
        return f"{', '.join(names)}, = t.memory.load({address}, {width}, {len(names)})"
    if name.startswith("red."):
        names = [f"t.memory.load({address}, {width}, 1)[0] + {names[0]}"]
    return f"t.memory.store({address}, {width}, ({', '.join(names)},))"


def _statement(text: str, labels: dict[str, int], results: list[str]) -> str:
    """Return one instruction as one line of Python."""
    if text.startswith("@"):
        predicate, text = text[1:].split(" ", 1)
        return f"if r_{predicate}: {_statement(text, labels, results)}"
    op, _, rest = text.partition(" ")
    if op == "ret":
        return f"return ({''.join(f'r_{name}, ' for name in results)})"
    if op == "bra":
        return f"at = {labels[rest]}; continue"
    if op == "bar.sync":
        return "yield"
    if op.startswith("call"):
        found = re.fullmatch(r"(?:\((\w+)\), )?(\w+), \(([\w, ]+)\)", rest)
        assert found, rest
        arguments = ", ".join(_operand(name) for name in found[3].split(", "))
        return f"{f'r_{found[1]}, = ' if found[1] else ''}yield from {found[2]}(t, {arguments})"
    operands = [part.strip() for part in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*", rest)]
    name, _, kind = op.rpartition(".")
    bits = 1 if kind == "pred" else int(kind[1:])
    if name.startswith(("ld.", "st.", "red.")):
        return _access(name, bits // 8, operands)
    values = [_operand(operand) for operand in operands[1:]]
    if name.startswith("setp."):
        if kind[0] == "s":
            values = [f"(({value} ^ {1 << bits - 1}) - {1 << bits - 1})" for value in values]
        return f"r_{operands[0]} = {values[0]} {COMPARISONS[name[5:]]} {values[1]}"
    if name == "cvt.u32":
        return f"r_{operands[0]} = {values[0]} & {M32}"
    return f"r_{operands[0]} = " + OPERATIONS[name.removesuffix(".u64")].format(*values, m=(1 << bits) - 1, bits=bits)


def _python(name: str) -> str:
    """Return a PTX function as a Python generator function that yields at barriers; an unset register is an UnboundLocalError."""
    results, parameters, body, labels = FUNCTIONS[name]
    lines = [f"def {name}(t, {', '.join(f'r_{parameter}' for parameter in parameters)}):", "  at = 0", "  while True:", "    if at == 0:"]
    for number, text in enumerate(body):
        if number in labels.values() and number:
            lines += [f"      at = {number}", f"    if at == {number}:"]
        lines.append("      " + _statement(text, labels, results))
    return "\n".join([*lines, "  yield", ""])


COMPILED: dict[str, Callable[..., Iterator[None]]] = {}
exec("\n".join(_python(name) for name in FUNCTIONS), COMPILED)


def launch(memory: Memory, kernel: str, arguments: Sequence[int], blocks: int = 2, threads: int = 32, *, first_multiprocessor: int = 0) -> None:
    """Run a whole grid; threads run one after the other from barrier to barrier, the last or the first first, so that no order is taken for granted."""
    for block in range(blocks):
        shared = bytearray(8192)
        live = [
            COMPILED[kernel](Thread(memory, shared, thread, threads, block, blocks, first_multiprocessor + block), *arguments)
            for thread in range(threads)[:: 1 if block % 2 else -1]
        ]
        while live:
            alive = [thread for thread in live if next(thread, thread) is None]
            assert len(alive) in (0, len(live)), "a barrier that some threads never reach"
            live = alive
