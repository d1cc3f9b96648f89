"""Known misses: a failure that the file knows of is said and does not fail the run, as far as it is known to go."""

from __future__ import annotations

import textwrap

import pytest
from plugin_runs import run_pytest
from test_plugin_processes import case, example

from pytest_gpuperf.budgets.note import Note
from pytest_gpuperf.report.budget_file import file_lines, known_misses
from pytest_gpuperf.report.headline import headline

NAME = "gpuperf.toml"
SLOW = """
    @pytest.mark.gpuperf(time="<= 4 us")
    def test_slow(gpuperf, fake):
        gpuperf.measure(fake.kernel(5e-6))
    """


def miss(time="'any'", test="*test_slow", more=""):
    return f"[[known-miss]]\ntest = '{test}'\ntime = {time}\nreason = 'waits for wider loads'\nowner = 'kernels'\n{more}"


def run(pytester, text, body=SLOW, *args):
    return run_pytest(pytester, body, *args, files={NAME: text})


def test_a_known_miss_is_said_with_its_reason_and_does_not_fail(pytester):
    done = run(pytester, miss(more="until = 2999-12-31\n"), SLOW, "-v")
    assert (done.status, done.outcomes) == (0, {"known": 1})
    assert "test_it.py::test_slow KNOWN MISS (gpuperf.toml:1)" in done.text
    (budget,) = done.case("test_slow")["budgets"]
    assert budget["known"] == {"origin": "gpuperf.toml:1", "text": "waits for wider loads (kernels, until 2999-12-31)", "excused": True}
    assert f"KNOWN MISS test_it.py::test_slow  {budget['message']}; known: waits for wider loads (kernels, until 2999-12-31) [gpuperf.toml:1]" in done.text
    assert "\nFAIL " not in done.text
    # The budget has failed, whatever is known: the account says both.
    assert (budget["verdict"], done.case("test_slow")["verdict"]) == ("FAIL", "PASS")
    assert done.account == {"collected": 1, "FAIL": 1}
    assert "account: collected 1 budget = 0 PASS + 1 FAIL (1 known) + 0 INCONCLUSIVE" in done.text
    assert headline(done.run) == ("PASS", "The only case passes, with known misses")
    assert "1 case: 1 PASS (1 with known misses)" in done.text
    page = (done.path / "reports" / "latest.html").read_text(encoding="utf-8")
    for words in ("PASS (known miss)", "KNOWN MISS", "Known miss: test_it.py::test_slow", "1 FAIL (1 known)"):
        assert words in page


@pytest.mark.parametrize(
    ("known", "verdict", "said"),
    [
        (miss("'<= 6 us'"), "excused", ""),
        (miss("['<= 6 us', 'p99 any']"), "excused", ""),
        (miss("{ 'L4' = '<= 5 us', '*' = '<= 6 us' }"), "excused", ""),
        (miss("'<= 5 us'"), "FAIL", "further than gpuperf.toml:1 knows (<= 5.000 us: waits for wider loads (kernels))"),
        (miss("'<= 5.7 us'"), "INCONCLUSIVE", "whether it goes further than gpuperf.toml:1 knows (<= 5.700 us) cannot be told"),
        (miss(more="until = 2020-01-01\n"), "FAIL", "known until 2020-01-01 (gpuperf.toml:1: waits for wider loads, kernels)"),
        (miss("'p99 any'"), "FAIL", ""),
        (miss(test="*test_other"), "FAIL", ""),
        (miss(more="device = 'L4'\n"), "FAIL", ""),
        (miss(more="of = 'x'\n"), "FAIL", ""),
        (miss("'any'", "*") + "\n" + miss("'<= 5 us'", "*_slow"), "FAIL", "further than gpuperf.toml:7 knows"),
    ],
)
def test_how_far_a_known_miss_goes(pytester, known, verdict, said):
    done = run(pytester, known)
    (budget,) = done.case("test_slow")["budgets"]
    assert bool(budget.get("known", {}).get("excused")) is (verdict == "excused")
    assert budget["verdict"] == ("FAIL" if verdict == "excused" else verdict)
    assert said in budget["message"]
    assert done.status == (1 if verdict == "FAIL" else 0)
    assert len(known_misses(done.run)) == (verdict == "excused")


def test_only_the_limits_that_are_known_are_excused(pytester):
    body = SLOW.replace('time="<= 4 us"', 'time="<= 4 us", wall_time="<= 1 us"')
    done = run(pytester, miss(), body)
    assert (done.status, done.outcomes) == (1, {"failed": 1})
    assert [line.split()[1] for line in done.text.splitlines() if line.startswith("KNOWN MISS")] == ["MISS"]
    failed = done.text.partition("FAILURES")[2].partition("gpuperf ===")[0]
    assert "wall_time: " in failed
    assert "\ntime: " not in failed, "what is known is not among the failures"
    wrong = SLOW + "    gpuperf.identical([1.0], [2.0])\n"
    assert run(pytester, miss(), wrong).status == 1, "bits are never known to be wrong"
    spot = 'def test_slow(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6)).require(time="<= 4 us")\n'
    assert run(pytester, miss(), spot).status == 1, "what is required on the spot raises there"


def test_limits_of_the_file_are_excused_too_and_of_every_measurement(pytester):
    text = miss() + "\n[[budget]]\ntest = '*'\ntime = '<= 4 us'\nreason = 'all'\n"
    body = "def test_slow(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6), name='a')\n    gpuperf.measure(fake.kernel(5e-6), name='b')\n"
    done = run(pytester, text, body)
    assert (done.status, done.account) == (0, {"collected": 2, "FAIL": 2})
    assert "2 FAIL (2 known)" in done.text
    own = body.replace("name='a'", "name='a', budget={'time': '<= 4 us'}").replace("name='b'", "name='b', budget={'time': '<= 9 us'}")
    assert run(pytester, miss(more="of = 'a'\n"), own).status == 0


def test_an_undecided_case_beside_a_known_miss_is_undecided(pytester):
    body = SLOW.replace('time="<= 4 us"', 'time="<= 4 us", tflops=">= 1 TFLOP/s"')
    done = run(pytester, miss(), body)
    assert (done.status, done.outcomes) == (0, {"unmeasured": 1})
    assert "KNOWN MISS test_it.py::test_slow" in done.text
    ended = SLOW + "    raise ValueError('half way')\n"
    done = run(pytester, miss(), ended)
    assert (done.status, done.account) == (1, {"collected": 1, "FAIL": 1})


KEPT = SLOW.replace("4 us", "9 us")


def test_a_known_miss_that_is_kept_is_said_and_fails_under_strict(pytester):
    line = "WARNING gpuperf.toml:1: the known miss of '*test_slow' is kept now, in the one case: take it out; noted: waits for wider loads (kernels)"
    done = run(pytester, miss(), KEPT)
    assert (done.status, done.outcomes) == (0, {"passed": 1})
    assert line in done.text
    assert run(pytester, miss(), KEPT, "--gpuperf-strict=unmeasured").status == 0
    done = run(pytester, miss(), KEPT, "--gpuperf-strict")
    assert (done.status, done.outcomes) == (1, {"passed": 1})
    assert line in done.text


def test_a_known_miss_of_several_cases_is_needed_as_long_as_one_of_them_misses(pytester):
    body = '@pytest.mark.parametrize("n", [1, 2])\n@pytest.mark.gpuperf(time="<= 7 us")\ndef test_slow(gpuperf, fake, n):\n    gpuperf.measure(fake.kernel(n * 5e-6))\n'
    done = run(pytester, miss(), body, "--gpuperf-strict")
    assert (done.status, done.outcomes) == (0, {"passed": 1, "known": 1})
    assert file_lines(done.run) == []
    assert headline(done.run) == ("PASS", "All 2 cases pass, 1 of them with known misses")
    assert file_lines(run(pytester, miss(), body, "-k", "1").run) == [], "of the others nothing is known"
    over = run(pytester, miss(more="until = 2020-01-01\n"), body)
    assert [line for line, _ in file_lines(over.run)] == ["gpuperf.toml:1: the known miss has ended on 2020-01-01 and excuses nothing; noted: waits for wider loads (kernels, until 2020-01-01)"]


def test_workers_carry_the_word():
    made = example(case("slow", limits='time="<= 4 us"'), "known")
    made.write({NAME: textwrap.dedent(miss())})
    done = made.run_pytest("-n1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 known in" in done.stdout
    assert done.run["account"]["FAIL"] == 1


def test_the_words_of_a_table():
    assert str(Note()) == ""
    assert str(Note("x")) == "x"
    assert str(Note(owner="me")) == "(me)"
