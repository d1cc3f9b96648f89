"""When a session's profiled run happens, in which process, and how its results reach the cases."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf import relaunch
from pytest_gpuperf.budgets.collect import Marks
from pytest_gpuperf.counters import ncu, passes, results, stored
from pytest_gpuperf.counters.lookup import ALWAYS
from pytest_gpuperf.counters.names import parse_listing, refuse_unknown
from pytest_gpuperf.counters.progress import Follower
from pytest_gpuperf.counters.reading import read_kernels
from pytest_gpuperf.device.discovery import is_mig
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.format import plural
from pytest_gpuperf.items import MARKS, is_case
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.recorder import now
from pytest_gpuperf.timing.telling import begin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pytest_gpuperf.state import State

#: A case takes longer under ncu, which runs each kernel several times and saves its memory before: so many times its timeout, or so many seconds without one.
_TIMES_TIMEOUT, _SECONDS = 10, 600.0


class Counting:
    """The profiled run of one session, seen from one process."""

    def __init__(self, state: State) -> None:
        """Nothing is run yet."""
        self.state = state
        self._results: results.Results | None = None
        self._looked = False

    @property
    def found(self) -> results.Results | None:
        """What the profiled run found; None where there was none. A worker of xdist reads the file that its controller left."""
        if not self._looked:
            self._looked = True
            path = self._path
            self._results = self._results or (None if path is None else results.load(path))
        return self._results

    @property
    def _path(self) -> Path | None:
        recorder = self.state.recorder
        return None if recorder is None else recorder.folder / "counters.json"

    def before_tests(self, session: pytest.Session) -> None:
        """Run what is wanted before the first test of a session that collects for itself."""
        failed = session.testsfailed and not session.config.option.continue_on_collection_errors
        if self._here() and not failed:
            self._take([wish_of(item) for item in session.items if wants(item)])

    def before_workers(self, session: pytest.Session) -> None:
        """Run what is wanted before xdist starts its workers: a child collects and says what that is."""
        if not self._here() or self._hole(["?"]) is not None:
            return
        asked = self._ask_child(session.config)
        if isinstance(asked, Reason):
            self._keep(results.nothing(asked, self.state.options.ncu_replay))
        else:
            self._take(asked)

    def _here(self) -> bool:
        """Say whether this process is the one that profiles: it measures, has a device, and no other process does it for it."""
        state = self.state
        return state.options.enabled and not state.options.sanitize and state.recorder is not None and state.worker == "main" and state.runtime.hole is None

    def _hole(self, wishes: Sequence[Any]) -> Reason | None:
        return Reason("ncu-off") if wishes and self.state.options.ncu == "off" else None

    def _take(self, wishes: Sequence[Mapping[str, Any]]) -> None:
        """Profile cases, given by key with the counters that they want, and keep what came of it."""
        if not wishes:
            return
        hole = self._hole(wishes)
        self._keep(results.nothing(hole, self.state.options.ncu_replay) if hole is not None else self._taken(wishes), told=hole is None)

    def _keep(self, record: dict[str, Any], *, told: bool = True) -> None:
        """Keep the results for this process and for those that it starts; `told` in the journal."""
        self._looked, self._results = True, results.Results(record)
        path = self._path
        assert path is not None
        if told:
            assert self.state.recorder is not None
            self.state.recorder.journal.append("counters", counters=results.head_of(record))
        try:
            results.write(record, path)
        except OSError as error:
            self.state.trouble.append(f"counters: cannot write {path}: {error.strerror or error}")
        why = self._results.hole
        if why is not None and self.state.options.ncu == "require":
            self.state.trouble.append(f"--gpuperf-ncu=require: {why}")

    def _taken(self, wishes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        state, began = self.state, time.monotonic()
        replay = state.options.ncu_replay
        program = ncu.find_ncu()
        if program is None:
            return results.nothing(Reason("no-ncu"), replay)
        version = ncu.version_of(program)
        if isinstance(version, Reason):
            return results.nothing(version, replay)
        known = parse_listing(ncu.listing_of(program))
        for wish in wishes:
            try:
                refuse_unknown(wish["counters"], known or None, wish["nodeid"])
            except BadBudget as error:
                message = f"BadBudget: {error}"
                raise pytest.UsageError(message) from None
        facts = state.runtime.backend.facts if state.runtime.backend is not None else None
        record = results.nothing(Reason("ncu-off"), replay) | {
            "hole": None, "ncu": version, "seed": state.options.seed, "taken": now(),
            "device": None if facts is None else {"name": facts.name, "uuid": facts.uuid, "driver": facts.driver, "mig": is_mig(facts.uuid)},
        }  # fmt: skip
        store, root = state.options.runs.parent / stored.FILE, state.config.rootpath
        sources = functools.cache(lambda: stored.sources_of(root))
        before = stored.load(store)
        again, left = self._reused(before, wishes, record, sources) if state.options.ncu == "cached" else ([], list(wishes))
        if left:
            record |= self._profiled(program, version, left, replay)
            with contextlib.suppress(OSError):
                # What is not stored is profiled again.
                stored.save(store, before, record, sources)
        return record | {"cases": [*again, *record["cases"]], "wall_s": time.monotonic() - began}

    def _reused(
        self, before: Mapping[str, Any], wishes: Sequence[Mapping[str, Any]], record: Mapping[str, Any], sources: Callable[[], str]
    ) -> tuple[list[dict[str, Any]], list[Mapping[str, Any]]]:
        """Return the stored cases that stand for some of those that are wanted, and which are left to be profiled."""
        conditions = stored.conditions_of(record, sources())
        found = {wish["nodeid"]: stored.reusable(before.get(wish["nodeid"]), wish, conditions, record["taken"]) for wish in wishes}
        again = [case for case in found.values() if case is not None]
        self.state.say(f"ncu: counters of {len(again)} of {len(wishes)} cases are stored, of unchanged code")
        return again, [wish for wish in wishes if found[wish["nodeid"]] is None]

    def _profiled(self, program: str, version: str, wishes: Sequence[Mapping[str, Any]], replay: str) -> dict[str, Any]:
        """Run the child, or children, and return what of the results comes of it."""
        state, began = self.state, time.monotonic()
        always = (*ALWAYS, passes.WARPS) if replay == ncu.APP_RANGE else ALWAYS
        metrics = tuple(sorted({*always, *(name for wish in wishes for name in wish["counters"])}))
        assert state.recorder is not None
        report = state.options.report.with_suffix(".ncu-rep")
        limit = _SECONDS if state.options.timeout is None else max(60.0, _TIMES_TIMEOUT * state.options.timeout)
        keys = tuple({name: value for name, value in wish.items() if name != "counters"} for wish in wishes)
        plan = passes.Plan(program, metrics, keys, state.recorder.folder, report, relaunch.folder_of(state.config), limit, replay)
        state.say(f"ncu {version}: profiling {plural(len(keys), 'case')} in a process of their own, before anything is timed")
        with state.runtime.locked("ncu"), state.shown.telling() as telling:
            begin(telling, "ncu")
            taken = passes.take(plan, self._child("ncu"), lambda path: read_kernels(path, program, metrics), None if telling is None else telling.count)
        profiled = sum(bool(one["measurements"]) for one in taken.cases)
        # A session in which nothing was counted says why at once, and not only after all that is timed.
        why = next((f": {one['hole']['code']}" for one in taken.cases if not profiled and one["hole"]), "")
        state.say(f"ncu: {profiled} of {len(keys)} profiled in {time.monotonic() - began:.1f} s, {plural(taken.starts, 'start')}{why}")
        return {"road": taken.road, "reports": taken.reports, "metrics": list(metrics), "starts": taken.starts, "cases": taken.cases}

    def _child(self, kind: str) -> Callable[[Sequence[Mapping[str, Any]] | None, Path], tuple[list[str], dict[str, str]]]:
        """Return what builds the command line and environment of a child of one kind."""
        config = self.state.config

        def start(items: Sequence[Mapping[str, Any]] | None, folder: Path) -> tuple[list[str], dict[str, str]]:
            task = relaunch.Task(
                kind=kind, folder=str(folder), items=None if items is None else tuple(map(dict, items)), seed=self.state.options.seed, carried=relaunch.carry(config)
            )
            path = folder / "task.json"
            relaunch.write(task, path)
            return relaunch.command(config), relaunch.environment(path)

        return start

    def _ask_child(self, config: pytest.Config) -> list[dict[str, Any]] | Reason:
        """Let a child collect, and return the cases that want counters, by key; why it did not come to tell them."""
        assert self.state.recorder is not None
        folder = self.state.recorder.folder / "plan"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            line, environment = self._child("plan")(None, folder)
            with (folder / "child.log").open("wb") as output, self.state.shown.telling() as telling:
                begin(telling, "planning")
                done = subprocess.run(
                    line, cwd=relaunch.folder_of(config), env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, timeout=_SECONDS
                )
        except subprocess.TimeoutExpired:
            return Reason("ncu-hang", f"the process that collects the cases did not end within {_SECONDS:g} s")
        except OSError as error:
            return Reason("ncu-failed", f"the process that collects the cases cannot be started: {error}")
        follower = Follower(folder)
        follower.look()
        if follower.story.collected is None:
            return Reason("ncu-failed", f"the process that collects the cases ended with status {done.returncode} before it told them: see {folder / 'child.log'}")
        return [one for one in follower.story.collected if one.get("counters")]


def wants(item: pytest.Item) -> bool:
    """Say whether a test wants counters."""
    return is_case(item) and bool(item.stash.get(MARKS, Marks()).counters)


def wish_of(item: pytest.Item) -> dict[str, Any]:
    """Return a test's key and the full names of the counters that it wants."""
    return {**relaunch.key_of(item), "counters": list(item.stash[MARKS].counters)}


