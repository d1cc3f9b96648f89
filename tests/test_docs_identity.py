"""docs/identity.md: its examples run, its failure texts are what a run prints, its table has every way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_readme import CONFTEST

from pytest_gpuperf.identity.determinism import WAYS
from pytest_gpuperf.testing import Example

ROOT = Path(__file__).parent.parent
DOCS = (ROOT / "docs" / "identity.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in BLOCKS if language == "python"]
TEXTS = [text for language, text in BLOCKS if language == "text"]
STAGED = CONFTEST + """

def commit_into(self, out):
    FAKE.kernel(5e-6, effect=lambda: out.numpy().fill(1.0))()

Staged.commit_into = commit_into
"""


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_its_examples_run(number):
    example = Example({"conftest.py": STAGED, "test_it.py": PYTHON[number]})
    options = ["--gpuperf-update-golden"] if "golden" in PYTHON[number] else []
    for more in (options, []):
        result = example.run_pytest("-q", *more)
        assert result.outcomes() == {"passed": 1}, result.stdout


def test_the_line_of_a_write_outside():
    wrong = STAGED.replace("out.numpy().fill(1.0)", "(out.numpy().fill(1.0), out._whole.numpy()[-4096:-4092].view('f4').fill(1.0))")
    result = Example({"conftest.py": wrong, "test_it.py": PYTHON[1]}).run_pytest("-q")
    assert TEXTS[0].strip() in result.stdout, result.stdout


def test_the_lines_of_a_call_that_is_wrong():
    text = """
        import numpy

        def test_it(gpuperf, staged):
            out, calls = staged.cache[:64], iter(range(100))

            def body():
                out.numpy()[:] = 1.0
                if next(calls) == 10:
                    out.numpy()[5] = numpy.nextafter(numpy.float32(1), numpy.float32(2))

            gpuperf.deterministic(body, outputs=[out])
    """
    result = Example({"conftest.py": STAGED, "test_it.py": text}).run_pytest("-q")
    for line in TEXTS[1].strip().splitlines():
        assert line in result.stdout, result.stdout


def test_every_way_is_in_the_table():
    said = re.findall(r"^\| `(.*?)` \|", DOCS, re.MULTILINE)
    assert said[0] == "not written"
    assert len(said) == len(WAYS) + 1
    for row, text in zip(WAYS, said[1:], strict=True):
        assert row.name.split()[0] == text.split()[0]


def test_the_option_in_the_text_is_the_one_that_failures_name():
    assert re.search(r"\(inputs: --gpuperf-seed=\d+\)$", TEXTS[2].strip())


def test_the_readme_names_it():
    assert "docs/identity.md" in (ROOT / "README.md").read_text(encoding="utf-8")
