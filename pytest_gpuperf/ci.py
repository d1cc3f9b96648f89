"""What CI sees of a session beside its exit status: properties of its tests in JUnit files, and annotations at the lines that failed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.items import FAILED_LINE, is_case
from pytest_gpuperf.reasons import FAIL
from pytest_gpuperf.running import CASE

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from pytest_gpuperf.state import State


class Reports:
    """The hooks of one process of a session that measures."""

    def __init__(self, state: State) -> None:
        """Keep who knows the session's state."""
        self._state = state
        self._left = True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Remember the line that raised; give the reports of a case its properties, once its verdict is known."""
        if call.when == "setup" and FAILED_LINE in item.stash:
            del item.stash[FAILED_LINE]  # of an earlier attempt
        line = None if call.excinfo is None or isinstance(call.excinfo.value, pytest.skip.Exception) else _line_in(call.excinfo, item.path)
        if line is not None:
            item.stash.setdefault(FAILED_LINE, line)
        report = yield
        running = item.stash.get(CASE, None)
        if running is None or not is_case(item):
            return report
        from pytest_gpuperf.report.junit import PREFIX, VERDICT, properties

        others = [one for one in item.user_properties if not str(one[0]).startswith(PREFIX)]
        if report.when == "call" or (report.when == "setup" and not report.passed):
            own = properties(self._state._record(item, running))  # noqa: SLF001 - the record that is written at the end, as far as it has come
            item.user_properties[:] = [*others, *own]
        elif report.when == "teardown" and report.failed:
            item.user_properties[:] = [(name, FAIL if name == VERDICT else text) for name, text in item.user_properties]
        # The copy that the report has made is older.
        report.user_properties = list(item.user_properties)
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where the summary is and what could not be written, then print the annotations."""
        recorder = self._state.recorder
        for text in [] if recorder is None else recorder.remarks:
            terminalreporter.write_line(f"gpuperf: {text}", yellow=True)
        if recorder is not None and "summary" in recorder.written:
            from pytest_gpuperf.report.markdown_file import shown_path

            terminalreporter.write_line(f"summary: {shown_path(recorder.written['summary'])}")
        for line in self._annotations():
            # Whatever the terminal is: a command begins its line, and has no colours.
            terminalreporter.ensure_newline()
            terminalreporter.write_line(line)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """Print the annotations where pytest prints no summary."""
        yield
        for line in self._annotations():
            sys.stdout.write(f"{line}\n")

    def _annotations(self) -> list[str]:
        """Return the annotations, once, where GitHub runs this and the run is whole."""
        state = self._state
        if not self._left or state.run is None or os.environ.get("GITHUB_ACTIONS") != "true":
            return []
        from pytest_gpuperf.report.annotations import commands

        self._left = False
        root = str(state.config.rootpath)
        return commands(state.run, root, os.environ.get("GITHUB_WORKSPACE") or root, state.gate.comparison)


def register(state: State) -> None:
    """Let the hooks act in the session of this process."""
    state.config.pluginmanager.register(Reports(state), "gpuperf-ci")


def _line_in(excinfo: pytest.ExceptionInfo[BaseException], path: Path) -> int | None:
    """Return the last line of a traceback that stands in a file, from 1; None where there is none."""
    lines = [entry.lineno + 1 for entry in excinfo.traceback if str(entry.path) == str(path)]
    return lines[-1] if lines else None
