"""Child mode: the hooks and the state of a session that relaunch.py started."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pytest_gpuperf import neutral, relaunch
from pytest_gpuperf.case import plain_error
from pytest_gpuperf.child_verbs import ChildGpuPerf, ChildRuntime
from pytest_gpuperf.items import MARKS, is_case
from pytest_gpuperf.running import CASE
from pytest_gpuperf.state import State

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from pytest_gpuperf.fixture import GpuPerf
    from pytest_gpuperf.options import Config
    from pytest_gpuperf.runtime import Runtime

#: How often a child looks whether its parent is there.
_LOOK_SECONDS = 0.5
#: The key that a test has in the parent session.
KEY = pytest.StashKey[dict[str, Any]]()


class Child:
    """The hooks of a child session, and its record of what it has done: progress.jsonl, an object a line."""

    def __init__(self, task: relaunch.Task) -> None:
        """Keep the task."""
        self.task = task
        self.folder = Path(task.folder)
        self._process = os.getpid()
        self._keys: dict[str, dict[str, Any]] = {}

    def tell(self, event: str, **told: Any) -> None:
        """Write a line; a process that a test forked writes none."""
        if os.getpid() != self._process:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "progress.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **told}) + "\n")

    def measured(self, nodeid: str, **told: Any) -> None:
        """Write down a body whose range has closed."""
        self.tell("measured", **self._keys.get(nodeid, {"nodeid": nodeid}), **told)

    def state(self, config: pytest.Config, options: Config) -> ChildState:
        """Return the state of this session."""
        if self.task.kind == "sanitize":
            from pytest_gpuperf.sanitized import CheckedState

            return CheckedState(config, options, self)
        return ChildState(config, options, self)

    def key_of(self, item: pytest.Item) -> dict[str, Any]:
        """Return the key that a test has in the parent session."""
        return item.stash.get(KEY, None) or relaunch.key_of(item)

    def nodeid_of(self, item: pytest.Item) -> str:
        """Return the node id that a test has in the parent session."""
        return str(self.key_of(item)["nodeid"])

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """Neutralise, before anything is configured."""
        self.tell("start", pid=self._process)
        threading.Thread(target=_end_with, args=(self.task.parent,), daemon=True, name="gpuperf-parent").start()
        neutral.before_configuring(config, self.folder)
        config.option.gpuperf_seed = "off" if self.task.seed is None else str(self.task.seed)
        for name, value in self.task.carried.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Unregister what no option silences, once all markers are known."""
        neutral.after_configuring(config)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the cases of the task, whatever order they are in."""
        kept = self._matched(items)
        dropped = [item for item in items if not any(item is one for one in kept)]
        items[:] = kept
        if dropped:
            config.hook.pytest_deselected(items=dropped)

    def _matched(self, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Return the tests that the task names, each with its key: by node id, and by its place where no test has that id."""
        if self.task.items is None:
            return [item for item in items if is_case(item)]
        own = {id(item): relaunch.key_of(item) for item in items}
        by_id = {key["nodeid"]: item for item, key in ((item, own[id(item)]) for item in items)}
        by_place = {_place(own[id(item)]): item for item in items}
        found: dict[int, dict[str, Any]] = {}
        # A test that the task names by its own id is no other one, so these are first.
        for key in sorted(self.task.items, key=lambda key: key["nodeid"] not in by_id):
            item = by_id.get(key["nodeid"]) or by_place.get(_place(key))
            if item is None or id(item) in found or (key["index"] < 0 and key["nodeid"] not in by_id):
                continue
            item.stash[KEY] = found[id(item)] = {name: key[name] for name in ("nodeid", "file", "function", "index")}
        return [item for item in items if id(item) in found]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down which cases there are, and which of the task's there are not."""
        keys = [self.key_of(item) for item in session.items]
        self._keys = {key["nodeid"]: key for key in keys}
        counters = [list(getattr(item.stash.get(MARKS, None), "counters", ())) for item in session.items]
        wanted = self.task.items or ()
        missing = [key for key in wanted if key["nodeid"] not in self._keys]
        self.tell("collected", items=[key | {"counters": names} for key, names in zip(keys, counters, strict=True)], missing=missing)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> bool | None:
        """Run nothing where only the collection was asked for."""
        return True if self.task.kind == "plan" else None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the last line."""
        self.tell("end", status=int(exitstatus))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Leave nothing but the record."""
        for name in ("cache", "tmp", "benchmarks"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


class ChildState(State):
    """The state of a child session: it judges and records nothing, and tells how each case ended."""

    verbs: ClassVar[type[GpuPerf]] = ChildGpuPerf

    def __init__(self, config: pytest.Config, options: Config, child: Child) -> None:
        """Keep who writes the progress down."""
        super().__init__(config, options)
        self.child = child
        self._ended: dict[str, tuple[str, str | None]] = {}

    @property
    def runtime(self) -> Runtime:
        """A runtime that times nothing."""
        if self._runtime is None:
            made = self._made_runtime()
            made.tells = self.child
            self._runtime = made
        return self._runtime

    def _made_runtime(self) -> ChildRuntime:
        return ChildRuntime(self.options, *self._backend())

    def begin(self, item: pytest.Item) -> None:
        """Start a case under the node id that it has in the parent session."""
        if is_case(item):
            self.child.tell("case", **self.child.key_of(item))
        try:
            super().begin(item)
        finally:
            if CASE in item.stash:
                item.stash[CASE].case.nodeid = self.child.nodeid_of(item)

    @contextlib.contextmanager
    def judging(self, item: pytest.Item) -> Iterator[None]:  # noqa: ARG002 - State's own signature
        """Judge nothing."""
        __tracebackhide__ = True
        yield

    def report(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Write down how a case ended, after its last phase."""
        if not is_case(item):
            return
        nodeid = self.child.nodeid_of(item)
        outcome, error = self._ended.get(nodeid, ("passed", None))
        if report.failed or (report.skipped and outcome == "passed"):
            said = plain_error(call.excinfo.value) if call.excinfo is not None else str(report.longrepr)
            outcome, error = report.outcome, error or (said.splitlines() or [""])[0]
        self._ended[nodeid] = outcome, error
        if report.when == "teardown":
            self.child.tell("ended", **self.child.key_of(item), outcome=outcome, error=error)


def _end_with(parent: int) -> None:
    """End this process once the one that started it is gone, killed perhaps: nobody would end it, and it holds the device."""
    while True:
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            os._exit(1)
        except OSError:
            pass
        time.sleep(_LOOK_SECONDS)


def _place(key: dict[str, Any]) -> tuple[str, str, int]:
    return key["file"], key["function"], key["index"]


def register(manager: pytest.PytestPluginManager) -> None:
    """Make this session the child that the environment asks for; what it starts itself is none."""
    task = relaunch.read()
    if task is not None:
        os.environ.pop(relaunch.TASK)
        if task.kind == relaunch.BASE:
            from pytest_gpuperf.base.child import made

            manager.register(made(task), "gpuperf-child")
        else:
            manager.register(Child(task), "gpuperf-child")
