"""What the two sessions say to each other: an object of JSON a line over a pair of sockets, with a deadline for each answer."""

from __future__ import annotations

import json
import select
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

_PIECE = 1 << 16


class Closed(Exception):
    """The other side is gone."""


class Late(Exception):
    """The other side has not answered in its time."""


class Wire:
    """One end.

    >>> import socket
    >>> here, there = socket.socketpair()
    >>> one, other = Wire(here), Wire(there)
    >>> one.send(event="at", cost=1e-3)
    >>> other.receive(1.0)
    {'event': 'at', 'cost': 0.001}
    >>> one.close()
    >>> other.receive(1.0)
    Traceback (most recent call last):
    pytest_gpuperf.base.wire.Closed
    >>> other.close()
    """

    def __init__(self, end: socket.socket) -> None:
        """Keep the socket."""
        self._socket, self._left = end, b""

    def send(self, **told: Any) -> None:
        """Send one object; Closed where nobody reads."""
        try:
            self._socket.sendall(json.dumps(told).encode() + b"\n")
        except OSError:
            raise Closed from None

    def receive(self, seconds: float | None = None) -> dict[str, Any]:
        """Return the next object; Closed where none comes any more, Late after so many seconds."""
        until = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._left:
            ready, _, _ = select.select([self._socket], [], [], None if until is None else max(0.0, until - time.monotonic()))
            if not ready:
                raise Late
            try:
                piece = self._socket.recv(_PIECE)
            except OSError:
                piece = b""
            if not piece:
                raise Closed
            self._left += piece
        line, _, self._left = self._left.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """Let the other side know that nothing more comes."""
        self._socket.close()
