"""Runs of --gpuperf-sanitize with the fake compute-sanitizer: a test file whose bodies say what the tool finds in them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from fake_sanitizer import SAYS, block, install
from plugin_runs import FAKE, Run, run_pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

CONFTEST = FAKE + SAYS
#: Read in the test file as BLOCK and BLOCKS.
BLOCKS = f"BLOCK = {block()!r}\nBLOCKS = {[block(thread=thread) for thread in range(64)]!r}\n"
TWO = """
    def test_right(gpuperf, wrong):
        gpuperf.measure(wrong())

    def test_wrong(gpuperf, wrong):
        gpuperf.measure(wrong(*BLOCKS))

    def test_after(gpuperf, wrong):
        gpuperf.measure(wrong())
    """
STORY = (
    "memcheck: invalid __global__ write of size 4 bytes in store at kernels.py:11, 64 threads, first (0,0,0) of block (0,0,0) at 0x7fb584c00000, "
    "4,193,537 bytes after the nearest allocation at 0x7fb584800200 of size 256 bytes"
)


def sanitizer(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Return what writes a test file and checks it; environment variables of the fake program by keyword."""

    def sanitize(text: str, *args: str, tool: str = "memcheck", conftest: str = CONFTEST, **environment: str) -> Run:
        install(pytester.path / "bin", monkeypatch, **environment)
        return run_pytest(pytester, BLOCKS + textwrap.dedent(text), f"--gpuperf-sanitize={tool}", *args, conftest=conftest)

    return sanitize


def starts(done: Run) -> list[str]:
    """Return the tool of every start of the program."""
    path = done.path / "starts.txt"
    return path.read_text(encoding="utf-8").split() if path.exists() else []
