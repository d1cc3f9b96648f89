"""Where a session shows how far long work is: a passing line on a terminal, plain lines in a log, nothing with -q."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.items import is_case
from pytest_gpuperf.progress import Telling, columns, line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_gpuperf.progress import Progress

#: A passing line is drawn at most so often, in seconds.
_REDRAW = 0.2
#: A plain line comes after so many seconds in which nothing was printed, and so long after the one before; the last gap stays.
QUIET = 10.0
GAPS = (0.0, 30.0, 60.0)
#: So many columns at the right end stay free: for the cursor, and for the ^C that a terminal prints at it.
_MARGIN = 4
#: Where fewer columns than this are left beside what pytest has written, the passing line takes its place for a while.
_ENOUGH = 24
NONE, PLAIN, PASSING = "none", "plain", "passing"


class Terminal:
    """A passing line on a terminal: it stands behind what pytest has written of its own line, and leaves no trace there.

    It goes to a descriptor of its own, whatever becomes of the standard output while a test is captured.
    """

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor; nothing is drawn."""
        self._descriptor = descriptor
        self._drawn = ""

    @property
    def width(self) -> int:
        """The columns of now."""
        try:
            return os.get_terminal_size(self._descriptor).columns or 80
        except OSError:
            return 80

    def draw(self, progress: Progress, written: str, *, named: bool) -> None:
        """Draw progress behind what stands in pytest's line; where there is no room beside a name, in place of it until `clear`."""
        width, column = self.width, columns(written)
        if column and not column % width:
            # The cursor waits behind the last column, and nothing can put it back there.
            return
        at, back = column % width, ""
        gap = " " if at and not written.endswith(" ") else ""
        if named and width - at - _MARGIN < _ENOUGH and column < width:
            at, back, gap, named = 0, written, "", False
        text = line(progress, width - at - _MARGIN - len(gap), named=named)
        if not text:
            self.clear()
            return
        place = f"\r\x1b[{at}C" if at else "\r"
        self._write(f"{place}\x1b[K{gap}\x1b[2m{text}\x1b[0m")
        self._drawn = f"{place}\x1b[K{back}"

    def clear(self) -> None:
        """Remove the line."""
        if self._drawn:
            self._write(self._drawn)
            self._drawn = ""

    def close(self) -> None:
        """Remove the line and give the descriptor back."""
        self.clear()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1

    def _write(self, text: str) -> None:
        # A terminal that is gone takes no case with it.
        with contextlib.suppress(OSError):
            os.write(self._descriptor, text.encode(errors="backslashreplace"))


class Shown:
    """What a session shows of its progress, and its single lines; a plugin of pytest, so that it knows what else is printed."""

    def __init__(self, config: pytest.Config, *, enabled: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep the terminal of now, whatever a test captures later; nothing is written. Without --gpuperf there is no progress, only single lines."""
        self.config, self._clock = config, clock
        self._terminal = _terminal(config) if enabled else None
        if enabled:
            config.pluginmanager.register(self, "gpuperf-progress")
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
        finally:
            self.clear()

    def due(self) -> bool:
        """Say whether progress is to be shown again; cheap."""
        now = self._clock()
        if self.form == PASSING:
            return now - self._drawn >= _REDRAW
        # What any line says is good for a while, and in a long session for longer.
        return self.form == PLAIN and now - self._printed >= QUIET and now - self._said >= GAPS[min(self._lines, len(GAPS) - 1)]

    def show(self, progress: Progress) -> None:
        """Show progress."""
        if self._held or (os.getpid(), threading.get_ident()) != self._home:
            return
        if self.form == PASSING and self._terminal is not None:
            self._drawn = self._clock()
            written = str(getattr(self.config.get_terminal_writer(), "_current_line", ""))
            self._terminal.draw(progress, written, named=bool(progress.nodeid) and self.config.get_verbosity() > 0 and progress.nodeid in written)
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
        """Leave the terminal to who debugs."""
        self.clear()
        self._held = True

    def pytest_leave_pdb(self) -> None:
        """Go on."""
        self._held = False

    def pytest_unconfigure(self) -> None:
        """Give the terminal back."""
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None


def _terminal(config: pytest.Config) -> Terminal | None:
    """Return the terminal that the standard output is, on a descriptor of its own; None for what is none, or none that can erase."""
    if hasattr(config, "workerinput") or os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR"):
        return None
    try:
        return Terminal(os.dup(sys.stdout.fileno())) if sys.stdout.isatty() else None
    except (OSError, ValueError, AttributeError):
        return None
