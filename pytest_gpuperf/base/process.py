"""The base's process: how it is started in its own tree, what it says, and how it is ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf import relaunch
from pytest_gpuperf.base.tree import counterpart, moved
from pytest_gpuperf.base.wire import Closed, Late, Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_gpuperf.base.tree import Tree

_ENDS_SECONDS = 10.0


class Gone(Exception):
    """The base's session ended, or was ended, before it answered; the text says how."""


class Process:
    """One session of the base."""

    def __init__(self, config: pytest.Config, tree: Tree, items: Sequence[dict[str, Any]], *, seed: int | None, cache: str, shared: Path, patience: float) -> None:
        """Start it; OSError where that cannot be."""
        here, there = socket.socketpair()
        top, root = tree.source.top, tree.root
        beside = {
            "socket": there.fileno(), "top": str(top), "root": str(root.resolve()), "paths": _paths(top, root), "cache": cache, "shared": str(shared.resolve()),
        }  # fmt: skip
        self._patience = patience
        self._log = tree.folder / "session.log"
        path = tree.folder / "task.json"
        relaunch.write(relaunch.Task(relaunch.BASE, str(tree.folder / "session"), tuple(items), seed, relaunch.carry(config), beside=beside), path)
        with self._log.open("wb") as output, there:
            self._process = subprocess.Popen(
                _command(config, top, root), cwd=counterpart(relaunch.folder_of(config).resolve(), top, root) or relaunch.folder_of(config), env=_environment(path, top, root),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, pass_fds=[there.fileno()],
            )  # fmt: skip
        self._wire = Wire(here)

    def ask(self, **told: Any) -> None:
        """Tell it something; Gone where it has ended."""
        try:
            self._wire.send(**told)
        except Closed:
            raise Gone(self._ended()) from None

    def hear(self, *events: str, seconds: float | None = None) -> dict[str, Any]:
        """Return its next word, which is to be one of these events; Gone where it ends or says nothing in its time, and then it is ended."""
        try:
            told = self._wire.receive(seconds or self._patience)
        except Closed:
            raise Gone(self._ended()) from None
        except Late:
            self.kill()
            raise Gone(f"it did not answer in {seconds or self._patience:g} s, and was ended") from None
        if told["event"] in {*events, "ended", "gone"}:
            return told
        self.kill()
        raise Gone(f"it said {told['event']!r} where it was to say {' or '.join(events)}")

    def close(self) -> None:
        """Let it end by itself; end it where it does not."""
        self._wire.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDS_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End what is left of it, and what it started."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDS_SECONDS)
        self.kill()
        status = self._process.returncode
        try:
            said = [line.strip() for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        except OSError:
            said = []
        errors = [line for line in said if line.startswith(("E  ", "ERROR", "Error"))]
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"it ended with {how}: {(errors or said or ['it said nothing'])[-1].removeprefix('E ').strip()}"


def _command(config: pytest.Config, top: Path, root: Path) -> list[str]:
    """Return this session's command line as it is to be in the base's tree: paths of this one moved there, and the root of the tests said."""
    words = relaunch.command(config)
    cwd = relaunch.folder_of(config).resolve()
    start = words.index("pytest") + 1
    found = [moved(_absolute(word, cwd, top), top, root) for word in words[start:]]
    end = found.index("--") if "--" in found else len(found)
    base_root = counterpart(config.rootpath.resolve(), top, root)
    return [*words[:start], *found[:end], f"--rootdir={base_root or config.rootpath}", *found[end:]]


def _absolute(word: str, cwd: Path, top: Path) -> str:
    """Return a word that names something of the tree from outside of it with its whole path; any other as it is."""
    if cwd.is_relative_to(top) or word.startswith("-"):
        return word
    path, colons, within = word.partition("::")
    whole = (cwd / path).resolve()
    return f"{whole}{colons}{within}" if whole.is_relative_to(top) and whole.exists() else word


def _environment(path: Path, top: Path, root: Path) -> dict[str, str]:
    """Return the environment of the base: modules that this session finds in its tree by PYTHONPATH, it finds in its own, but for what measures."""
    found = relaunch.environment(path)
    ours = Path(__file__).resolve().parents[2]
    entries = [Path(one).resolve() for one in found.get("PYTHONPATH", "").split(os.pathsep) if one]
    kept = [str(one if one == ours else counterpart(one, top, root) or one) for one in entries]
    return found | ({"PYTHONPATH": os.pathsep.join(kept)} if kept else {})


def _paths(top: Path, root: Path) -> list[str]:
    """Return where the base is to look for modules first: the folders of its tree that answer to those where this session found its own."""
    places = [Path(one).resolve() for one in sys.path if one]
    for name, module in list(sys.modules.items()):
        # An editable installation finds a package without any folder on the path.
        file = getattr(module, "__file__", None)
        if file and "." not in name:
            place = Path(file).resolve()
            places.append(place.parent.parent if place.stem == "__init__" else place.parent)
    found = (counterpart(one, top, root) for one in dict.fromkeys(places))
    return [str(one) for one in found if one is not None and one.is_dir()]
