"""The sections of the page, in their order: which are on it, and how many things are in each."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import FAIL
from pytest_gpuperf.report.account import groups
from pytest_gpuperf.report.curves import curves
from pytest_gpuperf.report.held import held
from pytest_gpuperf.report.qualified import qualified
from pytest_gpuperf.report.resources import resources
from pytest_gpuperf.report.roofline import rooflines

if TYPE_CHECKING:
    from pytest_gpuperf.reference.compared import Comparison
    from pytest_gpuperf.report.account import Failure, Group
    from pytest_gpuperf.report.beside import Beside
    from pytest_gpuperf.report.curves import Curve
    from pytest_gpuperf.report.held import Shown as HeldShown
    from pytest_gpuperf.report.qualified import Qualified
    from pytest_gpuperf.report.resources import Shown as ResourcesShown
    from pytest_gpuperf.report.roofline import Roofline


@dataclasses.dataclass(frozen=True, slots=True)
class Sections:
    """What the page has sections of; an empty one is not on it."""

    beside: Beside
    failures: list[Failure]
    groups: list[Group]
    based: HeldShown | None
    held: HeldShown | None
    roofline: Roofline | None
    curves: list[Curve]
    resources: ResourcesShown | None
    qualified: Qualified | None
    rows: int

    @property
    def changes_first(self) -> bool:
        """Whether a limit on changes is exceeded: then what changed stands with the failures."""
        return any(line.look == FAIL for shown in (self.based, self.held) if shown is not None for line in shown.lines)

    def named(self) -> list[tuple[str, str, int]]:
        """Return the sections in their order: id, title, how many things are in it (0: not counted)."""
        changes = [("based", "Base", 0 if self.based else None), ("compared", "Changes", 0 if self.held else None)]
        undecided = ("undecided", "Not decided", sum(len(group.subjects) for group in self.groups) or None)
        found: list[tuple[str, str, int | None]] = [
            ("reference", "What differs", 0 if self.beside.reference else None),
            ("failures", "Failures", len(self.failures) or None),
            *((*changes, undecided) if self.changes_first else (undecided, *changes)),
            ("roofline", "Roofline", 0 if self.roofline else None),
            ("all", "All measurements", self.rows),
            ("curves", "Curves", len(self.curves) or None),
            ("resources", "Machine code", 0 if self.resources else None),
            ("qualification", "Qualification", 0 if self.qualified else None),
            ("environment", "Environment", 0),
            ("how", "How to read", 0),
        ]
        return [(name, title, count) for name, title, count in found if count is not None]


def sections(run: dict[str, Any], joined: Beside, failed: list[Failure], comparisons: tuple[Comparison | None, Comparison | None], rows: int) -> Sections:
    """Return what the page has sections of; `comparisons` are those with the base and with the reference, `rows` counts the table."""
    based, compared = comparisons
    return Sections(
        joined,
        failed,
        groups(run),
        held(based),
        held(compared),
        rooflines(run, joined.reference, joined.label),
        curves(run),
        resources(run, joined),
        qualified(run),
        rows,
    )
