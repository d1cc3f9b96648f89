"""A text of sections that must not grow above a number of bytes: what matters most stays, cut at whole lines, and what is left out is counted."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """A part of a text: its head, lines that may be left out from the end, and its tail; head and tail stand only with a line, or where there were none.

    Of several sections those of a lower `rank` are filled first; `noun` is what a line that is left out is called.
    """

    rank: int
    head: str
    lines: tuple[str, ...] = ()
    tail: str = ""
    noun: str = "line"


def fit(sections: Sequence[Section], limit: int) -> tuple[str, dict[str, int]]:
    r"""Return as much of the sections as UTF-8 holds in `limit` bytes, in the order given, and how many lines of each noun are left out.

    Sections of rank 0 always stay whole.

    >>> parts = [Section(0, "# Title"), Section(2, "rows:", ("- 1", "- 2"), noun="row"), Section(1, "bad:", ("- a",), "end", noun="failure")]
    >>> fit(parts, 100)
    ('# Title\n\nrows:\n- 1\n- 2\n\nbad:\n- a\nend\n', {})
    >>> fit(parts, 35)
    ('# Title\n\nrows:\n- 1\n\nbad:\n- a\nend\n', {'row': 1})
    """
    left = limit
    taken: dict[int, int] = {}
    for place, section in sorted(enumerate(sections), key=lambda one: one[1].rank):
        frame = size(section.head) + (size(section.tail) if section.tail else 0) + 1
        count, used = 0, frame
        for line in section.lines:
            if section.rank and used + size(line) > left:
                break
            count, used = count + 1, used + size(line)
        if section.rank == 0 or (used <= left and (count or not section.lines)):
            taken[place] = count
            left -= used
    missing: collections.Counter[str] = collections.Counter()
    for place, section in enumerate(sections):
        missing[section.noun] += len(section.lines) - taken.get(place, 0)
    kept = [_written(section, taken[place]) for place, section in enumerate(sections) if place in taken]
    return "\n\n".join(kept) + "\n", {noun: count for noun, count in missing.items() if count}


def size(text: str) -> int:
    """Return the bytes of a line in UTF-8, with its end.

    >>> size("µs")
    4
    """
    return len(text.encode("utf-8", "backslashreplace")) + 1


def _written(section: Section, count: int) -> str:
    return "\n".join(part for part in (section.head, *section.lines[:count], section.tail) if part)
