"""docs/getting-started.md: its blocks run in the order of the page, and each text that it quotes is a line of the run before it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_gpuperf.testing import Example

DOCS = (Path(__file__).parent.parent / "docs" / "getting-started.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in BLOCKS if language == "python"]
TEXTS = [text.strip("\n").splitlines() for language, text in BLOCKS if language == "text"]
FIRST, WITH_GPU, FAKE, MEANT, FORGETFUL, WITHOUT = PYTHON
BARE = {"NUMBA_ENABLE_CUDASIM": "0", "CUDA_VISIBLE_DEVICES": "-1"}


def quoted(printed: str, *texts: list[str]) -> None:
    lines = printed.splitlines()
    for line in (line for text in texts for line in text):
        assert line in lines, printed


def test_the_texts_are_those_that_are_compared_below():
    assert len(TEXTS) == 5
    assert len(FIRST.strip().splitlines()) <= 8


def test_from_a_failing_budget_to_a_limit_that_holds_to_a_wrong_kernel():
    example = Example({"conftest.py": FAKE, "test_double.py": FIRST})
    failed = example.run_pytest("--gpuperf")
    assert failed.outcomes() == {"failed": 1}
    quoted(failed.stdout, TEXTS[0], TEXTS[1])
    assert failed.report is not None
    example.write({"test_double.py": MEANT})
    held = example.run_pytest("--gpuperf", "--gpuperf-strict")
    assert held.outcomes() == {"passed": 1}
    quoted(held.stdout, TEXTS[2])
    right = re.search(r" {4}def write\(.*\n.*\n", FAKE)
    assert right is not None
    example.write({"conftest.py": FAKE.replace(right[0], FORGETFUL)})
    wrong = example.run_pytest("--gpuperf")
    assert wrong.outcomes() == {"failed": 1}
    quoted(wrong.stdout, TEXTS[3])


def test_without_a_gpu_nothing_is_green():
    example = Example({"conftest.py": WITH_GPU, "test_double.py": WITHOUT})
    result = example.run_pytest("--gpuperf", env=BARE)
    assert result.outcomes() == {"unmeasured": 1}, result.stdout
    # What NVML says of a machine without a GPU depends on whether a driver is installed there.
    said = [re.sub(r"no-gpu \(3\): .*?;", "no-gpu (3): NVML: library not found;", line) for line in result.stdout.splitlines()]
    quoted("\n".join(said), TEXTS[4])


def test_the_kernel_for_a_gpu_is_right():
    pytest.importorskip("numba.cuda")
    small = WITH_GPU.replace("1 << 18", "1 << 8")
    example = Example({"conftest.py": small, "test_double.py": MEANT})
    result = example.run_pytest("--gpuperf", env={"NUMBA_ENABLE_CUDASIM": "1"})
    assert result.outcomes() == {"unmeasured": 1}, result.stdout
    example.write({"conftest.py": small.replace("x[i] + x[i]", "x[i]")})
    assert example.run_pytest("--gpuperf", env={"NUMBA_ENABLE_CUDASIM": "1"}).outcomes() == {"failed": 1}
