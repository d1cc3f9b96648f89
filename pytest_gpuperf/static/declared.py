"""The KERNELS rows of a project: which kernels it declares, for which argument types, and whether a launch is one of them."""

from __future__ import annotations

import dataclasses
import importlib
import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import StaticError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: What a module calls its rows, and what a row must have.
ROWS = "KERNELS"
_NEEDS = ("name", "function", "signature")


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """One row: the module that declares it, its name, the kernel, its signature in the normal spelling, and its launch: threads of a block (None: not said), bytes of dynamic shared memory.

    `simulated` is the signature that a launch has in numba's simulator, where that is another: of a kernel that takes addresses, say, and arrays there.
    """

    module: str
    name: str
    kernel: Any
    signature: str
    block: int | None
    place: tuple[str, str]
    dynamic_shared: int = 0
    simulated: str = ""


def is_row(thing: object) -> bool:
    """Say whether something is a row of KERNELS: it has a name, a function and a signature.

    >>> is_row(is_row)
    False
    """
    return all(hasattr(thing, name) for name in _NEEDS)


def block_of(row: Any) -> int | None:
    """Return the threads of a block that a row says; None where it says nothing.

    >>> from types import SimpleNamespace
    >>> block_of(SimpleNamespace(block=(32, 4))), block_of(SimpleNamespace(block=128)), block_of(SimpleNamespace())
    (128, 128, None)
    """
    block = getattr(row, "block", None)
    return None if block is None else int(block) if isinstance(block, int) else math.prod(block)


def shared_of(row: Any) -> int:
    """Return the bytes of dynamic shared memory that a row says; 0 where it says nothing."""
    return int(getattr(row, "dynamic_shared", 0) or 0)


def read_rows(modules: Iterable[str], normal: Callable[[str], str], place_of: Callable[[Any], tuple[str, str]]) -> tuple[Declared, ...]:
    """Return the rows of some modules; StaticError, in one line, for a module that cannot be imported or declares nothing.

    `normal` spells a signature as launches are spelled, `place_of` gives module and qualified name of a kernel.
    """
    return tuple(
        Declared(name, row.name, row.function, normal(row.signature), block_of(row), place_of(row.function), shared_of(row), normal(_simulated(row)))
        for name in modules
        for row in _rows_of(name)
    )


def _simulated(row: Any) -> str:
    return str(getattr(row, "simulated", ""))


def meant(place: tuple[str, str], signature: str, declared: Iterable[Declared]) -> str:
    """Return what a signature that a kernel has in the simulator is on a device, as its row says; it itself where no row says so.

    >>> row = Declared("kernels", "scale", None, "void(int64)", 128, ("kernels.toolbox", "scale"), simulated="void(uint8[::1])")
    >>> meant(("kernels.toolbox", "scale"), "void(uint8[::1])", [row]), meant(("kernels.toolbox", "scale"), "void(float64)", [row])
    ('void(int64)', 'void(float64)')
    """
    return next((row.signature for row in declared if row.place == place and row.simulated == signature != ""), signature)


def _rows_of(name: str) -> Sequence[Any]:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        message = f"--gpuperf-kernels: module {name!r} cannot be imported: {error}"
        raise StaticError(message) from error
    rows = getattr(module, ROWS, None)
    if not isinstance(rows, (tuple, list)):
        message = f"--gpuperf-kernels: module {name!r} has no {ROWS}: a tuple of rows with {', '.join(_NEEDS)}"
        raise StaticError(message)
    wrong = next((row for row in rows if not is_row(row)), None)
    if wrong is not None:
        lacks = next(one for one in _NEEDS if not hasattr(wrong, one))
        message = f"--gpuperf-kernels: a row of {name}.{ROWS} has no {lacks}: {wrong!r:.80}"
        raise StaticError(message)
    return rows


def stray(launches: Iterable[tuple[tuple[str, str], str]], declared: Sequence[Declared]) -> list[str]:
    """Return a line for each launch of a declared kernel with a signature that no row has; `launches` are (place of the kernel, signature).

    Kernels of which there is no row at all are somebody else's.

    >>> row = Declared("kernels", "scale.f32", None, "void(float32[::1], float32)", 128, ("kernels.toolbox", "scale"))
    >>> stray([(("kernels.toolbox", "scale"), "void(float32[::1], float64)"), (("tests", "own"), "void(int64)")], [row])
    ['kernels.toolbox.scale was launched with (float32[::1], float64), which no KERNELS row declares; argument 1 is float64, scale.f32 has float32']
    """
    known: dict[tuple[str, str], dict[str, Declared]] = {}
    for row in declared:
        known.setdefault(row.place, {})[row.signature] = row
    found = [(place, signature) for place, signature in dict.fromkeys(launches) if place in known and signature not in known[place]]
    return [_told(place, signature, list(known[place].values())) for place, signature in found]


def _told(place: tuple[str, str], signature: str, rows: Sequence[Declared]) -> str:
    given = types_of(signature)
    nearest = min(rows, key=lambda row: _apart(given, types_of(row.signature)))
    head = f"{'.'.join(place)} was launched with ({', '.join(given)}), which no {ROWS} row declares"
    asked = types_of(nearest.signature)
    if len(given) != len(asked):
        return f"{head}; {nearest.name} has {len(asked)} arguments"
    apart = [
        f"argument {number} is {one}, {nearest.name} has {other}"
        for number, (one, other) in enumerate(zip(given, asked, strict=True))
        if one != other
    ]
    return f"{head}; {', '.join(apart)}"


def _apart(given: Sequence[str], asked: Sequence[str]) -> int:
    return abs(len(given) - len(asked)) + sum(one != other for one, other in zip(given, asked, strict=False))


def types_of(signature: str) -> list[str]:
    """Return the argument types of a signature, brackets kept whole.

    >>> types_of("void(float32[:, ::1], UniTuple(int64, 2))"), types_of("void()")
    (['float32[:, ::1]', 'UniTuple(int64, 2)'], [])
    """
    inside = signature.partition("(")[2].rpartition(")")[0]
    found, depth, start = [], 0, 0
    for at, letter in enumerate(inside):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            found.append(inside[start:at].strip())
            start = at + 1
    return [*found, inside[start:].strip()] if inside.strip() else []
