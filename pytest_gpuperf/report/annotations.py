"""Annotations: findings as workflow commands, which GitHub shows at their lines of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import shorten, visible
from pytest_gpuperf.report.findings import Finding, findings, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.reference.compared import Comparison

#: GitHub shows so many of each level for a step, and none of the others.
SHOWN = 10
_TITLE = 200


def commands(run: dict[str, Any], root: str, repository: str, comparison: Comparison | None = None) -> list[str]:
    """Return a line for each finding, at most ten of a level: of more the tenth says how many.

    `root` is where the files of the record start, `repository` where GitHub's do.
    """
    found = findings(run, comparison)
    return [line for level in ("error", "warning", "notice") for line in _level([one for one in found if one.level == level], root, repository)]


def command(level: str, message: str, **properties: str | int | None) -> str:
    r"""Write one workflow command; properties that are None are left out.

    >>> command("error", "50 % more\nand", file="a,b.py", line=3, title=None)
    '::error file=a%2Cb.py,line=3::50 %25 more%0Aand'
    """
    told = ",".join(f"{name}={_escaped(str(value), property=True)}" for name, value in properties.items() if value is not None)
    return f"::{level}{' ' if told else ''}{told}::{_escaped(message)}"


def _level(found: list[Finding], root: str, repository: str) -> Iterator[str]:
    shown = found if len(found) <= SHOWN else found[: SHOWN - 1]
    for one in shown:
        file = within(one.file, root, repository)
        yield command(one.level, one.message, file=file, line=one.line if file else None, title=shorten(one.title, _TITLE))
    if len(found) > len(shown):
        more = len(found) - len(shown)
        yield command(found[0].level, "All of them are in the job summary, on the page and in the run file.", title=f"and {more:,} more of pytest-gpuperf")


def _escaped(text: str, *, property: bool = False) -> str:  # noqa: A002 - GitHub's word
    told = visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return told.replace(":", "%3A").replace(",", "%2C") if property else told
