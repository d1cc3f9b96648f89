"""Properties of cases in JUnit files: verdict, reasons, values and budgets, as plain texts that xdist carries too."""

from __future__ import annotations

import random
import textwrap
import xml.etree.ElementTree as ET

import pytest
from plugin_runs import FAKE, run_pytest
from run_files import case
from test_plugin_processes import case as case_text
from test_plugin_processes import example

from pytest_gpuperf.report.junit import properties

TEST = """
@pytest.mark.gpuperf(time="<= 12 us")
def test_fast(gpuperf, fake, request):
    request.node.user_properties.append(("mine", 7))
    gpuperf.measure(fake.kernel(5e-6))

@pytest.mark.gpuperf(time=["<= 4 us", "p99 <= 20 us"])
def test_slow(gpuperf, fake):
    gpuperf.measure(fake.kernel(5e-6), name="main")

def test_wrong(gpuperf, fake):
    gpuperf.measure(fake.kernel(5e-6))
    assert 1 == 2

@pytest.mark.gpuperf(time="<= 12 us")
def test_sync(gpuperf, fake):
    kernel = fake.kernel(5e-6)
    def body():
        kernel()
        fake.synchronize(0)
    gpuperf.measure(body)

@pytest.fixture
def broken():
    yield
    raise ValueError("torn down")

def test_torn(gpuperf, fake, broken):
    gpuperf.measure(fake.kernel(5e-6))

def test_other(request):
    request.node.user_properties.append(("mine", 8))
"""


def read(path):
    """Return for each test of a JUnit file its properties and its failure's text."""
    found = {}
    for node in ET.parse(path).getroot().iter("testcase"):
        told = [(one.get("name"), one.get("value")) for one in node.iter("property")]
        bad = node.find("failure")
        found.setdefault(node.get("name"), (told, None if bad is None else (bad.get("message"), bad.text)))
    return found


def test_a_junit_file_has_verdict_values_and_budgets_of_every_case(pytester):
    done = run_pytest(pytester, TEST, "--junitxml=junit.xml")
    assert done.status == 1
    found = read(done.path / "junit.xml")
    fast = dict(found["test_fast"][0])
    assert (fast["gpuperf_verdict"], fast["mine"], fast["gpuperf.main.time.budget"]) == ("PASS", "7", "<= 12 us: PASS")
    assert fast["gpuperf.main.time"].startswith("5.")
    assert fast["gpuperf.main.time"].endswith(" us")
    assert ".." in fast["gpuperf.main.time.interval"]
    assert fast["gpuperf.main.time.margin"].startswith("+5")
    slow, failure = found["test_slow"]
    assert ("gpuperf_verdict", "FAIL") in slow
    assert ("gpuperf.main.time.budget", "<= 4 us: FAIL") in slow
    assert any(name == "gpuperf.main.time.p99.budget" and text.startswith("p99 <= 20 us: ") for name, text in slow)
    assert "exceeds 4.000 us by" in failure[0]
    assert dict(slow)["gpuperf_location"] == "test_it.py:9"
    wrong = dict(found["test_wrong"][0])
    assert (wrong["gpuperf_verdict"], wrong["gpuperf_location"]) == ("FAIL", "test_it.py:15")
    sync, failure = found["test_sync"]
    assert failure is None, "pytest passes what is not measured"
    assert dict(sync)["gpuperf_verdict"] == "UNMEASURED"
    assert dict(sync)["gpuperf_reason"].startswith("sync: ")
    assert dict(sync)["gpuperf.main.time"] == "UNMEASURED sync"
    assert ("gpuperf.main.time.budget", "<= 12 us: UNMEASURED") in sync
    assert not [name for name, _ in sync if "tflops" in name], "nobody asked for them"
    assert dict(found["test_torn"][0])["gpuperf_verdict"] == "FAIL"
    assert found["test_other"][0] == [("mine", "8")]
    assert [case["failed_line"] for case in done.run["cases"] if "failed_line" in case] == [15, 28]


def test_without_gpuperf_there_are_none(pytester):
    done = run_pytest(pytester, TEST, "--gpuperf-off", "--junitxml=junit.xml", quick=False)
    assert all(not name.startswith("gpuperf") for told, _ in read(done.path / "junit.xml").values() for name, _ in told)


@pytest.mark.parametrize("attempt", [1, 2])
def test_properties_are_plain_texts_and_hostile_names_are_no_xml(attempt):
    record = case(3, "FAIL", random.Random(attempt))
    record["measurements"][0]["name"] = "a\x00\ud800<b>"
    for name, text in properties(record):
        assert type(name) is type(text) is str
        (name + text).encode()
        assert "\x00" not in name + text


def test_a_rerun_has_the_properties_of_its_last_attempt(pytester):
    text = """
    seen = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item, nextitem):
        from _pytest.runner import runtestprotocol
        for _ in range(2):
            item._initrequest()
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        for one in reports:
            item.ihook.pytest_runtest_logreport(report=one)
        return True
    """
    test = """
    tries = []
    def test_flaky(gpuperf, fake):
        gpuperf.measure(fake.kernel(5e-6))
        tries.append(1)
        assert len(tries) > 1
    """
    done = run_pytest(pytester, test, "--junitxml=junit.xml", conftest=FAKE + "\nimport pytest\n" + textwrap.dedent(text))
    told = read(done.path / "junit.xml")["test_flaky"][0]
    assert [text for name, text in told if name == "gpuperf_verdict"] == ["PASS"]
    assert ["failed_line" in case for case in done.run["cases"]] == [True, False]


def test_workers_carry_them_and_the_controller_alone_writes_the_summary():
    made = example(case_text("one") + case_text("two") + case_text("slow", limits='time="<= 4 us"'), "junit")
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(made.path / "step.md")}
    done = made.run_pytest("-n2", "--junitxml=junit.xml", env=env)
    assert done.returncode == 1
    found = read(made.path / "junit.xml")
    assert [dict(told)["gpuperf_verdict"] for told, _ in found.values()].count("PASS") == 2
    assert dict(found["test_slow"][0])["gpuperf.main.time.budget"] == "<= 4 us: FAIL"
    text = (made.path / "step.md").read_text(encoding="utf-8")
    assert text.count("## ") - text.count("### ") == 1
    assert [line.partition(" ")[0] for line in done.stdout.splitlines() if line.startswith("::")] == ["::error"]
