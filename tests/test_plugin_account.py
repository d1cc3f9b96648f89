"""Every collected budget is accounted for, whatever became of its case."""

from __future__ import annotations

import pytest
from plugin_runs import FAKE, run_pytest

from pytest_gpuperf.records import merge

TWO = '@pytest.mark.gpuperf(time="<= 12 us", wall_time="<= 1 s")\n'
GOOD = TWO + "def test_good(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n\n"


def _with(text):
    return GOOD + TWO + text


def test_a_skip_in_the_body_and_a_skip_by_marker(pytester):
    done = run_pytest(
        pytester,
        _with("def test_body(gpuperf, fake):\n    pytest.skip('not today')\n\n")
        + TWO
        + "@pytest.mark.skip(reason='never')\ndef test_mark(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n",
    )
    assert done.outcomes == {"passed": 1, "skipped": 2}
    assert done.account == {"collected": 6, "PASS": 2, "UNMEASURED": 4}
    assert done.case("test_mark")["verdict"] == "UNMEASURED"
    assert set(done.codes["test_mark"]) == {"skipped"}


def test_a_fixture_that_fails_before_and_after(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.fixture
        def broken():
            raise RuntimeError("no data")

        @pytest.fixture
        def leaks():
            yield
            raise RuntimeError("cannot close")

        @pytest.mark.gpuperf(time="<= 12 us", wall_time="<= 1 s")
        def test_before(broken, gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))

        @pytest.mark.gpuperf(time="<= 12 us")
        def test_after(gpuperf, fake, leaks):
            gpuperf.measure(fake.kernel(5e-6))
        """,
    )
    assert done.outcomes == {"errors": 2, "passed": 1}
    assert done.account == {"collected": 3, "PASS": 1, "UNMEASURED": 2}
    assert set(done.codes["test_before"]) == {"error"}
    assert done.case("test_before")["verdict"] == "FAIL"
    assert done.case("test_after")["verdict"] == "FAIL", "a case that failed is not recorded as a pass"


def test_a_body_that_fails_half_way(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 12 us", of="late")
        @pytest.mark.gpuperf(time="<= 12 us", of="early")
        def test_half(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6), name="early")
            raise ValueError("half way")
        """,
    )
    assert done.outcomes == {"failed": 1}
    assert done.account == {"collected": 2, "PASS": 1, "UNMEASURED": 1}


def test_a_case_that_measures_nothing(pytester):
    done = run_pytest(pytester, TWO + "def test_idle(gpuperf, fake):\n    pass\n")
    assert done.outcomes == {"unmeasured": 1}
    assert done.account == {"collected": 2, "UNMEASURED": 2}
    assert set(done.codes["test_idle"]) == {"no-measurement"}


def test_deselection_by_keyword_and_by_node_id(pytester):
    text = _with("def test_other(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n")
    done = run_pytest(pytester, text, "-k", "good")
    assert done.outcomes == {"passed": 1, "deselected": 1}
    assert done.account == {"collected": 4, "PASS": 2, "deselected": 2}
    assert done.run["deselected"] == [{"nodeid": "test_it.py::test_other", "budgets": 2}]
    done = run_pytest(pytester, text, "--deselect", "test_it.py::test_other")
    assert done.account == {"collected": 4, "PASS": 2, "deselected": 2}
    assert "account: collected 4 budgets = 2 PASS + 0 FAIL + 0 INCONCLUSIVE + 0 UNMEASURED + 0 NOT-APPLICABLE + 2 deselected" in done.text


def test_everything_deselected(pytester):
    done = run_pytest(pytester, GOOD, "-k", "nothing")
    assert done.status == 5
    assert done.account == {"collected": 2, "deselected": 2}


def test_stop_at_the_first_failure(pytester):
    done = run_pytest(
        pytester,
        '@pytest.mark.gpuperf(time="<= 4 us")\ndef test_first(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n\n' + GOOD,
        "-x",
    )
    assert (done.status, done.outcomes) == (1, {"failed": 1})
    assert done.account == {"collected": 3, "FAIL": 1, "UNMEASURED": 2}
    assert done.run["not_run"] == [{"nodeid": "test_it.py::test_good", "budgets": 2}]


def test_pytest_exit_in_a_case(pytester):
    done = run_pytest(pytester, _with("def test_stop(gpuperf, fake):\n    pytest.exit('enough', returncode=3)\n"))
    assert done.status == 3
    assert done.account == {"collected": 4, "PASS": 2, "UNMEASURED": 2}


def test_parametrised_cases_and_ids_that_are_hostile(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.parametrize("n", ["a::b", "x[1]", "a/b \\u00b5", "@gw0", "1,2"])
        @pytest.mark.gpuperf(time="<= 12 us")
        def test_ids(gpuperf, fake, n):
            gpuperf.measure(fake.kernel(5e-6), name="b / c")
        """,
    )
    assert done.outcomes == {"passed": 5}
    assert done.account == {"collected": 5, "PASS": 5}
    assert len({case["measurements"][0]["slug"] for case in done.run["cases"]}) == 5


def test_a_limit_that_budget_replaces_is_counted_once(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 1 us")
        def test_own(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6), budget={"time": ["<= 12 us", "<= 20 us"], "host_time": "<= 1 s"})
        """,
    )
    assert done.outcomes == {"passed": 1}
    assert set(done.account) == {"collected", "PASS"}
    assert sorted(one["text"] for one in done.case("test_own")["budgets"]) == ["<= 1 s", "<= 12 us", "<= 20 us"]


def test_a_case_that_runs_twice_has_two_attempts_and_its_last_one_counts(pytester):
    again = "from _pytest.runner import runtestprotocol\ndef pytest_runtest_protocol(item, nextitem):\n    for _ in range(2):\n        item._initrequest()\n        runtestprotocol(item, nextitem=nextitem)\n    return True\n"
    done = run_pytest(pytester, GOOD, conftest=FAKE + again)
    assert [case["attempt"] for case in done.run["cases"]] == [1, 2]
    assert done.account == {"collected": 2, "PASS": 2}


def test_collect_only_records_nothing(pytester):
    done = run_pytest(pytester, GOOD, "--collect-only", "-q")
    assert done.status == 0
    assert done.run is None
    assert not (done.path / "reports").exists()


@pytest.mark.parametrize(
    ("own", "judged"),
    [("", [("<= 12 us", "function marker")]), (', budget={"time": "<= 30 us"}', [("<= 30 us", "budget=")])],
)
def test_a_limit_for_all_measurements_gives_way_to_one_that_names_the_measurement_and_is_no_hole(pytester, own, judged):
    done = run_pytest(
        pytester,
        f"""
        @pytest.mark.gpuperf(time="<= 1 us")
        @pytest.mark.gpuperf(time="<= 12 us", of="x")
        def test_own(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6), name="x"{own})
        """,
    )
    assert [(one["text"], one["origin"]) for one in done.case("test_own")["budgets"]] == judged
    assert done.account == {"collected": 1, "PASS": 1}


def test_a_nearer_level_stands_before_one_that_names_the_measurement(pytester):
    done = run_pytest(
        pytester,
        """
        pytestmark = pytest.mark.gpuperf(time="<= 1 us", of="x")

        @pytest.mark.gpuperf(time="<= 12 us")
        def test_own(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6), name="x")
            gpuperf.measure(fake.kernel(5e-6), name="y")
        """,
    )
    assert [(one["measurement"], one["text"]) for one in done.case("test_own")["budgets"]] == [("x", "<= 12 us"), ("y", "<= 12 us")]
    assert done.account == {"collected": 2, "PASS": 2}


def test_main_does_not_take_the_limit_of_another_measurement(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 1 us", of="x")
        @pytest.mark.gpuperf(time="<= 12 us")
        def test_own(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
            gpuperf.measure(fake.kernel(5e-6), name="x")
        """,
    )
    assert sorted((one["measurement"], one["verdict"]) for one in done.case("test_own")["budgets"]) == [("main", "PASS"), ("x", "FAIL")]
    assert done.account == {"collected": 2, "PASS": 1, "FAIL": 1}


def test_a_counter_by_its_other_name_is_the_same_limit(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(dram_write="<= 1 MB")
        def test_own(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6), budget={"dram__bytes_write.sum": "<= 2 MB"})
        """,
        "--gpuperf-ncu=off",
    )
    assert [one["text"] for one in done.case("test_own")["budgets"]] == ["<= 2 MB"]
    assert done.account == {"collected": 1, "UNMEASURED": 1}


def test_an_account_that_does_not_add_up_is_trouble(pytester, monkeypatch):
    monkeypatch.setattr(merge, "account_problems", lambda run: [f"account: {len(run['cases'])} of 2"])
    done = run_pytest(pytester, GOOD)
    assert done.status == 8
    assert "gpuperf: account: 1 of 2" in done.text


def test_a_session_without_a_terminal(pytester):
    done = run_pytest(pytester, GOOD.replace("12 us", "4 us"), "-p", "no:terminal")
    assert done.status == 1
    assert done.account == {"collected": 2, "PASS": 1, "FAIL": 1}
