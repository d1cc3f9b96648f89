"""The examples of the README and of docs/asking.md run, and their failure texts are what a run prints."""

from __future__ import annotations

import json
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


def as_test(text: str) -> str:
    """Return an example as a test file: what is no test of its own becomes the body of one."""
    if "def test_" not in text:
        text = "from pytest_gpuperf.testing import FakeDevice\n\n\ndef test_it(staged):\n" + "".join(
            f"    {line}\n" for line in text.replace("pytest_gpuperf.session()", "pytest_gpuperf.session(FakeDevice())").splitlines()
        )
    return "import pytest\nfrom pytest_gpuperf import Work\n\n" + text


#: Examples by the device that they need: what only a profiler counts is judged for real on one of its own.
PROFILED = [number for number in range(1, len(PYTHON)) if "memcpys" in PYTHON[number]]
PLAIN = [number for number in range(1, len(PYTHON)) if number not in PROFILED]


@pytest.mark.parametrize("numbers", [PLAIN, PROFILED], ids=["plain", "profiled"])
def test_the_other_examples_pass(numbers: list[int]) -> None:
    conftest = CONFTEST.replace("1.0e12)", '1.0e12, cupti="usable")') if numbers == PROFILED else CONFTEST
    example = Example({"conftest.py": conftest, **{f"test_{number}.py": as_test(PYTHON[number]) for number in numbers}})
    printed = example.run_pytest("-q", "--gpuperf", "--gpuperf-json=run.json", "--gpuperf-limit=0.1", timeout=120)
    assert printed.returncode == 0, printed.stdout + printed.stderr
    verdicts: dict[str, set[str]] = {}
    for case in json.loads((example.path / "run.json").read_text(encoding="utf-8"))["cases"]:
        verdicts.setdefault(case["file"], set()).add(case["verdict"])
    # A fake device has no hardware counters: that example is UNMEASURED. A session of the example's own is no case.
    wanted = {f"test_{number}.py": {"UNMEASURED" if "dram__bytes" in PYTHON[number] else "PASS"} for number in numbers if "gpuperf" in signature(PYTHON[number])}
    assert verdicts == wanted, printed.stdout


def signature(text: str) -> str:
    """Return the parameters of an example's tests."""
    return " ".join(re.findall(r"^def test_\w+\((.*)\):", text, re.MULTILINE))


def test_every_example_runs_without_the_option() -> None:
    # Wrong calls are found among many: without the option there is only one.
    chosen = [number for number in range(len(PYTHON)) if "def test_" in PYTHON[number] and "NotIdentical" not in PYTHON[number]]
    assert len(chosen) >= 10
    printed = Example({"conftest.py": CONFTEST, **{f"test_{number}.py": as_test(PYTHON[number]) for number in chosen}}).run_pytest("-q", timeout=120)
    assert printed.returncode == 0, printed.stdout + printed.stderr
