"""What the Markdown summary says of a reference: what differs around it, limits on changes that are exceeded, what is faster or slower."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.format import plural
from pytest_gpuperf.reasons import FAIL, PASS
from pytest_gpuperf.report.cut import Section
from pytest_gpuperf.report.gfm import cell, code, folded, prose, table
from pytest_gpuperf.report.held import held
from pytest_gpuperf.report.html import GLYPHS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.reference.compared import Comparison
    from pytest_gpuperf.report.beside import Difference
    from pytest_gpuperf.report.held import Line

_HEADS = ("", "this run", "reference")
_COLUMNS = ("", "measurement", "quantity", "reference to this run", ":change", "interval", "why")


def differing(differences: list[Difference], label: str) -> Iterator[Section]:
    """Yield in what the surroundings of a reference differ that is only shown beside."""
    if not differences:
        return
    head, tail = folded(f"The reference differs in {plural(len(differences), 'thing')}")
    rows = tuple(f"| {prose(one.what)} | {cell(one.here)} | {cell(one.there)} |" for one in differences)
    yield Section(3, f"{head}\nIt is of {prose(label)}.\n\n{table(_HEADS)}", rows, tail, "difference")


def against(comparison: Comparison | None) -> Iterator[Section]:
    """Yield what came of a comparison: the sentence, what the surroundings move, every change and limit, what is missing and new."""
    shown = held(comparison)
    if shown is None:
        return
    title = f"### Held against {prose(shown.title)}\n\n{prose(shown.sentence)}."
    title += f" Machine code: {prose(shown.code)}." if shown.code else ""
    title += "".join(f"\n\n> No measurement has what the limit {code(text)} is on." for text in shown.unreached)
    if shown.moving:
        title += "\n\n> The surroundings differ, so changes that this can move are INCONCLUSIVE *environment-differs*: "
        title += "; ".join(f"{prose(what)} {prose(there)} → {prose(here)}" for what, there, here in shown.moving) + "."
    yield Section(3, title)
    decided = [line for line in shown.lines if line.look in {FAIL, PASS}]
    others = [line for line in shown.lines if line.look not in {FAIL, PASS}]
    if decided:
        yield Section(3, table(_COLUMNS), tuple(map(_row, decided)), noun="change")
    if others:
        head, tail = folded(f"{plural(len(others), 'change')} not decided, or of counts")
        yield Section(5, f"{head}\n{table(_COLUMNS)}", tuple(map(_row, others)), tail, "change")
    if shown.more:
        yield Section(5, f"and {plural(shown.more, 'more change')}: `gpuperf compare -v` lists all")
    for word, count, names in shown.odd:
        head, tail = folded(f"{count:,} {word}")
        more = (f"- and {count - len(names):,} more",) if count > len(names) else ()
        yield Section(5, head, (*(f"- {code(name)}" for name in names), *more), tail, f"{word} case")
    if shown.told:
        head, tail = folded(plural(len(shown.told), "other difference"))
        yield Section(6, f"{head}\n{table(_HEADS)}", tuple(f"| {prose(what)} | {cell(here)} | {cell(there)} |" for what, there, here in shown.told), tail, "difference")


def _row(line: Line) -> str:
    name = f" {prose(line.name)}" if line.name else ""
    told = [
        f"{GLYPHS[line.look]} {prose(line.word)}",
        f"{cell(line.nodeid)}{name}",
        prose(line.quantity),
        *(_number(text) for text in (line.numbers, line.share, line.interval)),
        prose(line.why) if line.why else "",
    ]
    return f"| {' | '.join(told)} |"


def _number(text: str) -> str:
    """Write what a change came to; the arrow would make code of it."""
    return prose(text.replace("\u2192", "to")).replace(" ", "\u00a0") if text else ""
