"""The sampler: rounds of timed calls in one cache state, until the interval is narrow enough or time is up."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf import stats
from pytest_gpuperf.timing.backoff import Backoff, Seen
from pytest_gpuperf.timing.stalls import Stall, find_stall
from pytest_gpuperf.timing.sustained import LONGEST, Load, warm_until_steady
from pytest_gpuperf.timing.taken import GAP, MIN_ROUNDS, PRECISION, USUAL_ROUNDS, Plan, Synchronises, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.buffers import Buffers
    from pytest_gpuperf.timing.cache import Flusher
    from pytest_gpuperf.timing.clock import Reading, Sentinel, Stopwatch
    from pytest_gpuperf.timing.witness import Witness

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_MAX_BATCH = 500
#: A batch is long enough that its two ends do not count, and short enough for several in a round.
_BATCH_SECONDS = 3e-3
_PILOTS = 2
#: Few digests where all of them would take half of the time.
_FIRST_DIGESTS = 8
#: So many samples may be held to the deadline and taken again, where the same calls do not wait when they are looked at: something compiled or loaded.
_LATE, _ROW = 2, 16


class Sampler:
    """Takes the samples of one measurement."""

    def __init__(
        self,
        backend: Backend,
        watch: Stopwatch,
        flusher: Flusher,
        body: Body,
        buffers: Buffers,
        plan: Plan,
        stream: int,
        *,
        tick: float,
        witness: Witness,
        sm_clock: float | None = None,
        sentinel: Sentinel | None = None,
        progress: Callable[[Taken], None] | None = None,
    ) -> None:
        """Keep what a sample needs; nothing runs yet."""
        self.backend, self.watch, self.flusher = backend, watch, flusher
        self.body, self.buffers, self.plan, self.stream = body, buffers, plan, stream
        self.tick, self.witness, self.sentinel, self.progress = tick, witness, sentinel, progress
        self.backoff = Backoff(sm_clock)
        self.load = Load(body)
        self._rested = 0.0
        self.number = 0
        self.sparse = False
        self._slots = 0
        self._late = 0

    def take(self, floor: float) -> Taken:
        """Take rounds until the interval of a call is below PRECISION of its centre, or below `floor` seconds, or time is up."""
        taken = Taken()
        backend, began = self.backend, self.backend.now()
        try:
            cost = self.begin(taken)
            if self._sustained:
                taken.notes += [note for note in (self._warm(taken),) if note]
                cost = self._pilot(taken)
                began = backend.now()
            count = self._samples_a_round(cost)
            self.room(count)
            while not self._enough(taken, began, floor, count * cost):
                self._round(taken, count)
                if not self._sustained:
                    self._rested += self.backoff.weigh(taken.seen, self.plan.limit - (backend.now() - began))
                # Here the device rests anyway; one that is never to rest is not kept waiting.
                if self.progress is not None and not self._sustained:
                    self.progress(taken)
        except Synchronises as error:
            taken.synchronises, taken.stall = True, error.stall
        taken.seconds = self.backend.now() - began
        self.say_checked(taken)
        return taken

    def begin(self, taken: Taken) -> float:
        """Choose the batch, take samples that do not count, and return what one costs; Synchronises where the body waits for the device."""
        taken.batch = self._batch()
        return self._pilot(taken)

    def room(self, count: int) -> None:
        """Make room for the digests of so many samples."""
        self.buffers.room(count * max(1, self._slots))

    def one(self, taken: Taken, slot: int, number: int, *, last: bool) -> tuple[Reading, list[tuple[int, int, list[tuple[str, int]]]]]:
        """Take sample `number` and wait for it; return its reading and its digests, which begin at `slot`. `last`: of its round."""
        digest = not self.sparse or number < _FIRST_DIGESTS or last
        reading, left = self._sample_in_time(slot, taken.batch, digest=digest)
        return reading, [(number, index, slots) for index, slots in left]

    def readings(self, count: int) -> list[Reading]:
        """Take so many samples of one call that are not digested, and return their readings, to be read; Synchronises as ever."""
        found = []
        for _ in range(count):
            reading, _ = self._sample(0, 1, digest=False)
            self.backend.synchronize(self.stream)
            if not reading.released:
                raise Synchronises
            found.append(reading)
        return found

    def say_checked(self, taken: Taken) -> None:
        """Say which samples were digested, and how many were taken again."""
        taken.late = self._late
        if not taken.synchronises and self.buffers.checked:
            taken.checked = "batch ends" if taken.batch > 1 else "first 8, one a round, last" if self.sparse else "every sample"

    @property
    def _sustained(self) -> bool:
        return self.plan.duty == "sustained"

    def _warm(self, taken: Taken) -> str:
        """Bring the device to where a body that never rests keeps it; from here on untimed calls fill the rests."""
        self.buffers.restore(self.stream)
        each = max(self.once(taken.batch) / taken.batch - 2e-6, 0.5e-6)
        note = warm_until_steady(self.backend, self.witness, self.load, each, self.stream, max(LONGEST, self.plan.limit))
        self.load.fill(each, batched=taken.batch > 1)
        return note

    def _calls(self, taken: Taken) -> list[list[float]]:
        return [[raw / taken.batch for raw in one] for one in taken.rounds]

    def _enough(self, taken: Taken, began: float, floor: float, cost: float) -> bool:
        rounds = len(taken.rounds)
        missing = self.plan.samples - sum(map(len, taken.rounds))
        spent = self.backend.now() - began
        if rounds < MIN_ROUNDS:
            return False
        if spent + cost > self.plan.limit and missing <= 0:
            return True
        # A percentile that a budget asks for may take twice the limit; what is missing then is said.
        if spent + cost > 2 * self.plan.limit:
            return True
        if rounds < USUAL_ROUNDS or missing > 0:
            return False
        interval = stats.centre_interval(self._calls(taken), self.tick / taken.batch)
        return interval.half_width <= max(PRECISION * abs(interval.centre), floor / taken.batch, self.tick / taken.batch)

    def _samples_a_round(self, cost: float) -> int:
        wanted = max(1, math.ceil(self.plan.samples / USUAL_ROUNDS))
        room = int((self.plan.limit / USUAL_ROUNDS - (0.0 if self._sustained else GAP)) / max(cost, 1e-6))
        usual = 1 if self.plan.cache == "steady" and cost > GAP else 20
        return max(1, wanted, min(room, usual))

    def _batch(self) -> int:
        """Choose how many calls a sample is: one, or for `steady` a fixed number of back-to-back ones."""
        if self.plan.cache != "steady":
            return 1
        each = max(self.once(1) - 2e-6, 0.5e-6)
        sets = self.body.sets
        wanted = min(_MAX_BATCH, max(4, math.ceil(_BATCH_SECONDS / each)))
        batch = min(_MAX_BATCH // sets * sets, math.ceil(wanted / sets) * sets)
        # A body of several launches fills the queue of a blocked stream sooner: then fewer calls a sample.
        while batch > sets:
            try:
                self.once(batch)
            except Synchronises:
                batch = max(sets, batch // 4 // sets * sets)
            else:
                break
        return batch

    def once(self, batch: int) -> float:
        """Take one sample of so many calls that is not digested, and return its raw seconds; Synchronises as ever."""
        reading, _ = self._sample_in_time(0, batch, digest=False)
        return self.watch.read(reading)

    def _pilot(self, taken: Taken) -> float:
        """Take samples that do not count, without digests and with them in turn: what one costs, and whether digests would take half of it."""
        self._slots = self.buffers.slots(every_set=taken.batch > 1)
        self.buffers.room(max(1, self._slots))
        costs: dict[bool, list[float]] = {False: [], True: []}
        for digest in (False, True) * _PILOTS:
            began = self.backend.now()
            reading, _ = self._sample_in_time(0, taken.batch, digest=digest)
            self.watch.read(reading)
            costs[digest].append(self.backend.now() - began)
        # The least of each: one interruption of the host must not decide how much is checked.
        plain, digested = min(costs[False]), min(costs[True])
        self.sparse = digested - plain > plain
        return plain if self.sparse else digested

    def _round(self, taken: Taken, count: int) -> None:
        backend = self.backend
        if not self._sustained:
            if self.sentinel is not None:
                self.sentinel.look(self.stream)
            rest = self._rested - backend.now()
            if taken.seen and rest > 0:
                backend.sleep(rest)
        if not taken.seen or taken.seen[-1].discarded:
            self.load.cover()
            self.witness.look()
        self.witness.start(self.stream)
        readings: list[Reading] = []
        entries: list[tuple[int, int, list[tuple[str, int]]]] = []
        slot = 0
        total = sum(len(one.samples) for one in taken.seen)
        for place in range(count):
            reading, left = self.one(taken, slot, total + place, last=place == count - 1)
            slot += sum(len(slots) for *_, slots in left)
            readings.append(reading)
            entries += left
        self._rested = backend.now() + GAP
        evidence = self.witness.end(self.stream, self.load.cover)
        taken.seen.append(Seen([self.watch.read(reading) for reading in readings], evidence))
        self.buffers.compare(entries)

    def _sample_in_time(self, slot: int, batch: int, *, digest: bool) -> tuple[Reading, list[tuple[int, list[tuple[str, int]]]]]:
        """Take one sample and wait for it; where it was held to the deadline, take it again, unless the body waits again."""
        while True:
            reading, left = self._sample(slot, batch, digest=digest)
            # A host that runs ahead makes the device fetch later commands while the body starts: up to 1 us more, in some rounds and not in others.
            self.backend.synchronize(self.stream)
            if reading.released:
                return reading, left
            stall = self._find_stall(batch)
            if stall is None and self._late == _LATE:
                # A body that waits now and then: several calls in a row show where, and no longer whether its queue was full.
                stall = self._find_stall(_ROW * batch)
                raise Synchronises(None if stall is None else dataclasses.replace(stall, launching=False))
            if stall is not None:
                raise Synchronises(stall)
            self._late += 1

    def _find_stall(self, batch: int) -> Stall | None:
        """Look where the calls of a sample wait in a held stream; None where they do not wait again."""
        number, self.number = self.number, self.number + 1
        if self.body.setup is not None:
            self.body.setup()
        self._prepare(number, number % self.body.sets)

        def calls() -> None:
            if self.plan.cache == "steady":
                self._rotation()
            for call in range(batch):
                self.body(number + call)

        return find_stall(self.backend, self.watch, calls, self.stream, max(self.plan.timeout / 4, self.plan.timeout - 0.75))

    def _sample(self, slot: int, batch: int, *, digest: bool) -> tuple[Reading, list[tuple[int, list[tuple[str, int]]]]]:
        """Enqueue one sample: setup, restore, poison, cache state, block, event, body, event, release, digest.

        Returns its reading and, by argument set, the names and slots of the digests: of the set that was called last, and of all where a batch called all.
        """
        body, stream, steady = self.body, self.stream, self.plan.cache == "steady"
        number, self.number = self.number, self.number + 1
        index = 0 if steady else number % body.sets
        self.load.before(index)
        if body.setup is not None:
            body.setup()
        self._prepare(number, index)
        before = None
        if steady:
            before = self._rotation
        elif self.plan.cache == "warm":
            body(index)
            self._prepare(number, index)
        elif self.plan.cache == "cold":
            self.flusher.clean(stream)
        else:
            self.flusher.dirty(stream)
        results: list[Any] = []

        def timed() -> None:
            for call in range(batch):
                results[:] = [body(index + call)]

        # A flush is a runway, and nothing may run between it and a cold body.
        reading = self.watch.start(timed, stream, self.plan.timeout, before, runway=self.plan.cache in {"warm", "steady"})
        if not digest:
            return reading, []
        last = (index + batch - 1) % body.sets
        slots = self.buffers.digest(last, results[0], slot, stream)
        return reading, [(last, slots), *(self.buffers.digest_others(last, slot + len(slots), stream) if batch > 1 else [])]

    def _prepare(self, number: int, index: int) -> None:
        self.buffers.restore(self.stream)
        for one in range(self.body.sets) if self.plan.cache == "steady" else (index,):
            self.buffers.poison(number, self.stream, one)

    def _rotation(self) -> None:
        """Call the body once with every argument set, so that a batch starts as it will go on."""
        for index in range(self.body.sets):
            self.body(index)

