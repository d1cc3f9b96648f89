"""What the page shows of machine code: a table of resources by kernel and architecture, what changed since a reference, and the code of kernels that failed."""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import format_margin, plural, shorten, visible
from pytest_gpuperf.reasons import FAIL, PASS, worst
from pytest_gpuperf.report.views import bounds
from pytest_gpuperf.static.explain import CAUSES, cause_of, changes, explain, identity, same_code
from pytest_gpuperf.static.model import QUANTITIES
from pytest_gpuperf.static.record import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_gpuperf.report.beside import Beside

Record = dict[str, Any]

#: Above so many rows those of which nothing is to be told are folded away.
_FOLDED = 40
#: Rows of the table, kernels whose code is shown, lines of each text, and sentences.
_ROWS, _TEXTS, _LINES, _SENTENCES = 600, 12, 400, 40
#: What is shown of code, by the fields that have it.
_KINDS = {"opcodes": "Opcodes", "sass": "SASS", "ptx": "PTX"}
#: Lines around a difference.
_AROUND = 2
#: A change of the time that is worth a word about whose doing it is.
_WORTH = 0.02
#: Column heads that say more than the name of the quantity, and in what.
_HEADS = {
    "spills": "spills, B",
    "stack": "stack, B",
    "shared": "shared, B",
    "local": "local, B",
    "occupancy": "occupancy, %",
    "loads_128": "loads 128",
    "loads_32": "loads 32",
    "stores_128": "stores 128",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One number: as text, the reference's where it differs, why there is none, and the verdict of its limit."""

    text: str
    was: str = ""
    why: str = ""
    verdict: str = ""
    limit: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One kernel on one architecture: `first` in its kernel's group of `span` lines."""

    kernel: str
    arch: str
    signature: str
    block: str
    cells: tuple[Cell, ...]
    verdict: str
    change: str
    error: str
    span: int = 0

    @property
    def group(self) -> tuple[str, str, str]:
        """What its lines have in common."""
        return self.kernel, self.signature, self.block


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """The code of a kernel that failed: lines with a mark each (+, -, @ or a blank), how many there were, and what it is held against."""

    title: str
    lines: tuple[tuple[str, str], ...]
    more: int
    against: str


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """The whole section."""

    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    quiet: tuple[Line, ...]
    more: int
    kernels: int
    archs: tuple[str, ...]
    toolchain: str
    sentences: tuple[str, ...]
    texts: tuple[Text, ...]
    with_reference: bool


def resources(run: Record, beside: Beside) -> Shown | None:
    """Return what is shown of the kernels that a run compiled; None where it compiled none."""
    here = _compiled(run)
    if not here:
        return None
    there = {identity(record): record for record in _compiled(beside.reference).values()} if beside.reference else {}
    judged = _judged(run)
    order = sorted(here, key=lambda key: _place(key, here))
    names = [one for one in QUANTITIES if any(one in record["quantities"] or one in record["holes"] for record in here.values())]
    lines = [_line(names, here[key], there.get(key[:3]), judged.get(_subject(here[key]), {}), with_reference=bool(there)) for key in order]
    loud, quiet = _parted(lines)
    # One machine code may be in several rows, of several blocks.
    codes = {key[:3]: here[key] for key in order}
    changed = [key for key in codes if key in there and not same_code(codes[key], there[key])]
    sentences = [visible(one) for key in changed for one in explain(codes[key], there[key])]
    texts = [text for key, record in codes.items() if _failed(record, judged) for text in _texts(record, there.get(key))]
    tools = {name: version for record in here.values() for name, version in record["toolchain"].items()}
    return Shown(
        tuple(_HEADS.get(name, name) for name in names),
        tuple(_spanned(loud[:_ROWS])),
        tuple(_spanned(quiet[: _ROWS - len(loud[:_ROWS])])),
        max(0, len(lines) - _ROWS),
        len({record["kernel"] for record in here.values()}),
        tuple(visible(arch) for arch in _by_number(here[key]["arch"] for key in order)),
        visible(", ".join(f"{name} {version}" for name, version in tools.items())),
        (*_doings(run, beside), *sentences[:_SENTENCES]),
        tuple(texts[: len(_KINDS) * _TEXTS]),
        bool(there),
    )


def _compiled(run: Record) -> dict[tuple[Any, ...], Record]:
    """Return a run's compiled kernels, each once; one whose code was kept whole for a failure stands for the others."""
    found: dict[tuple[Any, ...], Record] = {}
    for case in run["cases"]:
        for record in case.get("compiled") or ():
            # By its code too: kernels of several modules may have one name.
            key = (*identity(record), record.get("block"), record.get("code_hash"))
            if key not in found or record.get("ptx"):
                found[key] = record
    return found


def _place(key: tuple[Any, ...], records: dict[tuple[Any, ...], Record]) -> tuple[Any, ...]:
    """Order kernels as they came, architectures by number."""
    kernels = list(dict.fromkeys(record["kernel"] for record in records.values()))
    digits = "".join(letter for letter in key[1] if letter.isdigit())
    return kernels.index(key[0]), key[2], key[3] or 0, int(digits or 0), key[1]


def _subject(record: Record) -> str:
    return f"{record['kernel']} on {record['arch']}"


def _judged(run: Record) -> dict[str, dict[str, list[Record]]]:
    """Return the limits on machine code by kernel and architecture, and by quantity."""
    found: dict[str, dict[str, list[Record]]] = {}
    for case in run["cases"]:
        for budget in case["budgets"]:
            if budget.get("subject"):
                found.setdefault(budget["subject"], {}).setdefault(budget["quantity"], []).append(budget)
    return found


def _failed(record: Record, judged: dict[str, dict[str, list[Record]]]) -> bool:
    return any(one["verdict"] == FAIL for group in judged.get(_subject(record), {}).values() for one in group)


def _line(names: list[str], here: Record, there: Record | None, judged: dict[str, list[Record]], *, with_reference: bool) -> Line:
    cells = tuple(_cell(here, there, name, judged.get(name, [])) for name in names)
    verdicts = [one["verdict"] for group in judged.values() for one in group]
    change = ""
    if there is not None:
        moved = changes(here, there)
        change = "same machine code" if same_code(here, there) else f"{plural(len(moved), 'change')}" if moved else "other machine code"
    elif with_reference:
        change = "not in the reference"
    return Line(
        visible(here["kernel"]),
        visible(here["arch"]),
        visible(here["signature"]),
        f"{here['block']} threads a block" if here.get("block") else "",
        cells,
        worst(verdicts) if verdicts else "",
        change,
        visible(here.get("error") or ""),
    )


def _cell(here: Record, there: Record | None, name: str, limits: list[Record]) -> Cell:
    number = here["quantities"].get(name)
    before = None if there is None else there["quantities"].get(name)
    verdict = worst([one["verdict"] for one in limits]) if limits else ""
    limit = visible(", ".join(dict.fromkeys(one["text"] for one in limits)))
    if number is None:
        hole = here["holes"].get(name) or {}
        why = ": ".join(text for text in (hole.get("code"), hole.get("sentence")) if text)
        return Cell("–", "", visible(why), verdict, limit)
    was = f"{before:,g}" if before is not None and before != number else ""
    return Cell(f"{number:,g}", was, "", verdict, limit)


def _parted(lines: list[Line]) -> tuple[list[Line], list[Line]]:
    """Part the lines of a long table: kernels of which something is to be told on some architecture, and those that are as they should be."""
    if len(lines) <= _FOLDED:
        return lines, []
    told = {line.group for line in lines if line.verdict not in {"", PASS} or line.change not in {"", "same machine code"} or line.error}
    return [line for line in lines if line.group in told], [line for line in lines if line.group not in told]


def _spanned(lines: list[Line]) -> Iterator[Line]:
    """Give the first line of each kernel the number of its lines."""
    for place, line in enumerate(lines):
        first = not place or lines[place - 1].group != line.group
        span = next((after for after in range(place, len(lines)) if lines[after].group != line.group), len(lines)) - place
        yield dataclasses.replace(line, span=span) if first else line


def _texts(here: Record, there: Record | None) -> Iterator[Text]:
    """Yield opcodes, SASS and PTX of a kernel that failed, as a difference to the reference's where that has it; opcodes alone tell nothing new."""
    for what, title in _KINDS.items():
        mine, theirs = unpacked(here.get(what)), unpacked((there or {}).get(what))
        if not mine or (what == "opcodes" and not theirs):
            continue
        title = f"{title} of {_subject(here)}"  # noqa: PLW2901
        if theirs:
            marked = [
                (one[:1], one[1:]) for one in list(difflib.unified_diff(theirs.splitlines(), mine.splitlines(), lineterm="", n=_AROUND))[2:]
            ]
            against = "held against the reference's" if marked else "the same as the reference's"
            marked = marked or [(" ", one) for one in mine.splitlines()]
        else:
            marked, against = [(" ", one) for one in mine.splitlines()], ""
        yield Text(
            visible(title),
            tuple((mark, visible(shorten(one, 200))) for mark, one in marked[:_LINES]),
            max(0, len(marked) - _LINES),
            against,
        )


def _doings(run: Record, beside: Beside) -> Iterator[str]:
    """Yield, for measurements whose time is another than the reference's, whose doing that is, where the machine code tells."""
    for case in run["cases"]:
        for measurement in case["measurements"]:
            found = beside.find(case, measurement)
            if found is None or not beside.comparable(case, measurement):
                continue
            here, there = (one["values"].get("time", {}).get("number") for one in (measurement, found[1]))
            if not here or not there or abs(here / there - 1) < _WORTH or _overlap(measurement["values"]["time"], found[1]["values"]["time"]):
                continue
            cause = cause_of(here / there - 1, _of(case, measurement), _of(*found))
            if cause:
                yield visible(f"{case['nodeid']} {measurement['name']}: time {format_margin(here / there - 1)}: {CAUSES[cause]}")


def _overlap(here: Record, there: Record) -> bool:
    """Tell whether two values may be the same number."""
    (low, high), (least, most) = bounds(here), bounds(there)
    return low is not None and high is not None and least is not None and most is not None and low <= most and least <= high


def _of(case: Record, measurement: Record) -> list[Record]:
    return [one for one in case.get("compiled") or () if measurement["name"] in one["measurements"]]


def _by_number(archs: Iterable[str]) -> list[str]:
    """Return architectures, each once, by number: sm_90 before sm_100."""
    return sorted(set(archs), key=lambda arch: (len(arch), arch))


def resources_line(cases: Iterable[Record]) -> str:
    """Write in one line what was compiled without a launch; empty where nothing was."""
    found = {identity(one) for case in cases for one in case.get("compiled") or ()}
    if not found:
        return ""
    archs = _by_number(arch for _, arch, _ in found)
    return visible(
        f"machine code: {plural(len({(kernel, signature) for kernel, _, signature in found}), 'kernel')} compiled for {', '.join(archs)}"
    )
