"""Which run `--gpuperf-compare` means: a file, a directory of runs, journals, or the last one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records import runfile
from pytest_gpuperf.reference.pairs import sides

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = dict[str, Any]

LAST = "last"
#: Characters of a run file's name that are the second of its start.
_SECOND = len("20261121T101500")
#: How many runs back one is looked for that has all of a run's measurements.
_BACK = 4


def candidates(where: Path) -> list[Path]:
    """Return the run files in a directory, newest first: their names begin with the second, and within one the time of writing tells."""
    return sorted((path for path in where.glob("*.json") if not path.name.startswith(".")), key=_age, reverse=True)


def is_history(path: Path) -> bool:
    """Say whether a directory is one of run files; that of a session's journals is one run, whatever else its processes have left there."""
    return path.is_dir() and not any(path.glob("*.jsonl")) and bool(candidates(path))


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
    if not is_history(path):
        runfile.load(path)


def find(spec: str, where: Path, run: Record) -> tuple[Record | None, str]:
    """Return the reference of a run, and what needs saying; None where `last` or a directory has no earlier run.

    Of a directory it is the newest run that ended, of a device of this run's model; without one the newest of any device. Passed over, and said, are a
    file that cannot be read, a run that failed its own limits on changes, as a second try would be held against the regression, and one that has fewer of
    this run's measurements than one a few runs before, as of a session that was stopped or was for other tests. RunFileError where a file that was named cannot be read.
    """
    path = where if spec == LAST else Path(spec)
    if not path.is_dir():
        return (None, f"no run lies in {path} yet") if spec == LAST else (runfile.load(path), "")
    if spec != LAST and not is_history(path):
        return runfile.load(path), ""
    files = candidates(path)
    models = {device["name"] for device in run["devices"]}
    torn: list[str] = []
    exceeded: list[Record] = []
    others: list[Record] = []
    best = _Best(run)
    for found in _earlier(files, run, torn):
        if not ({device["name"] for device in found["devices"]} & models or not models):
            others += [found] if found["devices"] and not others else []
        elif found["run"].get("exceeded"):
            exceeded.append(found)
        elif best.full(found):
            break
    chosen = best.found or next(iter([*exceeded, *others]), None)
    how = "passed over" if best.found is not None else "there is no other"
    told = [f"{one['run']['id']} failed {', '.join(one['run']['exceeded'])} itself; {how}" for one in exceeded[:1]]
    told = [*filter(None, (_said(torn),)), *told, *([best.poorer] if best.poorer else [])]
    if chosen is None:
        told.insert(0, f"no earlier run lies in {path}: nothing to compare with")
    return chosen, "; ".join(told)


class _Best:
    """The run that has the most of a run's measurements, the newest of those."""

    def __init__(self, run: Record) -> None:
        self._wanted = {side.name for side in sides(run)}
        self._left, self._most = _BACK, -1
        self.found: Record | None = None
        self.poorer = ""

    def full(self, found: Record) -> bool:
        """Look at the next older run; say whether no other needs a look."""
        has = len(self._wanted & {side.name for side in sides(found)})
        if has > self._most:
            if self.found is not None:
                self.poorer = f"{self.found['run']['id']} has {self._most} of this run's {len(self._wanted)} measurements; passed over"
            self.found, self._most = found, has
        self._left -= 1
        return has == len(self._wanted) or not self._left


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
