"""What the file of budgets says of a judgement beside its limit: that it has expired, or that a failure is known."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_gpuperf.budgets.file import ANY
from pytest_gpuperf.budgets.judge import Judgement, Known, judge, title
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, NOT_APPLICABLE, PASS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable

    from pytest_gpuperf.budgets.collect import Budget


def settle(judgement: Judgement, misses: Iterable[Budget], held: Callable[[Budget, str], Judgement], day: dt.date) -> Judgement:
    """Return a judgement with what the file says besides.

    A limit that has expired fails. A failure that is known is excused as far as the known miss goes, which `held` judges on the same measurement; one that
    goes further fails, and one that cannot be told is INCONCLUSIVE. A known miss that has expired excuses nothing.
    """
    if judgement.verdict == NOT_APPLICABLE:
        return judgement
    note, limit = judgement.budget.note, judgement.budget.limit
    if note is not None and note.expired(day):
        said = f"{title(judgement.measurement, limit)} {limit}: expired on {note.until}: renew it in {judgement.budget.origin}, or take it out"
        because = _because(note.reason, note.owner)
        return dataclasses.replace(judgement, verdict=FAIL, reason=None, message=f"{said}{because}; {judgement.verdict} today: {judgement.message}")
    if judgement.verdict == FAIL and note is not None:
        words = str(note)
        judgement = _said(judgement, f"limit of {judgement.budget.origin}" + (f": {words}" if words else ""))
    if judgement.value is None or judgement.value.number is None or judgement.verdict not in {PASS, FAIL}:
        return judgement
    miss = next((one for one in misses if _is_about(one, judgement)), None)
    if miss is None or miss.note is None:
        return judgement
    if judgement.verdict == PASS:
        return dataclasses.replace(judgement, known=Known(miss.origin, str(miss.note), excused=False))
    if miss.note.expired(day):
        return _said(judgement, f"known until {miss.note.until} ({miss.origin}: {miss.note.reason}{miss.note.owner and f', {miss.note.owner}'})")
    if miss.limit.text != ANY:
        # A limit on machine code is about one kernel on one architecture, whose number is at hand.
        meanwhile = judge(miss, judgement.measurement, judgement.value) if judgement.subject else held(miss, judgement.measurement)
        met = Known(miss.origin, str(miss.note), excused=False)
        if meanwhile.verdict == INCONCLUSIVE:
            undecided = _said(judgement, f"whether it goes further than {miss.origin} knows ({miss.limit}) cannot be told")
            return dataclasses.replace(undecided, verdict=INCONCLUSIVE, reason=meanwhile.reason, known=met)
        if meanwhile.verdict != PASS:
            return dataclasses.replace(_said(judgement, f"further than {miss.origin} knows ({miss.limit}: {miss.note})"), known=met)
    return dataclasses.replace(judgement, known=Known(miss.origin, str(miss.note), excused=True))


def _is_about(miss: Budget, judgement: Judgement) -> bool:
    """Say whether a known miss is about a limit: that of `main`, or of any measurement where the limit itself names none."""
    own = judgement.budget
    here = judgement.measurement == (miss.of or "main") or (miss.of is None and own.of is None)
    return here and miss.key[1:] == own.key[1:]


def _said(judgement: Judgement, more: str) -> Judgement:
    return dataclasses.replace(judgement, message=f"{judgement.message}; {more}")


def _because(*words: str) -> str:
    said = ", ".join(filter(None, words))
    return f" ({said})" if said else ""
