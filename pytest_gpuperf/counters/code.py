"""The code of a body as one hash: what its kernels were compiled to, and the Python around them, for counters that are used again.

Files and names of a cubin differ from compilation to compilation; what is hashed is machine code, constants and resource counts.
"""

from __future__ import annotations

import functools
import hashlib
import struct
import sys
import types
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Sections that are what a kernel is, by the beginnings of their names, which end in the kernel's own.
_SECTIONS = (".text", ".nv.constant", ".nv.global.init", ".nv.shared")
_NOBITS = 8
#: Attributes of .nv.info that count resources: registers, frame, least and largest stack; each is (symbol, number).
_COUNTS = (0x2F, 0x11, 0x12, 0x23)
#: Modules that a body may name without their code being a part of it: they launch nothing by themselves.
_HARMLESS_OBJECTS = ("pytest_gpuperf", "numba", "numpy", "itertools")
_HARMLESS = (*_HARMLESS_OBJECTS, "math", "builtins", "operator", "functools")
#: What numba's configured kernels hold of their launch.
_LAUNCH = ("griddim", "blockdim", "sharedmem")
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


class Unknown(Exception):
    """A body refers to something whose code cannot be told."""


class Called(Protocol):
    """A measured body: what is called, with which sets of arguments and which keywords."""

    @property
    def function(self) -> Any:
        """What is called."""

    @property
    def arguments(self) -> Sequence[Sequence[Any]]:
        """The sets of arguments."""

    @property
    def keywords(self) -> Mapping[str, Any]:
        """The keywords."""


def code_hash(body: Called) -> str | None:
    """Return a hash of a body that has run: of its compiled kernels and of the Python code that launches them; None where any of it cannot be told.

    Seen are numba's dispatchers and Triton's functions that the body is, holds, names or is given, and plain functions one level deeper.
    """
    given = [one for values in (*body.arguments, body.keywords.values()) for one in values if callable(one)]
    try:
        parts = sorted({*_walk(body.function, 0), *(part for one in given for part in _walk(one, 1))})
    except Unknown:
        return None
    if not any(part.startswith("kernel") for part in parts):
        return None
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def machine_code(body: Called) -> str | None:
    """Return a hash of the machine code of a body that has run: of its compiled kernels alone; None where any of it cannot be told."""
    given = [one for values in (*body.arguments, body.keywords.values()) for one in values if callable(one)]
    try:
        parts = {*_walk(body.function, 0), *(part for one in given for part in _walk(one, 1))}
    except (Unknown, ValueError, AttributeError):
        # A kernel of a kind, or of a version of its compiler, that keeps its code elsewhere: not known, and no reason to end a measurement.
        return None
    kernels = sorted(part for part in parts if part.startswith("kernel"))
    return hashlib.sha256("\n".join(kernels).encode()).hexdigest() if kernels else None


def _walk(thing: Any, depth: int) -> Iterator[str]:
    """Yield the parts of the hash that one thing of a body is; Unknown for what could launch anything."""
    kernels = _cubins(thing)
    if kernels is not None:
        if not kernels:
            raise Unknown("a kernel that was not compiled")
        yield from (f"kernel {cubin_hash(one)}" for one in kernels)
        yield from (f"launch {name} {getattr(thing, name)}" for name in _LAUNCH if hasattr(thing, name))
    elif hasattr(type(thing), "replay") and hasattr(thing, "body"):  # a captured graph of ours
        yield "graph"
        yield from _walk(thing.body.function, depth)
    elif isinstance(thing, functools.partial):
        yield from _several((thing.func, *thing.args, *thing.keywords.values()), "partial", depth)
    elif isinstance(thing, types.MethodType) and isinstance(thing.__func__, types.FunctionType):
        yield from _function(thing.__func__, depth)
        yield from _attributes(thing, depth)
    elif isinstance(thing, _PLAIN) or (type(thing).__module__ == "numpy" and getattr(thing, "shape", None) == () and not hasattr(thing, "__setitem__")):
        # A number of NumPy's looks like an array, and is a size as others are.
        yield f"value {thing!r}"
    elif isinstance(thing, (tuple, list)):
        yield from _several(thing, type(thing).__name__, depth)
    elif isinstance(thing, dict):
        yield from _several((*thing, *thing.values()), "dict", depth)
    elif _is_array(thing) or _is_harmless(thing):
        return
    elif isinstance(thing, types.FunctionType) and depth <= 1:
        yield from _function(thing, depth)
    else:
        raise Unknown(type(thing).__qualname__)


def _several(things: Sequence[Any], what: str, depth: int) -> Iterator[str]:
    yield f"{what} of {len(things)}"
    for place, one in enumerate(things):
        yield from (part if part.startswith("kernel") else f"{place} {part}" for part in _walk(one, depth))


def _attributes(method: types.MethodType, depth: int) -> Iterator[str]:
    """Yield what a method names of its object."""
    for name in {name for code in _codes(method.__func__.__code__) for name in code.co_names}:
        held = getattr(method.__self__, "__dict__", {})
        if name in held:
            yield from (f"{name} {part}" if part.startswith("value") else part for part in _walk(held[name], depth + 1))
        elif callable(found := getattr(type(method.__self__), name, None)):
            yield from _walk(found, depth + 1)
        elif isinstance(found, property):
            raise Unknown(name)


def _function(function: types.FunctionType, depth: int) -> Iterator[str]:
    code = function.__code__
    yield f"python {sys.version_info[:2]} {_bytecode(code)}"
    named = {name: function.__globals__[name] for inner in _codes(code) for name in inner.co_names if name in function.__globals__}
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    held = {name: cell.cell_contents for name, cell in cells if cell != types.CellType()}
    defaults = {f"default {place}": value for place, value in enumerate(function.__defaults__ or ())}
    for name, value in {**named, **held, **defaults, **(function.__kwdefaults__ or {})}.items():
        if value is function:
            continue
        yield from (f"{name} {part}" if part.startswith("value") else part for part in _walk(value, depth + 1))


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from _codes(one)


def _bytecode(code: types.CodeType) -> str:
    found = hashlib.sha256()
    for one in _codes(code):
        # A set of constants is in the order of its hashes.
        plain = [repr(sorted(map(repr, part)) if isinstance(part, frozenset) else part) for part in one.co_consts if not isinstance(part, types.CodeType)]
        found.update(repr((one.co_code, plain, one.co_names, one.co_varnames, one.co_freevars)).encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def _is_array(thing: Any) -> bool:
    """Say whether something is data, which the digests of inputs are for."""
    kind = type(thing)
    return hasattr(kind, "__cuda_array_interface__") or hasattr(kind, "__array_interface__") or (kind.__module__.partition(".")[0], kind.__name__) == ("torch", "Tensor")


def _is_harmless(thing: Any) -> bool:
    """Say whether something is a module that launches nothing, a part of one, or a builtin function or class."""
    named = isinstance(thing, (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType))
    module = thing.__name__ if isinstance(thing, types.ModuleType) else thing.__module__ if named else type(thing).__module__
    return str(module).partition(".")[0] in (_HARMLESS if named else _HARMLESS_OBJECTS)


def _cubins(thing: Any) -> list[bytes] | None:
    """Return the cubins of a compiled kernel's specialisations; None for what is no kernel."""
    kind = type(thing)
    if hasattr(kind, "__getitem__") and isinstance(getattr(thing, "overloads", None), dict) and hasattr(thing, "py_func"):
        return [bytes(_code_of(one._codelibrary.get_cubin())) for one in thing.overloads.values()]  # noqa: SLF001 - numba has no public road to it
    if hasattr(thing, "dispatcher") and kind.__name__ == "_LaunchConfiguration":
        return _cubins(thing.dispatcher)
    if kind.__module__.startswith("triton.") and hasattr(thing, "device_caches"):
        caches = [part for cache in thing.device_caches.values() for part in (cache if isinstance(cache, tuple) else (cache,)) if isinstance(part, dict)]
        return [one.asm["cubin"] for part in caches for one in part.values() if "cubin" in getattr(one, "asm", {})]
    return None


def _code_of(cubin: Any) -> Any:
    return getattr(cubin, "code", cubin)


def cubin_hash(cubin: bytes) -> str:
    """Return the hash of a cubin's machine code, constants and resource counts; ValueError where it is no 64-bit ELF file."""
    found = []
    for name, data in sections(cubin):
        kind = next((one for one in _SECTIONS if name.startswith(one)), None)
        if kind is not None:
            # .nv.constant0 and .nv.constant3 are two banks.
            bank = name.removeprefix(kind).partition(".")[0]
            found.append((kind + bank, hashlib.sha256(data).hexdigest()))
        elif name == ".nv.info":
            found += [("count", f"{attribute:#x} {number}") for attribute, number in counts(data)]
    return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()


def sections(elf: bytes) -> list[tuple[str, bytes]]:
    """Return name and contents of every section of a 64-bit ELF file; a section without bits as its size."""
    if elf[:5] != b"\x7fELF\x02":
        message = f"no 64-bit ELF file: it begins with {elf[:5]!r}"
        raise ValueError(message)
    try:
        (table,) = struct.unpack_from("<Q", elf, 0x28)
        size, count, names_at = struct.unpack_from("<HHH", elf, 0x3A)
        rows = [struct.unpack_from("<IIQQQQ", elf, table + number * size) for number in range(count)]
        names = elf[rows[names_at][4] :]
    except (struct.error, IndexError, OverflowError) as error:
        message = f"a broken ELF file: {error}"
        raise ValueError(message) from error
    found = []
    for name, kind, _, _, offset, length in rows:
        text = names[name : names.index(b"\0", name)].decode("utf-8", "replace")
        found.append((text, str(length).encode() if kind == _NOBITS else elf[offset : offset + length]))
    return found


def counts(info: bytes) -> list[tuple[int, int]]:
    """Return (attribute, number) of the resource counts in a section .nv.info: a row is a format, an attribute, and 16 bits: a value, or the size of one."""
    found, at = [], 0
    while at + 4 <= len(info):
        layout, attribute, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if layout != 4:  # its value is in these 16 bits
            continue
        if attribute in _COUNTS and size == 8:
            found.append((attribute, struct.unpack_from("<II", info, at)[1]))
        at += size
    return found
