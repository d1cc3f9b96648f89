"""Determinism: what repeated calls of one body left, and which of a few ways of not being deterministic it was."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.poison import convincing, fresh, kept
from pytest_gpuperf.identity.bits import as_words, difference
from pytest_gpuperf.identity.formats import format_of, is_nan, ulps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: So many different results of one array are kept whole.
KEPT = 4


def beside(runs: int) -> tuple[bool, ...]:
    """Return, for each call, whether it runs beside contention: one without, two with, two without, and so on.

    What is wrong from some call on is then wrong in both kinds of calls, and what depends on contention in one kind only.

    >>> beside(6)
    (False, True, True, False, False, True)
    """
    return tuple(number % 4 in {1, 2} for number in range(runs))


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Shape and type of an array that was looked at; `poisoned` where it held poison before each call."""

    shape: tuple[int, ...]
    dtype: str
    itemsize: int
    poisoned: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One call: its number from 1, whether it ran beside contention, and what it left, by array: layout and digest."""

    number: int
    contended: bool
    left: dict[str, tuple[Layout, int]]


@dataclasses.dataclass
class Record:
    """All calls, and the bytes of the first few different results of each array with the number of their call."""

    calls: list[Call] = dataclasses.field(default_factory=list)
    bytes: dict[tuple[str, Layout, int], tuple[int, Any]] = dataclasses.field(default_factory=dict)

    def wants(self, name: str, layout: Layout, digest: int) -> bool:
        """Say whether the bytes of a result are to be kept."""
        return (name, layout, digest) not in self.bytes and sum(key[0] == name for key in self.bytes) < KEPT


@dataclasses.dataclass(frozen=True)
class Split:
    """The calls that left other bits in one array than most did."""

    calls: Sequence[Call]
    wrong: Sequence[Call]

    @property
    def quiet(self) -> int:
        """How many of the wrong ones ran without contention."""
        return sum(not one.contended for one in self.wrong)

    @property
    def once(self) -> bool:
        """Whether it is a single call."""
        return len(self.wrong) == 1 and len(self.calls) > 2

    @property
    def onward(self) -> bool:
        """Whether it is every call from one on, some of them without contention."""
        return len(self.wrong) > 1 and self.wrong[0].number > 1 and list(self.wrong) == list(self.calls[-len(self.wrong) :]) and self.quiet > 0 and self._steady()

    @property
    def by_contention(self) -> bool:
        """Whether only calls beside contention are wrong, more than one."""
        return len(self.wrong) > 1 and not self.quiet

    def _steady(self) -> bool:
        """Say whether some calls before were right: of calls that all differ, none is."""
        return len(self.calls) - len(self.wrong) > 1


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """One row of WAYS: a way of not being deterministic, how it is known, and how it is told of an array."""

    name: str
    holds: Callable[[Split], bool]
    tells: Callable[[Split, str], str]


def _others(split: Split) -> str:
    return f"{len(split.calls) - len(split.wrong)} of {len(split.calls)} calls"


def _beside(split: Split) -> str:
    total = sum(one.contended for one in split.calls)
    return f"in {len(split.wrong) - split.quiet} of {total} calls beside contention and in {split.quiet} of {len(split.calls) - total} without"


WAYS: tuple[Way, ...] = (
    Way(
        "wrong only on one call", lambda split: split.once,
        lambda split, name: f"wrong only on call {split.wrong[0].number}{' (beside contention)' if split.wrong[0].contended else ''}: {name} has other bits than after {_others(split)}",
    ),
    Way(
        "wrong from a call on", lambda split: split.onward,
        lambda split, name: f"wrong from call {split.wrong[0].number} on: {name} has other bits than after the {split.wrong[0].number - 1} calls before",
    ),
    Way("contention-dependent", lambda split: split.by_contention, lambda split, name: f"contention-dependent: {name} has other bits {_beside(split)}"),
    Way("run-to-run change", lambda _: True, lambda split, name: f"run-to-run change: {name} has other bits {_beside(split)}"),
)  # fmt: skip


def explain(record: Record) -> str:
    """Say of the first array that calls left with different bits which way it was; empty where all calls agree."""
    names = dict.fromkeys(name for call in record.calls for name in call.left)
    return next(filter(None, (_explain(record, name) for name in names)), "")


def _explain(record: Record, name: str) -> str:
    calls = record.calls
    results = [call.left.get(name) for call in calls]
    if len(set(results)) == 1:
        return ""
    if None in results:
        return f"run-to-run change: {name} is returned by some calls and not by others"
    # Most calls are right, and of two equal halves the one with the first call.
    right = max(collections.Counter(results).items(), key=lambda item: item[1])[0]
    assert right is not None
    split = Split(calls, [call for call, result in zip(calls, results, strict=True) if result != right])
    layout = right[0]
    held = [(call, record.bytes.get((name, *call.left[name]))) for call in split.wrong if call.left[name][0] == layout]
    # The bytes of a result are those of the first call that left it; only that call's poison may stand in them.
    kept_bytes = [(call, found[1]) for call, found in held if found is not None and found[0] == call.number]
    good = record.bytes.get((name, *right))
    if not kept_bytes or good is None:
        return _way(split, name) + ", and another shape or type" * any(call.left[name][0] != layout for call in split.wrong)
    unwritten = _unwritten(split, name, layout, good, kept_bytes)
    if unwritten:
        return unwritten
    call, packed = kept_bytes[0]
    first, _, rest = difference(packed, good[1], layout.shape, layout.dtype, layout.itemsize).removeprefix("bits differ: ").partition("\n")
    lines = [f"{_way(split, name)}; on call {call.number}: {first}", rest, histogram(packed, good[1], layout)]
    return "\n".join(filter(None, lines))


def _way(split: Split, name: str) -> str:
    return next(row for row in WAYS if row.holds(split)).tells(split, name)


def _unwritten(split: Split, name: str, layout: Layout, right: tuple[int, Any], held: Sequence[tuple[Call, Any]]) -> str:
    """Describe the elements that hold the poison of every wrong call; empty where there are none. `right` is the call that the others are held against."""
    import numpy as np

    if not layout.poisoned:
        return ""
    number, good = right
    mask = np.ones(len(good) // layout.itemsize, bool)
    for call, packed in held:
        mask &= kept(packed, fresh(0, call.number), layout.itemsize) & (packed != good).reshape(-1, layout.itemsize).any(axis=1)
    mask = convincing(mask, 8 * layout.itemsize * len(held))
    if not mask.any():
        return ""
    index = [int(one) for one in np.unravel_index(int(mask.argmax()), layout.shape)] if layout.shape else []
    text = f"not written: {int(mask.sum()):,} of {len(mask):,} elements of {name} keep the poison, first at {index}"
    if len(split.wrong) < len(split.calls) - 1:
        return f"{text}; {_way(split, name)}"
    # Poison is another one in each call, so calls that write nothing all differ: the one that is left may have written.
    if not kept(good, fresh(0, number), layout.itemsize)[mask].any():
        return f"{text}, in every call but call {number}"
    return f"{text}, in every call (an array that is written in part goes to inout=)"


def histogram(a: Any, b: Any, layout: Layout) -> str:
    """Return how many elements lie how far apart, in ulps, as one line; empty for what is no floating-point number.

    >>> import numpy as np
    >>> one, two = np.float32([1, 2, 3, 0]), np.float32([1, 2.0000002, 3.000001, -0.0])
    >>> histogram(one.view("u1"), two.view("u1"), Layout((4,), "float32", 4))
    'ulp histogram: sign of zero: 1, 1: 1, 3..4: 1'
    """
    import numpy as np

    form = format_of(layout.dtype)
    if form is None:
        return ""
    left, right = (as_words(one, layout.dtype, layout.itemsize).reshape(-1) for one in (a, b))
    differs = left != right
    left, right = left[differs], right[differs]
    nan = is_nan(left, form) | is_nan(right, form)
    apart = ulps(left, right, form)[~nan]
    bins = np.ceil(np.log2(np.maximum(apart.astype(np.float64), 1))).astype(int)
    parts = [("sign of zero", int((apart == 0).sum()))]
    for power in np.unique(bins[apart > 0]):
        low, high = (1 << int(power) >> 1) + 1, 1 << int(power)
        parts.append((f"{low:,}..{high:,}" if low < high else f"{high:,}", int(((bins == power) & (apart > 0)).sum())))
    parts.append(("NaN", int(nan.sum())))
    return "ulp histogram: " + ", ".join(f"{what}: {count:,}" for what, count in parts if count)
