"""What a session says of its golden files: what changed, and which entries no test used."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.checks import golden_path
from pytest_gpuperf.errors import GpuPerfError
from pytest_gpuperf.identity.golden import UPDATE, Goldens, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_gpuperf.state import State

_NAME = "gpuperf-golden"


class GoldenHooks:
    """The hooks: workers tell the main process what they used, wrote and ran; that one prints it."""

    def __init__(self, config: pytest.Config, state: State | None) -> None:
        """Keep the state where this process runs tests itself."""
        self._config, self._state = config, state
        self._partial: set[str] = set()
        self._collected: dict[str, set[str]] = collections.defaultdict(set)
        self._passed: set[str] = set()
        self._used: dict[str, set[str]] = collections.defaultdict(set)
        self._changes: dict[str, list[str]] = collections.defaultdict(list)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Know the files of which not every test runs."""
        self._partial |= {str(item.path) for item in items}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Know the tests of each file."""
        for item in session.items:
            self._collected[str(item.path)].add(item.nodeid)
        # A node id on the command line leaves out the others of its file, and tells nobody.
        chosen = [str(one).partition("::")[0] for one in self._config.args if "::" in str(one)]
        self._partial |= {path for path in self._collected if any(path.endswith(Path(one).name) for one in chosen)}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Know which tests ran to their end."""
        if report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Take what this process did; a worker hands it on."""
        if self._state is not None:
            goldens = self._state.runtime.goldens if self._any_file() else Goldens()
            for path, keys in goldens.used.items():
                self._used[str(path)] |= keys
            for path, lines in goldens.changes.items():
                self._changes[str(path)] += lines
        handed = getattr(self._config, "workeroutput", None)
        if handed is not None:
            handed["gpuperf_golden"] = {
                "partial": sorted(self._partial), "passed": sorted(self._passed), "collected": {path: sorted(ids) for path, ids in self._collected.items()},
                "used": {path: sorted(keys) for path, keys in self._used.items()}, "changes": dict(self._changes),
            }  # fmt: skip

    def _any_file(self) -> bool:
        """Say whether a test of this session may have used one: else the device is left alone."""
        return self._state is not None and self._state._runtime is not None  # noqa: SLF001 - `runtime` would make it

    def hear(self, told: dict[str, Any]) -> None:
        """Take what a worker handed on."""
        self._partial |= set(told["partial"])
        self._passed |= set(told["passed"])
        for path, ids in told["collected"].items():
            self._collected[path] |= set(ids)
        for path, keys in told["used"].items():
            self._used[path] |= set(keys)
        for path, lines in told["changes"].items():
            self._changes[path] += lines

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the diff, and the entries that no test used."""
        for text, markup in [*self._diff(), *self._unused()]:
            terminalreporter.write_line(text, **markup)

    def _named(self, path: str) -> str:
        return Goldens(self._config.rootpath).named(Path(path))

    def _diff(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for path, lines in sorted(self._changes.items()):
            yield f"golden: {self._named(path)} was written; review it:", {}
            for line in lines:
                yield line, {"green": True} if line.startswith("+") else {"red": True}

    def _unused(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for test, ids in sorted(self._collected.items()):
            path = golden_path(Path(test))
            if test in self._partial or not ids <= self._passed or not path.exists():
                continue
            try:
                names = read_file(path)
            except GpuPerfError:
                continue
            # An entry of another architecture is used where that is.
            used = {_plain(key) for key in self._used.get(str(path), ())}
            left = [name for name in names if _plain(name) not in used]
            if left:
                shown = ", ".join(map(repr, left[:5])) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
                yield f"golden: {self._named(str(path))}: no test used {shown}; delete {'it' if len(left) == 1 else 'them'}, as {UPDATE} does not", {"yellow": True}


def _plain(key: str) -> str:
    """Return the name of an entry without its architecture.

    >>> _plain("cache [sm_90]"), _plain("out [1]")
    ('cache', 'out [1]')
    """
    name, _, rest = key.rpartition(" [")
    return name if rest.startswith(("sm_", "host]")) else key


def register(config: pytest.Config, state: State | None = None) -> GoldenHooks:
    """Return the hooks of a session, registered at the first call."""
    found: GoldenHooks | None = config.pluginmanager.get_plugin(_NAME)
    if found is None:
        found = GoldenHooks(config, state)
        config.pluginmanager.register(found, _NAME)
    return found
