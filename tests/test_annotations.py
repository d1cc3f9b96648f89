"""Annotations of GitHub and the Code Quality report of GitLab: what is told, at which line, how it is escaped, and how much of it."""

from __future__ import annotations

import json
import random
import re

import pytest
from plugin_runs import run_pytest
from run_files import assemble, case, make_run, reason

from pytest_gpuperf.reference.compared import compare
from pytest_gpuperf.reference.limits import read_limits
from pytest_gpuperf.report.annotations import command, commands
from pytest_gpuperf.report.findings import findings, within
from pytest_gpuperf.report.gitlab import code_quality

COMMAND = re.compile(r"::(error|warning|notice) (?:file=([^:,\n]+),line=(\d+),)?title=([^:,\n]+)::([^\n]+)")
TEST = """
@pytest.mark.gpuperf(time="<= 4 us")
def test_slow(gpuperf, fake):
    gpuperf.measure(fake.kernel(5e-6))

def helper(m):
    m.require(time="<= 3 us")

def test_required(gpuperf, fake):
    m = gpuperf.measure(fake.kernel(5e-6))
    helper(m)

def test_near(gpuperf, fake):
    m = gpuperf.measure(fake.kernel(5e-6))

    assert m.time < 5.7e-6

@pytest.mark.xfail
def test_expected(gpuperf, fake):
    gpuperf.measure(fake.kernel(5e-6)).require(time="<= 3 us")

@pytest.mark.parametrize("n", range(3))
def test_sync(gpuperf, fake, n):
    kernel = fake.kernel(5e-6)
    def body():
        kernel()
        fake.synchronize(0)
    gpuperf.measure(body).require(time="<= 3 us")
"""


def told(lines):
    """Return (level, file, line, title, message) of each line; every one must be a command."""
    found = [COMMAND.fullmatch(line) for line in lines]
    assert all(found), lines
    return [one.groups() for one in found]


def printed(text):
    return told([line for line in text.splitlines() if line.startswith("::")])


@pytest.mark.parametrize(
    ("message", "properties", "line"),
    [
        ("a%b\r\nc::d,e", {"title": "x:y,z%\n"}, "::error title=x%3Ay%2Cz%25%0A::a%25b\\x0d%0Ac::d,e"),
        ("\u202eend", {"file": None}, "::error::\\u202eend"),
    ],
)
def test_commands_are_escaped(message, properties, line):
    assert command("error", message, **properties) == line


def test_a_session_prints_its_failures_at_their_lines(pytester, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path.parent))
    done = run_pytest(pytester, TEST)
    found = printed(done.text)
    here = f"{pytester.path.name}/test_it.py"
    assert [(level, file, line, title) for level, file, line, title, _ in found] == [
        ("error", here, "9", "FAIL%3A test_required"),
        ("error", here, "4", "FAIL%3A test_slow"),
        ("warning", here, "18", "INCONCLUSIVE%3A test_near"),
        ("notice", here, "24", "UNMEASURED sync"),
    ]
    assert found[0][4].endswith("%0Aagain: pytest --gpuperf 'test_it.py::test_required'")
    assert "exceeds 4.000 us by" in found[1][4]
    assert found[3][4].startswith("3 cases, first test_it.py::test_sync[0]: ")


@pytest.mark.parametrize("words", [(), ("--no-summary",), ("-q", "-s")])
def test_they_are_printed_once_however_little_pytest_says(words, pytester, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = run_pytest(pytester, TEST, *words)
    assert len(printed(done.text)) == 4


def test_elsewhere_there_are_none(pytester, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    assert printed(run_pytest(pytester, TEST).text) == []
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert printed(run_pytest(pytester, TEST, "--gpuperf-off", quick=False).text) == []


def test_of_many_the_worst_are_shown_and_the_tenth_counts_the_rest():
    run = make_run(failed=14, undecided=10, passed=0)
    found = told(commands(run, "/r", "/r"))
    assert [one[0] for one in found] == ["error"] * 10 + ["warning"] * 10 + ["notice"]
    assert "bits differ" in found[0][4]
    assert found[9][1:4] == (None, None, "and 5 more of pytest-gpuperf")
    assert all(file.startswith("suites/") for _, file, *_ in found[:9])


def test_a_later_attempt_that_passes_takes_a_failure_back():
    first, second = (case(3, verdict, random.Random(1)) for verdict in ("FAIL", "PASS"))
    flaky = assemble([first, second | {"attempt": 2}])
    assert findings(flaky) == []
    assert [one.level for one in findings(assemble([second, first | {"attempt": 2}]))] == ["error"]


def test_a_change_that_is_not_allowed_is_an_error_at_its_test():
    here, there = make_run(failed=0, undecided=0, passed=2, seed=3), make_run(failed=0, undecided=0, passed=2, seed=3)
    for row in there["cases"]:
        for value in row["measurements"][0]["values"].values():
            if value["number"] is not None:
                value |= {name: value[name] * 0.8 for name in ("number", "low", "high")}
    found = [one for one in findings(here, compare(here, there, read_limits("time:+5%"))) if one.level == "error"]
    assert found
    assert all(one.title.startswith("worse than the reference: test_") for one in found)
    assert all("(allowed +5%)" in one.message for one in found)


@pytest.mark.parametrize(("line", "at"), [("test_masks_bits.py:44: assert m.time < 1", 44), ("other.py:44", 15), ("main time", 15)])
def test_what_a_comparison_could_not_decide_is_told_where_it_stands(line, at):
    row = case(3, "INCONCLUSIVE", random.Random(1), kind="drift") | {"reasons": [reason("drift", line)]}
    (found,) = findings(assemble([row]))
    assert (found.level, found.line) == ("warning", at)


def test_files_outside_the_repository_have_no_place_in_it(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    assert within("a.py", str(tmp_path / "link"), str(tmp_path)) in {"a.py", "link/a.py"}
    assert within("a.py", str(tmp_path), str(tmp_path / "link")) == "a.py"
    assert within("../../x.py", str(tmp_path), str(tmp_path)) is None
    (line,) = commands(assemble([case(3, "FAIL", random.Random(1)) | {"file": "../x.py"}]), "/r", "/r")
    assert line.startswith("::error title=")


def test_gitlab_has_every_finding_with_a_stable_fingerprint():
    rows = json.loads(code_quality(make_run(failed=3), "/r", "/r"))
    assert [row["severity"] for row in rows] == ["major"] * 3 + ["minor"] * 3 + ["info"]
    assert all(set(row) == {"description", "check_name", "fingerprint", "severity", "location"} for row in rows)
    assert all(row["location"]["path"].startswith("suites/") and row["location"]["lines"]["begin"] > 0 for row in rows)
    prints = [row["fingerprint"] for row in rows]
    assert len(set(prints)) == len(prints)
    other = make_run(failed=3)
    for row in other["cases"]:
        for budget in row["budgets"]:
            budget["message"] = "another number"
    assert [row["fingerprint"] for row in json.loads(code_quality(other, "/r", "/r"))] == prints
