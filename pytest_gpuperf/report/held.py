"""What the page shows of a run held against a reference: surroundings, limits on changes, what is faster or slower, what is missing or new."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_gpuperf.format import plural, visible
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, NOT_APPLICABLE, PASS, UNMEASURED
from pytest_gpuperf.reference.change import FASTER, LESS, MORE, SAME, SLOWER
from pytest_gpuperf.reference.compared import strict_in, strictly
from pytest_gpuperf.reference.told import allowed_text, change_parts, run_title, summary
from pytest_gpuperf.report.svg_change import change_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.reference.change import Change
    from pytest_gpuperf.reference.compared import Comparison, Gate, Held

#: Rows of the table of changes, worst first, and names of what is missing or new; the rest are counted.
_ROWS = 300
_NAMES = 50
#: The colour and glyph of each word: those of the verdicts.
_LOOKS = {SLOWER: FAIL, MORE: NOT_APPLICABLE, INCONCLUSIVE: INCONCLUSIVE, UNMEASURED: UNMEASURED, SAME: NOT_APPLICABLE, LESS: NOT_APPLICABLE, FASTER: PASS}


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: the look and word of its verdict, the measurement, the change, why, and what is known of the machine code."""

    look: str
    word: str
    nodeid: str
    name: str
    quantity: str
    numbers: str
    share: str
    interval: str
    why: str
    code: str
    picture: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A comparison as the page shows it."""

    title: str
    sentence: str
    moving: tuple[tuple[str, str, str], ...]
    told: tuple[tuple[str, str, str], ...]
    code: str
    lines: tuple[Line, ...]
    more: int
    odd: tuple[tuple[str, int, tuple[str, ...]], ...]
    unreached: tuple[str, ...]
    limited: bool


def held(comparison: Comparison | None) -> Shown | None:
    """Return what is shown of a comparison; None where none was made."""
    if comparison is None:
        return None
    lines = list(_lines(comparison))
    differences = [((visible(one.what), one.there, one.here), bool(one.moves)) for one in comparison.differences]
    equal, other = (sum(one.same_code is same for one in comparison.held) for same in (True, False))
    known = [text for text in (f"equal in {plural(equal, 'measurement')}" if equal else "", f"other in {plural(other, 'measurement')}" if other else "") if text]
    return Shown(
        run_title(comparison.reference),
        summary(comparison),
        tuple(row for row, moves in differences if moves),
        tuple(row for row, moves in differences if not moves),
        ", ".join(known),
        tuple(lines[:_ROWS]),
        max(0, len(lines) - _ROWS),
        tuple((word, len(found), tuple(dict.fromkeys(visible(nodeid) for nodeid, _ in found))[:_NAMES]) for word, found in (("missing", comparison.missing), ("new", comparison.new)) if found),
        comparison.unreached,
        any(one.gates for one in comparison.held),
    )


def headed(comparison: Comparison | None, verdict: str, sentence: str, other: str = "the reference") -> tuple[str, str]:
    """Return the verdict and the sentence of the whole page: a limit on changes that fails the session comes before all but a failed case.

    One that is exceeded does, and with --gpuperf-strict in the run's own session one that is not decided.
    """
    if comparison is None or verdict == FAIL:
        return verdict, sentence
    exceeded, open_ = (_subjects(comparison, verdicts) for verdicts in ((FAIL,), strictly(strict_in(comparison.run))))
    if exceeded:
        return FAIL, f"{plural(exceeded, 'measurement')} {'is' if exceeded == 1 else 'are'} worse than {other} by more than is allowed"
    if open_:
        return FAIL, f"Limits on changes from {other} are not decided for {plural(open_, 'measurement')}, and the session was strict"
    return verdict, sentence


def _subjects(comparison: Comparison, verdicts: tuple[str, ...]) -> int:
    """Count the measurements with a limit of one of these verdicts."""
    return len({(one.nodeid, one.name, one.device) for one, _ in comparison.gates(*verdicts)})


def _lines(comparison: Comparison) -> Iterator[Line]:
    """Yield the limits that are not kept, then what changed, worst first; what is the same and what was never measured is only counted."""
    failed = set()
    for verdict in (FAIL, INCONCLUSIVE, UNMEASURED):
        for one, judged in comparison.gates(verdict):
            failed.add((id(one), judged.change.quantity))
            why = "" if verdict == FAIL else judged.why
            yield _line(one, verdict, verdict, judged.change, "; ".join(filter(None, (allowed_text(judged), why))), _allowed(judged))
    for one in (*comparison.held, *comparison.compiled):
        for change in (one.change, *one.others):
            if change.verdict not in {SAME, UNMEASURED} and (id(one), change.quantity) not in failed:
                reason = change.reason
                why = "" if reason is None else f"{reason.code}: {reason.detail or reason.cause.sentence}"
                yield _line(one, _LOOKS[change.verdict], change.verdict, change, why)


def _allowed(judged: Gate) -> float | None:
    """Return the ratio up to which a limit allows a change; None where the reference has nothing to take it of."""
    old = judged.change.old
    return 1 + judged.allowed.worse * judged.allowed.of(old) / abs(old) if old else None


def _line(one: Held, look: str, word: str, change: Change, why: str, allowed: float | None = None) -> Line:
    code = {True: "equal", False: "other", None: ""}[one.same_code]
    numbers, share, interval = change_parts(change)
    drawn = change.ratio is not None and change.low is not None and change.high is not None
    picture = change_bar(change.low or 0.0, change.ratio or 0.0, change.high or 0.0, allowed) if drawn else ""
    name = visible(", ".join(part for part in (one.name, one.cache) if part))
    return Line(look, word, visible(one.nodeid), name, visible(change.quantity), visible(numbers.replace("->", "\u2192")), share, interval, visible(why), code, picture)
