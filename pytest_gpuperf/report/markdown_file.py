"""Where the Markdown summary goes: a file of its own, or the end of the one that GitHub shows for a step."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records.in_place import in_place
from pytest_gpuperf.report.markdown import LIMIT, summary

if TYPE_CHECKING:
    from pytest_gpuperf.reference.compared import Comparison

#: A summary in less room than this would be a pointer and no more.
_LEAST = 2000


def write_text(text: str, target: Path, what: str) -> None:
    """Write a text to a path, at once or not at all; RunFileError, naming `what` it is, where it cannot be written."""
    temporary: Path | None = None
    try:
        if in_place(target):
            target.write_text(text, encoding="utf-8", errors="backslashreplace")
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            stream.write(text)
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        message = f"cannot write the {what} {target}: {error.strerror or error}"
        raise RunFileError(message) from error


def write(run: dict[str, Any], target: Path, reference: dict[str, Any] | None = None, comparison: Comparison | None = None, page: str = "", file: str = "") -> None:
    """Write the summary of a run to a path, at once or not at all; RunFileError where it cannot be written."""
    write_text(summary(run, reference, comparison, page=page, file=file), target, "summary")


def append(run: dict[str, Any], target: Path, reference: dict[str, Any] | None = None, comparison: Comparison | None = None, page: str = "", file: str = "") -> None:
    """Add the summary of a run to the end of a file, in the room that what stands there leaves below GitHub's limit.

    RunFileError where there is too little room, or the file cannot be written: then nothing was.
    """
    try:
        there = target.stat().st_size if target.exists() else 0
        room = LIMIT - there
        if room < _LEAST:
            message = f"nothing added to {target}: it has {there:,} bytes, and GitHub drops a summary above 1 MiB whole"
            raise RunFileError(message)
        text = summary(run, reference, comparison, limit=room - 2, page=page, file=file)
        # One call: processes of one step must not write into one another.
        added = ("\n\n" if there else "").encode() + text.encode("utf-8", "backslashreplace")
        with target.open("ab", buffering=0) as stream:
            written = stream.write(added)
        if written != len(added):
            # A disk that fills up takes a part and says nothing.
            with contextlib.suppress(OSError):
                os.truncate(target, there)
            message = f"cannot add to {target}: only {written or 0:,} of {len(added):,} bytes found room"
            raise RunFileError(message)
    except OSError as error:
        message = f"cannot add to {target}: {error.strerror or error}"
        raise RunFileError(message) from error


def shown_path(path: Path | None) -> str:
    """Return a path as it is told: from the current directory where it lies below it.

    >>> shown_path(Path.cwd() / "reports" / "latest.html"), shown_path(None)
    ('reports/latest.html', '')
    """
    if path is None:
        return ""
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else str(path)
