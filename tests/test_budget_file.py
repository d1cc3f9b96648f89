"""gpuperf.toml: what a table may say, what becomes of its limits, and what stands there in vain."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from plugin_runs import NO_GPU, run_pytest
from test_plugin_processes import case, example

from pytest_gpuperf.budgets.collect import read_marks
from pytest_gpuperf.budgets.file import read_file, read_rows
from pytest_gpuperf.budgets.lookup import BudgetFile
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.records.merge import combine
from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.report.budget_file import file_lines

NAME = "gpuperf.toml"
TEST = "tests/test_a.py::TestX::test_b[1-x]"


def file_of(text):
    return BudgetFile(Path(NAME), NAME, read_rows(textwrap.dedent(text), NAME))


def holds(text, device="NVIDIA H200", nodeid=TEST, marks=()):
    """The (quantity, text, origin) of the limits that a test has."""
    read = read_marks(marks, device, nodeid, file=file_of(text).of(nodeid, device))
    return [(one.limit.quantity, one.limit.text, one.origin) for one in read.budgets if one.applies]


@pytest.mark.parametrize(
    ("text", "story"),
    [
        ("[[budget]]\ntest = '*'\ntime = <= 12", "gpuperf.toml is no TOML: Invalid value (at line 3, column 8)"),
        ("[[budgets]]\ntest = '*'", "gpuperf.toml: has no place for 'budgets'; nearest '[[budget]]'"),
        ("[budget]\ntest = '*'", "gpuperf.toml: budget: write each as a table of its own, under [[budget]]"),
        ("\n[[budget]]\ntest = '*'\ntiem = '<= 12 us'", "gpuperf.toml:2: a budget has no key 'tiem'; nearest 'time'"),
        ("[[budget]]\ntset = '*'\ntime = '<= 12 us'", "gpuperf.toml:1: a budget has no key 'tset'; nearest 'test'"),
        ("[[budget]]\ntime = '<= 12 us'", "gpuperf.toml:1: says no test: write test = 'tests/test_commit.py::test_copy', or '*' for all"),
        ("[[budget]]\ntest = '*'", "gpuperf.toml:1: a budget without a limit: write one, as time = '<= 12 us'"),
        ("[[budget]]\ntest = '*'\ntime = []", "gpuperf.toml:1: time=[] holds no limit"),
        ("[[budget]]\ntest = 3\ntime = '<= 12 us'", "gpuperf.toml:1: test = 3 is no text"),
        ("[[budget]]\ntest = '*'\ndevice = ''\ntime = '<= 12 us'", "gpuperf.toml:1: device = '' is no text"),
        ("[[budget]]\ntest = '*'\ntime = '<= 12 uz'", "gpuperf.toml:1: time='<= 12 uz': unknown unit 'uz'; nearest 'us'"),
        ("[[budget]]\ntest = '*'\ntime = 12", "gpuperf.toml:1: time=12: a limit is a string such as '<= 12 us'"),
        ("[[budget]]\ntest = '*'\nlaunches = '== 1'\nuntil = '2026-12-31'", "gpuperf.toml:1: until = '2026-12-31' is no day: write it without quotes and hours, as until = 2026-12-31"),
        ("[[budget]]\ntest = '*'\nlaunches = '== 1'\nuntil = 2026-12-31T10:00:00", "gpuperf.toml:1: until = '2026-12-31 10:00:00' is no day: write it without quotes and hours, as until = 2026-12-31"),
        ("[[budget]]\ntest = '*'\ndevice = 'H200'\ntime = { 'H*' = '<= 12 us' }", "gpuperf.toml:1: time names devices of its own beside device = 'H200': leave one of them out"),
        ("[[budget]]\ntest = '*'\ndram__bytes_write.sum = '<= 1 MB'", 'gpuperf.toml:1: write the name of a counter in quotes, as "dram__bytes_write.sum" = ...'),
        ("[[budget]]\ntest = '*'\nmetrics = { tme = '<= 1 MB' }", "gpuperf.toml:1: metrics=: no counter 'tme'; valid: dram_write"),
        ("[[budget]]\ntest = '*'\ntime = '<= 1 us'\ntoolchain = '13.0'", "gpuperf.toml:1: toolchain = '13.0': write versions by name, as toolchain = { nvvm = '13.0', nvjitlink = '13.0' }"),
        ("[[known-miss]]\ntest = '*'\ntime = '<= 14 us'", "gpuperf.toml:1: a known miss needs a reason = '...', as that is what is read where a limit is missed"),
        ("[[known-miss]]\ntest = '*'\ntime = 'some'\nreason = 'x'", "gpuperf.toml:1: time='some': not a limit; write '[p50|p95|p99] OP NUMBER [unit | % | x roof]', as '<= 12 us'; a known miss says how far it may go, or 'any'"),
        ("[[budget]]\ntest = 'a'\ntime = '<= 1 us'\n[[budget]]\ntest = 'a'\ntime = '<= 2 us'", "gpuperf.toml:4: limits time p50 of 'a' on '*', which gpuperf.toml:1 limits already: put both into one list"),
        ("budget = [ { test = '*' } ]", "gpuperf.toml, budget 1: a budget without a limit: write one, as time = '<= 12 us'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line_that_says_where(text, story):
    with pytest.raises(BadBudget) as error:
        read_rows(text, NAME)
    assert str(error.value).startswith(story)
    assert "\n" not in str(error.value)


def test_each_wrong_table_has_its_line():
    with pytest.raises(BadBudget) as error:
        read_rows("[[budget]]\ntest = '*'\n[[x]]\n[[budget]]\ntest = '*'\ntiem = '<= 1 us'\n", NAME)
    assert [line.partition(": ")[0] for line in str(error.value).splitlines()] == ["gpuperf.toml", "gpuperf.toml:1", "gpuperf.toml:4"]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / NAME).write_bytes(b"\xff")
    with pytest.raises(BadBudget, match=r"cannot read gpuperf.toml: 'utf-8' codec"):
        read_file(tmp_path / NAME, NAME)


def test_a_table_holds_for_what_its_globs_name_and_says_where_it_stands():
    text = """
        # comment with [[budget]] in it
        [[budget]]
        test = "tests/test_a.py"
        device = "H200*"
        time = ["<= 12 us", "p99 <= 20 us"]
        metrics = { "dram__bytes_write.sum" = "<= 48 MB" }
        reason = '''
        [[budget]]'''

        [[budget]]
        test = "tests/test_other.py"
        time = "<= 1 us"

        [[budget]]
        test = "*"
        bandwidth = { "H200" = ">= 80 %", "*" = ">= 70 %" }
        """
    assert holds(text) == [
        ("time", "<= 12 us", "gpuperf.toml:3"), ("time", "p99 <= 20 us", "gpuperf.toml:3"), ("dram__bytes_write.sum", "<= 48 MB", "gpuperf.toml:3"),
        ("bandwidth", ">= 80 %", "gpuperf.toml:15"),
    ]  # fmt: skip
    assert holds(text, "NVIDIA L4") == [("bandwidth", ">= 70 %", "gpuperf.toml:15")]


SUITE = """
    @pytest.mark.parametrize("n", [1, 2])
    def test_a(gpuperf, fake, n):
        gpuperf.measure(fake.kernel(n * 5e-6))

    @pytest.mark.gpuperf(time="<= 12 us")
    def test_b(gpuperf, fake):
        gpuperf.measure(fake.kernel(5e-6))

    def test_c(gpuperf, fake):
        gpuperf.measure(fake.kernel(50e-6), name="x", budget={"time": "<= 60 us"})

    def test_plain():
        pass
    """
VAIN = """
    [[budget]]
    test = "test_it.py"
    time = "<= 20 us"
    reason = "typical"
    owner = "kernels"

    [[budget]]
    test = "test_it.py::test_A"
    time = "<= 12 us"

    [[budget]]
    test = "test_it.py::test_b"
    time = "<= 12 us"

    [[budget]]
    test = "*test_plain"
    time = "<= 12 us"

    [[budget]]
    test = "test_it.py::test_c"
    of = "x"
    time = "<= 12 us"

    [[budget]]
    test = "test_it.py::test_a[2]"
    time = "<= 10 us"
    reason = "must be quick"
    """


@pytest.fixture(scope="module")
def told():
    """What of VAIN stands there in vain."""
    return [
        ("gpuperf.toml:8: test = 'test_it.py::test_A' matches no test; nearest 'test_it.py::test_a'", True),
        ("gpuperf.toml:12: time <= 12 us is judged nowhere: in the one case of 'test_it.py::test_b' a nearer limit stands before it (function marker)", False),
        ("gpuperf.toml:16: test = '*test_plain' matches 1 test, none of which uses the gpuperf fixture", True),
        ("gpuperf.toml:20: time <= 12 us is judged nowhere: budget=, or a limit that names its measurement, stands before it in the one case that ran", False),
    ]


def test_limits_of_the_file_are_judged_and_what_is_in_vain_is_said(pytester, told):
    done = run_pytest(pytester, SUITE, files={NAME: VAIN})
    assert (done.status, done.outcomes) == (1, {"failed": 1, "passed": 4})
    assert "gpuperf: 6 tables of budgets in gpuperf.toml" in done.text
    assert done.account == {"collected": 4, "PASS": 3, "FAIL": 1}
    (slow,) = done.case("[2]")["budgets"]
    assert (slow["origin"], slow["note"]) == ("gpuperf.toml:25", "must be quick")
    assert "; limit of gpuperf.toml:25: must be quick" in slow["message"]
    assert f"FAIL test_it.py::test_a[2]  {slow['message']}\n" in done.text
    assert "limit <= 12 us [function marker]  test_it.py::test_b" in done.text
    assert "limit <= 20 us [gpuperf.toml:2]  test_it.py::test_a[1]" in done.text
    assert "limit <= 60 us [budget=]  test_it.py::test_c" in done.text
    assert file_lines(done.run) == told
    for line, wrong in told:
        assert f"{'WARNING ' if wrong else ''}{line}\n" in done.text
    assert validate(done.run) == []
    assert [row["line"] for row in done.run["budget_file"]["rows"]] == [8, 12, 16, 20], "of the others there is nothing to tell"
    both = combine([done.run, done.run])
    assert validate(both) == []
    assert file_lines(both)[:3] == told[:3]
    page = (done.path / "reports" / "latest.html").read_text(encoding="utf-8")
    assert "gpuperf.toml:25" in page
    assert "test_it.py::test_A&#39; matches no test" in page


def test_strict_fails_for_a_glob_that_matches_no_test_and_not_for_a_limit_that_a_nearer_one_replaces(pytester):
    nearer = "[[budget]]\ntest = '*test_b'\ntime = '<= 12 us'\n"
    done = run_pytest(pytester, SUITE, "--gpuperf-strict", files={NAME: nearer})
    assert done.status == 0
    assert "gpuperf.toml:1: time <= 12 us is judged nowhere" in done.text
    done = run_pytest(pytester, SUITE, "--gpuperf-strict", files={NAME: nearer.replace("_b", "_q")})
    assert (done.status, done.outcomes) == (1, {"passed": 5})
    assert "WARNING gpuperf.toml:1: test = '*test_q' matches no test" in done.text
    assert "\n--gpuperf-strict failed the session: 1 table of gpuperf.toml in vain, see each WARNING\n" in done.text


@pytest.mark.parametrize("args", [("test_it.py::test_b",), ("test_it.py", "--ignore=else.py"), ("sub",)])
def test_of_tests_that_the_session_did_not_collect_nothing_is_said(pytester, args):
    files = {NAME: "[[budget]]\ntest = 'test_it.py::test_q'\ntime = '<= 12 us'\n", "sub/test_sub.py": "def test_s(gpuperf):\n    pass\n"}
    done = run_pytest(pytester, SUITE, *args, files=files)
    assert file_lines(done.run) == []


def test_a_file_that_gives_no_test_may_have_skipped_itself(pytester):
    files = {NAME: "[[budget]]\ntest = 'test_skips.py::test_q'\ntime = '<= 12 us'\n", "test_skips.py": "import pytest\npytest.skip('not here', allow_module_level=True)\n"}
    done = run_pytest(pytester, SUITE, "--gpuperf-strict", files=files)
    assert done.status == 0
    assert file_lines(done.run) == [("gpuperf.toml:1: test = 'test_skips.py::test_q' matches no test, as its file gave none", False)]


def test_a_limit_on_a_measurement_that_is_never_made_fails(pytester):
    text = "[[budget]]\ntest = 'test_it.py::test_c'\nof = 'y'\ntime = '<= 1 us'\n\n[[budget]]\ntest = '*test_idle'\ntime = '<= 1 us'\n"
    done = run_pytest(pytester, textwrap.dedent(SUITE) + "def test_idle(gpuperf):\n    pass\n", files={NAME: text})
    assert (done.status, done.account) == (1, {"collected": 4, "PASS": 2, "FAIL": 1, "UNMEASURED": 1})
    assert "of='y': this case has no such measurement; valid: x; limit of gpuperf.toml:1" in done.text
    assert done.codes["test_idle"] == ["no-measurement"]


def test_workers_say_the_same_once(told):
    made = example(textwrap.dedent(SUITE), "vain")
    made.write({NAME: textwrap.dedent(VAIN)})
    done = made.run_pytest("-n2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert file_lines(done.run) == told
    assert done.stdout.count("matches no test") == 1
    assert done.run["problems"] == []


def test_a_deselected_test_is_a_test(pytester):
    done = run_pytest(pytester, SUITE, "-k", "plain", files={NAME: "[[budget]]\ntest = '*test_a'\ntime = '<= 12 us'\n"})
    assert file_lines(done.run) == []
    assert done.account == {"collected": 3, "deselected": 3}


def test_where_the_file_lies(pytester):
    limit = "[[budget]]\ntest = 'test_it.py::test_b'\nwall_time = '<= 1 ns'\n"
    body = case("b").replace('@pytest.mark.gpuperf(time="<= 12 us")\n', "")
    done = run_pytest(pytester, body, "--gpuperf-budgets=ci/limits.toml", files={"ci/limits.toml": limit, NAME: "no TOML"})
    assert done.status == 1
    assert "limit of ci/limits.toml:1" in done.text
    done = run_pytest(pytester, body, "--gpuperf-budgets=ci/limit.toml")
    assert done.status == 4
    assert "ERROR: gpuperf: there is no file of budgets ci/limit.toml; nearest 'limits.toml'" in done.text
    done = run_pytest(pytester, body)
    assert done.status == 4
    assert "ERROR: BadBudget: gpuperf.toml is no TOML" in done.text
    done = run_pytest(pytester, body, "--gpuperf-off")
    assert done.status == 0, "nobody pays for it in a session that does not measure"
    done = run_pytest(pytester, body, files={"pytest.ini": "[pytest]\ngpuperf_budgets = ci\n"})
    assert "ERROR: gpuperf: ci is no file of budgets but a folder" in done.text


def test_a_tie_is_a_collection_error_in_one_line(pytester):
    tie = "[[budget]]\ntest = '*test_b'\ntime = '<= 1 us'\n[[budget]]\ntest = '*t*est_b'\ntime = '<= 1 us'\n"
    done = run_pytest(pytester, case("b"), files={NAME: tie})
    assert done.status == 2
    assert "BadBudget: gpuperf.toml:1 and gpuperf.toml:4 both limit time p50 of test_it.py::test_b and say equally much" in done.text


def test_an_expired_budget_fails_with_that_message_wherever_it_would_be_judged(pytester):
    text = "[[budget]]\ntest = '*test_b'\ndevice = '{}'\nwall_time = '<= 1 s'\nowner = 'kernels'\nreason = 'until the new layout'\nuntil = 2020-01-01\n"
    done = run_pytest(pytester, case("b"), files={NAME: text.format("*")})
    assert done.status == 1
    (message,) = [one["message"] for one in done.case("test_b")["budgets"] if one["verdict"] == "FAIL"]
    assert message.startswith(
        "wall_time <= 1.000 s: expired on 2020-01-01: renew it in gpuperf.toml:1, or take it out (until the new layout, kernels); PASS today: wall_time: "
    )
    assert "; expired: gpuperf.toml:1" in done.text
    done = run_pytest(pytester, case("b"), files={NAME: text.format("L4")})
    assert (done.status, done.account) == (0, {"collected": 2, "PASS": 1, "NOT-APPLICABLE": 1})


def test_without_a_device_a_limit_of_the_file_is_unmeasured(pytester):
    done = run_pytest(pytester, "def test_b(gpuperf):\n    gpuperf.measure(lambda: None)\n", conftest=NO_GPU, files={NAME: "[[budget]]\ntest = '*'\ntime = {'H200' = '<= 1 us', '*' = '<= 2 us'}\n"})
    assert (done.status, done.account) == (0, {"collected": 1, "UNMEASURED": 1})
