"""Markers: which limits a case has, and which measurement each of them is for."""

from __future__ import annotations

from plugin_runs import run_pytest


def test_markers_of_all_levels_stack(pytester):
    done = run_pytest(
        pytester,
        """
        pytestmark = pytest.mark.gpuperf(time="<= 1 us", wall_time="<= 1 s")

        @pytest.mark.gpuperf(time="<= 2 us", host_time="<= 1 s")
        class TestStaged:
            @pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.gpuperf(time="<= 20 us"))])
            @pytest.mark.gpuperf(time="<= 12 us")
            def test_of_function(self, gpuperf, fake, n):
                gpuperf.measure(fake.kernel(5e-6), budget={"wall_time": "<= 2 s"})
        """,
    )
    assert done.outcomes == {"passed": 2}
    shown = {(budget["quantity"], budget["text"], budget["origin"]) for budget in done.case("[1]")["budgets"]}
    assert shown == {("time", "<= 12 us", "function marker"), ("wall_time", "<= 2 s", "budget="), ("host_time", "<= 1 s", "class marker")}
    assert ("time", "<= 20 us", "parameter marker") in {(budget["quantity"], budget["text"], budget["origin"]) for budget in done.case("[2]")["budgets"]}
    assert done.account == {"collected": 6, "PASS": 6}


def test_a_marker_is_for_main_where_there_is_one_else_for_all(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 4 us")
        def test_main(gpuperf, fake):
            gpuperf.measure(fake.kernel(1e-6))
            gpuperf.measure(fake.kernel(9e-6), name="slow")

        @pytest.mark.gpuperf(time="<= 4 us")
        def test_named(gpuperf, fake):
            gpuperf.measure(fake.kernel(1e-6), name="quick")
            gpuperf.measure(fake.kernel(9e-6), name="slow")

        @pytest.mark.gpuperf(time="<= 4 us", of="slow")
        def test_of(gpuperf, fake):
            gpuperf.measure(fake.kernel(1e-6))
            gpuperf.measure(fake.kernel(9e-6), name="slow")
        """,
    )
    judged = {case["function"]: [(one["measurement"], one["verdict"]) for one in case["budgets"]] for case in done.run["cases"]}
    assert judged == {
        "test_main": [("main", "PASS")],
        "test_named": [("quick", "PASS"), ("slow", "FAIL")],
        "test_of": [("slow", "FAIL")],
    }
    assert done.account == {"collected": 4, "PASS": 2, "FAIL": 2}
    assert "slow time: 9." in done.text


def test_an_inner_class_goes_before_an_outer_one(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 1 us")
        class TestOuter:
            @pytest.mark.gpuperf(time="<= 100 us")
            class TestInner:
                def test_inner(self, gpuperf, fake):
                    gpuperf.measure(fake.kernel(10e-6))

            def test_outer(self, gpuperf, fake):
                gpuperf.measure(fake.kernel(10e-6))
        """,
    )
    assert done.outcomes == {"passed": 1, "failed": 1}
    assert done.case("::test_inner")["budgets"][0]["text"] == "<= 100 us"
