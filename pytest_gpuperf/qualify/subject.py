"""What a qualification measures: our own kernel at three lengths, with more iterations where it is to be slower, in fresh memory each time."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.timing.body import Body
from pytest_gpuperf.timing.measure import Request, measure

if TYPE_CHECKING:
    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.values import Value

THREADS = 256
_WORD = 4
#: Iterations of which the time of one is found: far enough apart that a tick of the clock does not matter.
FEW, MANY = 32, 2080
#: Spacers between one measurement's memory and the next one's, in units of 256 bytes, and how many allocations stay so that none comes back at once.
_SPACES, _KEPT = 16_384, 4


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """One row of SUBJECTS: a length of the kernel, in seconds."""

    name: str
    seconds: float


SUBJECTS: tuple[Subject, ...] = (
    Subject("short", 2e-6),
    Subject("medium", 20e-6),
    Subject("long", 200e-6),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """How long the kernel takes: seconds at no iteration, and for each one more."""

    start: float
    step: float

    @classmethod
    def of(cls, few: float, many: float) -> Pace:
        """Return the line through the times at FEW and MANY iterations.

        >>> pace = Pace.of(1e-6 + 32 * 1e-8, 1e-6 + 2080 * 1e-8)
        >>> round(pace.start * 1e6, 3), round(pace.step * 1e9, 3)
        (1.0, 10.0)
        """
        step = (many - few) / (MANY - FEW)
        return cls(few - FEW * step, step)

    def iterations(self, seconds: float, slowdown: float = 0.0) -> int:
        """Return how many iterations take so long, or that much longer as a share; more than without a slowdown by at least one.

        >>> Pace(1e-6, 1e-8).iterations(2e-6), Pace(1e-6, 1e-8).iterations(2e-6, 0.05), Pace(1e-6, 1e-8).iterations(2e-6, 0.001)
        (100, 110, 101)
        """
        plain = max(1, round((seconds - self.start) / self.step))
        return plain + max(1, round(seconds * slowdown / self.step)) if slowdown else plain


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """Device memory as an array of 32-bit words."""

    address: int
    count: int

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3, packed."""
        return {"version": 3, "shape": (self.count,), "strides": None, "typestr": "<u4", "data": (self.address, False)}


class Bench:
    """Measure the kernel as `gpuperf.measure` does, each time in memory that was allocated for it."""

    def __init__(self, instruments: Instruments, *, cache: str, limit: float, stream: int = 0, seed: int = 0) -> None:
        """Keep how to measure; nothing is allocated yet."""
        self.instruments, self.cache, self.limit, self.stream = instruments, cache, limit, stream
        self._draw = random.Random(seed)  # noqa: S311 - places in memory, not secrets
        self._held: list[tuple[int, ...]] = []

    @property
    def count(self) -> int:
        """How many words: one a thread, one block a multiprocessor."""
        return THREADS * self.instruments.limits.sm_count

    def time(self, iterations: int) -> Value:
        """Return the time of the kernel with so many iterations, in fresh memory."""
        backend = self.instruments.backend
        source, target = self._fresh(backend)
        body = Body(launch, [(backend, source, target, iterations, self.stream)], {})
        return measure(self.instruments, Request(body, self.cache, self.stream, self.limit, outputs=[target], ran_before=True)).values["time"]

    def pace(self) -> Pace:
        """Measure how long an iteration takes."""
        few, many = (self.time(iterations) for iterations in (FEW, MANY))
        return Pace.of(few.point, many.point)

    def close(self) -> None:
        """Give the memory back."""
        for addresses in self._held:
            self._free(addresses)
        self._held.clear()

    def _fresh(self, backend: Backend) -> tuple[Words, Words]:
        nbytes = self.count * _WORD
        spacer = backend.alloc(256 * self._draw.randint(1, _SPACES))
        source, target = backend.alloc(nbytes), backend.alloc(nbytes)
        self._held.append((spacer, source, target))
        if len(self._held) > _KEPT:
            self._free(self._held.pop(0))
        backend.upload(source, self._draw.randbytes(nbytes))
        return Words(source, self.count), Words(target, self.count)

    def _free(self, addresses: tuple[int, ...]) -> None:
        for address in addresses:
            self.instruments.backend.free(address)


def launch(backend: Backend, source: Words, target: Words, iterations: int, stream: int) -> None:
    """Launch the kernel once: the body of every measurement here."""
    blocks = source.count // THREADS
    backend.launch("work", (source.address, target.address, source.count * _WORD, iterations), stream, blocks=blocks, threads=THREADS)
