"""The hooks of a session with a file of budgets; what they do stands in budget_files.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf import budget_files
from pytest_gpuperf.budgets.note import today
from pytest_gpuperf.format import visible
from pytest_gpuperf.running import CASE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest_gpuperf.budgets.lookup import BudgetFile
    from pytest_gpuperf.state import State


#: Of a diff's lines, by how they begin.
_COLOURS: tuple[tuple[str, dict[str, bool]], ...] = (("+++", {}), ("---", {}), ("+", {"green": True}), ("-", {"red": True}), ("not recorded", {"yellow": True}), (budget_files.STRICT, {"red": True}))


class BudgetHooks:
    """Say what the file holds, count what it is for, show known misses, and end with what is to be recorded."""

    def __init__(self, file: BudgetFile, state: Callable[[], State]) -> None:
        """Keep the file, and who knows the session's state."""
        self.file, self._state = file, state
        self._said: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_header(self) -> str:
        """Name the file."""
        return budget_files.header(self.file, today())

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the cases of every table."""
        budget_files.census(self._state(), session)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Give a report of a case that passes beside known misses a word on them; a plain text, as xdist carries no other."""
        report = yield
        running = item.stash.get(CASE, None)
        if running is not None and report.when == "call" and report.passed and running.case.known_misses:
            report.gpuperf_known = "; ".join(one.known.origin for one in running.case.known_misses if one.known is not None)
        return report

    @pytest.hookimpl
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, Any] | None:
        """Give such a case a category of its own."""
        known = getattr(report, "gpuperf_known", None)
        return ("known", "K", (f"KNOWN MISS ({known})", {"yellow": True})) if known and report.passed else None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Record, once the run file is written; fail a strict session for what the file says in vain."""
        self._said = budget_files.end(self._state(), session)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show what was recorded."""
        if self._said and not self._said[0].startswith(budget_files.STRICT):
            terminalreporter.section("gpuperf: recorded", cyan=True)
        for line in self._said:
            colours = next((colour for head, colour in _COLOURS if line.startswith(head)), {})
            terminalreporter.write_line(visible(line), **colours)


def register(config: pytest.Config, file: BudgetFile | None, state: Callable[[], State]) -> None:
    """Let the hooks act in a session that has a file."""
    if file is not None:
        state().budgets = file
        config.pluginmanager.register(BudgetHooks(file, state), "gpuperf-budgets")
