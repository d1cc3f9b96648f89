"""Attempts to make a budget, a failure or a record vanish: each of these runs once passed without a word."""

from __future__ import annotations

import copy
import json

import pytest
from plugin_runs import FAKE, QUICK, run_pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.errors import BadBudget, BudgetExceeded
from pytest_gpuperf.records.journal import Journal, read_journal
from pytest_gpuperf.work import Work

SLOW = """
    def test_slow(gpuperf, fake):
        gpuperf.measure(fake.kernel(5e-6))
    """
ADDED = 'add_marker(pytest.mark.gpuperf(time="<= 1 us"))'


def _failed(done):
    assert (done.status, done.outcomes) == (1, {"failed": 1}), done.text
    assert done.account == {"collected": 1, "FAIL": 1}


def test_a_marker_that_a_conftest_adds_is_judged(pytester):
    _failed(run_pytest(pytester, SLOW, conftest=FAKE + f"\ndef pytest_collection_modifyitems(items):\n    items[0].{ADDED}\n"))


@pytest.mark.parametrize("hook", ["pytest_collection_modifyitems(items)", "pytest_collection_finish(session)"])
def test_a_bad_limit_that_a_conftest_adds_ends_the_session(pytester, hook):
    items = "items" if "items)" in hook else "session.items"
    bad = f"\n@pytest.hookimpl(tryfirst=True)\ndef {hook}:\n    {items}[0].add_marker(pytest.mark.gpuperf(tiem='<= 1 us'))\n"
    done = run_pytest(pytester, SLOW, conftest=FAKE + bad)
    assert done.status == 4
    assert "ERROR: BadBudget: test_it.py::test_slow: gpuperf marker has no keyword 'tiem'; nearest 'time'" in done.text


def test_a_marker_that_a_fixture_adds_is_judged(pytester):
    text = f"@pytest.fixture\ndef limit(request):\n    request.node.{ADDED}\n\ndef test_slow(limit, gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n"
    _failed(run_pytest(pytester, text))


def test_a_percentile_that_a_fixture_asks_for_has_its_samples(pytester):
    added = ADDED.replace("<= 1 us", "p99 <= 1 us")
    text = f"@pytest.fixture\ndef limit(request):\n    request.node.{added}\n\ndef test_slow(limit, gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n"
    _failed(run_pytest(pytester, text, "--gpuperf-limit=0.2", quick=False))


def test_a_marker_that_the_test_adds_to_itself_is_judged(pytester):
    _failed(run_pytest(pytester, f"def test_slow(request, gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n    request.node.{ADDED}\n"))


@pytest.mark.parametrize("own", [False, True])
def test_a_fixture_that_is_asked_for_in_the_test_judges_too(pytester, own):
    marker = "" if own else 'pytestmark = pytest.mark.gpuperf(time="<= 1 us")\n'
    budget = ', budget={"time": "<= 1 us"}' if own else ""
    body = f'gpuperf = request.getfixturevalue("gpuperf")\n    gpuperf.measure(fake.kernel(5e-6){budget})\n'
    _failed(run_pytest(pytester, f"{marker}def test_slow(request, fake):\n    {body}"))


def test_what_a_hook_takes_out_without_a_word_is_counted_as_deselected(pytester):
    text = """
        @pytest.mark.gpuperf(time=["<= 1 us", "<= 2 us"])
        def test_slow(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))

        def test_other(gpuperf):
            pass
        """
    done = run_pytest(pytester, text, conftest=FAKE + "\ndef pytest_collection_modifyitems(items):\n    del items[0]\n")
    assert done.account == {"collected": 2, "deselected": 2}
    both = "\ndef pytest_collection_modifyitems(items, config):\n    config.hook.pytest_deselected(items=items[:1])\n    del items[0]\n"
    assert run_pytest(pytester, text, conftest=FAKE + both).account == {"collected": 2, "deselected": 2}, "and never twice"
    added = "\ndef pytest_collection_modifyitems(items):\n    items[1].add_marker(pytest.mark.gpuperf(time='<= 1 us'))\n    del items[:]\n"
    assert run_pytest(pytester, text, conftest=FAKE + added).account == {"collected": 3, "deselected": 3}


def test_a_measurement_after_the_judging_is_an_error(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.fixture
        def late(gpuperf, fake):
            yield
            gpuperf.measure(fake.kernel(5e-6), name="late", budget={"time": "<= 1 us"})

        def test_early(late):
            pass
        """,
    )
    assert done.outcomes == {"passed": 1, "errors": 1}
    assert "measure('late'): the budgets of test_it.py::test_early have been judged already" in done.text


def test_a_method_of_a_test_case_is_refused(pytester):
    done = run_pytest(
        pytester,
        """
        import unittest

        @pytest.mark.usefixtures("gpuperf")
        @pytest.mark.gpuperf(time="<= 1 us")
        class TestOld(unittest.TestCase):
            def test_old(self):
                pass
        """,
    )
    assert done.outcomes == {"errors": 1}
    assert "test_it.py::TestOld::test_old: is a method of a unittest.TestCase, around which no limit can be judged" in done.text
    assert done.account == {"collected": 1, "UNMEASURED": 1}


def test_what_fails_in_a_thread_fails_the_test(pytester):
    text = """
        import threading
        import numpy as np

        def in_thread(what):
            def caught():
                try:
                    what()
                except AssertionError:
                    pass
            thread = threading.Thread(target=caught)
            thread.start()
            thread.join()

        def test_bits(gpuperf):
            in_thread(lambda: gpuperf.identical(np.zeros(3), np.ones(3)))

        def test_limit(gpuperf, fake):
            m = gpuperf.measure(fake.kernel(5e-6))
            in_thread(lambda: m.require(time="<= 1 us"))

        def test_expected(gpuperf):
            with pytest.raises(NotIdentical):
                gpuperf.identical(np.zeros(3), np.ones(3))
        """
    done = run_pytest(pytester, text)
    assert done.outcomes == {"failed": 2, "passed": 1}
    assert "failed in a thread of the test: NotIdentical: bits differ: 3 of 3 elements" in done.text
    assert "failed in a thread of the test: time: 5." in done.text
    assert "contextlib" not in done.text, "no frame of the plugin's own"
    assert done.account == {"collected": 1, "FAIL": 1}


def test_limits_of_a_measurement_that_raised_are_accounted_for(pytester):
    done = run_pytest(
        pytester,
        """
        def test_swallowed(gpuperf, fake):
            def broken():
                raise RuntimeError
            try:
                gpuperf.measure(broken, budget={"time": ["<= 1 us", "<= 2 us"]})
            except RuntimeError:
                pass

        def test_again(gpuperf, fake):
            with pytest.raises(ZeroDivisionError):
                gpuperf.measure(lambda: 1 / 0, budget={"time": "<= 1 us"})
            gpuperf.measure(fake.kernel(5e-6), budget={"time": "<= 12 us"})
        """,
    )
    assert done.outcomes == {"unmeasured": 1, "passed": 1}
    assert done.account == {"collected": 3, "PASS": 1, "UNMEASURED": 2}
    assert done.codes == {"test_swallowed": ["body-failed"] * 2, "test_again": []}


@pytest.mark.parametrize("kind", [copy.copy, copy.deepcopy])
def test_a_copy_tells_the_same_case(kind):
    with bench(device(**STILL)) as gpuperf:
        m = gpuperf.measure(gpuperf._runtime.backend.kernel(5 * US))
        for value in (kind(m.time), kind({"a": m.time})["a"], kind(m).time):
            gpuperf._case.undecideds.clear()
            with pytest.raises(Exception, match="straddles"):
                assert value < m.time.point
            assert len(gpuperf._case.undecideds) == 1
        with pytest.raises(BudgetExceeded):
            kind(m).require(time="<= 1 us")
        assert len(gpuperf._case.required) == 1


def test_a_work_of_no_bytes_has_no_roof_of_bytes_and_an_empty_one_has_none():
    fake = device(**STILL)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(fake.kernel(5 * US), name="flops", work=Work(flops=1000))
        with pytest.raises(BadBudget, match=r"needs work=Work\(reads=\.\.\., writes=\.\.\.\)"):
            m.require(bandwidth=">= 1 %")
        m.require(time="<= 1000 x roof")
        m = gpuperf.measure(fake.kernel(5 * US), name="empty", work=Work())
        for limits in ({"bandwidth": ">= 1 %"}, {"time": "<= 1000 x roof"}):
            with pytest.raises(BadBudget, match=r"needs work=Work\(reads=\.\.\., writes=\.\.\.\)"):
                m.require(**limits)
        with pytest.raises(BadBudget, match="has no roof"):
            _ = m.roof


def test_a_parameter_whose_repr_raises_costs_no_record(pytester):
    done = run_pytest(
        pytester,
        """
        class Rude:
            def __repr__(self):
                raise RuntimeError

        @pytest.mark.parametrize("rude", [Rude()])
        @pytest.mark.gpuperf(time="<= 12 us")
        def test_rude(gpuperf, fake, rude):
            gpuperf.measure(fake.kernel(5e-6))
        """,
    )
    assert done.account == {"collected": 1, "PASS": 1}
    assert done.case("test_rude[rude0]")["parameters"] == {"rude": "<Rude, whose repr raises RuntimeError>"}


def test_two_runs_of_one_process_in_one_second_are_two_runs(pytester):
    for _ in range(3):
        done = run_pytest(pytester, '@pytest.mark.gpuperf(time="<= 12 us")\n' + SLOW.strip().replace("\n    ", "\n"), QUICK)
        assert done.account == {"collected": 1, "PASS": 1}
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in (done.path / "reports" / "runs").glob("*.json")]
    assert [len(run["cases"]) for run in runs] == [1, 1, 1]
    assert len({run["run"]["id"] for run in runs}) == 3


def test_a_journal_that_is_deleted_during_the_run_comes_back_whole(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 12 us")
        def test_before(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))

        def test_clean():
            import shutil
            shutil.rmtree("reports")

        @pytest.mark.gpuperf(time="<= 1 us")
        def test_after(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
        """,
    )
    assert done.outcomes == {"passed": 2, "failed": 1}
    assert done.account == {"collected": 2, "PASS": 1, "FAIL": 1}


def test_a_journal_keeps_what_it_held_when_its_folder_cannot_come_back(tmp_path):
    told = []
    journal = Journal(tmp_path / "runs" / "main.jsonl", told.append)
    journal.append("start", case={"nodeid": "a"})
    (tmp_path / "runs" / "main.jsonl").unlink()
    (tmp_path / "runs").rmdir()
    (tmp_path / "runs").write_text("in the way", encoding="utf-8")
    journal.append("start", case={"nodeid": "b"})
    assert len(told) == 1
    (tmp_path / "runs").unlink()
    journal.append("start", case={"nodeid": "c"})
    assert journal.close() == 0
    assert [event["case"]["nodeid"] for event in read_journal(journal.path).events] == ["a", "b", "c"]
