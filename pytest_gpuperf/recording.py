"""--gpuperf-record: budgets written into the file from what the session measured, with the diff for whoever reviews it."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gpuperf.budgets.edit import edited
from pytest_gpuperf.budgets.file import read_rows
from pytest_gpuperf.budgets.recorded import plan
from pytest_gpuperf.budgets.tables import parts
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.format import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_gpuperf.budgets.plans import Refused
    from pytest_gpuperf.budgets.recorded import Plan
    from pytest_gpuperf.state import State

#: Exit statuses of a session that came to its end, perhaps with trouble in writing it down: what it measured is whole.
_ENDED = (0, 1, 8)
#: How many refusals for one reason are named.
_NAMED = 3


def record(state: State, exit_status: int) -> list[str]:
    """Write the budgets of a session that has ended; return the lines for the terminal, the diff among them.

    What cannot be written is trouble of the session, and the file stays as it was.
    """
    file, options = state.budgets, state.options
    assert file is not None
    if state.run is None or exit_status not in _ENDED:
        return [f"{file.name}: nothing recorded, as the session did not come to its end"]
    if exceeded := state.run["run"].get("exceeded"):
        return [f"{file.name}: nothing recorded, as {', '.join(exceeded)} failed the session: accept the change by recording without that limit"]
    try:
        raw = _read(file.path)
        # As it is now: somebody may have edited it since the session began.
        before = raw.replace("\r\n", "\n")
        made = plan(state.run, read_rows(before, file.name), file.wanted, options.record_margin / 100)
        after = edited(before, file.name, made.fresh)
        if after != before:
            _write(file.path, after.replace("\n", "\r\n") if "\r\n" in raw else after)
    except (BadBudget, OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or error
        state.trouble.append(f"nothing recorded: {cause}" if isinstance(error, BadBudget) else f"cannot write {file.name}: {cause}")
        return []
    return [*_said(file.name, made, options.record_margin), *diff(before, after, file.name), *_refusals(made.refused)]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Put a text in the place of a file, whole or not at all; its permissions stay, and a link still leads to it."""
    real = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(text.encode())
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(real.stat().st_mode & 0o7777 if real.exists() else 0o666 & ~_umask())
        Path(name).replace(real)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _said(name: str, made: Plan, margin: float) -> Iterator[str]:
    new = sum(one.old is None for one in made.fresh)
    counts = f"{new} new, {len(made.fresh) - new} changed, {made.kept} near enough to stay, {len(made.refused)} refused"
    yield f"{name}: {plural(len(made.fresh), 'limit')} recorded at the end of the 95 % interval and {margin:g} % ({counts})"


def diff(before: str, after: str, name: str) -> Iterator[str]:
    """Yield the lines of a diff, table by table: only whole tables are ever added, and a diff of all lines of a large file takes minutes."""
    if before == after:
        return
    yield from (f"--- {name} before", f"+++ {name}")
    for old, new in itertools.zip_longest(parts(before), parts(after)):
        if old is not None and old.text == new.text:
            continue
        lines = difflib.unified_diff(old.text.splitlines() if old is not None else [], new.text.splitlines(), lineterm="", n=3)
        yield f"@@ {name}:{new.line} @@"
        yield from (line for line in lines if not line.startswith(("---", "+++", "@@")))


def _refusals(refused: Sequence[Refused]) -> Iterator[str]:
    """Yield a line for each value that got no limit; of many for one reason the first few."""
    by_reason: dict[str, list[str]] = {}
    for one in refused:
        by_reason.setdefault(one.why, []).append(one.subject)
    for why, subjects in by_reason.items():
        yield from (f"not recorded: {subject}: {why}" for subject in subjects[:_NAMED])
        if len(subjects) > _NAMED:
            yield f"not recorded: {len(subjects) - _NAMED:,} more: {why}"
