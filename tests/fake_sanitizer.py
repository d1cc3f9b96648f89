"""A compute-sanitizer for machines without one: it runs its target, and the tests' bodies write what it would have found."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_PROGRAM = """\
    #!{python}
    import os, subprocess, sys
    words = sys.argv[1:]
    if words == ["--version"]:
        print("NVIDIA (R) Compute Sanitizer\\nVersion 2025.3.1.0 (build 36400806) (public-release)")
        sys.exit(0)
    options = dict(zip(words[0:12:2], words[1:12:2]))
    target, log, mode = words[12:], options["--log-file"], os.environ.get("FAKE_SANITIZER", "")
    def say(text):
        with open(log, "a") as file:
            file.write("".join("========= " + line + "\\n" for line in text.splitlines()))
    with open("starts.txt", "a") as starts:
        starts.write(options["--tool"] + "\\n")
    if mode == "silent":
        sys.exit(0)
    say("COMPUTE-SANITIZER")
    if mode == "refuses":
        say("Error: Device not supported. Please refer to the Supported Devices section of the documentation")
        sys.exit(1)
    status = subprocess.run(target, env=os.environ | {{"FAKE_SANITIZER_LOG": log}}).returncode
    if status:
        say("Error: process didn't terminate successfully\\nTarget application returned an error")
    say(os.environ.get("FAKE_SANITIZER_LAST", "ERROR SUMMARY: 0 errors"))
    sys.exit(abs(status))
    """

#: For a conftest: what a body calls where a kernel does something wrong.
SAYS = '''
import os
import pytest

def says(text):
    """Write what compute-sanitizer would; nothing in a process that it does not watch."""
    path = os.environ.get("FAKE_SANITIZER_LOG")
    if path:
        with open(path, "a") as log:
            log.write(text.rstrip("\\n") + "\\n")

@pytest.fixture
def wrong(fake):
    def body(*blocks):
        kernel = fake.kernel(5e-6)
        def run():
            kernel()
            for block in blocks:
                says(block)
        return run
    return body
'''


def block(kernel: str = "store", line: int = 11, thread: int = 0, function: str = "test_wrong", what: str = "Invalid __global__ write of size 4 bytes") -> str:
    """Return a report as the tool writes it."""
    return "\n".join(
        "========= " + text
        for text in (
            what,
            f"    at {kernel}[abi:v2,cw51](Array<float, (int)1, C, mutable, aligned>, long long)+0x150 in kernels.py:{line}",
            f"    by thread ({thread},0,0) in block (0,0,0)",
            f"    Access to {0x7FB584C00000 + 4 * thread:#x} is out of bounds",
            f"    and is {4193537 + 4 * thread:,} bytes after the nearest allocation at 0x7fb584800200 of size 256 bytes",
            "    Saved host backtrace up to driver entry point at kernel launch time",
            f"        Host Frame: {function} in test_it.py:9",
            "",
        )
    )


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Path:
    """Put the program first on PATH and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "compute-sanitizer"
    program.write_text(textwrap.dedent(_PROGRAM).format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return program
