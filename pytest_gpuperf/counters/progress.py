"""What a child session says of itself while it runs: its journal, one JSON object a line, read by the process that started it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = "progress.jsonl"
#: How every line of it begins.
_BEGINS = '{"event": '


@dataclasses.dataclass
class Story:
    """What is known of a child: its process, its cases by node id, the one that runs, and whether it came to its end."""

    pid: int | None = None
    #: Keys of the cases that it found, and of those that it was to find and did not.
    collected: list[dict[str, Any]] | None = None
    missing: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    #: By node id: what was measured in a case, in order, each name once (a range is replayed by running the whole child again).
    measured: dict[str, dict[str, dict[str, Any]]] = dataclasses.field(default_factory=dict)
    #: By node id: outcome and first line of the error of the cases that ended.
    ended: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    running: str | None = None
    status: int | None = None
    _places: dict[tuple[Any, ...], str] = dataclasses.field(default_factory=dict)

    def known_as(self, key: Mapping[str, Any]) -> str | None:
        """Return the node id that the child gave a case which was begun: the same, or that of its place; None where none was."""
        # Tests that were not seen to be collected have no place, whatever their function.
        return key["nodeid"] if key["nodeid"] in self.measured else None if key["index"] < 0 else self._places.get(_place(key))

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        name, nodeid = event["event"], event.get("nodeid", "")
        if name == "start":
            self.pid, self.running, self.status = event["pid"], None, None
        elif name == "collected":
            self.collected, self.missing = event["items"], event["missing"]
        elif name == "case":
            self.running = nodeid
            self.measured.setdefault(nodeid, {})
            self._places[_place(event)] = nodeid
        elif name == "measured":
            self.measured.setdefault(nodeid, {})[event["name"]] = dict(event)
        elif name == "ended":
            self.running = None
            self.ended[nodeid] = (event["outcome"], event["error"] or "")
        elif name == "end":
            self.status = event["status"]


def _place(key: Mapping[str, Any]) -> tuple[Any, ...]:
    return key["file"], key["function"], key["index"]


class Follower:
    """Reads a child's journal as it grows."""

    def __init__(self, folder: Path) -> None:
        """Begin at the start of the file; it need not be there yet."""
        self.story = Story()
        self._path, self._at, self._rest = folder / FILE, 0, ""

    def look(self) -> bool:
        """Read what is new; say whether anything was."""
        try:
            with self._path.open(encoding="utf-8") as file:
                file.seek(self._at)
                text = file.read()
                self._at = file.tell()
        except OSError:
            return False
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            event = _event(line)
            if event is not None:
                self.story.hear(event)
        return bool(text)


def _event(line: str) -> dict[str, Any] | None:
    """Read a line; of one that begins with what a process did not come to write whole, the last event. None for what is none.

    >>> _event('{"event": "measu{"event": "start", "pid": 7}'), _event('{"event": "measu')
    ({'event': 'start', 'pid': 7}, None)
    """
    try:
        event = json.loads(line[max(line.rfind(_BEGINS), 0) :])
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
