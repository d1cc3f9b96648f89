"""docs/verdicts.md: its examples run in one session, and each text that it quotes is a line of that session."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_gpuperf.reasons import REASONS, VERDICTS
from pytest_gpuperf.testing import Example

DOCS = (Path(__file__).parent.parent / "docs" / "verdicts.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)
CONFTEST = """
import pytest
from pytest_gpuperf.testing import FakeDevice, FakeSpec

FAKE = FakeDevice(FakeSpec(name="NVIDIA H200"))

def pytest_gpuperf_backend(config):
    return FAKE

@pytest.fixture
def kernel():
    return FAKE.kernel(12e-6)

@pytest.fixture
def synchronize():
    return FAKE.synchronize
"""


@pytest.fixture(scope="module")
def said():
    tests = "import pytest\n\n" + "\n".join(text for language, text in BLOCKS if language == "python")
    example = Example({"conftest.py": CONFTEST, "test_questions.py": tests})
    done = example.run_pytest("--gpuperf")
    assert done.outcomes() == {"passed": 1, "inconclusive": 2, "unmeasured": 3}, done.stdout
    strict = example.run_pytest("--gpuperf", "--gpuperf-strict", "-k", "near")
    assert strict.outcomes() == {"failed": 1, "deselected": 5}, strict.stdout
    return (done.stdout + strict.stdout).splitlines()


@pytest.mark.parametrize("text", [text for language, text in BLOCKS if language == "text"])
def test_it_quotes_what_a_run_says(said, text):
    for line in text.strip("\n").splitlines():
        assert line in said, "\n".join(said)


def test_every_verdict_has_its_row():
    assert all(re.search(rf"^\| {verdict} \|", DOCS, re.MULTILINE) for verdict in VERDICTS)


def test_every_code_in_the_text_is_a_reason():
    headings = re.findall(r"^### .*$", DOCS, re.MULTILINE)
    asked = {code for heading in headings for code in re.findall(r"`([a-z0-9-]+)`", heading)} - {"--gpuperf"}
    assert len(asked) > 9
    assert asked <= {row.code for row in REASONS}
