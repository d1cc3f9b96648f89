"""What the tests of bodies that misbehave share: the rows of docs/bodies.md, and how a measurement is held against one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parent.parent / "docs" / "bodies.md"


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the document: what the body does, and the code of the reason why it has no good time; "" where it has one."""

    does: str
    verdict: str
    code: str


def rows() -> dict[str, Row]:
    """Read the table of the document."""
    found = re.findall(r"^\| ([a-z].*?) \| (measured|the error|([A-Z]+) `([a-z-]+)`) \| .+ \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return {does: Row(does, verdict or what, code) for does, what, verdict, code in found}


@dataclasses.dataclass
class Body:
    """A body that misbehaves: what is called, the keywords of `measure`, a text that must be told, and what must hold of the measurement."""

    fn: Callable[..., Any]
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = dataclasses.field(default_factory=dict)
    told: str = ""
    holds: Callable[[Any], Any] = lambda m: True


def check(row: Row, body: Body, m: Any) -> None:
    """Hold a measurement against its row."""
    code = "" if m.time.reason is None else m.time.reason.code
    assert code == row.code, (row.does, str(m.time), m.details["notes"])
    assert (m.time.number is None) == (row.verdict == "UNMEASURED")
    if row.code:
        assert m.time.reason.verdict == row.verdict
    said = "\n".join([str(m.time.reason), *m.details["notes"]])
    assert re.search(body.told, said), said
    if not body.told and not row.code:
        assert not [note for note in m.details["notes"] if "limit" not in note]
    assert m.host_time.number is not None
    assert m.wall_time.number is not None
    assert body.holds(m)
