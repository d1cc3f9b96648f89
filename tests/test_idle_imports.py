"""A session with the plugin installed and unused pays for nothing that only a measurement needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("numpy", "numba", "torch", "cuda", "jinja2", "nvtx", "pynvml", "filelock", "multiprocessing.shared_memory")

# Written when the session ends, whatever the terminal shows.
CONFTEST = """
import pathlib, sys

def pytest_unconfigure():
    pathlib.Path("modules.txt").write_text("\\n".join(sys.modules))
"""


def loaded_by(folder: Path, *arguments: str) -> set[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=folder, env=environment, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # pytest lists installed plugins by itself, in one line.
    said = [line for line in done.stdout.splitlines() if not line.startswith("plugins:")]
    assert "gpuperf" not in "\n".join(said), f"unused, the plugin says nothing:\n{done.stdout}"
    return set((folder / "modules.txt").read_text().splitlines())


def test_loaded_and_unused(tmp_path):
    loaded = loaded_by(tmp_path, "-p", "pytest_gpuperf.plugin")
    assert "pytest_gpuperf.plugin" in loaded
    assert not loaded & set(HEAVY)


def test_pytest_alone_loads_none_of_them_either(tmp_path):
    """Were this red, the test above would prove nothing."""
    assert not loaded_by(tmp_path) & set(HEAVY)


@pytest.mark.parametrize("module", ["pytest_gpuperf", "pytest_gpuperf.cli"])
def test_importing_is_cheap(module):
    code = f"import {module}, sys; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
