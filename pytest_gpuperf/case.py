"""The running case: what was measured, checked, judged and left undecided; its verdict at the end."""

from __future__ import annotations

import dataclasses
import linecache
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.budgets.collect import nearer
from pytest_gpuperf.budgets.judge import Judgement, unjudged
from pytest_gpuperf.budgets.known import settle
from pytest_gpuperf.budgets.note import today
from pytest_gpuperf.catching import swallower
from pytest_gpuperf.errors import BadBudget, BudgetExceeded, GpuPerfError, NotIdentical
from pytest_gpuperf.metrics import TAIL_SAMPLES, is_compiled, nearest
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, NOT_APPLICABLE, PASS, UNMEASURED, Reason, Verdict, reason_record, worst
from pytest_gpuperf.records.account import BEGUN
from pytest_gpuperf.resources import resource_judgements
from pytest_gpuperf.static.record import record_of
from pytest_gpuperf.timing.steps import CaseTimeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_gpuperf.budgets.collect import Budget, Marks
    from pytest_gpuperf.comparison import Comparison
    from pytest_gpuperf.errors import Inconclusive, NotClean, Undeclared, Unmeasured
    from pytest_gpuperf.identity.guard import Guarded
    from pytest_gpuperf.measurement import Measurement
    from pytest_gpuperf.static.model import Compiled

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_EXPECTED = "caught by the test, which expects it: "


@dataclasses.dataclass
class Check:
    """One check of results: its kind (identical, close, golden, guarded, deterministic, outputs), what was checked, and what came out."""

    kind: str
    name: str
    verdict: Verdict
    detail: str


@dataclasses.dataclass
class Undecided:
    """A comparison that could not be decided, with the line of the test that asked."""

    reason: Reason
    text: str
    line: str


class Case:
    """Everything about one run of one test, until it is written down."""

    def __init__(self, nodeid: str, marks: Marks, device: str | None, path: Path | None = None) -> None:
        """Start with what the markers say; `device` is the name of the device, None without one, `path` the test's file."""
        self.nodeid, self.marks, self.device, self.path = nodeid, marks, device, path
        #: What it is known by in other processes; see relaunch.key_of.
        self.key: Mapping[str, Any] = {"nodeid": nodeid, "file": "", "function": "", "index": 0}
        self.measurements: dict[str, Measurement] = {}
        self.comparisons: list[Comparison] = []
        self.overrides: dict[str, list[Budget]] = {}
        #: Limits of `budget=` whose measurement raised: where the test swallows that, they are accounted for all the same.
        self.abandoned: dict[str, list[Budget]] = {}
        self.checks: list[Check] = []
        self.required: list[Judgement] = []
        self.judgements: list[Judgement] = []
        self.undecideds: list[Undecided] = []
        self.unchecked: list[tuple[str, Reason]] = []
        #: What was compiled for it, each once, with the measurement that it was for.
        self.compiled: dict[tuple[Any, ...], tuple[Compiled, list[str]]] = {}
        #: Which kernels its bodies were seen to launch, with which argument types.
        self.launched: list[tuple[tuple[str, str], str]] = []
        #: How many generators it drew, by name, and the arrays that are looked at when it ends.
        self.drawn: dict[str, int] = {}
        self.guards: list[Guarded] = []
        self.raised: BudgetExceeded | NotIdentical | NotClean | Undeclared | None = None
        self.judged = False
        #: Why nothing of the case is measured in a session that does something else; limits are accounted for and do not touch the verdict.
        self.untimed: Reason | None = None
        #: Whether a measurement has held the sources of a time against each other.
        self.selfchecked = False
        #: Hears of every part of the record as soon as it is known: `measurements=`, `comparisons=`, `checks=` or `budgets=` with one entry.
        self.tell: Callable[..., None] = _nobody
        self.timeline, self._thread = CaseTimeline(), threading.get_ident()
        self._unseen: list[tuple[Check | Judgement, str]] = []

    def name_for(self, name: str | None) -> str:
        """Return the name of the next measurement; an error for one that is used twice."""
        chosen = "main" if name is None else name
        if not isinstance(chosen, str) or not chosen.strip():
            message = f"measure(name={name!r}): a name is a text such as 'baseline'"
            raise ValueError(message)
        if self.judged:
            message = f"measure({chosen!r}): the budgets of {self.nodeid} have been judged already; measure in the test itself, or in the set-up of a fixture"
            raise ValueError(message)
        if chosen in self.measurements:
            hint = "give the second one a name=" if name is None else "give each its own name"
            message = f"measure: this case has measured {chosen!r} already; {hint}"
            raise ValueError(message)
        return chosen

    def samples_for(self, name: str, own: list[Budget]) -> dict[str, int]:
        """Return, for each quantity, how many samples the percentiles of its budgets need."""
        needed: dict[str, int] = {}
        for budget in [*own, *(one for one in self.marks.budgets if one.of in {None, name})]:
            limit = budget.limit
            if budget.applies and limit.statistic in TAIL_SAMPLES:
                needed[limit.quantity] = max(needed.get(limit.quantity, 0), TAIL_SAMPLES[limit.statistic])
        for quantity, statistic in self.marks.wanted:
            needed[quantity] = max(needed.get(quantity, 0), TAIL_SAMPLES.get(statistic, 0))
        return needed

    def has_limit(self, quantity: str, name: str, own: list[Budget]) -> bool:
        """Say whether a limit on a quantity applies to a measurement, or is to be recorded."""
        budgets = [*own, *(one for one in self.marks.budgets if one.of in {None, name})]
        return any(one.applies and one.limit.quantity == quantity for one in budgets) or any(name == quantity for name, _ in self.marks.wanted)

    def undecided(self, error: Inconclusive | Unmeasured) -> None:
        """Remember a comparison that could not be decided, also where the body swallows its error."""
        self.undecideds.append(Undecided(error.reason, str(error), _caller()))

    def abandon(self, name: str, own: list[Budget]) -> None:
        """Remember the limits of a measurement that begins, and write them down as not judged: its process may not live to judge them."""
        self.abandoned[name] = own
        ended = Reason("body-failed", "the case was ended before this was judged")
        for budget in own:
            self.tell(budgets=unjudged(budget, name, ended).record() | {"origin": BEGUN})

    def checked(self, check: Check) -> None:
        """Remember what a check came to."""
        self.checks.append(check)
        self._note_unseen(check)
        self.tell(checks=dataclasses.asdict(check))

    def require(self, judgement: Judgement) -> None:
        """Remember what `m.require` judged."""
        self.required.append(judgement)
        self._note_unseen(judgement)
        self.tell(budgets=judgement.record())

    @property
    def only_compiled(self) -> bool:
        """Whether it asked for compiled kernels and ran no body: then nothing of its verdict is a simulator's."""
        return bool(self.compiled) and not self.measurements

    def _note_unseen(self, one: Check | Judgement) -> None:
        """Remember a failure whose error will not reach pytest, and which nobody expects."""
        if one.verdict != FAIL:
            return
        if threading.get_ident() != self._thread:
            self._unseen.append((one, "failed in a thread of the test"))
        elif by := swallower():
            self._unseen.append((one, f"failed, and its error was swallowed by {by}; what is to fail stands in pytest.raises"))

    def distrust(self, check: Check) -> None:
        """Remember a check that nobody asked for and that failed: it fails the case at its end."""
        self.checks.append(check)
        self._unseen.append((check, "what the test says of itself is not what was measured"))
        self.tell(checks=dataclasses.asdict(check))

    def judge(self, ended: Reason | None = None) -> None:
        """Judge every budget, once: of markers and of measure's `budget=`; `ended` says why the body did not reach its end."""
        self.judged = True
        for budget in (one for one in self.marks.budgets if not is_compiled(one.limit.quantity)):
            for name, reason in self._targets(budget, ended):
                if reason is not None:
                    self.judgements.append(unjudged(budget, name, reason))
                    continue
                keys = {one.key[1:] for one in self.overrides.get(name, []) if one.applies}
                if budget.key[1:] not in keys and not nearer(self.marks.budgets, budget, name, main="main" in self.measurements):
                    self.judgements.append(self._judged(budget, name))
        for name, budgets in self.overrides.items():
            self.judgements += [self._judged(budget, name) for budget in budgets if not is_compiled(budget.limit.quantity)]
        self.judgements += resource_judgements(self, self._targets, self._judged, ended)
        for name, budgets in self.abandoned.items():
            if name not in self.overrides:
                self.judgements += [unjudged(budget, name, Reason("body-failed", "this measurement raised before it had a value")) for budget in budgets]
        misses, day = self.marks.misses, today()
        self.judgements = [one if ended is not None and one.reason == ended else settle(one, misses, self._judged, day) for one in self.judgements]

    def settle(self) -> BudgetExceeded | NotIdentical | None:
        """After a body that passed: what failed in it and was caught, by pytest.raises, is what the test expects.

        What failed in a thread of its own was caught by nobody, as pytest does not see it, and what catches everything has asked for nothing:
        these come back as an error.
        """
        unseen = {id(one) for one, _ in self._unseen}
        for check in self.checks:
            if check.verdict == FAIL and id(check) not in unseen:
                check.verdict, check.detail = PASS, f"{_EXPECTED}{check.detail}"
        self.required = [
            dataclasses.replace(one, verdict=PASS, message=f"{_EXPECTED}{one.message}") if one.verdict == FAIL and id(one) not in unseen else one
            for one in self.required
        ]
        texts = [f"{how}: {one.detail if isinstance(one, Check) else one.message}" for one, how in self._unseen]
        if not texts:
            return None
        kind = NotIdentical if isinstance(self._unseen[0][0], Check) else BudgetExceeded
        error = kind("\n".join(texts))
        self.raised = self.raised or error
        return error

    def unreached(self, reason: Reason) -> None:
        """Account for every budget of a case whose body never ran."""
        self.judgements += [unjudged(budget, budget.of or "main", reason) for budget in self.marks.budgets]

    def _targets(self, budget: Budget, ended: Reason | None) -> list[tuple[str, Reason | None]]:
        """Return the measurements that a budget is for, each with the reason why it cannot be judged there."""
        names = list(self.measurements)
        wanted = budget.of or "main"
        if not budget.applies:
            return [(wanted, Reason("other-device", f"the limit is for {budget.glob}"))]
        if wanted in names:
            return [(wanted, None)]
        if ended is not None:
            return [(wanted, ended)]
        if budget.of is None:
            return [(name, None) for name in names] or [(wanted, Reason("no-measurement"))]
        return [(wanted, None)]

    def _judged(self, budget: Budget, name: str) -> Judgement:
        limit = budget.limit
        try:
            if name not in self.measurements:
                known = tuple(self.measurements)
                message = f"of={name!r}: this case has no such measurement" + (nearest(name, known) if known else "; it measured nothing")
                raise BadBudget(message)
            return self.measurements[name].judged(budget)
        except BadBudget as error:
            return Judgement(budget, name, FAIL, f"{limit.quantity} {limit}: {error}")

    @property
    def failures(self) -> list[str]:
        """The message of every budget that was exceeded or cannot be judged."""
        return [one.message for one in self.judgements if one.verdict == FAIL and not one.excused]

    @property
    def known_misses(self) -> list[Judgement]:
        """The failed budgets that the file of budgets knows of."""
        return [one for one in self.judgements if one.excused]

    def exceeded(self) -> BudgetExceeded | None:
        """Return one error that lists every failed budget, to be raised after the body; None where there is none."""
        messages = self.failures
        error = BudgetExceeded("\n".join(messages)) if messages else None
        self.raised = error or self.raised
        return error

    @property
    def _asked(self) -> list[Judgement]:
        """What was judged of what this session was to judge."""
        return [one for one in (*self.judgements, *self.required) if one.reason is None or one.reason != self.untimed]

    def verdict(self, *, body_failed: bool) -> Verdict:
        """Return the case's verdict: the worst of its parts; NOT-APPLICABLE only where nothing else was asked."""
        if body_failed:
            return FAIL
        parts: list[Verdict] = [PASS if one.excused else one.verdict for one in self._asked]
        parts += [one.verdict for one in self.checks] + [one.reason.verdict for one in self.undecideds]
        parts += [reason.verdict for _, reason in self.unchecked]
        if set(parts) <= {PASS, NOT_APPLICABLE} and PASS in parts:
            return PASS
        return worst(parts)

    @property
    def unlooked(self) -> list[tuple[str, Reason]]:
        """Measurements whose declared outputs nobody could digest, with the reason."""
        return [(f"outputs of {name}", reason) for name, reason in self.unchecked]

    def reasons(self) -> list[dict[str, Any]]:
        """Return every reason for what is not PASS or FAIL, as records, each once."""
        found = [
            reason_record(one.reason, f"{one.measurement} {one.budget.limit.quantity} {one.budget.limit}")
            for one in (*self.judgements, *self.required)
            if one.reason is not None
        ]
        found += [reason_record(one.reason, one.line) for one in self.undecideds]
        found += [reason_record(reason, subject) for subject, reason in self.unlooked]
        return [record for place, record in enumerate(found) if record not in found[:place]]

    def why(self, verdict: Verdict) -> str:
        """Return one line for a verdict of UNMEASURED or INCONCLUSIVE."""
        lines = [f"{one.text} at {one.line}" for one in self.undecideds if one.reason.verdict == verdict]
        lines += [one.message for one in self._asked if one.verdict == verdict]
        lines += [f"{subject}: {reason}" for subject, reason in self.unlooked if reason.verdict == verdict]
        return lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "") if lines else verdict

    def record(self) -> dict[str, Any]:
        """Return what the run file holds of the case, less what pytest knows."""
        failed = {one.subject for one in (*self.judgements, *self.required) if one.verdict == FAIL}
        compiled = [record_of(one, names, failed=bool(one.error) or f"{one.kernel} on {one.arch}" in failed) for one, names in self.compiled.values()]
        compared = self.timeline.record() | ({"comparisons": [one.record() for one in self.comparisons]} if self.comparisons else {})
        return compared | ({"compiled": compiled} if compiled else {}) | {
            "checks": [dataclasses.asdict(check) for check in self.checks],
            "budgets": [one.record() for one in (*self.judgements, *self.required)],
            "measurements": [one.record() for one in self.measurements.values()],
            "reasons": self.reasons(),
        }


def _nobody(**_: Any) -> None:
    """Hear of a part of a record where there is nothing to write it to."""


def undecided_verdict(verdict: Verdict) -> bool:
    """Say whether a verdict is neither of the two that decide."""
    return verdict in {UNMEASURED, INCONCLUSIVE}


def _caller() -> str:
    """Return "file:line: source" of the innermost frame outside this package."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("pytest_gpuperf"):
        following = frame.f_back
        if following is None:
            break
        frame = following
    name, line = frame.f_code.co_filename, frame.f_lineno
    source = linecache.getline(name, line, frame.f_globals).strip()
    short = name.replace("\\", "/").rpartition("/")[2]
    return f"{short}:{line}" + (f": {source}" if source else "")


def hide_frames(excinfo: Any) -> None:
    """Let the traceback of what a user got wrong end at the user's line; a defect of the plugin keeps its frames."""
    if isinstance(excinfo.value, (GpuPerfError, ValueError, TypeError)):
        theirs = [entry for entry in excinfo.traceback if not str(entry.frame.f_globals.get("__name__")).startswith("pytest_gpuperf.")]
        if theirs:
            # pytest cuts tracebacks anew from the raw chain, so a list without our frames would not last.
            theirs[-1]._rawentry.tb_next = None  # noqa: SLF001


def plain_error(error: BaseException) -> str:
    """Return the last line of an error as Python prints it, with its notes; our own errors without their module.

    >>> plain_error(ValueError("no"))
    'ValueError: no'
    """
    text = "".join(traceback.format_exception_only(error)).strip()
    return text.removeprefix(f"{type(error).__module__}.") if isinstance(error, GpuPerfError) else text
