"""Evidence in real pytest runs: the record is sound, and message, terminal and page tell what was discarded and in which state."""

from __future__ import annotations

from plugin_runs import run_pytest

from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.testing import fake_conftest


def test_state_duty_and_discarded_rounds_are_in_record_message_and_page(pytester):
    done = run_pytest(
        pytester,
        """
        def test_hot(gpuperf, fake):
            gpuperf.measure(fake.kernel(500e-6, watts=900.0), duty="sustained").require(time="<= 400 us")

        def test_passing(gpuperf, fake):
            calls = []

            def effect():
                calls.append(1)
                if len(calls) == 60:
                    fake.throttle(seconds=40e-3)

            m = gpuperf.measure(fake.kernel(20e-6, effect=effect))
            assert m.time < 22e-6
        """,
        "--gpuperf-limit=0.5",
        quick=False,
    )
    assert done.outcomes == {"failed": 1, "passed": 1}
    assert validate(done.run) == []
    (hot,) = done.case("test_hot")["measurements"]
    assert (hot["duty"], hot["state"]) == ("sustained", "power-limited")
    assert "cold, sustained, power-limited, SM 1500 MHz" in done.text
    (passing,) = done.case("test_passing")["measurements"]
    assert (passing["duty"], passing["state"]) == ("spaced", None)
    kept = [one for one in passing["evidence"] if not one["discarded"]]
    assert 0 < len(kept) < len(passing["evidence"])
    assert len(kept) == len(passing["samples"]["rounds"])
    assert done.run["devices"][0]["sm_clock"] == 1980
    page = (done.path / "reports" / "latest.html").read_text(encoding="utf-8")
    failures = page[page.index('id="failures"') : page.index('id="all"')]
    assert 'class="dist clock"' in failures
    assert "MHz by stamps" in failures


def test_a_throttle_that_stays_is_told_with_the_way_out(pytester):
    done = run_pytest(
        pytester,
        """
        def test_changes(gpuperf, fake):
            calls = []

            def effect():
                calls.append(1)
                if len(calls) == 180:
                    fake.throttle()

            gpuperf.measure(fake.kernel(20e-6, effect=effect), budget={"time": "<= 30 us"})
        """,
        "--gpuperf-limit=0.5",
        quick=False,
        conftest=fake_conftest(l2=1 << 16, jitter=0.0, launch_jitter=0.0),
    )
    assert done.outcomes == {"inconclusive": 1}
    assert done.codes == {"test_changes": ["throttled"]}
    assert "duty='sustained'" in done.text
