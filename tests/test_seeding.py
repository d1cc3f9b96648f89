"""Seeds: what a case draws does not depend on which other cases ran, is the same in a child, and is left alone where nobody asked."""

from __future__ import annotations

import json

import pytest
import torch  # noqa: F401 - pytester forgets the modules that a run imports: torch is not to be loaded twice
from child_runs import run_child
from plugin_runs import QUICK, run_pytest

TEXT = """
import json, random
import numpy as np, pytest
import torch

def draw():
    return [random.random(), float(np.random.random()), float(torch.rand(1))]

def note(name, drawn):
    with open("drawn.jsonl", "a") as file:
        file.write(json.dumps([name, drawn]) + "\\n")

@pytest.fixture(scope="session", params=[0, 1])
def wide(request):
    return draw()

@pytest.fixture(scope="module")
def late():
    return draw()

@pytest.fixture
def narrow():
    return draw()

@pytest.mark.parametrize("number", [0, 1])
def test_case(gpuperf, wide, narrow, number, request):
    note(request.node.name, [wide, narrow, draw(), request.getfixturevalue("late"), draw()])

def test_other(gpuperf, request):
    note(request.node.name, [draw()])
"""


def drawn(path):
    lines = [json.loads(line) for line in (path / "drawn.jsonl").read_text().splitlines()]
    (path / "drawn.jsonl").unlink()
    return dict(lines)


def test_what_a_case_draws_is_its_own(pytester):
    run_pytest(pytester, TEXT, QUICK)
    whole = drawn(pytester.path)
    assert len(whole) == 5
    run_pytest(pytester, TEXT, QUICK, "-k", "test_case and 1-1")
    alone = drawn(pytester.path)
    assert list(alone) == ["test_case[1-1]"]
    assert alone["test_case[1-1]"] == whole["test_case[1-1]"]


def test_no_two_draws_are_one(pytester):
    run_pytest(pytester, TEXT, QUICK)
    whole = drawn(pytester.path)
    each = [one for name in ("test_case[0-0]", "test_case[1-1]", "test_other") for draws in whole[name] for one in draws]
    # The wide fixture outlives its test: `late` is that of both cases.
    assert len(each) - len(set(each)) == 3
    assert whole["test_case[0-0]"][3] == whole["test_case[1-1]"][3]


def test_another_seed_draws_something_else_and_is_written_down(pytester):
    run_pytest(pytester, TEXT, QUICK)
    first = drawn(pytester.path)
    run = run_pytest(pytester, TEXT, QUICK, "--gpuperf-seed=7")
    second = drawn(pytester.path)
    assert run.run["run"]["seed"] == 7
    assert not {one for name in first for draws in first[name] for one in draws} & {one for name in second for draws in second[name] for one in draws}


@pytest.mark.parametrize("how", ["off", "without gpuperf"])
def test_generators_are_left_alone(pytester, how):
    if how == "off":
        run = run_pytest(pytester, TEXT, QUICK, "--gpuperf-seed=off")
        assert run.run["run"]["seed"] is None
    else:
        pytester.makepyfile(test_it=TEXT)
        pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:randomly")
    first = drawn(pytester.path)
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:randomly", *(["--gpuperf", "--gpuperf-seed=off", QUICK] if how == "off" else []))
    assert first["test_other"][0][0] != drawn(pytester.path)["test_other"][0][0]


def test_a_body_draws_the_same_whatever_its_fixtures_drew(pytester, monkeypatch):
    text = TEXT.replace("def narrow():\n", "def narrow():\n    import os\n    [draw() for _ in range(int(os.environ['DRAWS']))]\n")
    bodies = []
    for draws in ("0", "5"):
        monkeypatch.setenv("DRAWS", draws)
        run_pytest(pytester, text, QUICK, "-k", "1-1")
        ((_, narrow, *body),) = drawn(pytester.path).values()
        bodies.append((narrow, body))
    assert bodies[0][0] != bodies[1][0]
    assert bodies[0][1] == bodies[1][1]


def test_a_plain_test_draws_as_if_no_fixture_had_been_seeded(pytester):
    text = "import random, pytest\n\n@pytest.fixture(scope='session')\ndef wide():\n    return random.random()\n\ndef test_plain(request):\n    random.seed(3)\n    request.getfixturevalue('wide')\n    assert random.random() == random.Random(3).random()\n"
    assert run_pytest(pytester, text, QUICK).outcomes == {"passed": 1}


def test_a_child_draws_what_its_parent_does(pytester, tmp_path):
    text = TEXT.replace('"number", [0, 1]', '"number", [0, 1], ids=lambda value: hex(id(object()) + value)').replace("request.node.name", "request.node.name.partition('0x')[0] + str(request.node.callspec.params['number'] if hasattr(request.node, 'callspec') else '')")
    run_child(tmp_path, {"test_it.py": text}, select=lambda items: items[1:2])
    (child,) = drawn(tmp_path).items()
    (tmp_path / "child").rename(tmp_path / "first")
    # The same child again, in which the seed is another.
    run_child(tmp_path, {"test_it.py": text}, select=lambda items: items[1:2], seed=5)
    (other,) = drawn(tmp_path).items()
    assert child[0] == other[0]
    assert child[1][0] != other[1][0]


def test_parent_and_child_draw_the_same(pytester):
    run_pytest(pytester, TEXT, QUICK, "--gpuperf-seed=3")
    parent = drawn(pytester.path)
    run_child(pytester.path, {"test_it.py": TEXT}, "--gpuperf-seed=9", select=lambda items: [one for one in items if one["nodeid"].endswith("[1-0]")], seed=3)
    child = drawn(pytester.path)
    assert list(child) == ["test_case[1-0]"]
    assert child["test_case[1-0]"] == parent["test_case[1-0]"]


@pytest.mark.parametrize("given", ["-1", "seven", "1.5", str(2**63)])
def test_a_seed_that_is_none_is_refused_in_one_line(pytester, given):
    result = pytester.runpytest_inprocess("--gpuperf", f"--gpuperf-seed={given}")
    result.stderr.fnmatch_lines([f"ERROR: --gpuperf-seed: '{given}' is none of a whole number from 0, 'new' and 'off'"])
