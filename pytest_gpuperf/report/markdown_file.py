"""Where the Markdown summary goes: a file of its own, or the end of the one that GitHub shows for a step."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.report.markdown import LIMIT, summary
from pytest_gpuperf.report.text_file import write_text

if TYPE_CHECKING:
    from pytest_gpuperf.reference.compared import Comparison

#: A summary in less room than this would be a pointer and no more.
_LEAST = 2000


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
