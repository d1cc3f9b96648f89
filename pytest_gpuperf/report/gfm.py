"""Foreign text in GitHub-flavoured Markdown: shown as it is, and never as markup, a mention, a link, an emoji or a formula."""

from __future__ import annotations

import html
import re

from pytest_gpuperf.format import shorten, visible

#: Text with one of these is shown as code: entities and backslashes do not keep what runs after the parser (mentions, references, formulas) from it.
_RISKY = re.compile(r"[@#$`\\]|://|www\.|:\w+:|GH-\d|[^ -~]|^\s*(?:[-+](?:\s|$)|--|[=:]|\d+[.)](?:\s|$))|^\s*$")
_MARKUP = re.compile(r"([*\[\]|~!])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITIES = {ord(char): f"&#{ord(char)};" for char in "&<>`*_~[]()\\|@#$!:"}


def code(text: str, limit: int = 1000) -> str:
    r"""Return a text as a code span on one line, in which GitHub looks for nothing; for a table's cell see `cell`.

    >>> code("t.py::test[a|b @team #1]"), code("a `b` c"), code("`"), code("two\nlines\u202e")
    ('`t.py::test[a|b @team #1]`', '``a `b` c``', '`` ` ``', '`two lines\\u202e`')
    """
    told = _line(text, limit) or "(empty)"
    longest = max((len(run) for run in re.findall("`+", told)), default=0)
    fence = "`" * (longest + 1)
    # A space at each end is taken away again, so one that the text has must not be the only one.
    pad = " " if told.strip() and (told[0] in "` " or told[-1] in "` ") else ""
    return f"{fence}{pad}{told}{pad}{fence}"


def cell(text: str, limit: int = 1000) -> str:
    r"""Return a text as code in a cell of a table, where a pipe ends the cell even within a code span.

    >>> cell("test[a]"), cell("a|b"), cell("a\\|b")
    ('`test[a]`', '<code>a&#124;b</code>', '<code>a&#92;&#124;b</code>')
    """
    told = _line(text, limit) or "(empty)"
    return f"<code>{told.translate(_ENTITIES)}</code>" if "|" in told else code(told, limit)


def prose(text: str, limit: int = 2000) -> str:
    r"""Return a sentence as text of a paragraph or of a cell; one that could be taken for more than text as code.

    >>> prose("pass inputs=[...]"), prose("ask @team"), prose("1. item"), prose("12.5 us -> 3 us"), prose("a * b_c _d_")
    ('pass inputs=\\[...\\]', '`ask @team`', '`1. item`', '12.5 us -&gt; 3 us', 'a \\* b_c \\_d\\_')
    """
    told = _line(text, limit)
    return cell(told, limit) if _RISKY.search(told) else _MARKUP.sub(r"\\\g<0>", html.escape(told, quote=False))


def folded(title: str) -> tuple[str, str]:
    r"""Return head and tail of a folded part; the title is text, and Markdown stands between them.

    >>> folded("3 < 4")
    ('<details><summary>3 &lt; 4</summary>\n', '\n</details>')
    """
    return f"<details><summary>{html.escape(_line(title, 300))}</summary>\n", "\n</details>"


def table(heads: tuple[str, ...]) -> str:
    """Return the first two lines of a table; names of numbers begin with a colon, and stand on the right.

    >>> print(table(("test", ":time")))
    | test | time |
    |---|---:|
    """
    rule = "|".join("---:" if head.startswith(":") else "---" for head in heads)
    return "| " + " | ".join(head.lstrip(":") for head in heads) + f" |\n|{rule}|"


def _line(text: str, limit: int) -> str:
    return shorten(visible(text.replace("\n", " ").replace("\t", " ")), limit)
