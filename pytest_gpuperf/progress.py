"""How far long work is, as facts and as one line of text; and who tells it. Nothing here writes."""

from __future__ import annotations

import dataclasses
import math
import time
import unicodedata
from typing import TYPE_CHECKING, Protocol

from pytest_gpuperf.format import digits, format_quantity, plural, shorten, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_gpuperf.stats import Interval


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    """One row of PHASES: a step of long work, what a line says of it, what is counted in it, and whether it may last for seconds without another word."""

    name: str
    verb: str
    counted: str = ""
    silent: bool = False


PHASES: tuple[Phase, ...] = (
    Phase("calibrating", "calibrating the clock for", silent=True),
    Phase("compiling", "compiling (first call)", silent=True),
    Phase("first-call", "first call of", silent=True),
    Phase("untimed", "untimed calls of"),
    Phase("host", "host times of"),
    Phase("warming", "warming the device with", silent=True),
    Phase("sampling", "measuring"),
    Phase("checking", "checking the clocks with"),
    Phase("profiling", "profiling calls of"),
    Phase("roof", "measuring the roof of", silent=True),
    Phase("once", "one untimed call of", silent=True),
    Phase("comparing", "comparing"),
    Phase("base", "taking turns with the base:"),
    Phase("base-start", "starting the base's session", silent=True),
    Phase("qualifying", "qualifying:", "pairs"),
    Phase("planning", "ncu: collecting in a process of its own", silent=True),
    Phase("ncu", "ncu:", "cases"),
    Phase("sanitizing", "compute-sanitizer:", "cases"),
    Phase("lookup", "looking machine code up:", "kernels"),
    Phase("static", "compiling:", "kernels"),
    Phase("workers", "xdist, longest at work:", "workers"),
)
_BY_NAME = {row.name: row for row in PHASES}


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far one piece of work is: its phase, the case and the measurement, what was taken so far.

    `centre` is in seconds, `open` the half-width of the interval as a share of it; `spent` and `limit` are seconds of sampling; `done` of `of` counts what the
    phase counts.
    """

    phase: str
    nodeid: str = ""
    name: str = ""
    samples: int = 0
    rounds: int = 0
    blocks: int = 0
    centre: float | None = None
    open: float | None = None
    spent: float = 0.0
    limit: float = 0.0
    done: int = 0
    of: int = 0

    @property
    def row(self) -> Phase:
        """The row of PHASES."""
        return _BY_NAME[self.phase]


def line(progress: Progress, width: float = math.inf, *, named: bool = False) -> str:
    """Write progress as one line of at most `width` columns; empty where nothing of it fits. `named`: the case's name stands before it already.

    >>> told = Progress("sampling", "test_commit.py::test_commit[128]", "main", 240, 6, centre=12.41e-6, open=0.006, spent=0.4, limit=1.0)
    >>> line(told)
    'measuring test_commit.py::test_commit[128] main: 240 samples in 6 rounds, 12.41 us ± 0.6 %, 0.4 of 1.0 s'
    >>> line(told, 58)
    'measuring test_commit[128] main: 12.41 us ± 0.6 %'
    >>> line(told, 30, named=True), line(told, 17), line(told, 4)
    ('main: 12.41 us ± 0.6 %', '12.41 us ± 0.6 %', '')
    >>> line(Progress("ncu", "test_a.py::test_b", done=2, of=5)), line(Progress("qualifying", done=34, of=288))
    ('ncu: test_a.py::test_b: 2 of 5 cases', 'qualifying: 34 of 288 pairs')
    """
    return next((text for text in _texts(progress, named=named) if columns(text) <= width), "")


def columns(text: str) -> int:
    r"""Return how many columns of a terminal a text takes.

    >>> columns("abc"), columns("\u6e2c\u5b9a"), columns("e\u0301")
    (3, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _texts(progress: Progress, *, named: bool) -> Iterator[str]:
    """Yield what can be said, the longest first."""
    verb, nodeid = progress.row.verb, shorten(visible(progress.nodeid).replace("\n", "\\n").replace("\t", "\\t"), 300)
    facts = _facts(progress)
    short, name = _function(nodeid), visible(progress.name)
    spoken = " ".join(verb.removesuffix(":").removesuffix(" of").removesuffix(" for").removesuffix(" with").split())
    heads = [" ".join(filter(None, (verb, name)))] if named else [" ".join(filter(None, (verb, one, name))) for one in dict.fromkeys((nodeid, short))]
    # A name is known from its end, and how much was taken from nothing else: the path goes first.
    for number in range(max(len(facts), 1)):
        for head in heads:
            yield _joined(head, *facts[: len(facts) - number])
    best = facts[:1]
    yield _joined(name if named else " ".join(filter(None, (short, name))), *best)
    yield _joined(name, *best)
    yield from best or [spoken]


def _facts(progress: Progress) -> list[str]:
    """Return what is known in numbers, the most telling first."""
    found = []
    if progress.centre is not None:
        found.append(format_quantity(progress.centre, "s") + _open(progress))
    elif progress.open is not None:
        found.append(f"ratio{_open(progress)}")
    if progress.of:
        found.append(f"{progress.done:,} of {progress.of:,} {progress.row.counted}".rstrip())
    if progress.samples:
        found.append(f"{plural(progress.samples, 'sample')} in {plural(progress.rounds, 'round')}")
    if progress.blocks:
        found.append(plural(progress.blocks, "block"))
    if progress.limit and (progress.samples or progress.blocks):
        found.append(f"{progress.spent:.1f} of {progress.limit:.1f} s")
    return found


def _open(progress: Progress) -> str:
    share = progress.open
    if share is None or not math.isfinite(share):
        return ""
    return f" ± {100 * share:.1f} %" if share < 1 else f" ± {digits(100 * share)} %"


def _joined(head: str, *facts: str) -> str:
    # The result stands between how much was taken and how long it took, as one would say it.
    order = [*facts[1:2], *facts[:1], *facts[2:]]
    return ": ".join(filter(None, (head.removesuffix(":"), ", ".join(order))))


def _function(nodeid: str) -> str:
    """Return the part of a node id behind its file and class.

    >>> _function("a/test_b.py::TestC::test_d[x::y]"), _function("")
    ('test_d[x::y]', '')
    """
    name, bracket, rest = nodeid.partition("[")
    return name.rpartition("::")[2] + bracket + rest


class Sink(Protocol):
    """What shows progress."""

    def due(self) -> bool:
        """Say whether something shown now would be seen; cheap."""

    def show(self, progress: Progress) -> None:
        """Show it."""


class Telling:
    """Tells a sink how far one piece of work is.

    It is told things between rounds only, and works out nothing that nobody would see.
    """

    def __init__(self, sink: Sink, nodeid: str = "", name: str = "", limit: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep what every line says; `limit` is the seconds of sampling."""
        self._sink, self._base, self._clock = sink, Progress("sampling", nodeid, name, limit=limit), clock
        self._now, self._since = self._base, clock()

    def phase(self, name: str, limit: float | None = None) -> None:
        """Begin a phase of PHASES, with other seconds of sampling where that is so; one that may last without another word is shown at once."""
        self._since = self._clock()
        self._now = dataclasses.replace(self._base, phase=name, limit=self._base.limit if limit is None else limit)
        if self._now.row.silent or self._sink.due():
            self._sink.show(self._now)

    def rounds(self, samples: int, rounds: int, interval: Callable[[], Interval]) -> None:
        """Tell what the rounds so far have taken; `interval` is only asked where somebody will see it."""
        if self._sink.due():
            found = interval()
            share = found.half_width / abs(found.centre) if found.centre else math.inf
            self._show(samples=samples, rounds=rounds, centre=found.centre, open=share)

    def blocks(self, blocks: int, still_open: Callable[[], float]) -> None:
        """Tell how many blocks were taken; `still_open`, how far the ratio is open as a share, is only asked where somebody will see it."""
        if self._sink.due():
            share = still_open()
            self._show(blocks=blocks, open=share if math.isfinite(share) else None)

    def count(self, done: int, of: int, nodeid: str = "") -> None:
        """Tell how many of some are done, and which case is at work."""
        if self._sink.due():
            self._show(done=done, of=of, **({"nodeid": nodeid} if nodeid else {}))

    def _show(self, **facts: float | str | None) -> None:
        self._sink.show(dataclasses.replace(self._now, spent=self._clock() - self._since, **facts))  # type: ignore[arg-type]
