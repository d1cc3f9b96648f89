"""The examples of the README and of docs/asking.md run, and their failure texts are what a run prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_gpuperf.testing import Example

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ASKING = (ROOT / "docs" / "asking.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README + ASKING, re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in BLOCKS if language == "python"]

#: The arrays and kernels that the README's tests take for granted, on a fake H200 whose memory is slow enough for small arrays.
CONFTEST = """
import numpy as np
import pytest
from pytest_gpuperf.testing import FakeDevice, FakeSpec

FAKE = FakeDevice(FakeSpec(name="NVIDIA H200", bandwidth=0.16e12, l2_bandwidth=1.0e12))


def pytest_gpuperf_backend(config):
    return FAKE


class Staged:
    def __init__(self, duration=12.69e-6, elements=1 << 18):
        self.bytes = 4 * elements
        self.source, self.cache, self.reference = (FAKE.array((elements,)) for _ in range(3))
        self.source.numpy()[:] = np.arange(elements)
        self.reference.numpy()[:] = self.source.numpy()
        self.commit = FAKE.kernel(duration, reads=[self.source], writes=[self.cache], effect=self.copy)
        self.write_all = FAKE.kernel(2 * duration, reads=[self.source], writes=[self.cache], effect=self.copy)

    def copy(self, *_):
        self.cache.numpy()[:] = self.source.numpy()


@pytest.fixture
def staged():
    return Staged()


@pytest.fixture
def batches():
    return [(one.source, one.cache) for one in (Staged() for _ in range(8))]


@pytest.fixture
def launch(gpuperf):
    return FAKE.kernel(15e-6, stream=lambda: gpuperf.stream)


@pytest.fixture
def sized():
    def make(rows):
        one = Staged(elements=rows)
        return one.commit, one.bytes

    return make


@pytest.fixture
def kernel():
    return FAKE.kernel(15e-6, reads=lambda source, cache: [source], writes=lambda source, cache: [cache])
"""


def run(text: str, *options: str) -> tuple[str, int]:
    """Run one example as a test file of its own; return what it prints and its exit status."""
    # What only a profiler counts is judged for real; the others are as on a machine without one.
    conftest = CONFTEST.replace("1.0e12)", '1.0e12, cupti="usable")') if "memcpys" in text else CONFTEST
    result = Example({"conftest.py": conftest, "test_example.py": text}).run_pytest("-q", *options)
    return result.stdout + result.stderr, result.returncode


def test_there_are_examples() -> None:
    assert len(PYTHON) >= 12
    assert len(PYTHON[0].strip().splitlines()) <= 8


def test_the_first_example_fails_as_the_readme_says() -> None:
    printed, status = run(PYTHON[0], "--gpuperf")
    assert status == 1
    shown = next(text for language, text in BLOCKS if language == "text")
    for line in filter(None, map(str.strip, shown.splitlines())):
        assert line in printed, printed


@pytest.mark.parametrize("number", range(1, len(PYTHON)))
def test_the_other_examples_pass(number: int) -> None:
    text = PYTHON[number]
    if "def test_" not in text:
        text = "from pytest_gpuperf.testing import FakeDevice\n\n\ndef test_it(staged):\n" + "".join(
            f"    {line}\n" for line in text.replace("pytest_gpuperf.session()", "pytest_gpuperf.session(FakeDevice())").splitlines()
        )
    # A fake device has no hardware counters: the example is UNMEASURED, which strict mode would fail.
    counted = "dram__bytes" in text
    printed, status = run("import pytest\nfrom pytest_gpuperf import Work\n\n" + text, "--gpuperf", *(() if counted else ("--gpuperf-strict",)))
    assert status == 0, printed
    assert ("1 unmeasured" in printed) == counted, printed


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_every_example_runs_without_the_option(number: int) -> None:
    # Wrong calls are found among many: without the option there is only one.
    if "def test_" in PYTHON[number] and "NotIdentical" not in PYTHON[number]:
        printed, status = run("import pytest\nfrom pytest_gpuperf import Work\n\n" + PYTHON[number])
        assert status == 0, printed
