"""Child sessions as a parent starts them, in processes of their own: a command line, the child's progress, and what it left."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf import relaunch
from pytest_gpuperf.testing import fake_conftest
from pytest_gpuperf.testing.example import _installed

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
FAKE = fake_conftest(l2=1 << 16)
#: In the parent: write down what it would start, and do nothing else, or only what it has collected.
PARENT = """
import json, os, pathlib
import pytest
from pytest_gpuperf import relaunch

OUT = os.environ.get("CHILD_RUNS")

def written(config, items):
    os.environ.update(json.loads(os.environ.pop("CHILD_RUNS_LATE", "{}")))
    pathlib.Path(OUT).write_text(json.dumps({
        "command": relaunch.command(config), "folder": str(relaunch.folder_of(config)), "carried": relaunch.carry(config),
        "environment": relaunch.environment(pathlib.Path(OUT).parent / "task.json"), "items": [relaunch.key_of(one) for one in items],
    }))

@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    if OUT and os.environ.get("CHILD_RUNS_STOP") and not os.environ.get("GPUPERF_CHILD"):
        written(config, [])
        return 0

@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    if OUT and not os.environ.get("GPUPERF_CHILD"):
        written(session.config, session.items)
"""


@dataclasses.dataclass(frozen=True)
class ChildRun:
    """What a child came to."""

    status: int
    text: str
    progress: list[dict[str, Any]]
    parent: dict[str, Any]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.progress if one["event"] == event]

    @property
    def measured(self) -> list[tuple[str, str]]:
        """Node id and name of every body that was called in its range."""
        return [(one["nodeid"], one["name"]) for one in self.events("measured")]

    @property
    def outcomes(self) -> dict[str, tuple[str, str | None]]:
        return {one["nodeid"]: (one["outcome"], one["error"]) for one in self.events("ended")}


def run_child(
    folder: Path, files: dict[str, str], *args: str, kind: str = "ncu", select: Any = None, seed: int | None = 0, env: dict[str, str] | None = None,
    stop: bool = False, timeout: float = 60, late: dict[str, str] | None = None, between: Callable[[], object] = lambda: None,
) -> ChildRun:
    """Run a parent that only collects (with `stop` not even that), and the child that it would start; `select` picks the parent's items (None: all).

    The parent has the variables of `late` once it runs, and `between` is called before the child starts.
    """
    for name, text in {"pytest.ini": "[pytest]\n", "conftest.py": FAKE, "child_runs_parent.py": PARENT, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    out = folder / "child"
    out.mkdir()
    known = {name: value for name, value in os.environ.items() if not name.startswith(("GPUPERF_", "PYTEST_", "COV_"))}
    environment = known | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]), "PYTHONDONTWRITEBYTECODE": "1", "CHILD_RUNS": str(out / "parent.json")}
    environment |= {"CHILD_RUNS_STOP": "1"} if stop else {}
    environment |= {"CHILD_RUNS_LATE": json.dumps(late or {}), **(env or {})}
    words = [*([] if _installed() else ["-p", "pytest_gpuperf.plugin"]), "-p", "child_runs_parent", "--gpuperf", *args, *([] if stop else ["--collect-only", "-q"])]
    first = [sys.executable, "-m", "pytest", *words]
    done = subprocess.run(first, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL)
    assert (out / "parent.json").exists(), done.stdout + done.stderr
    parent = json.loads((out / "parent.json").read_text())
    items = None if select is None else tuple(select(parent["items"]))
    relaunch.write(relaunch.Task(kind, str(out), items, seed, parent["carried"]), out / "task.json")
    between()
    done = subprocess.run(
        parent["command"], cwd=parent["folder"], env=parent["environment"], capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    file = out / "progress.jsonl"
    progress = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return ChildRun(done.returncode, done.stdout + done.stderr, progress, parent)
