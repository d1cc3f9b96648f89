"""`gpuperf.compare` in real pytest runs: verdicts, messages, the account, the record and the page; with a device and without."""

from __future__ import annotations

import pytest
from plugin_runs import NO_GPU, run_pytest

from pytest_gpuperf.records.schema import validate

VERSIONS = '{"loop": fake.kernel(40e-6), "kernel": fake.kernel(10e-6)}'


def test_a_speedup_that_is_kept_is_in_the_account_the_record_and_the_page(pytester):
    done = run_pytest(
        pytester,
        f"""
        def test_fast(gpuperf, fake):
            c = gpuperf.compare({VERSIONS})
            c.require(speedup=">= 2.5", of="kernel", over="loop")
            assert c["kernel"].time < 15e-6
            assert c.speedup(of="kernel", over="loop") > 3
        """,
    )
    assert done.outcomes == {"passed": 1}
    assert done.account == {"collected": 1, "PASS": 1}
    assert validate(done.run) == []
    case = done.case("test_fast")
    (budget,) = case["budgets"]
    assert {key: budget[key] for key in ("measurement", "quantity", "statistic", "text", "op", "limit", "unit", "origin", "verdict")} == {
        "measurement": "compare/kernel over loop", "quantity": "speedup", "statistic": "p50", "text": ">= 2.5", "op": ">=", "limit": 2.5, "unit": "x",
        "origin": "require", "verdict": "PASS",
    }  # fmt: skip
    assert [one["name"] for one in case["measurements"]] == ["compare/loop", "compare/kernel"]
    (comparison,) = case["comparisons"]
    assert comparison["versions"] == ["loop", "kernel"]
    assert comparison["blocks"] == len(comparison["order"]) >= 10
    (ratio,) = comparison["ratios"]
    assert ratio["value"]["low"] <= ratio["value"]["number"] <= ratio["value"]["high"]
    page = (done.path / "reports" / "latest.html").read_text(encoding="utf-8")
    assert f"random ABBA blocks (seed {comparison['seed']})" in page
    assert "compare/kernel over loop speedup" in page


def test_a_speedup_that_is_missed_fails_in_one_line_and_on_the_page(pytester):
    done = run_pytest(
        pytester, f'def test_slow(gpuperf, fake):\n    gpuperf.compare({VERSIONS}).require(speedup=">= 5 x", of="kernel", over="loop")\n'
    )
    assert done.outcomes == {"failed": 1}
    assert done.account == {"collected": 1, "FAIL": 1}
    assert "compare/kernel over loop speedup: 3.8" in done.text
    assert "x is below 5.000 x by" in done.text
    assert "comparison.py" not in done.text, "the traceback ends at the user's line"
    page = (done.path / "reports" / "latest.html").read_text(encoding="utf-8")
    failures = page[page.index('id="failures"') : page.index('id="all"')]
    assert failures.count('class="whisker"') == 1
    assert failures.count("is below 5.000 x") >= 1


def test_undecided_and_unmeasured_speedups_are_categories_of_their_own(pytester):
    done = run_pytest(
        pytester,
        """
        def test_close(gpuperf, fake):
            c = gpuperf.compare({"one": fake.kernel(10e-6), "two": fake.kernel(10e-6)})
            c.require(speedup=">= 1.0", of="two", over="one")

        def test_steady(gpuperf, fake):
            c = gpuperf.compare({"one": fake.kernel(10e-6), "two": fake.kernel(10e-6)}, cache="steady")
            c.require(speedup=">= 1.0", of="two", over="one")

        def test_expected(gpuperf, fake):
            c = gpuperf.compare({"one": fake.kernel(10e-6), "two": fake.kernel(30e-6)})
            with pytest.raises(BudgetExceeded):
                c.require(speedup=">= 1.0", of="two", over="one")
        """,
    )
    assert done.outcomes == {"inconclusive": 1, "unmeasured": 1, "passed": 1}
    assert done.account == {"collected": 3, "PASS": 1, "INCONCLUSIVE": 1, "UNMEASURED": 1}
    assert set(done.codes["test_close"]) == {"straddles"}
    assert set(done.codes["test_steady"]) == {"needs-inputs"}


def test_differing_versions_fail_the_case_and_both_are_recorded(pytester):
    done = run_pytest(
        pytester,
        """
        def test_bits(gpuperf, fake):
            out = fake.array(4)
            def fill(number):
                return fake.kernel(10e-6, effect=lambda: out.numpy().fill(number))
            gpuperf.compare({"ones": fill(1.0), "twos": fill(2.0)}, outputs=[out], name="fill")
        """,
    )
    assert done.outcomes == {"failed": 1}
    assert "NotIdentical: versions 'ones' and 'twos' leave different bits in outputs[0]: bits differ: 4 of 4 elements" in done.text
    assert [one["name"] for one in done.case("test_bits")["measurements"]] == ["fill/ones", "fill/twos"]
    assert done.case("test_bits")["checks"][0]["verdict"] == "FAIL"


def test_markers_reach_a_version_by_name_and_all_without_one(pytester):
    done = run_pytest(
        pytester,
        f"""
        @pytest.mark.gpuperf(time="<= 15 us", of="compare/kernel")
        def test_one(gpuperf, fake):
            gpuperf.compare({VERSIONS})

        @pytest.mark.gpuperf(time="<= 15 us")
        def test_all(gpuperf, fake):
            gpuperf.compare({VERSIONS})
        """,
    )
    assert done.outcomes == {"passed": 1, "failed": 1}
    assert done.account == {"collected": 3, "PASS": 2, "FAIL": 1}


def test_a_percentile_in_a_limit_takes_its_samples(pytester):
    done = run_pytest(
        pytester,
        f"""
        @pytest.mark.gpuperf(time="p95 <= 15 us", of="compare/kernel")
        def test_tail(gpuperf, fake):
            c = gpuperf.compare({VERSIONS})
            assert c["kernel"].time.p95.samples >= 72
        """,
        "--gpuperf-limit=0.3",
        quick=False,
    )
    assert done.account == {"collected": 1, "PASS": 1}


BODIES = """
    import numpy as np

    def test_sums(gpuperf):
        total, calls = np.zeros(4), []
        def add(number):
            def body(array):
                calls.append(number)
                array += number
            return body
        c = gpuperf.compare({{"one": add(1), "two": add({second})}}, total, inout=[total])
        assert calls == [1, {second}]
        assert total.tolist() == [{second}.0] * 4
        assert "{why}" in str(c.speedup(of="two", over="one")) and "{why}" in repr(c)
        {then}
"""


@pytest.mark.parametrize(("arguments", "why"), [(("--gpuperf-off",), "needs-gpuperf"), ((), "no-gpu")])
def test_without_measuring_every_version_runs_once_from_the_same_bits(pytester, arguments, why):
    done = run_pytest(pytester, BODIES.format(second=1, why=why, then=""), *arguments, conftest=NO_GPU)
    assert done.outcomes == {"passed": 1}
    if not arguments:
        case = done.case("test_sums")
        assert case["checks"][0]["detail"] == "outputs of 2 versions and of their calls hold the same bits (one call of each)"
        (comparison,) = case["comparisons"]
        assert comparison["blocks"] == 0
        assert comparison["ratios"][0]["value"]["reason"]["code"] == "no-gpu"
        assert validate(done.run) == []
        assert "UNMEASURED no-gpu" in (done.path / "reports" / "latest.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [("--gpuperf-off",), ()])
def test_without_measuring_wrong_bits_are_found_all_the_same(pytester, arguments):
    done = run_pytest(pytester, BODIES.format(second=2, why="", then=""), *arguments, conftest=NO_GPU)
    assert done.outcomes == {"failed": 1}
    assert "versions 'one' and 'two' leave different bits in inout[0]: bits differ: 4 of 4 elements" in done.text


def test_without_measuring_a_limit_is_unmeasured_or_skipped(pytester):
    text = BODIES.format(second=1, why="", then='c.require(speedup=">= 2", of="two", over="one")')
    done = run_pytest(pytester, text, conftest=NO_GPU)
    assert done.outcomes == {"unmeasured": 1}
    assert done.account == {"collected": 1, "UNMEASURED": 1}
    assert run_pytest(pytester, text, "--gpuperf-off", conftest=NO_GPU).outcomes == {"skipped": 1}


def test_off_beside_a_device_arrays_on_it_are_restored_and_compared(pytester):
    done = run_pytest(
        pytester,
        """
        def test_off(gpuperf, fake):
            whole = fake.array((4, 6))
            total = whole[:, ::2]
            whole.numpy()[:] = 1.0
            def add(number):
                return fake.kernel(10e-6, effect=lambda: total.numpy().__iadd__(number) is None)
            gpuperf.compare({"a": add(2.0), "b": add(2.0)}, inout=[total])
            assert total.numpy().tolist() == [[3.0] * 3] * 4
            gpuperf.compare({"a": add(2.0), "b": add(3.0)}, inout=[total], varies=True, name="declared")
            with pytest.raises(NotIdentical, match="'a' and 'b' leave different bits in inout"):
                gpuperf.compare({"a": add(2.0), "b": add(3.0)}, inout=[total], name="wrong")
        """,
        "--gpuperf-off",
    )
    assert done.outcomes == {"passed": 1}


def test_declared_outputs_that_nobody_could_look_at_are_unmeasured(pytester):
    text = "import numpy as np\n\ndef test_dropout(gpuperf):\n    out = np.zeros(4)\n    gpuperf.compare({'a': int, 'b': int}, outputs=[out], varies=True)\n"
    done = run_pytest(pytester, text, conftest=NO_GPU)
    assert done.outcomes == {"unmeasured": 1}
    assert set(done.codes["test_dropout"]) == {"no-gpu"}
