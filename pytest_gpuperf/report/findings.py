"""What CI is told of a run beside the code: a finding a failed case, a finding an undecided one, and one a reason why things were not measured."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pytest_gpuperf.format import plural, shorten, visible
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, UNMEASURED
from pytest_gpuperf.reference.based import held_to_base
from pytest_gpuperf.reference.compared import strict_in, strictly
from pytest_gpuperf.reference.told import gate_text
from pytest_gpuperf.report.account import expected, failures, groups, taken_back
from pytest_gpuperf.report.views import reproduce

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.reference.compared import Comparison

Run = dict[str, Any]
Case = dict[str, Any]
Level = Literal["error", "warning", "notice"]

_MESSAGE = 1000
#: How a reason tells where in a test it was asked for: "test_a.py:12: assert ...".
_ASKED = re.compile(r"(.+?\.py):(\d+)(?:: |$)")


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing to be shown at a line of a file, or at none: `kind` and `nodeid` say what it is from run to run."""

    level: Level
    title: str
    message: str
    file: str | None
    line: int | None
    kind: str
    nodeid: str


def findings(run: Run, comparison: Comparison | None = None) -> list[Finding]:
    """Return the findings of a run, and of the limits on changes that it exceeds: errors first, in each level the most important first.

    A failure that is expected, and one that a later attempt of its case did not have, are none.
    """
    return [*_failed(run), *_slower(run, held_to_base(run), "the base"), *_slower(run, comparison, "the reference"), *_undecided(run), *_unmeasured(run)]


def within(file: str | None, root: str, repository: str) -> str | None:
    """Return a file of the tests as its repository knows it; None for one outside, as for none.

    >>> within("suites/test_a.py", "/code/part", "/code"), within("../test_a.py", "/code", "/code")
    ('part/suites/test_a.py', None)
    """
    if file is None:
        return None
    for place, base in ((root, repository), (os.path.realpath(root), os.path.realpath(repository))):
        found = os.path.relpath(os.path.join(place, file), base).replace(os.sep, "/")  # noqa: PTH118 - no link is to be followed here
        if not found.startswith("../"):
            return found
    return None


def _failed(run: Run) -> Iterator[Finding]:
    back = {id(case) for case in taken_back(run)}
    for failure in failures(run):
        case = failure.case
        if expected(case) or id(case) in back:
            continue
        messages = [shorten(visible(message), _MESSAGE) for message in failure.first]
        yield _at(case, "error", FAIL, [*messages, f"again: {reproduce(case['nodeid'])}"], case.get("failed_line"))


def _slower(run: Run, comparison: Comparison | None, other: str) -> Iterator[Finding]:
    if comparison is None:
        return
    cases = {case["nodeid"]: case for case in run["cases"]}
    for one, judged in comparison.gates(FAIL, *strictly(strict_in(run))):
        case = cases.get(one.nodeid)
        if case is not None:
            name = "" if one.name == "main" else f"{one.name} "
            word = f"worse than {other}" if judged.verdict == FAIL else f"{judged.verdict} against {other}"
            yield _at(case, "error", word, [f"{visible(name)}{gate_text(judged)}"], None, f"{one.name} {judged.change.quantity}")


def _undecided(run: Run) -> Iterator[Finding]:
    for case in run["cases"]:
        if case["verdict"] != INCONCLUSIVE:
            continue
        own = [reason for reason in (*case["reasons"], *(budget["reason"] for budget in case["budgets"] if budget["reason"])) if reason["verdict"] == INCONCLUSIVE]
        told = list(dict.fromkeys(f"{reason['code']}: {reason['sentence']}; next: {reason['next_step']}" for reason in own))
        yield _at(case, "warning", INCONCLUSIVE, [shorten(visible(one), _MESSAGE) for one in told] or [INCONCLUSIVE], _asked(case, own))


def _unmeasured(run: Run) -> Iterator[Finding]:
    for group in groups(run):
        if group.verdict != UNMEASURED:
            continue
        first = group.subjects[0].case
        sentence = group.sentence or group.subjects[0].sentence
        cases = len({subject.case["nodeid"] for subject in group.subjects})
        message = f"{plural(cases, 'case')}, first {visible(first['nodeid'])}: {visible(sentence)}; next: {visible(group.next_step)}"
        yield Finding("notice", f"{UNMEASURED} {visible(group.code)}", shorten(message, 2 * _MESSAGE), first["file"], first["line"], f"{UNMEASURED} {group.code}", "")


def _at(case: Case, level: Level, word: str, messages: list[str], line: int | None, what: str = "") -> Finding:
    name = visible(case["nodeid"]).rpartition("/")[2].partition("::")[2] or visible(case["nodeid"])
    return Finding(level, f"{word}: {name}", "\n".join(messages), case["file"], line or case["line"], f"{word} {what}".rstrip(), case["nodeid"])


def _asked(case: Case, reasons: list[dict[str, Any]]) -> int | None:
    """Return the line of the test's own file that asked what could not be decided; None where a reason tells none."""
    for reason in reasons:
        found = _ASKED.match(reason.get("subject") or "")
        if found and case["file"] and found[1] == PurePosixPath(case["file"].replace("\\", "/")).name:
            return int(found[2])
    return None
