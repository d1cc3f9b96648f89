"""The history: run files in a directory, each written once and never changed; whoever shares the directory adds to it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records.runfile import dumps
from pytest_gpuperf.records.schema import plain

if TYPE_CHECKING:
    from pathlib import Path

#: Digits of the content's hash in a name: two machines can begin in one second with one process id, but never with the same content.
_DIGITS = 8


def keep(run: dict[str, Any], directory: Path) -> Path:
    """Write a run into a history, whole or not at all, and return its file; one that is there already is left as it is.

    RunFileError, in one line, where it cannot be written. No lock is taken: the name tells runs apart, so writers never wait for each other.
    """
    data = dumps(plain(run, "run")).encode()
    target = directory / f"{run['run']['id'] or 'run'}-{hashlib.sha256(data).hexdigest()[:_DIGITS]}.json"
    temporary = directory / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _publish(temporary, target)
    except OSError as error:
        message = f"cannot write into the history {directory}: {error.strerror or error}"
        raise RunFileError(message) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return target


def _publish(temporary: Path, target: Path) -> None:
    """Give a file its name, at once, unless it is taken: then it has the same content."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return
    except OSError:
        # Some network disks have no hard links. The name holds the content's hash, so what it could replace is the same.
        temporary.replace(target)
