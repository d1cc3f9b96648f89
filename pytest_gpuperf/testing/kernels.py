"""OWN_KERNELS: the plugin's device code in NumPy, bit for bit what kernels.ptx does."""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.digest import digest
from pytest_gpuperf.device.rates import ARGUMENTS, RATES
from pytest_gpuperf.testing.spec import FakeDeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gpuperf.testing.memory import FakeMemory

    Ranges = list[tuple[int, int]]

#: A step of `work`: its factor, how many words it walks through, how many steps it stays at each, and what it takes, in seconds.
_FACTOR, _WALK, _STAY, _STEP = 1664525, 32, 8, 10e-9


@dataclasses.dataclass(frozen=True, slots=True)
class OwnKernel:
    """One row of OWN_KERNELS: its arguments, the ranges (address, bytes) that it reads and writes, and what it does to memory.

    `seconds` is its own span with a clean, cold L2; None: what memory and L2 need for the ranges.
    """

    name: str
    arguments: tuple[str, ...]
    ranges: Callable[..., tuple[Ranges, Ranges]]
    effect: Callable[..., None]
    seconds: Callable[..., float] | None = None


def own_kernel(name: str, arguments: Sequence[int]) -> OwnKernel:
    """Return the row of a kernel; FakeDeviceError for an unknown name or another number of arguments.

    >>> own_kernel("fil", (0, 8, 0))
    Traceback (most recent call last):
        ...
    pytest_gpuperf.testing.spec.FakeDeviceError: launch('fil'): there is no such kernel; nearest 'fill'
    """
    found = _BY_NAME.get(name)
    if found is None:
        near = difflib.get_close_matches(name, _BY_NAME, 1)
        raise FakeDeviceError(f"launch({name!r}): there is no such kernel" + (f"; nearest {near[0]!r}" if near else ""))
    if len(arguments) != len(found.arguments):
        raise FakeDeviceError(f"launch({name!r}): takes ({', '.join(found.arguments)}), {len(arguments)} arguments given")
    if any(not 0 <= one < 1 << 64 for one in arguments):
        raise FakeDeviceError(f"launch({name!r}): an argument does not fit 64 bits without a sign: {tuple(arguments)}")
    return found


def words(memory: FakeMemory, address: int, nbytes: int) -> Any:
    """Return bytes as little-endian 64-bit words, the last one zero-padded; a copy where it must be."""
    import numpy as np

    held = memory.bytes(address, nbytes)
    if nbytes % 8 or address % 8:
        held = np.concatenate([held, np.zeros(-nbytes % 8, np.uint8)])
    return held.view("<u8")


def _add(memory: FakeMemory, out: int, amount: int) -> None:
    import numpy as np

    held = memory.bytes(out, 8)
    total = (int.from_bytes(held.tobytes(), "little") + amount) % (1 << 64)
    held[:] = np.frombuffer(total.to_bytes(8, "little"), np.uint8)


def _nothing(_memory: FakeMemory, *_arguments: int) -> None:
    return


def _read_only(memory: FakeMemory, source: int, nbytes: int, sink: int) -> None:
    memory.bytes(source, nbytes)
    memory.bytes(sink, 4)


def _move(memory: FakeMemory, source: int, target: int, reads: int, writes: int) -> None:
    both = min(reads, writes)
    into = memory.bytes(target, writes)
    into[:both] = memory.bytes(source, reads)[:both]
    into[both:] = 0


def _fill(memory: FakeMemory, target: int, nbytes: int, word: int) -> None:
    import numpy as np

    held = memory.bytes(target, nbytes)
    pattern = np.frombuffer(word.to_bytes(8, "little"), np.uint8)
    whole = nbytes // 8 * 8
    held[:whole].reshape(-1, 8)[:] = pattern
    held[whole:] = pattern[: nbytes - whole]


def _digest(memory: FakeMemory, source: int, nbytes: int, out: int) -> None:
    _add(memory, out, digest(words(memory, source, nbytes)))


def _diff(memory: FakeMemory, a: int, b: int, nbytes: int, out: int) -> None:
    import numpy as np

    _add(memory, out, int(np.count_nonzero(words(memory, a, nbytes) != words(memory, b, nbytes))))


def _windows(memory: FakeMemory, address: int, offsets: int, rows: int, row_bytes: int) -> tuple[Any, Any]:
    """Return all rows of `row_bytes` in the memory that a table of offsets spans, and the index of each row of the table."""
    import numpy as np

    table = memory.bytes(offsets, 8 * rows).copy().view("<i8")
    low, high = int(table.min()), int(table.max())
    span = memory.bytes(address + low, high - low + row_bytes)
    return np.lib.stride_tricks.sliding_window_view(span, row_bytes, writeable=True), table - low


def _pack(memory: FakeMemory, source: int, offsets: int, rows: int, row_bytes: int, target: int) -> None:
    if rows and row_bytes:
        windows, index = _windows(memory, source, offsets, rows, row_bytes)
        memory.bytes(target, rows * row_bytes).reshape(rows, row_bytes)[:] = windows[index]


def _unpack(memory: FakeMemory, source: int, offsets: int, rows: int, row_bytes: int, target: int) -> None:
    if rows and row_bytes:
        windows, index = _windows(memory, target, offsets, rows, row_bytes)
        windows[index] = memory.bytes(source, rows * row_bytes).reshape(rows, row_bytes)


def work(values: Any, iterations: int) -> Any:
    """Return 32-bit words after so many steps x = x * 1664525 + w, where w walks through the 32 words around each, a place every 8 steps; uint32[32 n].

    Steps with one w are one step of the same form, and so is a whole walk: many iterations cost little.

    >>> import numpy as np
    >>> work(np.arange(32, dtype=np.uint32), 2)[:2].tolist(), work(np.arange(32, dtype=np.uint32), 9)[:1].tolist()
    ([0, 391234231], [1])
    """
    import numpy as np

    lines = values.reshape(-1, _WALK)

    def steps(x: Any, count: int) -> Any:
        for place, first in enumerate(range(0, count, _STAY)):
            times = min(_STAY, count - first)
            added = sum(pow(_FACTOR, power, 1 << 32) for power in range(times)) % (1 << 32)
            x = x * np.uint32(pow(_FACTOR, times, 1 << 32)) + np.roll(lines, -place, axis=1) * np.uint32(added)
        return x

    whole = _WALK * _STAY
    rounds, rest = divmod(iterations, whole)
    if not rounds:
        return steps(lines, rest).reshape(-1)
    added = steps(np.zeros_like(lines), whole)
    power, total, factor = 1, 0, pow(_FACTOR, whole, 1 << 32)
    for _ in range(rounds):
        power, total = power * factor % (1 << 32), (total * factor + 1) % (1 << 32)
    return steps(lines * np.uint32(power) + added * np.uint32(total), rest).reshape(-1)


def _work(memory: FakeMemory, source: int, target: int, nbytes: int, iterations: int) -> None:
    if nbytes % (4 * _WALK):
        raise FakeDeviceError(f"launch('work'): {nbytes:,} bytes are no multiple of {4 * _WALK}")
    memory.bytes(target, nbytes).view("<u4")[:] = work(memory.bytes(source, nbytes).view("<u4"), iterations)


def _table(offsets: int, rows: int) -> tuple[int, int]:
    return offsets, 8 * rows


#: `pack` and `unpack` are charged as if their rows lay side by side: the L2 model knows ranges, not strides. `spin` and `stamp`
#: write times when virtual time has come to them, so their effect is not here.
OWN_KERNELS: tuple[OwnKernel, ...] = (
    OwnKernel("empty", (), lambda: ([], []), _nothing),
    OwnKernel("spin", ("ns", "out"), lambda _ns, out: ([], [(out, 16)]), _nothing),
    OwnKernel("spin_wide", ("ns", "out", *(f"unused{index}" for index in range(2, 32))), lambda _ns, out, *_: ([], [(out, 16)]), _nothing),
    OwnKernel("stamp", ("out",), lambda out: ([], [(out, 16)]), _nothing),
    OwnKernel("move", ("source", "target", "reads", "writes"), lambda s, t, r, w: ([(s, r)], [(t, w)]), _move),
    OwnKernel("flush_read", ("source", "nbytes", "sink"), lambda s, n, _sink: ([(s, n)], []), _read_only),
    OwnKernel("fill", ("target", "nbytes", "word"), lambda t, n, _word: ([], [(t, n)]), _fill),
    OwnKernel("digest", ("source", "nbytes", "out"), lambda s, n, out: ([(s, n)], [(out, 8)]), _digest),
    OwnKernel("diff", ("a", "b", "nbytes", "out"), lambda a, b, n, out: ([(a, n), (b, n)], [(out, 8)]), _diff),
    OwnKernel("pack", ("source", "offsets", "rows", "row_bytes", "target"), lambda s, o, r, b, t: ([_table(o, r), (s, r * b)], [(t, r * b)]), _pack),
    OwnKernel("unpack", ("source", "offsets", "rows", "row_bytes", "target"), lambda s, o, r, b, t: ([_table(o, r), (s, r * b)], [(t, r * b)]), _unpack),
    *(OwnKernel(name, ARGUMENTS, lambda *_: ([], []), _nothing) for name in dict.fromkeys(row.kernel for row in RATES)),
    OwnKernel("work", ("source", "target", "nbytes", "iterations"), lambda s, t, n, _i: ([(s, n)], [(t, n)]), _work, lambda *given: 1e-6 + _STEP * given[3]),
)

_BY_NAME = {row.name: row for row in OWN_KERNELS}
