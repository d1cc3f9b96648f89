"""What a file says of a budget beside its limit: why it is so, whose it is, until when."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """The words of one table of the file; `until` is its last day, in UTC, `toolchain` the versions that a compiler's numbers were recorded with.

    >>> import datetime
    >>> print(Note("waits for wider loads", "kernels", datetime.date(2026, 12, 31)))
    waits for wider loads (kernels, until 2026-12-31)
    """

    reason: str = ""
    owner: str = ""
    until: dt.date | None = None
    toolchain: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        """Return reason, owner and last day, as far as they are known."""
        said = ", ".join(filter(None, (self.owner, f"until {self.until}" if self.until is not None else "")))
        return " ".join(filter(None, (self.reason, said and f"({said})")))

    def expired(self, day: dt.date) -> bool:
        """Say whether the last day is over."""
        return self.until is not None and day > self.until


def today() -> dt.date:
    """Return the day in UTC: runners in two time zones agree on whether a budget has expired."""
    return dt.datetime.now(dt.UTC).date()
