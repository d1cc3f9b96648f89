"""rng: every check draws new inputs, and a failure names the option that draws them again."""

from __future__ import annotations

import re

import pytest
import torch  # noqa: F401 - pytester forgets the modules that a run imports: torch is not to be loaded twice
from child_runs import run_child
from plugin_runs import run_pytest

TEXT = """
    import json, numpy as np, torch

    def note(name, *drawn):
        with open("drawn.jsonl", "a") as file:
            file.write(json.dumps([name, *drawn]) + "\\n")

    @pytest.mark.parametrize("number", [0, 1])
    def test_case(gpuperf, number):
        note(number, *[float(gpuperf.rng(name).random()) for name in ("", "", "other")], float(torch.rand(1, generator=gpuperf.rng(torch="cpu"))))

    def test_wrong(gpuperf):
        gpuperf.identical(gpuperf.rng().random(3), np.zeros(3))

    def test_wrong_without_rng(gpuperf):
        gpuperf.identical(np.ones(3), np.zeros(3), name="ones")
"""


def drawn(path):
    text = (path / "drawn.jsonl").read_text()
    (path / "drawn.jsonl").unlink()
    return text


def test_every_draw_is_new_and_every_run_the_same(pytester):
    run_pytest(pytester, TEXT)
    first = drawn(pytester.path)
    numbers = re.findall(r"0\.\d+(?:e-\d+)?", first)
    assert len(set(numbers)) == 8
    run_pytest(pytester, TEXT, "--gpuperf-off")
    assert drawn(pytester.path) == first
    run_pytest(pytester, TEXT, "--gpuperf-seed=off")
    assert drawn(pytester.path) == first


def test_a_new_seed_is_told_and_draws_the_same_again(pytester):
    runs = [run_pytest(pytester, TEXT, "--gpuperf-seed=new") for _ in range(2)]
    texts = drawn(pytester.path).splitlines()
    assert texts[0] != texts[2]
    (told,) = set(re.findall(r"--gpuperf-seed=(\d+)", runs[-1].text))
    assert runs[-1].run["run"]["seed"] == int(told)
    run_pytest(pytester, TEXT, f"--gpuperf-seed={told}")
    assert drawn(pytester.path).splitlines() == texts[2:]


def test_the_failure_line_names_the_seed_where_it_matters(pytester):
    run = run_pytest(pytester, TEXT)
    assert re.search(r"NotIdentical: bits differ: 3 of 3 elements, .* \(inputs: --gpuperf-seed=0\)\n", run.text)
    assert not re.search(r"ones: bits differ.*--gpuperf-seed", run.text)
    assert run.case("test_wrong")["checks"][0]["detail"].endswith("(inputs: --gpuperf-seed=0)")
    run = run_pytest(pytester, TEXT, "--gpuperf-seed=5")
    assert re.search(r"ones: bits differ: .* \(inputs: --gpuperf-seed=5\)\n", run.text)


def test_workers_share_the_new_number():
    from pytest_gpuperf.testing import Example

    text = "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_it(gpuperf, n):\n    gpuperf.identical(gpuperf.rng().random(2), gpuperf.rng().random(2))\n"
    result = Example({"test_it.py": text}).run_pytest("-q", "-n", "2", "--gpuperf-seed=new")
    assert len(set(re.findall(r"--gpuperf-seed=(\d+)", result.stdout))) == 1, result.stdout


def test_a_child_draws_what_its_parent_does(pytester, tmp_path):
    run_pytest(pytester, TEXT, "-k", "test_case")
    parent = drawn(pytester.path)
    run_child(tmp_path, {"test_it.py": "import pytest\n" + TEXT.replace("\n    ", "\n")})
    assert drawn(tmp_path) == parent


def test_torch_that_is_not_loaded_is_refused(pytester, monkeypatch):
    import sys

    import pytest_gpuperf
    from pytest_gpuperf.testing import FakeDevice

    monkeypatch.delitem(sys.modules, "torch")
    with pytest_gpuperf.session(FakeDevice()) as gpuperf, pytest.raises(ValueError, match=r"^rng\(torch='cuda'\): torch is not loaded$"):
        gpuperf.rng(torch="cuda")
