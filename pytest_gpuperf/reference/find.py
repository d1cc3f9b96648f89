"""Which run `--gpuperf-compare` means: a file, a directory of runs, journals, or the last one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records import runfile

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = dict[str, Any]

LAST = "last"
#: Characters of a run file's name that are the second of its start.
_SECOND = len("20261121T101500")


def candidates(where: Path) -> list[Path]:
    """Return the run files in a directory, newest first: their names begin with the second, and within one the time of writing tells."""
    return sorted((path for path in where.glob("*.json") if not path.name.startswith(".")), key=_age, reverse=True)


def _age(path: Path) -> tuple[str, int, str]:
    try:
        written = path.stat().st_mtime_ns
    except OSError:  # gone meanwhile
        written = 0
    return path.name[:_SECOND], written, path.name


def check(spec: str) -> None:
    """Raise RunFileError, in one line, where a reference cannot be read: before an hour of measuring, not after it; `last` may have no run yet."""
    if spec == LAST:
        return
    path = Path(spec)
    if not (path.is_dir() and candidates(path)):
        runfile.load(path)


def find(spec: str, where: Path, run: Record) -> tuple[Record | None, str]:
    """Return the reference of a run, and what needs saying; None where `last` or a directory has no earlier run.

    Of a directory it is the newest run that ended, of a device of this run's model; without one the newest of any device. A file that
    cannot be read is passed over, and said. RunFileError where a file that was named cannot be read.
    """
    path = where if spec == LAST else Path(spec)
    if not path.is_dir():
        return (None, f"no run lies in {path} yet") if spec == LAST else (runfile.load(path), "")
    files = candidates(path)
    if not files and spec != LAST:
        return runfile.load(path), ""
    models = {device["name"] for device in run["devices"]}
    torn: list[str] = []
    second: Record | None = None
    for found in _earlier(files, run, torn):
        if {device["name"] for device in found["devices"]} & models or not models:
            return found, _said(torn)
        second = second or (found if found["devices"] else None)
    return second, _said(torn) if second is not None else "; ".join(filter(None, (f"no earlier run lies in {path}: nothing to compare with", _said(torn))))


def _earlier(files: list[Path], run: Record, torn: list[str]) -> Iterator[Record]:
    """Yield the runs that ended, newest first, each without this one."""
    for path in files:
        try:
            found = runfile.load(path)
        except RunFileError as error:
            torn.append(str(error).splitlines()[0])
            continue
        if found["run"]["id"] != run["run"]["id"] and found["run"]["complete"]:
            yield found


def _said(torn: list[str]) -> str:
    return "" if not torn else torn[0] + (f" (and {len(torn) - 1} more)" if len(torn) > 1 else "") + "; passed over"
