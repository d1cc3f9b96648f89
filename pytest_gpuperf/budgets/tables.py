"""Where the tables of a TOML file stand: tomllib does not say, and a message without a line helps nobody."""

from __future__ import annotations

import dataclasses
import re

#: Texts and comments, in which nothing is a header, and the header of a table of an array at the beginning of a line.
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|#[^\n]*|(?P<header>^[ \t]*\[\[[ \t]*(?P<name>[\w-]+)[ \t]*\]\])",
    re.DOTALL | re.MULTILINE,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A part of a file from one table's header to the next: its array, the number of its table in it, the line of its header, and its text."""

    name: str
    index: int
    line: int
    text: str


def parts(text: str) -> list[Part]:
    r"""Cut a TOML text at the headers of arrays of tables; the first part, without a name, is what stands before them.

    >>> [(part.name, part.index, part.line) for part in parts("# a\n[[budget]]\nx = '''\n[[budget]]'''\n[[known-miss]]\n[[budget]]\n")]
    [('', 0, 1), ('budget', 0, 2), ('known-miss', 0, 5), ('budget', 1, 6)]
    """
    heads = [match for match in _TOKEN.finditer(text) if match["header"]]
    cuts = [(0, ""), *((match.start(), match["name"]) for match in heads)]
    ends = [cut for cut, _ in cuts[1:]] + [len(text)]
    seen: dict[str, int] = {}
    found = []
    line = 1
    for (start, name), end in zip(cuts, ends, strict=True):
        found.append(Part(name, seen.get(name, 0), line, text[start:end]))
        seen[name] = seen.get(name, 0) + 1
        line += text.count("\n", start, end)
    return found
