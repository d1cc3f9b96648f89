"""Without --gpuperf: bodies run once, nothing is judged, written or said."""

from __future__ import annotations

import re

import pytest
from plugin_runs import run_pytest


def _ran(pytester, text, *args):
    done = run_pytest(pytester, text, "--gpuperf-off", *args, quick=False)
    assert done.run is None
    assert not (done.path / "reports").exists(), "no record and no folder"
    assert "gpuperf:" not in done.text
    assert "= gpuperf =" not in done.text
    assert "page:" not in done.text
    return done


def test_bodies_run_once_and_budgets_are_not_judged(pytester):
    done = _ran(
        pytester,
        """
        CALLS = []
        @pytest.mark.gpuperf(time="<= 1 ns", of="other")
        @pytest.mark.gpuperf(time="<= 1 ns", bandwidth=">= 80 %")
        def test_once(gpuperf, fake):
            m = gpuperf.measure(CALLS.append, 1, budget={"time": "<= 1 ns"})
            assert CALLS == [1]
            assert m.result is None

        def test_every_set_once_with_its_setup(gpuperf, fake):
            calls = []
            gpuperf.measure(calls.append, inputs=[(1,), (2,)], setup=lambda: calls.append("setup"))
            assert calls == ["setup", 1, "setup", 2]
        """,
    )
    assert (done.status, done.outcomes) == (0, {"passed": 2})


def test_identity_counts(pytester):
    done = _ran(
        pytester,
        """
        import numpy as np
        @pytest.mark.gpuperf(time="<= 1 ns")
        def test_bits(gpuperf):
            gpuperf.measure(lambda: None)
            gpuperf.identical(np.float32([0.0]), np.float32([-0.0]))
        """,
    )
    assert (done.status, done.outcomes) == (1, {"failed": 1})
    assert "bits differ: 1 of 1 elements, first at [0]: 0x00000000 != 0x80000000" in done.text


@pytest.mark.parametrize("needed", ["assert m.time < 1", "float(m['time'])", "m.require(time='<= 1 s')", "m.time.point", "assert m.time / m.wall_time < 1"])
def test_a_value_that_is_needed_ends_the_case_as_skipped(pytester, needed):
    done = _ran(
        pytester,
        f"""
        def test_number(gpuperf):
            m = gpuperf.measure(lambda: None)
            {needed}
            assert False, "never reached"
        """,
        "-rs",
    )
    assert (done.status, done.outcomes) == (0, {"skipped": 1}), done.text
    assert re.search(r"^SKIPPED \[1\] test_it\.py:\d+: needs --gpuperf$", done.text, re.MULTILINE), done.text


def test_an_option_that_does_nothing_is_named(pytester):
    done = run_pytest(pytester, "def test_one():\n    pass\n", "--gpuperf-off", "--gpuperf-report=page.html", "--gpuperf-strict", quick=False)
    assert (done.status, done.outcomes) == (0, {"passed": 1})
    assert "gpuperf: --gpuperf-report, --gpuperf-strict: no effect without --gpuperf" in done.text


def test_a_swallowed_hole_is_skipped_too(pytester):
    done = _ran(
        pytester,
        """
        def test_swallowed(gpuperf):
            m = gpuperf.measure(lambda: None)
            try:
                assert m.time < 1
            except Unmeasured:
                pass
        """,
    )
    assert done.outcomes == {"skipped": 1}


def test_what_shows_a_value_never_raises(pytester):
    done = _ran(
        pytester,
        """
        def test_shown(gpuperf):
            m = gpuperf.measure(lambda: None)
            assert "needs --gpuperf" in str(m.time)
            assert "needs --gpuperf" in repr(m.time * 2)
            assert "needs --gpuperf" in f"{m.bandwidth} {m.time:.3f}"
        """,
    )
    assert done.outcomes == {"passed": 1}


def test_a_case_that_needs_a_gpu_runs_where_there_is_one(pytester):
    done = _ran(
        pytester,
        """
        @pytest.mark.gpuperf(gpu=True)
        def test_gpu(gpuperf, fake):
            assert gpuperf.device.name == "NVIDIA FAKE"
        """,
    )
    assert done.outcomes == {"passed": 1}


def test_a_session_without_cases_is_silent_with_the_option_only_about_itself(pytester):
    done = run_pytest(pytester, "def test_plain():\n    pass\n")
    assert done.outcomes == {"passed": 1}
    assert done.account == {}
    assert done.run["cases"] == []
