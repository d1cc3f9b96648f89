"""What a measurement tells of its progress: phases, and what its rounds came to; between timed parts only, and nothing where nobody is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf import stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.progress import Telling
    from pytest_gpuperf.timing.taken import Taken

#: What the first calls are of a body that ran before, of one that is to be compiled, and of one of which nobody knows.
FIRST = {True: "untimed", False: "compiling", None: "first-call"}


def begin(telling: Telling | None, phase: str, limit: float | None = None) -> None:
    """Begin a phase of PHASES, with so many seconds of sampling; none with an empty name."""
    if telling is not None and phase:
        telling.phase(phase, limit)


def after_rounds(telling: Telling | None, constant: float, tick: float, calls: int) -> Callable[[Taken], None] | None:
    """Return what tells of the rounds so far, as the measurement itself will: less `constant` seconds a sample, in ticks, for each of `calls` calls.

    None where nobody is told.
    """
    if telling is None:
        return None

    def tell(taken: Taken) -> None:
        rounds, batch = taken.rounds, taken.batch * calls
        if rounds:
            interval = lambda: stats.centre_interval([[(raw - constant) / batch for raw in one] for one in rounds], tick / batch)  # noqa: E731
            telling.rounds(sum(map(len, rounds)), len(rounds), interval)

    return tell
