"""A terminal's screen, as far as pytest and the passing line use it."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from pytest_gpuperf.passing import Terminal

if TYPE_CHECKING:
    import pytest


class Screen:
    r"""Just enough of a terminal: text, \r, \n, erasing to the end of the line, and steps to the right.

    >>> screen = Screen(4)
    >>> screen.feed("abcd\x1b[1mef\r\x1b[1Cg\x1b[K\n")
    >>> screen.lines
    ['abcd', 'eg', '']
    """

    def __init__(self, width: int) -> None:
        self.width, self.rows, self.column = width, [[]], 0

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.rows]

    def feed(self, text: str) -> None:
        for control, number, letter, char in re.findall(r"(\x1b\[([\d;]*)([A-Za-z]))|(.)", text, re.DOTALL):
            row = self.rows[-1]
            if control:
                assert letter in "mKCD", f"a terminal sequence that this one does not know: {control!r}"
                if letter == "K":
                    del row[self.column :]
                elif letter == "D":
                    self.column = max(self.column - int(number), 0)
                elif letter == "C":
                    self.column = min(self.column + int(number), self.width - 1)
            elif char == "\r":
                self.column = 0
            elif char == "\n":
                self.rows.append([])
                self.column = 0
            else:
                if self.column == self.width:
                    row, self.column = [], 0
                    self.rows.append(row)
                row.extend(" " * (self.column - len(row)))
                row[self.column : self.column + 1] = char
                self.column += 1


class Wire:
    """A terminal of a fixed width at the end of a pipe, whose screen is seen."""

    def __init__(self, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._end, descriptor = os.pipe()
        monkeypatch.setattr(Terminal, "width", width)
        self.screen, self.terminal = Screen(width), Terminal(descriptor)
        self.heard = ""
        os.set_blocking(self._end, False)

    def look(self) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            text = os.read(self._end, 1 << 16).decode()
            self.heard += text
            self.screen.feed(text)
        return self.screen.lines

    def close(self) -> None:
        self.terminal.close()
        os.close(self._end)
