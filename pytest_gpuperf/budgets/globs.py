"""Globs of node ids: what they match, and how much they say."""

from __future__ import annotations

import functools
import re

#: A wildcard, or a character that a backslash takes for itself.
_TOKEN = re.compile(r"\\([*?\\])|([*?])|(.)", re.DOTALL)
#: Where a node id may go on below what a glob names: folder, class or function, parameters.
_BELOW = r"(?:\Z|::|\[|/)"


@functools.cache
def pattern(glob: str) -> re.Pattern[str]:
    r"""Return what matches the node ids that a glob names, and all below them, as pytest's command line takes a file for all its tests.

    `*` and `?` are the only wildcards, as brackets stand in most node ids; a backslash before one takes it as it is.

    >>> bool(pattern("tests/test_a.py").match("tests/test_a.py::test_b[1]")), bool(pattern("tests/test_a.py::test").match("tests/test_a.py::test_b"))
    (True, False)
    >>> bool(pattern("*::test_b[[]1]").match("a.py::test_b[1]")), bool(pattern("*::test_b[1]").match("a.py::test_b[1]"))
    (False, True)
    """
    body = "".join(_translated(match) for match in _TOKEN.finditer(_bare(glob)))
    return re.compile(body + _BELOW, re.DOTALL)


def _translated(match: re.Match[str]) -> str:
    escaped, wild, plain = match.groups()
    return {"*": ".*", "?": "."}[wild] if wild else re.escape(escaped or plain)


def _bare(glob: str) -> str:
    # A folder may be written with its slash.
    return glob.rstrip("/") or glob


def specificity(glob: str) -> tuple[int, bool]:
    """Return how much a glob says: its literal characters, then whether it has no wildcard.

    >>> specificity("tests/test_a.py") > specificity("tests/*"), specificity("test_b") > specificity("test_b*")
    (True, True)
    """
    tokens = [match.groups() for match in _TOKEN.finditer(_bare(glob))]
    return sum(not wild for _, wild, _ in tokens), not any(wild for _, wild, _ in tokens)


def is_wild(glob: str) -> bool:
    """Say whether a glob has a wildcard."""
    return not specificity(glob)[1]


def literal(glob: str) -> str:
    r"""Return a glob without wildcards as the text that it stands for.

    >>> literal(exactly("t.py::test[a*b]"))
    't.py::test[a*b]'
    """
    return "".join(escaped or plain or wild for escaped, wild, plain in (match.groups() for match in _TOKEN.finditer(_bare(glob))))


def exactly(nodeid: str) -> str:
    r"""Return the glob of one node id.

    >>> exactly("t.py::test[a*b]")
    't.py::test[a\\*b]'
    """
    return re.sub(r"([*?\\])", r"\\\1", nodeid)


def parents(nodeid: str) -> list[str]:
    """Return a node id and everything that it stands below: what a glob without wildcards may be.

    >>> parents("a/b.py::T::test_c[1::2]")
    ['a/b.py::T::test_c[1::2]', 'a/b.py::T::test_c[1', 'a/b.py::T::test_c', 'a/b.py::T', 'a/b.py', 'a']
    """
    cuts = [match.start() for match in re.finditer(r"::|\[|/", nodeid)]
    return [nodeid, *(nodeid[:cut] for cut in reversed(cuts))]
