"""Where a session shows how far long work is: a passing line on a terminal, plain lines in a log, nothing with -q."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_gpuperf.items import is_case
from pytest_gpuperf.passing import REDRAW, terminal_of
from pytest_gpuperf.progress import Progress, Telling, line
from pytest_gpuperf.records.keys import bare_nodeid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: A plain line comes after so many seconds in which nothing was printed, and so long after the one before; the last gap stays.
QUIET = 10.0
GAPS = (0.0, 30.0, 60.0)
NONE, PLAIN, PASSING = "none", "plain", "passing"


class Shown:
    """What a session shows of its progress, and its single lines; a plugin of pytest, so that it knows what else is printed."""

    def __init__(self, config: pytest.Config, *, enabled: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep the terminal of now, whatever a test captures later; nothing is written. Without --gpuperf there is no progress, only single lines."""
        self.config, self._clock = config, clock
        self._terminal = terminal_of(sys.stdout) if enabled and not hasattr(config, "workerinput") else None
        if enabled:
            config.pluginmanager.register(self, "gpuperf-progress")
        if enabled and config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
            config.pluginmanager.register(Workers(self), "gpuperf-progress-workers")
        self._form = ""
        self._home = (os.getpid(), threading.get_ident())
        self._drawn = self._printed = self._said = self._began = clock()
        self._lines = 0
        self._held = False
        self._case, self._cases = 0, 0

    @property
    def form(self) -> str:
        """How progress is shown here: `passing` on a terminal, `plain` elsewhere, `none` with -q and where there is no terminal at all, as in a worker."""
        if not self._form:
            reporter = self.config.pluginmanager.get_plugin("terminalreporter")
            if reporter is None or self.config.get_verbosity() < 0 or self.config.pluginmanager.hasplugin("gpuperf-child"):
                self._form = NONE
            else:
                # Another reporter draws lines of its own, and without capturing the tests do.
                own = type(reporter).__module__ == "_pytest.terminal" and self.config.getoption("capture", "fd") != "no"
                self._form = PASSING if self._terminal is not None and own and reporter.hasmarkup else PLAIN
        return self._form

    @contextlib.contextmanager
    def telling(self, nodeid: str = "", name: str = "", limit: float = 0.0) -> Iterator[Telling | None]:
        """Give what may tell how far a piece of work is, and leave nothing on the terminal after it; None where nothing is shown."""
        if self.form == NONE:
            yield None
            return
        try:
            yield Telling(self, nodeid, name, limit, self._clock)
        except KeyboardInterrupt:
            # The terminal has written ^C behind the line.
            if self._terminal is not None:
                self._terminal.clear(moved=True)
            raise
        finally:
            self.clear()

    def due(self) -> bool:
        """Say whether progress is to be shown again; cheap."""
        now = self._clock()
        if self.form == PASSING:
            return now - self._drawn >= REDRAW
        # What any line says is good for a while, and in a long session for longer.
        return self.form == PLAIN and now - self._printed >= QUIET and now - self._said >= GAPS[min(self._lines, len(GAPS) - 1)]

    def show(self, progress: Progress) -> None:
        """Show progress."""
        if self._held or (os.getpid(), threading.get_ident()) != self._home:
            return
        try:
            self._show(progress)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            # What cannot be shown, as by a reporter of another kind, must not cost what is measured. Not all errors: a test's own alarm may ring here.
            self._held = True

    def _show(self, progress: Progress) -> None:
        if self.form == PASSING and self._terminal is not None:
            self._drawn = self._clock()
            written = str(getattr(self.config.get_terminal_writer(), "_current_line", ""))
            self._terminal.draw(progress, written, named=bool(progress.name) and self.config.get_verbosity() > 0 and progress.nodeid in written)
        elif self.due():
            text = line(progress) + self._place()
            with contextlib.suppress(OSError, ValueError):
                self.say(text, plain=True)
            self._lines += 1
            self._said = self._printed

    def _place(self) -> str:
        if not self._case:
            return ""
        return f" ({self._clock() - self._began:.0f} s in this case; case {self._case:,} of {self._cases:,})"

    def say(self, text: str, *, plain: bool = False) -> None:
        """Print one line on the terminal, where this process has one."""
        plugins = self.config.pluginmanager
        reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
        if reporter is None:
            return
        self.clear()
        # Within a test the terminal's own stream is captured: who waits is to see it now, not with the failure.
        with contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            if self.config.get_terminal_writer().width_of_current_line:  # -q: dots without a file's name
                reporter.write_line("")
            reporter.write_line(f"gpuperf: {text}", **({} if plain else {"yellow": True}))
            with contextlib.suppress(OSError):
                reporter.flush()
        self._printed = self._clock()

    def clear(self) -> None:
        """Leave the terminal as pytest left it."""
        if self._terminal is not None and os.getpid() == self._home[0]:
            self._terminal.clear()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the cases."""
        self._cases = sum(is_case(item) for item in session.items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Count a case that begins; one that is run again is the same one."""
        self._case, self._began = min(self._case + is_case(item), self._cases), self._clock()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self) -> None:
        """Know when pytest has printed."""
        self._printed = self._clock()

    @pytest.hookimpl(tryfirst=True)
    def pytest_enter_pdb(self) -> None:
        """Leave the terminal to who debugs, from now on: the debugger's head stands below the passing line already, and where pytest goes on nobody knows."""
        if self._terminal is not None:
            self._terminal.forget()
        self._held = True

    def pytest_unconfigure(self) -> None:
        """Give the terminal back."""
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None


class Workers:
    """What the controller of xdist shows: which tests are at work, as far as events from its workers tell; it sees into none of them."""

    def __init__(self, shown: Shown) -> None:
        """Know of no test."""
        self._shown, self._running = shown, dict[str, None]()
        self._write: Callable[..., None] | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A worker begins a test."""
        self._running[bare_nodeid(nodeid)] = None
        # What the event before had removed, and too soon after another to come again, is not to be gone until the next.
        self._tell()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A worker has ended a part of one, perhaps its last."""
        if report.when == "teardown":
            self._running.pop(bare_nodeid(report.nodeid), None)
        if self._shown.due():
            self._tell()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave the terminal as pytest left it."""
        self._shown.clear()
        if self._write is not None:
            self._shown.config.get_terminal_writer().write_raw = self._write  # type: ignore[method-assign]
            self._write = None
        self._running.clear()

    def _tell(self) -> None:
        config = self._shown.config
        if not self._running or self._shown.form == NONE:
            return
        if self._write is None and self._shown.form == PASSING:
            # Events of workers come between any two lines of pytest's: whatever it writes, the passing line goes first.
            writer = config.get_terminal_writer()
            self._write = write = writer.write_raw

            def write_raw(msg: str, *, flush: bool = False) -> None:
                self._shown.clear()
                write(msg, flush=flush)

            writer.write_raw = write_raw  # type: ignore[method-assign]
        with contextlib.suppress(OSError):
            config.get_terminal_writer().flush()
        longest = next(iter(self._running))
        count = len(getattr(config.option, "tx", None) or ()) or len(self._running)
        self._shown.show(Progress("workers", longest, done=len(self._running), of=max(count, len(self._running))))
