"""What every test gets: an environment without the caller's settings, and deterministic hypothesis runs."""

from __future__ import annotations

import os

import hypothesis
import pytest
from slow_tests import is_slow

# Two shared cores are no place for deadlines, and a test that fails must fail again.
hypothesis.settings.register_profile("repository", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("repository")

_PREFIXES = ("GPUPERF_", "PYTEST_XDIST_", "COV_CORE_")
_NAMES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_THEME", "PY_COLORS", "FORCE_COLOR", "NO_COLOR", "NUMBA_ENABLE_CUDASIM", "CI", "BUILD_NUMBER", "GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS", "GITHUB_WORKSPACE")


@pytest.fixture(autouse=True)
def _isolated_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the caller's settings, and this session's own, out of what a test starts: pytest words and wraps its output by them."""
    for name in [*_NAMES, *(name for name in os.environ if name.startswith(_PREFIXES))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in the list of slow tests, before anything is selected by its marks."""
    for item in items:
        if is_slow(item.nodeid):
            item.add_marker(pytest.mark.slow)
