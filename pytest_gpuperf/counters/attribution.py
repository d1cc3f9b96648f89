"""Which case each finding of a checked process belongs to, and which cases are still to be checked: pure functions on what the process left."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.counters.checker import PRINT_LIMIT
from pytest_gpuperf.counters.sanitizer import parse
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_gpuperf.counters.sanitizer import Finding

Key = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a case's call under the tool came to: its findings, or why there is no verdict, or why it was skipped; clean where it is none of them."""

    findings: tuple[Finding, ...] = ()
    hole: Reason | None = None
    skipped: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """What a checked process left: its log; how long that was at the begin and the end of each case; its events; how it ended, in words, and why if we ended it."""

    log: bytes
    pieces: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    ended: str
    hung: Reason | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """What is known after a process: outcomes by node id, the cases that another process must check, findings that belong to no case."""

    outcomes: dict[str, Outcome]
    rest: tuple[Key, ...]
    outside: tuple[Finding, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Piece:
    """One case's part of the log; `end` None where the process did not come out of it."""

    nodeid: str
    begin: int
    end: int | None


def settle(keys: Sequence[Key], left: Left, tool: str, limit: int = PRINT_LIMIT) -> Settled:
    """Return what a process that was to check the cases `keys` tells of each.

    Text that the tool wrote between a case's begin and its end, at which the device was synchronised, is that case's; other text is the case's whose
    function is in the host's calls, or nobody's. From `limit` reports on the tool prints nothing more: cases that began after are not clean, they
    are left for another process, as those are that a dead one never reached.
    """
    wanted = {key["nodeid"]: key for key in keys}
    pieces = [piece for piece in _pieces(left.pieces) if piece.nodeid in wanted]
    whole = parse(_text(left.log), tool)
    begun = whole.begun
    outcomes: dict[str, Outcome] = dict.fromkeys(_missing(left.events) & set(wanted), Outcome(hole=Reason("not-in-child", "the checked process did not find this case")))
    reports = 0
    for piece in pieces:
        if reports >= limit:
            break
        reading = parse(_text(left.log[piece.begin : piece.end]), tool)
        reports += reading.reports
        before = outcomes.get(piece.nodeid, Outcome()).findings
        if not begun:
            outcomes[piece.nodeid] = Outcome(hole=Reason("no-compute-sanitizer", f"compute-sanitizer left no log ({left.ended})"))
        elif max(piece.begin, piece.end or 0) > len(left.log) and not before + reading.findings:
            outcomes[piece.nodeid] = Outcome(hole=Reason("no-compute-sanitizer", "the log of compute-sanitizer is shorter than it was in this case: what it found is lost"))
        else:
            # What a case that runs twice did the first time it did.
            outcomes[piece.nodeid] = Outcome(before) if before else _outcome(piece, reading.findings, left)
    between = _outside(left.log, pieces, tool)
    own_words = next((one.what for one in between if not one.blames), None)
    if own_words is None and whole.summed and not whole.findings:
        own_words = f"its summary counts {whole.summed:,} errors, of which none stands in its log"
    if own_words is not None:
        # What says of itself that it could not check has found nothing clean.
        hole = Outcome(hole=Reason("no-compute-sanitizer", f"compute-sanitizer: {own_words}"))
        outcomes = {nodeid: hole if one == Outcome() else one for nodeid, one in outcomes.items()}
    outside = []
    for one in (found for found in between if found.blames):
        owner = _owner(one, [wanted[piece.nodeid] for piece in pieces])
        if owner is None:
            outside.append(one)
        else:
            outcomes[owner] = Outcome((*outcomes.get(owner, Outcome()).findings, one))
    return Settled(outcomes, tuple(key for key in keys if key["nodeid"] not in outcomes), tuple(outside))


def refused(left: Left, tool: str) -> Reason:
    """Return why a process that reached no case at all did not: the tool's own words where it has any."""
    own = next((one.what for one in parse(_text(left.log), tool).findings if not one.blames), "")
    if left.hung is not None:
        return Reason(left.hung.code, "the checked process reached none of the cases in its time")
    if own or not left.pieces:
        return Reason("no-compute-sanitizer", f"compute-sanitizer: {own}" if own else f"the checked process reached no case: {left.ended}")
    return Reason("sanitizer-died", f"the checked process reached none of the cases that were left: {left.ended}")


def _outcome(piece: _Piece, findings: tuple[Finding, ...], left: Left) -> Outcome:
    blaming = tuple(one for one in findings if one.blames)
    if blaming:
        return Outcome(blaming)
    if findings:
        return Outcome(hole=Reason("no-compute-sanitizer", f"compute-sanitizer: {findings[0].what}"))
    if piece.end is None:
        return Outcome(hole=left.hung or Reason("sanitizer-died", f"the checked process died in this case: {left.ended}"))
    said = next((event for event in reversed(left.events) if event["event"] == "ended" and event["nodeid"] == piece.nodeid), None)
    dead = next((one["dead"] for one in left.pieces if one["nodeid"] == piece.nodeid and one.get("dead")), None)
    if said is None or dead or said["outcome"] == "failed":
        why = (said or {}).get("error") or dead or "it left no outcome"
        return Outcome(hole=Reason("sanitizer-body-failed", f"the test failed in the checked process, before anything was found: {why}"))
    return Outcome(skipped=said.get("error") or "skipped in the checked process") if said["outcome"] == "skipped" else Outcome()


def _pieces(lines: Sequence[Mapping[str, Any]]) -> list[_Piece]:
    """Return the pieces in the order of their begin."""
    found: list[_Piece] = []
    for line in lines:
        if line["event"] == "begin":
            found.append(_Piece(line["nodeid"], line["size"], None))
        elif line["event"] == "end" and found and found[-1].nodeid == line["nodeid"]:
            found[-1] = dataclasses.replace(found[-1], end=line["size"])
    return found


def _outside(log: bytes, pieces: Sequence[_Piece], tool: str) -> list[Finding]:
    """Return what was found before the first case, between two, and after the last."""
    found: list[Finding] = []
    place = 0
    for piece in pieces:
        found += parse(_text(log[place : piece.begin]), tool).findings
        place = len(log) if piece.end is None else piece.end
    return [*found, *parse(_text(log[place:]), tool).findings]


def _owner(finding: Finding, keys: Sequence[Key]) -> str | None:
    """Return the one case whose test function made the call; None where there are none, or several."""
    named = {key["nodeid"] for key in keys for frame in finding.frames if _is_in(frame, key)}
    return named.pop() if len(named) == 1 else None


def _is_in(frame: str, key: Key) -> bool:
    function, _, place = frame.partition(" in ")
    file = str(key["file"]).rpartition("/")[2]
    return function.rpartition(".")[2] == str(key["function"]).rpartition("::")[2] and place.rpartition(":")[0].rpartition("/")[2] == file


def _missing(events: Sequence[Mapping[str, Any]]) -> set[str]:
    return {key["nodeid"] for event in events if event["event"] == "collected" for key in event.get("missing", [])}


def _text(log: bytes) -> str:
    return log.decode("utf-8", "replace")
