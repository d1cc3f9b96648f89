"""Interleaved sampling: versions of one computation in random ABBA blocks, on the device's clock or on the host's."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

from pytest_gpuperf.ratios import abba, levelled, settled
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.backoff import Seen
from pytest_gpuperf.timing.host import HostTaken
from pytest_gpuperf.timing.taken import GAP, PRECISION, Synchronises, Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_gpuperf.progress import Telling
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.buffers import Buffers
    from pytest_gpuperf.timing.clock import Reading
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.timing.sampler import Sampler
    from pytest_gpuperf.timing.stalls import Stall

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: With fewer blocks, or one ABBA a block, an interval over blocks covers less than it says where samples are autocorrelated (simulated).
MIN_BLOCKS = 10
_USUAL_BLOCKS = 20
_MAX_BLOCKS = 200
_REPEATS = (2, 5)
#: A block is about this long, so that what moves the machine moves all of it.
_BLOCK_SECONDS = 10e-3
#: How many blocks pass between two looks at how far the ratios are still open.
_LOOK = 5


@dataclasses.dataclass
class Version:
    """One version while it is compared: its body with its buffers, its sampler, what was taken of it by block, and the constant of its kind."""

    name: str
    body: Body
    buffers: Buffers
    sampler: Sampler | None = None
    constant: float = 0.0
    taken: Taken = dataclasses.field(default_factory=Taken)
    host: HostTaken = dataclasses.field(default_factory=HostTaken)

    @property
    def calls(self) -> list[list[float]]:
        """Seconds a call on the device, by block."""
        return [[(raw - self.constant) / self.taken.batch for raw in block] for block in self.taken.rounds]


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How long to sample: seconds for all versions together, samples that a percentile needs of each, the least number of blocks."""

    seconds: float
    samples: int = 0
    blocks: int = MIN_BLOCKS


class VersionSynchronises(Synchronises):
    """A version waited for the device inside the blocked window, or for room in its queue."""

    def __init__(self, name: str, stall: Stall | None) -> None:
        super().__init__(stall)
        self.name = name

    @property
    def reason(self) -> Reason:
        """Why none of the versions has a time on the device."""
        full = self.stall is not None and self.stall.reason.code == "queue-full"
        what = "queues more launches than a held stream takes" if full else "synchronises with the host"
        return Reason("queue-full" if full else "sync", f"version {self.name!r} {what}, so all versions are compared by their wall_time")


def take_device(
    instruments: Instruments, versions: Sequence[Version], limits: Limits, stream: int, seed: int, telling: Telling | None = None
) -> tuple[list[list[int]], VersionSynchronises | None]:
    """Take blocks on the device's clock; return their orders and, where one waits for the device, that and nothing taken."""
    try:
        return _device_blocks(instruments, versions, limits, stream, seed, telling), None
    except VersionSynchronises as error:
        instruments.backend.synchronize()
        for one in versions:
            one.taken = Taken()
        return [], error


def _device_blocks(
    instruments: Instruments, versions: Sequence[Version], limits: Limits, stream: int, seed: int, telling: Telling | None
) -> list[list[int]]:
    sentinel, witness = instruments.sentinel, instruments.witness
    samplers = {place: _sampler(one) for place, one in enumerate(versions)}
    costs = [_begun(one, samplers[place]) for place, one in enumerate(versions)]
    repeats = _repeats(2 * sum(costs))
    for sampler in samplers.values():
        sampler.room(2 * repeats)
    sentinel.long.clear()
    sentinel.rounds = 0

    def take(block: list[int]) -> None:
        sentinel.look(stream)
        if not versions[0].taken.seen:
            witness.look()
        witness.start(stream)
        slots = dict.fromkeys(samplers, 0)
        readings: dict[int, list[Reading]] = {place: [] for place in samplers}
        entries: dict[int, list[tuple[int, int, list[tuple[str, int]]]]] = {place: [] for place in samplers}
        last = {place: position for position, place in enumerate(block)}
        for position, place in enumerate(block):
            one, sampler = versions[place], samplers[place]
            number = 2 * repeats * len(one.taken.rounds) + len(readings[place])
            try:
                reading, left = sampler.one(one.taken, slots[place], number, last=position == last[place])
            except Synchronises as error:
                raise VersionSynchronises(one.name, error.stall) from None
            slots[place] += sum(len(names) for *_, names in left)
            readings[place].append(reading)
            entries[place] += left
        evidence = witness.end(stream)
        for place, one in enumerate(versions):
            one.taken.seen.append(Seen([instruments.watch.read(reading) for reading in readings[place]], evidence))
            one.buffers.compare(entries[place])

    order = abba(len(versions), repeats, seed)
    taken = _blocks(instruments, order, take, limits, 2 * repeats, lambda: settled(levelled([one.calls for one in versions])), telling)
    for place, one in enumerate(versions):
        samplers[place].say_checked(one.taken)
    return taken


def take_host(
    instruments: Instruments, versions: Sequence[Version], limits: Limits, stream: int, seed: int, telling: Telling | None = None
) -> list[list[int]]:
    """Take blocks on the host's clock: until each call returned, and until the device was idle; return their orders.

    An untimed call of the same version stands before each timed one, so that none starts from what another left.
    """
    backend = instruments.backend

    def call(one: Version, index: int) -> tuple[float, float]:
        if one.body.setup is not None:
            one.body.setup()
        one.buffers.restore(stream)
        backend.synchronize()
        bound = one.body.bound(index)
        start = backend.now()
        bound()
        returned = backend.now()
        # The whole device: a body that works on another stream is not done when its own is.
        backend.synchronize()
        return returned - start, backend.now() - start

    def take(block: list[int]) -> None:
        host: dict[int, list[float]] = {place: [] for place in range(len(versions))}
        wall: dict[int, list[float]] = {place: [] for place in range(len(versions))}
        for place in block:
            one = versions[place]
            index = sum(map(len, one.host.host)) + len(host[place])
            call(one, index)
            returned, done = call(one, index)
            host[place].append(returned)
            wall[place].append(done)
        for place, one in enumerate(versions):
            one.host.host.append(host[place])
            one.host.wall.append(wall[place])

    began = backend.now()
    for one in versions:
        call(one, 0)
    repeats = _repeats(4 * (backend.now() - began))
    order = abba(len(versions), repeats, seed)
    return _blocks(instruments, order, take, limits, 2 * repeats, lambda: settled(levelled([one.host.wall for one in versions])), telling)


def _blocks(
    instruments: Instruments,
    order: Iterator[list[int]],
    take: Callable[[list[int]], None],
    limits: Limits,
    each: int,
    still_open: Callable[[], float],
    telling: Telling | None,
) -> list[list[int]]:
    """Take blocks, at least GAP apart, until the ratios are settled or time is up; `each` is how many samples a block has of a version."""
    backend = instruments.backend
    began, cost = backend.now(), 0.0
    taken: list[list[int]] = []
    for count in itertools.count():
        spent, missing = backend.now() - began + cost, limits.samples - each * count
        # A percentile that a budget asks for may take twice the limit; what is missing then is said.
        over = spent > limits.seconds and (missing <= 0 or spent > 2 * limits.seconds)
        enough = count >= max(_USUAL_BLOCKS, limits.blocks) and missing <= 0 and (count >= _MAX_BLOCKS or (count % _LOOK == 0 and still_open() <= PRECISION))
        if count >= limits.blocks and (over or enough):
            return taken
        if count:
            backend.sleep(GAP)
        start = backend.now()
        block = next(order)
        take(block)
        taken.append(block)
        cost = backend.now() - start + GAP
        if telling is not None:
            telling.blocks(len(taken), still_open)
    return taken


def _repeats(piece: float) -> int:
    """Return how many ABBA pieces of some seconds a block has."""
    low, high = _REPEATS
    return max(low, min(high, math.floor(_BLOCK_SECONDS / max(piece, 1e-6))))


def _sampler(one: Version) -> Sampler:
    assert one.sampler is not None
    return one.sampler


def _begun(one: Version, sampler: Sampler) -> float:
    try:
        return sampler.begin(one.taken)
    except Synchronises as error:
        raise VersionSynchronises(one.name, error.stall) from None
