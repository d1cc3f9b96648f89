"""A comparison in words: lines for a terminal, and the same as Markdown for a job summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import format_margin, format_quantity, plural, shorten, visible
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, UNMEASURED, Reason
from pytest_gpuperf.reference.change import FASTER, LESS, MORE, SAME, SLOWER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_gpuperf.reference.change import Change
    from pytest_gpuperf.reference.compared import Comparison, Gate, Held

Line = tuple[str, dict[str, Any]]

#: How many of a kind are listed without -v, and in Markdown: GitHub shows a job summary up to 1 MiB.
_LISTED = 20
_SUBJECTS = 3
_MARKDOWN = 200
_SAID = 160
#: What a change that straddles is told as where no limit is on it: the words of the reason are about limits.
_WIDE = ("the interval holds both a change and none that is worth a word", "raise --gpuperf-limit")
_COLOURS: dict[str, dict[str, Any]] = {
    FAIL: {"red": True}, SLOWER: {"red": True}, MORE: {}, INCONCLUSIVE: {"yellow": True}, UNMEASURED: {"cyan": True}, SAME: {}, LESS: {}, FASTER: {"green": True},
}  # fmt: skip


def summary(comparison: Comparison) -> str:
    """Write the counts in one line."""
    counts = ", ".join(f"{number:,} {verdict}" for verdict, number in comparison.counts.items())
    words = ((len(comparison.missing), "missing"), (comparison.deselected, "deselected"), (len(comparison.new), "new"))
    others = [f"{number:,} {word}" for number, word in words if number]
    return f"{plural(len(comparison.held), 'measurement')} compared: {', '.join([counts or 'none', *others])}"


def lines(comparison: Comparison, verbosity: int = 0) -> list[Line]:
    """Return the comparison as (text, keywords for `terminalreporter.write_line`): surroundings, exceeded limits, changes, missing and new, counts.

    With verbosity above 0 no list is cut, and what is the SAME is listed too.
    """
    limit = None if verbosity > 0 else _LISTED
    return [*_head(comparison), *_gates(comparison, limit), *_changes(comparison, limit, verbosity), *_undecided(comparison, limit), *_odd(comparison, limit), *_end(comparison)]


def run_title(run: dict[str, Any]) -> str:
    """Write which run it is: when, on what, from which commit."""
    about = run["run"]
    if "title" in about:  # no run of its own
        return visible(about["title"])
    devices = ", ".join(dict.fromkeys(device["name"] for device in run["devices"])) or "no GPU"
    commit = f"commit {about['commit'][:10]}{' with changes' if about['dirty'] else ''}" if about["commit"] else "commit unknown"
    return visible(f"{about['id']}, {str(about['started'])[:16].replace('T', ' ')}, {devices}, {commit}")


def _head(comparison: Comparison) -> Iterator[Line]:
    yield f"compared with {run_title(comparison.reference)}", {"bold": True}
    moving = [one for one in comparison.differences if one.moves]
    rest = [one for one in comparison.differences if not one.moves]
    for one in moving:
        yield f"  environment: {one} (moves {_listed(one.moves)})", {"yellow": True}
    if rest:
        yield f"  also different: {shorten('; '.join(map(str, rest)), 2 * _SAID)}", {}
    if comparison.other_code:
        names = ", ".join(dict.fromkeys(_short(one) for one in comparison.other_code))
        yield f"  other machine code in {plural(len(comparison.other_code), 'measurement')}: {shorten(names, _SAID)}", {}
    equal = sum(one.same_code is True for one in comparison.held)
    if equal:
        yield f"  equal machine code in {plural(equal, 'measurement')}", {}


def _gates(comparison: Comparison, limit: int | None) -> Iterator[Line]:
    found = list(comparison.gates(FAIL))
    for one, judged in found[:limit]:
        yield f"{FAIL:<12} {_subject(one)}  {gate_text(judged)}{_code(one)}", _COLOURS[FAIL]
    yield from _more(found, limit, FAIL)
    for text in comparison.unreached:
        yield f"no measurement has what the limit {text} is on", {"yellow": True}


def gate_text(judged: Gate) -> str:
    """Write what a limit on a change came to."""
    return f"{judged.change.quantity} {change_text(judged.change)} ({allowed_text(judged)})"


def allowed_text(judged: Gate) -> str:
    """Write what a limit allows."""
    return f"allowed {judged.allowed.text.rpartition(':')[2].strip()}"


def change_text(change: Change) -> str:
    """Write a change: from what to what, by how much, within which interval.

    >>> from pytest_gpuperf.reference.change import Change
    >>> change_text(Change("time", "s", 2e-5, 2.1e-5, 1.05, 1.04, 1.06, "SLOWER"))
    '20.00 us -> 21.00 us, +5.000 % (+4.000 % .. +6.000 %)'
    >>> change_text(Change("registers", "1", 32.0, 40.0, 1.25, 1.25, 1.25, "MORE"))
    '32 -> 40, +25.00 %'
    """
    numbers, share, interval = change_parts(change)
    text = f"{numbers}, {share}" if share else numbers
    return f"{text} ({interval})" if interval else text


def change_parts(change: Change) -> tuple[str, str, str]:
    """Write a change in parts: from what to what; by how much; within which interval. What is not known is empty.

    >>> from pytest_gpuperf.reference.change import Change
    >>> change_parts(Change("time", "s", 2e-5, 2.1e-5, 1.05, 1.04, 1.06, "SLOWER"))
    ('20.00 us -> 21.00 us', '+5.000 %', '+4.000 % .. +6.000 %')
    """
    old, new = ("no number" if number is None else format_quantity(number, change.unit) for number in (change.old, change.new))
    if change.ratio is None or change.low is None or change.high is None:
        return f"{old} -> {new}", "", ""
    return f"{old} -> {new}", _share(change.ratio), "" if change.low == change.high else f"{_share(change.low)} .. {_share(change.high)}"


def _changes(comparison: Comparison, limit: int | None, verbosity: int) -> Iterator[Line]:
    failed = {(id(one), judged.change.quantity) for one, judged in comparison.gates(FAIL)}
    for verdict in (SLOWER, FASTER, *([SAME] if verbosity > 0 else [])):
        found = [one for one in comparison.held if one.change.verdict == verdict and (id(one), one.change.quantity) not in failed]
        for one in found[:limit]:
            yield f"{verdict:<12} {_subject(one)}  {one.change.quantity} {change_text(one.change)}{_code(one)}", _COLOURS[verdict]
        yield from _more(found, limit, verdict)
    others = [(one, other) for one in comparison.held for other in one.others if (id(one), other.quantity) not in failed]
    others += [(one, other) for one, other in compiled_changes(comparison) if (id(one), other.quantity) not in failed]
    for one, other in others[:limit]:
        yield f"{other.verdict:<12} {_subject(one)}  {other.quantity} {change_text(other)}{_code(one)}", {}
    yield from _more(others, limit, "other changes")


def compiled_changes(comparison: Comparison) -> Iterator[tuple[Held, Change]]:
    """Yield what the compiler made otherwise."""
    for one in comparison.compiled:
        yield from ((one, change) for change in (one.change, *one.others) if change.verdict in {LESS, MORE})


def undecided(comparison: Comparison) -> dict[tuple[str, str], list[tuple[Held, Change, str]]]:
    """Return what is not decided by (verdict, code of its reason): the measurement, the change, and what a limit on it allows; the largest group first."""
    found: dict[tuple[str, str], list[tuple[Held, Change, str]]] = {}
    for one in (*comparison.held, *comparison.compiled):
        allowed = {judged.change.quantity: (judged.change, judged.verdict, allowed_text(judged)) for judged in one.gates}
        # By a limit the headline is judged by that: what it allows may be decided where the change itself is not.
        measured = {one.change.quantity: (one.change, one.change.verdict, "")} if one.device or one.cache else {}
        told = measured | allowed
        for change, verdict, text in told.values():
            if verdict in {INCONCLUSIVE, UNMEASURED}:
                code = change.reason.code if change.reason is not None else "straddles"
                found.setdefault((verdict, code), []).append((one, change, text))
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _undecided(comparison: Comparison, limit: int | None) -> Iterator[Line]:
    for (verdict, code), members in undecided(comparison).items():
        reason = Reason(code)
        details = {change.reason.detail for _, change, _ in members if change.reason is not None}
        said = details.pop() if len(details) == 1 and code != "straddles" else ""
        told = (said or reason.cause.sentence, reason.cause.next_step) if code != "straddles" or any(text for _, _, text in members) else _WIDE
        yield f"{verdict} {code} ({len(members):,}): {told[0]}; next: {told[1]}", _COLOURS[verdict]
        shown = members if limit is None else members[:_SUBJECTS]
        for one, change, text in shown:
            numbers = f"  {change.quantity} {change_text(change)}" if change.ratio is not None else f"  {change.quantity}"
            own = f": {change.reason.detail}" if not said and code != "straddles" and change.reason is not None and change.reason.detail else ""
            yield f"    {_subject(one)}{numbers}{f' ({text})' if text else ''}{own}", {}
        if len(members) > len(shown):
            yield f"    and {len(members) - len(shown):,} more", {}


def _odd(comparison: Comparison, limit: int | None) -> Iterator[Line]:
    for found, word in ((comparison.missing, "missing"), (comparison.new, "new")):
        by_case: dict[str, list[str]] = {}
        for nodeid, name in found:
            by_case.setdefault(nodeid, []).append(name)
        cases = list(by_case.items())
        for nodeid, names in cases[:limit]:
            yield f"{word:<12} {visible(nodeid)}{'' if names == ['main'] else ' ' + visible(', '.join(names))}", {}
        yield from _more(cases, limit, f"{word} cases")


def _end(comparison: Comparison) -> Iterator[Line]:
    worst = next(iter(comparison.counts), SAME)
    yield summary(comparison), {"bold": True, **_COLOURS[worst]}
    if comparison.gated:
        judged = [gate.verdict for one in (*comparison.held, *comparison.compiled) for gate in one.gates]
        counts = [f"{judged.count(verdict):,} {verdict}" for verdict in ("PASS", FAIL, INCONCLUSIVE, UNMEASURED) if verdict in judged]
        yield f"limits on changes: {', '.join(counts) or 'none was reached'}", {"bold": True, **({"red": True} if FAIL in judged else {})}


def _more(found: Any, limit: int | None, word: str) -> Iterator[Line]:
    if limit is not None and len(found) > limit:
        yield f"and {len(found) - limit:,} more {word} (all of them with -v)", {}


def markdown(comparison: Comparison) -> str:
    """Return the comparison as Markdown: a heading, the surroundings, a table of what changed or could not be decided, what is missing and new."""
    rows = [f"### GPU performance: {'a limit is exceeded' if comparison.failed() else summary(comparison)}", ""]
    rows += [f"Compared with {_cell(run_title(comparison.reference))}. {summary(comparison)}.", ""]
    rows += [f"- environment: {_cell(str(one))} (moves {_listed(one.moves)})" for one in comparison.differences if one.moves]
    if comparison.other_code:
        rows.append(f"- other machine code in {plural(len(comparison.other_code), 'measurement')}")
    changed = [one for one in (*comparison.held, *comparison.compiled) if one.change.verdict not in {SAME, UNMEASURED} or one.others or any(gate.verdict != "PASS" for gate in one.gates)]
    if changed:
        rows += ["", "| verdict | measurement | quantity | before → now | change | machine code |", "|---|---|---|---|---|---|"]
        rows += [row for one in changed[:_MARKDOWN] for row in _rows(one)]
    if len(changed) > _MARKDOWN:
        rows += ["", f"and {len(changed) - _MARKDOWN:,} more"]
    for found, word in ((comparison.missing, "missing"), (comparison.new, "new")):
        cases = list(dict.fromkeys(nodeid for nodeid, _ in found))
        if cases:
            rows += ["", f"{word}: " + ", ".join(f"`{_cell(nodeid)}`" for nodeid in cases[:_LISTED]) + (f" and {len(cases) - _LISTED:,} more" if len(cases) > _LISTED else "")]
    return "\n".join(rows) + "\n"


def _rows(one: Held) -> Iterator[str]:
    failed = {judged.allowed.name: judged for judged in one.gates if judged.verdict != "PASS"}
    changes = {change.quantity: change for change in (one.change, *one.others, *(judged.change for judged in failed.values()))}
    for name, change in changes.items():
        if change.verdict == SAME and name not in failed:
            continue
        verdict = failed[name].verdict if name in failed else change.verdict
        why = f" {change.reason.code}" if change.reason is not None else ""
        values, _, share = change_text(change).partition(", ")
        code = {True: "equal", False: "differs", None: ""}[one.same_code]
        yield f"| {'**FAIL**' if verdict == FAIL else verdict}{why} | `{_cell(_subject(one))}` | {name} | {values.replace('->', '→')} | {share} | {code} |"


def _cell(text: str) -> str:
    return visible(text).replace("|", "\\|").replace("`", "'").replace("\n", " ")


def _subject(one: Held) -> str:
    return visible(one.nodeid) + ("" if one.name == "main" else f" {visible(one.name)}")


def _short(one: Held) -> str:
    return _subject(one).rpartition("::")[2]


def _code(one: Held) -> str:
    return {True: "; equal machine code", False: "; other machine code", None: ""}[one.same_code]


def _share(ratio: float) -> str:
    return format_margin(round(ratio - 1, 8))


def _listed(moves: Iterable[str]) -> str:
    words = {"device": "device times and counters", "code": "compiled code", "host": "host times"}
    return ", ".join(words[one] for one in moves)
