"""A text at a path, at once or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records.in_place import in_place


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
        # Lone surrogates can stand in a node id; they must not cost the file.
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            stream.write(text)
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        message = f"cannot write the {what} {target}: {error.strerror or error}\nname a path that can be written, or free space on that disk"
        raise RunFileError(message) from error
