"""How many measurements a qualification takes, of what, in which order. Pure functions."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

from pytest_gpuperf.qualify.subject import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclasses.dataclass(frozen=True, slots=True)
class Level:
    """One row of LEVELS: a slowdown, in how many of the turns it is measured, and whether in fresh processes too."""

    slowdown: float
    every: int
    processes: bool = False


LEVELS: tuple[Level, ...] = (
    Level(0.0, 1, processes=True),
    Level(0.01, 4),
    Level(0.02, 4),
    Level(0.03, 4),
    Level(0.05, 1, processes=True),
    Level(0.10, 4),
)

#: A pair of fresh processes costs two starts of Python and CUDA: there is one for so many pairs of fresh allocations.
PAIRS_A_PROCESS_PAIR = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """One turn of one kernel: its name, and the slowdowns that are measured after the one that is old to all of them."""

    kernel: str
    slowdowns: tuple[float, ...]


def turns(pairs: int, seed: int) -> Iterator[Turn]:
    """Yield every turn: `pairs` rounds over all kernels, in random order in each, and in random order of what is new.

    >>> first = list(turns(1, seed=1))
    >>> [turn.kernel for turn in first], sorted(first[0].slowdowns)
    (['short', 'long', 'medium'], [0.0, 0.01, 0.02, 0.03, 0.05, 0.1])
    >>> [len(turn.slowdowns) for turn in turns(2, seed=1)][3:]
    [2, 2, 2]
    """
    # Not secrets: an order that can be repeated.
    draw = random.Random(seed)  # noqa: S311
    for number in range(pairs):
        due = [level.slowdown for level in LEVELS if number % level.every == 0]
        for subject in draw.sample(SUBJECTS, len(SUBJECTS)):
            yield Turn(subject.name, tuple(draw.sample(due, len(due))))


def process_pairs(pairs: int) -> int:
    """Return how many pairs of fresh processes there are beside so many of fresh allocations.

    >>> process_pairs(1), process_pairs(48)
    (1, 6)
    """
    return max(1, pairs // PAIRS_A_PROCESS_PAIR)


def planned(pairs: int) -> int:
    """Return how many pairs of measurements there are in all, of fresh allocations and of fresh processes.

    >>> planned(1), planned(48)
    (24, 468)
    """
    here = sum(-(-pairs // level.every) for level in LEVELS)
    return len(SUBJECTS) * (here + process_pairs(pairs) * sum(level.processes for level in LEVELS))
