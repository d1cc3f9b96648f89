"""The recorder: a session's journal while it runs, its run file and page at the end."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records.in_place import adds_to_step, in_place

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.options import Config
    from pytest_gpuperf.records.journal import Journal
    from pytest_gpuperf.reference.compared import Comparison


#: An absolute path in a word of the command line: what comes before it, its folders, its last part.
_OUTSIDE = r"(^|[=:,])/(?:[^/=:,]*/)*([^/=:,]+)/?$"


def now() -> str:
    """Return the time as the records have it: ISO 8601, UTC, to the millisecond."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_run_id(runs: Path) -> str:
    """Return a run id that no other run has, and take it: start time, process id, and a number where another run has just these.

    The folder of its journals is made here, by one call that fails where it is there: in containers that share a disk, two sessions that begin in
    one second may well have one process id, and their journals must not become one. RunFileError where it cannot be made.
    """
    first = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
    for name in itertools.chain([first], (f"{first}-{number}" for number in itertools.count(2))):
        try:
            runs.mkdir(parents=True, exist_ok=True)
            (runs / name).mkdir()
        except FileExistsError as error:
            if (runs / name).exists():
                continue
            message = f"cannot write runs into {runs}: {error.strerror or error}"
            raise RunFileError(message) from error
        except OSError as error:
            message = f"cannot write runs into {runs}: {error.strerror or error}"
            raise RunFileError(message) from error
        return name
    raise AssertionError  # the numbers do not end


class Recorder:
    """Writes one process's journal; in the main process it also makes the run file and the page."""

    def __init__(self, config: Config, rootpath: Path, run_id: str, worker: str, argv: list[str], on_trouble: Callable[[str], None]) -> None:
        """Open the journal; RunFileError, in one line, where a path of this session cannot be written or its reference not be read."""
        from pytest_gpuperf.records.environment import environment
        from pytest_gpuperf.records.journal import Journal

        self.config, self.run_id, self.worker = config, run_id, worker
        self.folder = config.runs / run_id
        self.on_trouble = on_trouble
        #: What could not be done and nobody asked for: it is told, and costs nothing.
        self.remarks: list[str] = []
        #: What was written at the end, by what it is called: a file of an earlier session may stand where nothing could be.
        self.written: dict[str, Path] = {}
        if worker == "main":
            for path in (config.report, config.json, config.summary, config.budgets if config.record else None):
                if path is not None:
                    _refuse_unwritable(path)
            _refuse_one_path(config)
            if config.reference is not None:
                from pytest_gpuperf.records import runfile

                runfile.load(config.reference)
            if config.compare:
                from pytest_gpuperf.reference import find

                find.check(config.compare)
            if config.history is not None:
                _refuse_unwritable(config.history / "run.json")
        self.journal: Journal = Journal(self.folder / f"{worker}.jsonl", on_trouble)
        run = {
            "id": run_id,
            "started": now(),
            "argv": _portable(argv, rootpath),
            "seed": config.seed,
            "simulator": simulator_on(),
            "options": {"limit": config.limit, "cache": config.cache, "strict": config.strict or None, "sanitize": config.sanitize or None},
            **environment(rootpath),
        }
        self.journal.append("session", run=run, worker=worker)

    def parts_of(self, nodeid: str) -> Callable[..., None]:
        """Return what writes down parts of a running case: what a process that dies in the middle of it leaves."""
        process = os.getpid()

        def tell(**parts: Any) -> None:
            # A process that the test forked is no part of the case.
            if os.getpid() == process:
                self.journal.append("part", case={"nodeid": nodeid} | {name: [one] for name, one in parts.items()})

        return tell

    def finish(self, exit_status: int) -> None:
        """Write the last event and close the journal."""
        self.journal.append("end", ended=now(), exit_status=exit_status)
        lost = self.journal.close()
        if lost:
            self.on_trouble(f"{lost} records of {self.worker} could not be written to {self.folder}")

    def whole(self) -> dict[str, Any]:
        """Merge the journals of all processes of this run."""
        from pytest_gpuperf.records.merge import merge

        return merge(sorted(self.folder.glob("*.jsonl")))

    def publish(self, run: dict[str, Any], reference: Path | None, comparison: Comparison | None = None) -> list[str]:
        """Write the run file and the page; return a line for each that could not be written."""
        from pytest_gpuperf.records import runfile
        from pytest_gpuperf.reference import history
        from pytest_gpuperf.report import markdown_file

        trouble = []
        beside = None if comparison is None else comparison.reference
        if reference is not None:
            try:
                beside = runfile.load(reference)
            except RunFileError as error:
                trouble.append(str(error))
        file = self.config.runs / f"{self.run_id}.json"
        places = (markdown_file.shown_path(self.config.report), markdown_file.shown_path(file))
        jobs: list[tuple[str, Path | None, Callable[[Path], Any]]] = [
            ("run file", file, lambda path: runfile.write(run, path)),
            ("json", self.config.json, lambda path: runfile.write(run, path)),
            ("history", self.config.history, lambda path: history.keep(run, path)),
            ("page", self.config.report, self._page_of(run, beside, comparison)),
            ("summary", self.config.summary, lambda path: markdown_file.write(run, path, beside, comparison, *places)),
        ]
        step = os.environ.get("GITHUB_STEP_SUMMARY")
        for name, path, job in jobs:
            if path is None or (name == "summary" and adds_to_step(path, step)):
                continue
            try:
                job(path)
                self.written[name] = path
            except (OSError, RunFileError) as error:
                trouble.append(str(error) if isinstance(error, RunFileError) else f"cannot write {path}: {error.strerror or error}")
            except Exception as error:  # noqa: BLE001 - what one output cannot show must not cost the others
                trouble.append(f"cannot write {path}: {type(error).__name__}: {error}; please report this, with the run file")
        if step:
            try:
                markdown_file.append(run, Path(step), beside, comparison, *places)
                if self.config.summary is not None and adds_to_step(self.config.summary, step):
                    self.written["summary"] = self.config.summary
            except RunFileError as error:
                self.remarks.append(f"GITHUB_STEP_SUMMARY: {error}")
            except Exception as error:  # noqa: BLE001 - as above
                self.remarks.append(f"GITHUB_STEP_SUMMARY: nothing added: {type(error).__name__}: {error}; please report this, with the run file")
        return trouble

    def _page_of(self, run: dict[str, Any], beside: dict[str, Any] | None, comparison: Comparison | None) -> Callable[[Path], Any]:
        """Return what writes the page, with the times of earlier runs; where these cannot be read, the page says so, and no session ends otherwise for it."""

        def write(path: Path) -> None:
            from pytest_gpuperf.reference.past import past
            from pytest_gpuperf.report import html

            earlier, said = past(run, self.config.history or self.config.runs)
            html.write(run | {"notes": [*run["notes"], *said]}, path, beside, comparison, earlier)

        return write


def reference_of(config: Config, rootpath: Path, *, gpu: bool) -> Path | None:
    """Return the run that is shown beside this one: the one that was asked for, and without a GPU the newest that the project recorded on one."""
    if config.reference is not None or gpu:
        return config.reference
    recorded = sorted((rootpath / "reports" / "reference").glob("*.json"))
    return recorded[-1] if recorded else None


def simulator_on() -> bool:
    """Say whether numba runs kernels in its simulator in this process."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in {"", "0"}


def _refuse_unwritable(path: Path) -> None:
    """Try the folder of a file that is written at the end; RunFileError now rather than after an hour of measuring."""
    if in_place(path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.parent / f".{path.name}.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise RunFileError(message) from error
    if path.exists() and not path.is_dir() and not os.access(path, os.W_OK):
        message = f"cannot write {path}: it is read-only"
        raise RunFileError(message)
    if path.is_dir():
        message = f"cannot write {path}: it is a directory"
        raise RunFileError(message)


def _refuse_one_path(config: Config) -> None:
    """Refuse two outputs at one path: the later would take the place of the earlier, and both be told as written."""
    outputs = (("--gpuperf-report", config.report), ("--gpuperf-json", config.json), ("--gpuperf-summary", config.summary))
    taken: dict[Path, str] = {}
    for option, path in outputs:
        if path is not None and not in_place(path) and (other := taken.setdefault(path.resolve(), option)) != option:
            message = f"{option} and {other} name one file, {path}: give each a path of its own"
            raise RunFileError(message)


def _portable(argv: list[str], rootpath: Path) -> list[str]:
    """Return a command line without the folders of this machine.

    >>> from pathlib import Path
    >>> _portable(["pytest", "/data/project/suites", "--gpuperf-json=/data/out/run.json"], Path("/data/project"))
    ['pytest', 'suites', '--gpuperf-json=.../run.json']
    """
    root = str(rootpath)
    return [re.sub(_OUTSIDE, r"\1.../\2", word.replace(root + os.sep, "").replace(root, ".")) for word in argv]
