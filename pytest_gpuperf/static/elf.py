"""What a cubin says of a kernel by itself: registers, stack, shared and local memory, barriers, and where its machine code is. Pure functions over bytes."""

from __future__ import annotations

import dataclasses
import struct

from pytest_gpuperf.counters.code import sections

#: Attributes of .nv.info by number; of those of the file a row is (symbol, number), of a kernel's own the barriers are a number in the row itself.
_REGISTERS = 0x2F
_FRAME = 0x11
_LEAST_STACK = 0x12
_BARRIERS = 0x4C
_VALUE_FORMATS = (1, 2, 3)
_SIZED = 4
_ENTRY = ".nv.constant0."
_RESERVED = 1024
#: Bytes of a row of .symtab.
_SYMBOL = 24


@dataclasses.dataclass(frozen=True, slots=True)
class Binary:
    """One kernel of a cubin: its resources by the names of RESOURCES less `spills`, and its machine code, with that of the functions that it calls."""

    entry: str
    resources: dict[str, int]
    text: bytes


class NoKernel(ValueError):
    """A cubin without the kernel that was asked for."""


def read(cubin: bytes, entry: str | None = None, *, in_section: bool) -> Binary:
    """Return the kernel `entry` of a cubin, or its only one.

    `in_section` says whether the section of shared memory counts the bytes that the driver reserves, as it does from sm_90 on. NoKernel where there is no such
    kernel, or more than one and none is named; ValueError for what is no cubin.
    """
    found = sections(cubin)
    by_name = dict(found)
    entries = [name.removeprefix(_ENTRY) for name in by_name if name.startswith(_ENTRY)]
    name = _chosen(entries, entry)
    numbers = _symbols(by_name, name)
    own = by_name.get(f".nv.info.{name}", b"")
    shared = _size(by_name.get(f".nv.shared.{name}"))
    # A fixed place in local memory, which no compiler of today uses.
    fixed = _size(by_name.get(f".nv.local.{name}"))
    # A stack that calls need is known where nothing recurses; the frame is the kernel's own part of it.
    frame = numbers.get(_FRAME, 0)
    stack = max(frame, numbers.get(_LEAST_STACK, 0))
    resources = {
        "registers": numbers[_REGISTERS],
        "stack": frame,
        "shared": max(0, shared - _RESERVED) if in_section and shared else shared,
        "local": stack + fixed,
        "barriers": _barriers(own),
    }
    codes = [f".text.{one}" for one in (name, *_called(by_name, name))]
    return Binary(name, resources, b"".join(by_name[one] for one in codes if one in by_name))


def _chosen(entries: list[str], wanted: str | None) -> str:
    if wanted is None and len(entries) == 1:
        return entries[0]
    if wanted in entries:
        return wanted
    there = f"it has {', '.join(sorted(entries))}" if entries else "it has none"
    raise NoKernel(f"no kernel {wanted!r} in the cubin: {there}" if wanted else f"a cubin with {len(entries)} kernels: {there}; name one")


def _size(section: bytes | None) -> int:
    """Return the size of a section; `sections` tells that of one without bits as a number in digits."""
    if section is None:
        return 0
    return int(section) if section.isdigit() else len(section)


def _names(by_name: dict[str, bytes]) -> list[str]:
    """Return the symbols of a file in their order."""
    table, names = by_name.get(".symtab", b""), by_name.get(".strtab", b"")
    places = [struct.unpack_from("<I", table, at)[0] for at in range(0, len(table), _SYMBOL)]
    return [names[at : names.index(b"\0", at)].decode("utf-8", "replace") for at in places]


def _called(by_name: dict[str, bytes], name: str) -> list[str]:
    """Return the functions that a kernel calls, and those that they call; .nv.callgraph has (caller, callee), then marks below 0 and other tables."""
    names, graph = _names(by_name), by_name.get(".nv.callgraph", b"")
    pairs = [struct.unpack_from("<ii", graph, at) for at in range(0, len(graph), 8)]
    ends = [number for number, (_, callee) in enumerate(pairs) if callee < -1]
    calls = [(names[caller], names[callee]) for caller, callee in pairs[: ends[0] if ends else None] if callee >= 0]
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        one = waiting.pop()
        new = [callee for caller, callee in calls if caller == one and callee not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return sorted(found)


def _symbols(by_name: dict[str, bytes], name: str) -> dict[int, int]:
    """Return the resource counts of a kernel from .nv.info, whose rows name a symbol by its place in .symtab."""
    place = next((number for number, one in enumerate(_names(by_name)) if one == name), None)
    rows = [(attribute, *struct.unpack("<II", payload)) for attribute, payload in _rows(by_name.get(".nv.info", b"")) if len(payload) == 8]
    counted = {attribute: value for attribute, symbol, value in rows if symbol == place}
    if _REGISTERS not in counted:
        message = f"a cubin that does not say how many registers {name!r} has"
        raise ValueError(message)
    return counted


def _barriers(info: bytes) -> int:
    return next((payload[0] for attribute, payload in _rows(info) if attribute == _BARRIERS), 0)


def _rows(info: bytes) -> list[tuple[int, bytes]]:
    """Return (attribute, its bytes) of each row: a format, an attribute, and 16 bits that are its value or the size of what follows."""
    found, at = [], 0
    while at + 4 <= len(info):
        layout, attribute, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if layout == _SIZED:
            found.append((attribute, info[at : at + size]))
            at += size
        elif layout in _VALUE_FORMATS:
            found.append((attribute, info[at - 2 : at]))
    return found
