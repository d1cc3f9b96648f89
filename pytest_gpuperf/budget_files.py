"""The file of budgets in a session: found at its start, counted at its collection, and held against what became of it at its end."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.budgets.collect import Marks, device_matches
from pytest_gpuperf.budgets.file import KINDS, read_file
from pytest_gpuperf.budgets.globs import exactly, pattern
from pytest_gpuperf.budgets.lookup import BudgetFile
from pytest_gpuperf.budgets.recorded import read_names
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.format import plural
from pytest_gpuperf.items import MARKS, is_case
from pytest_gpuperf.records.keys import bare_nodeid

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_gpuperf.budgets.file import Row
    from pytest_gpuperf.options import Config
    from pytest_gpuperf.state import State

#: Exit status of a session whose budgets could not be recorded: that of every trouble with what it writes.
EXIT_INFRASTRUCTURE = 8
#: How the line begins that says why a strict session failed in which no test did.
STRICT = "--gpuperf-strict failed the session:"
#: For how many globs without a test the nearest one is looked up.
_NEAREST = 20
#: How many origins are named that are nearer than a limit.
_INSTEAD = 3


def opened(config: pytest.Config, options: Config) -> BudgetFile | None:
    """Return the file of budgets of a session, None where there is none; UsageError, in lines that name it, where it is wrong or was named and is not there."""
    path = options.budgets
    name = shown_name(path, config.rootpath)
    if not path.is_file():
        asked = config.getoption("gpuperf_budgets", None) or config.getini("gpuperf_budgets")
        # What is to be recorded may be a new file.
        if (asked or path.exists()) and not (options.record and not path.exists()):
            raise pytest.UsageError(f"gpuperf: {_no_file(path, name)}")
        if not options.record:
            return None
    try:
        wanted = read_names(options.record, "--gpuperf-record")
    except BadBudget as error:
        swallowed = "" if config.getini("gpuperf_record") else " (without '=' the option takes the next word: write --gpuperf-record=time)"
        message = f"BadBudget: {error}{swallowed}"
        raise pytest.UsageError(message) from None
    try:
        return BudgetFile(path, name, read_file(path, name)[1] if path.exists() else (), wanted)
    except BadBudget as error:
        message = "\n".join(f"BadBudget: {line}" for line in str(error).splitlines())
        raise pytest.UsageError(message) from None


def shown_name(path: Path, root: Path) -> str:
    """Return a path as messages and records have it: below the root of the tests, else its name alone."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _no_file(path: Path, name: str) -> str:
    if path.exists():
        return f"{name} is no file of budgets but a folder"
    known = sorted(one.name for one in path.parent.glob("*.toml")) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, known, 1)
    return f"there is no file of budgets {name}" + (f"; nearest {near[0]!r}" if near else "")


def header(file: BudgetFile, day: dt.date) -> str:
    """Return what pytest's header says of the file: how much it holds, and what of it has expired."""
    counts = [sum(row.kind == kind for row in file.rows) for kind in KINDS]
    misses = f", {counts[1]} known to be missed" if counts[1] else ""
    expired = [row.origin for row in file.rows if row.note.expired(day)]
    over = f"; expired: {', '.join(expired[:_INSTEAD])}" + (f" and {len(expired) - _INSTEAD} more" if len(expired) > _INSTEAD else "") if expired else ""
    wanted = ", ".join(name if statistic == "p50" else f"{name}.{statistic}" for name, statistic in file.wanted)
    records = f"; {wanted} will be recorded" if wanted else ""
    return f"gpuperf: {plural(counts[0], 'table')} of budgets in {file.name}{misses}{over}{records}"


def census(state: State, session: pytest.Session) -> None:
    """Write down, for each table of the file, how many cases it is for, and for each limit how many it is the nearest of."""
    if state.budgets is None or state.recorder is None or not state.budgets.rows:
        return
    file, device = state.budgets, state.runtime.device
    cases = [(bare_nodeid(item.nodeid), _chosen(item)) for item in session.items if is_case(item)]
    cases += [(one["nodeid"], [(b["origin"], b["quantity"], b["statistic"], b["text"], b["measurement"]) for b in one["budgets"]]) for one in state.deselected]
    counts: dict[str, int] = {}
    chosen: dict[tuple[str, ...], int] = {}
    instead: dict[tuple[str, ...], dict[str, None]] = {}
    for nodeid, budgets in cases:
        taken = {(measurement, quantity, statistic): origin for origin, quantity, statistic, _, measurement in budgets}
        held = {budget[:4] for budget in budgets}
        for row in file.rows_for(nodeid):
            counts[row.origin] = counts.get(row.origin, 0) + 1
            for one in row.budgets:
                key = (row.origin, one.limit.quantity, one.limit.statistic, one.limit.text)
                if key in held:
                    chosen[key] = chosen.get(key, 0) + 1
                elif (other := taken.get((one.of or "main", one.limit.quantity, one.limit.statistic), row.origin)) != row.origin:
                    instead.setdefault(key, {})[other] = None
    looked = _Looked(session)
    rows = []
    for row in file.rows:
        limits = []
        for one in row.budgets:
            key = (row.origin, one.limit.quantity, one.limit.statistic, one.limit.text)
            here = device is None or device_matches(one.glob, device)
            names = list(instead.get(key, {}))[:_INSTEAD]
            limits.append({**dict(zip(("quantity", "statistic", "text"), key[1:], strict=True)), "glob": one.glob, "here": here, "chosen": chosen.get(key, 0), "instead": names})
        until = row.note.until
        said = {"kind": row.kind, "line": row.line, "origin": row.origin, "test": row.test, "of": row.of, "until": None if until is None else until.isoformat()}
        rows.append({**said, "words": str(row.note), "cases": counts.get(row.origin, 0), "limits": limits, **looked.tells(row, counts.get(row.origin, 0))})
    state.recorder.journal.append("budgets", file={"name": file.name, "rows": rows})


def _chosen(item: pytest.Item) -> list[tuple[str, str, str, str, str]]:
    budgets = item.stash.get(MARKS, Marks()).budgets
    return [(one.origin, one.limit.quantity, one.limit.statistic, one.limit.text, one.of or "main") for one in budgets]


class _Looked:
    """What of the project's tests a session has collected: a glob without a test is a mistake only where its tests would have been found."""

    def __init__(self, session: pytest.Session) -> None:
        config = session.config
        self.root = config.rootpath
        base = config.invocation_params.dir
        places = [str(arg) for arg in config.args if "::" not in str(arg)]
        self.places = [(base / place).resolve() for place in places]
        self.testpaths = getattr(getattr(config, "args_source", None), "name", "") == "TESTPATHS"
        option = config.option
        given = ("lf", "ignore", "ignore_glob", "pyargs")
        self.partial = any(getattr(option, name, None) for name in given) or session.testsfailed > 0
        self.known = [bare_nodeid(item.nodeid) for item in session.items]
        self.files = {nodeid.partition("::")[0] for nodeid in self.known}
        self.left = _NEAREST

    def tells(self, row: Row, cases: int) -> dict[str, Any]:
        """Return `looked`, and for a table without a case how many other tests it matches, and the nearest test."""
        looked = self._looked(row.test)
        if cases or not looked:
            return {"looked": looked}
        file = row.test.partition("::")[0]
        # A file that is there and gives no test may have skipped itself: that is said, and no mistake.
        told: dict[str, Any] = {"looked": True, "silent": file not in self.files and (self.root / file).is_file()}
        if not told["silent"] and self.left:
            self.left -= 1
            told["others"] = sum(bool(pattern(row.test).match(nodeid)) for nodeid in self.known)
            of_file = [nodeid for nodeid in self.known if nodeid.partition("::")[0] == file]
            near = nearest_node(row.test, of_file or (self.known if "::" in row.test else self.files))
            told["nearest"] = exactly(near) if near else ""
        return told

    def _looked(self, test: str) -> bool:
        if self.partial:
            return False
        if self.testpaths or self.root in self.places:
            return True
        place = (self.root / test.partition("::")[0].partition("*")[0].partition("?")[0]).resolve()
        return any(place == one or one in place.parents for one in self.places)


def nearest_node(glob: str, names: Iterable[str]) -> str:
    """Return the node id, or the function without parameters, that is nearest to a glob; empty where none is near.

    >>> nearest_node("t.py::test_B", ["t.py::test_c", "t.py::test_b[1]"])
    't.py::test_b'
    """
    known = [one for name in names for one in (name.partition("[")[0], name)]
    spellings = {name.casefold(): name for name in reversed(known)}
    near = difflib.get_close_matches(glob.casefold(), spellings, 1, 0.4)
    return spellings[near[0]] if near else ""


def end(state: State, session: pytest.Session) -> list[str]:
    """Record, where that was asked for, and return what the terminal says of it; under --gpuperf-strict fail a session for what the file says in vain."""
    if state.run is None:
        return []
    said: list[str] = []
    if state.options.record:
        from pytest_gpuperf import recording

        trouble = len(state.trouble)
        said = recording.record(state, int(session.exitstatus))
        if len(state.trouble) > trouble and session.exitstatus in {0, 1}:
            session.exitstatus = EXIT_INFRASTRUCTURE
    if state.options.strict == "all" and session.exitstatus == pytest.ExitCode.OK:
        from pytest_gpuperf.report.budget_file import file_lines

        if wrong := sum(wrong for _, wrong in file_lines(state.run)):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            said.append(f"{STRICT} {plural(wrong, 'table')} of {state.budgets.name if state.budgets else ''} in vain, see each WARNING")
    return said
