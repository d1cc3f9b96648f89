"""The passing line on a terminal: drawn behind what stands there, redrawn, and removed without a trace."""

from __future__ import annotations

import contextlib
import os
import time
from typing import IO, TYPE_CHECKING

from pytest_gpuperf.progress import Telling, columns, line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.progress import Progress

#: A passing line is drawn at most so often, in seconds.
REDRAW = 0.2
#: So many columns at the right end stay free: for the cursor, and for the ^C that a terminal prints at it.
_MARGIN = 4
#: Where fewer columns than this are left beside a name that pytest has written, the passing line takes its place for a while.
_ENOUGH = 24


class Terminal:
    """A passing line on a terminal: it stands behind what pytest has written of its own line, and leaves no trace there.

    It goes to a descriptor of its own, whatever becomes of the standard output while a test is captured.
    """

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor; nothing is drawn."""
        self._descriptor = descriptor
        #: What takes the line away, and what does so where the cursor may have been moved.
        self._erase = self._erase_wherever = ""

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
        text = gap + text
        start = "\r\x1b[K" if back else ""
        self._write(f"{self._erase}{start}\x1b[2m{text}\x1b[0m")
        # Steps back, not columns: a test may have written past pytest.
        self._erase = f"\r\x1b[K{back}" if back else f"\x1b[{columns(text)}D\x1b[K"
        self._erase_wherever = f"\r\x1b[{at}C\x1b[K" if at else f"\r\x1b[K{back}"

    def clear(self, *, moved: bool = False) -> None:
        """Remove the line; `moved`: something short was written behind it, as a terminal does at Ctrl-C."""
        if self._erase:
            self._write(self._erase_wherever if moved else self._erase)
            self.forget()

    def forget(self) -> None:
        """Leave the line where it stands: what was written since is not to be touched."""
        self._erase = self._erase_wherever = ""

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


class Alone:
    """Shows progress on a terminal where nothing else is written meanwhile."""

    def __init__(self, terminal: Terminal) -> None:
        """Show nothing yet."""
        self._terminal, self._drawn = terminal, -REDRAW

    def due(self) -> bool:
        """Say whether progress is to be shown again."""
        return time.monotonic() - self._drawn >= REDRAW

    def show(self, progress: Progress) -> None:
        """Show progress."""
        self._drawn = time.monotonic()
        self._terminal.draw(progress, "", named=False)


@contextlib.contextmanager
def telling_on(stream: IO[str]) -> Iterator[Telling | None]:
    """Give what tells of progress on a stream that is a terminal, and leave nothing there after it; None for one that is none."""
    terminal = terminal_of(stream)
    if terminal is None:
        yield None
        return
    try:
        yield Telling(Alone(terminal))
    finally:
        terminal.close()


def terminal_of(stream: IO[str]) -> Terminal | None:
    """Return the terminal that a stream writes to, on a descriptor of its own; None for what is none, or none that can erase."""
    if os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR"):
        return None
    try:
        return Terminal(os.dup(stream.fileno())) if stream.isatty() else None
    except (OSError, ValueError, AttributeError):
        return None
