"""Child sessions: one way to say what a child pytest is to do, to build its command line, and to keep from it what must not act twice."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf import neutral
from pytest_gpuperf.items import INDEX
from pytest_gpuperf.neutral import NEUTRALISED
from pytest_gpuperf.records.keys import bare_nodeid

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

__all__ = ["BASE", "CARRIED", "CHILD", "KINDS", "NEUTRALISED", "TASK", "Task", "carry", "command", "environment", "folder_of", "key_of", "read", "write"]

#: "1" in every child session: for conftests that want to know.
CHILD = "GPUPERF_CHILD"
#: The path of the file that says what a child is to do.
TASK = "GPUPERF_CHILD_TASK"
#: The kind of child that takes turns with its parent.
BASE = "base"
#: What children are started for: under a profiler, under a checker, only to say which cases want counters, or to measure another tree in turns.
KINDS = ("ncu", "sanitize", "plan", BASE)
#: Options whose value a plugin makes up where none is given, and which must be equal in parent and child.
CARRIED = ("randomly_seed", "random_order_seed")


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """What a child session is to do: its kind of KINDS, its folder, its cases by key (None: every selected one), the run's seed (None: off), and what it carries."""

    kind: str
    folder: str
    items: tuple[dict[str, Any], ...] | None
    seed: int | None
    carried: Mapping[str, Any]
    #: The process that started it, without which nobody reads what it finds.
    parent: int = dataclasses.field(default_factory=os.getpid)
    #: What a child of this kind alone needs to know.
    beside: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write(task: Task, path: Path) -> None:
    """Write a task to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    absolute = dataclasses.replace(task, folder=str(Path(task.folder).resolve()))
    path.write_text(json.dumps(dataclasses.asdict(absolute)), encoding="utf-8")


def read() -> Task | None:
    """Return the task that the environment names; None in a process that is no child."""
    path = os.environ.get(TASK)
    if not path:
        return None
    given = json.loads(Path(path).read_text(encoding="utf-8"))
    return Task(**given | {"items": None if given["items"] is None else tuple(given["items"])})


def carry(config: pytest.Config) -> dict[str, Any]:
    """Return what must be equal in parent and child: options of CARRIED as they are in this session, by name."""
    return {name: getattr(config.option, name) for name in CARRIED if hasattr(config.option, name)}


def folder_of(config: pytest.Config) -> Path:
    """Return the folder that a child is to be started in: the one that this session was, wherever a conftest has gone since."""
    return Path(config.invocation_params.dir)


def command(config: pytest.Config) -> list[str]:
    """Return the command line of a child: this interpreter and its flags, and this session's arguments as they were typed.

    Start it in `folder_of(config)`, with `environment(path of the task)`.
    """
    invoked = config.invocation_params
    given = [str(one) for one in invoked.args]
    added = [word for name in invoked.plugins or () if isinstance(name, str) for word in ("-p", name)] + neutral.arguments(config)
    end = given.index("--") if "--" in given else len(given)
    return [sys.executable, *_flags(), "-m", "pytest", *given[:end], *added, *given[end:]]


def environment(path: Path) -> dict[str, str]:
    """Return the environment of a child whose task is in a file: this process's, with a fixed hash seed, less what would act twice."""
    kept = {name: value for name, value in os.environ.items() if not neutral.is_dropped(name)}
    seed = kept.get("PYTHONHASHSEED", "")
    fixed = seed if seed.isdigit() else "0"
    return kept | {CHILD: "1", TASK: str(path.resolve()), "PYTHONHASHSEED": fixed}


def key_of(item: pytest.Item) -> dict[str, Any]:
    """Return what a test is known by in parent and child: its node id, and its place for where that is random.

    `index` is its position among the tests of one function as they were collected, before anything was selected or shuffled;
    -1 for a test that was not seen to use the fixture then.
    """
    nodeid = bare_nodeid(item.nodeid)
    file, _, within = nodeid.partition("::")
    function = within.partition("[")[0]
    return {"nodeid": nodeid, "file": file, "function": function, "index": item.stash.get(INDEX, -1)}


def _flags() -> list[str]:
    """Return the flags of this interpreter; without the current folder on its path where `pytest` was started by that name."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - what multiprocessing starts its children with
    by_name = Path(sys.argv[0]).name.lower() in {"pytest", "pytest.exe", "py.test"}
    return [*flags, "-P"] if by_name and not sys.flags.safe_path else flags
