"""One body in turns with another one, of another process: this process's side of it, and the order of the turns with what they come to."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any, Protocol

from pytest_gpuperf.ratios import abba, levelled, ratio_interval, settled
from pytest_gpuperf.timing.buffers import Buffers
from pytest_gpuperf.timing.calls import leave_one_call
from pytest_gpuperf.timing.interleave import MIN_BLOCKS
from pytest_gpuperf.timing.measure import first_calls
from pytest_gpuperf.timing.quiet import quiet_host
from pytest_gpuperf.timing.rotated import needs_inputs
from pytest_gpuperf.timing.sampler import Sampler
from pytest_gpuperf.timing.taken import GAP, PRECISION, Plan, Synchronises, Taken
from pytest_gpuperf.timing.telling import begin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_gpuperf.progress import Telling
    from pytest_gpuperf.stats import Interval
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.timing.measure import First, Request

    #: Takes one turn of one side: quantity, primers, count.
    Turn = Callable[[str, int, int], list[float]]

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: What is taken in turns: seconds on the device, or until it is idle where a body waits for it.
DEVICE, WALL = "time", "wall_time"
#: A turn is about this long; its first calls are discarded: they find another process's work in the caches and an idle host.
_TURN_SECONDS, _PRIMER_SECONDS = 3e-3, 1e-3
_SAMPLES, _PRIMERS = (2, 10), (2, 5)
_USUAL_BLOCKS, _MAX_BLOCKS, _LOOK = 20, 60, 5
_REPEATS = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """What a side says before the first turn: which clocks it has, what a sample costs in seconds, and how sure its constant is."""

    device: bool
    cost: float
    half: float
    tick: float
    why: str = ""
    kind: str = ""
    other_stream: str = ""


class Side:
    """One body on its buffers, ready to take samples whenever it has its turn."""

    def __init__(self, instruments: Instruments, request: Request, buffers: Buffers, first: First) -> None:
        """Keep what a sample needs; nothing runs yet."""
        plan = Plan(request.cache, request.limit, 0, max(1.0, 4 * first.host))
        self._tools, self._request, self._buffers, self._first = instruments, request, buffers, first
        self._sampler = Sampler(
            instruments.backend, instruments.watch, instruments.flusher, request.body, buffers, plan, request.stream,
            tick=instruments.limits.tick, witness=instruments.witness,
        )  # fmt: skip
        self._taken = Taken()
        self._constant, self._half = instruments.calibration.constant(first.kind)
        self._calls = itertools.count()

    def offer(self) -> Offer:
        """Take samples that do not count, and say what this side can do."""
        first, backend = self._first, self._tools.backend
        began = backend.now()
        self._wall()
        wall = 2 * (backend.now() - began)
        hole = needs_inputs(self._tools, self._request)
        if hole is not None:
            return Offer(device=False, cost=wall, half=0.0, tick=0.0, why=str(hole.detail), kind=first.kind, other_stream=first.other_stream)
        try:
            cost = self._sampler.begin(self._taken)
        except Synchronises as error:
            backend.synchronize()
            why = error.stall.reason.detail if error.stall is not None else ""
            return Offer(device=False, cost=wall, half=0.0, tick=0.0, why=why or "the body synchronises with the host", kind=first.kind, other_stream=first.other_stream)
        batch = self._taken.batch
        return Offer(device=True, cost=cost, half=self._half / batch, tick=self._tools.limits.tick / batch, kind=first.kind, other_stream=first.other_stream)

    def turn(self, quantity: str, primers: int, count: int) -> list[float]:
        """Take one turn: `primers` samples that are discarded, then `count`, in seconds a call; Synchronises where the body waits for the device after all."""
        take = self._timed if quantity == DEVICE else self._wall
        for _ in range(primers):
            take()
        return [take() for _ in range(count)]

    def _timed(self) -> float:
        return (self._sampler.once(self._taken.batch) - self._constant) / self._taken.batch

    def _wall(self) -> float:
        backend, body = self._tools.backend, self._request.body
        if body.setup is not None:
            body.setup()
        self._buffers.restore(self._request.stream)
        backend.synchronize()
        call = body.bound(next(self._calls))
        start = backend.now()
        call()
        backend.synchronize()
        return backend.now() - start


def serve(instruments: Instruments, request: Request, turns: Callable[[Side], None]) -> Any:
    """Make one body ready, let `turns` take its turns, and return what the last call returned; on return the buffers hold exactly one call from the entry state."""
    backend = instruments.backend
    backend.synchronize()
    buffers = Buffers(backend, instruments.operations, request.body, request.outputs, request.inout)
    try:
        buffers.prepare(request.stream)
        buffers.snapshot(request.stream)
        with quiet_host():
            first = first_calls(instruments, request, buffers)
            turns(Side(instruments, request, buffers, first))
            return leave_one_call(instruments, request, buffers, compare=False)
    finally:
        buffers.close()


@dataclasses.dataclass(frozen=True, slots=True)
class Turns:
    """What came of the turns: the quantity, both sides' seconds a call by block, and how the samples of a turn were counted."""

    quantity: str
    base: list[list[float]]
    head: list[list[float]]
    primers: int
    ratio: Interval | None


class Clock(Protocol):
    """What a schedule needs of a backend: seconds, and a rest of some."""

    def now(self) -> float:
        """Return the seconds of now."""

    def sleep(self, seconds: float) -> None:
        """Rest."""


def alternate(base: Turn, head: Turn, offers: tuple[Offer, Offer], seconds: float, seed: int, clock: Clock, telling: Telling | None = None) -> Turns:
    """Take blocks of base and head, each given a quantity, primers and a count, in turns until their ratio, head / base, is settled or `seconds` are over.

    A block is two random ABBA pieces; neighbouring pieces of one side are one turn, and each turn begins with primers.
    """
    quantity = DEVICE if all(one.device for one in offers) else WALL
    cost = max(*(one.cost for one in offers), 1e-6)
    count, primers = _fit(_TURN_SECONDS / cost, _SAMPLES), _fit(_PRIMER_SECONDS / cost, _PRIMERS)
    sides = (base, head)
    taken: tuple[list[list[float]], list[list[float]]] = ([], [])
    began = clock.now()
    begin(telling, "base", seconds)
    for order in abba(2, _REPEATS, seed):
        done = len(taken[0])
        if done >= MIN_BLOCKS and (clock.now() - began > seconds or done >= _MAX_BLOCKS or (done >= _USUAL_BLOCKS and done % _LOOK == 0 and settled(levelled(taken)) <= PRECISION)):
            break
        if done:
            clock.sleep(GAP)
        block: tuple[list[float], list[float]] = ([], [])
        for side, pieces in turns_of(order):
            block[side].extend(sides[side](quantity, primers, pieces * count))
        for rows, row in zip(taken, block, strict=True):
            rows.append(row)
        if telling is not None:
            telling.blocks(len(taken[0]), lambda: settled(levelled(taken)))
    level = levelled(taken)
    ticks = (offers[1].tick, offers[0].tick) if quantity == DEVICE else (0.0, 0.0)
    return Turns(quantity, *taken, primers, ratio_interval(level[1], level[0], ticks, seed))


def turns_of(order: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (side, pieces) of every turn of a block.

    >>> list(turns_of([0, 1, 1, 0, 0, 1, 1, 0]))
    [(0, 1), (1, 2), (0, 2), (1, 2), (0, 1)]
    """
    for side, members in itertools.groupby(order):
        yield side, len(list(members))


def _fit(number: float, ends: tuple[int, int]) -> int:
    low, high = ends
    return max(low, min(high, math.floor(number)))
