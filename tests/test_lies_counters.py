"""Ways in which a hardware counter could come from the wrong place, each of which must end as a hole and never as a PASS."""

from __future__ import annotations

import json
import textwrap

import pytest
from counting_runs import HEAD, counters, reasons, session, verdicts

from pytest_gpuperf.counters import stored
from pytest_gpuperf.counters.progress import Follower
from pytest_gpuperf.counters.results import Results, nothing
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.testing import FAKE_CONFTEST, Example, fake_conftest

ONE = """
@pytest.mark.gpuperf(warps="<= 1000")
def test_it(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6))
"""
COMPARED = """
def test_it(gpuperf, fake):
    array = fake.array(64)
    array.numpy()[:] = {contents}
    c = gpuperf.compare({{"old": fake.kernel(20e-6), "new": fake.kernel(10e-6)}}, inout=[array])
    assert c["new"]["sm__warps_launched.sum"] == 1000
"""


@pytest.mark.parametrize(("contents", "codes"), [("7", []), ("7 if CHILD else 8", ["other-inputs"])])
def test_a_comparison_takes_no_counters_of_other_inputs(contents, codes):
    result, _ = session(COMPARED.format(contents=contents))
    assert reasons(result) == {"test_it": codes}, result.stdout


def test_a_comparison_takes_no_stored_counters_of_code_that_nobody_can_tell():
    example = Example({"conftest.py": FAKE_CONFTEST, "test_it.py": HEAD + COMPARED.format(contents="7")})
    session("", example=example)
    _store(example)
    result, fake = session("", "--gpuperf-ncu=cached", example=example)
    assert len(fake.starts) == 1, "only the first run starts it"
    assert reasons(result) == {"test_it": ["code-changed"]}, result.stdout


def _store(example):
    """Store the counters of the last run as if each body had held a kernel whose code can be told."""
    record = json.loads(next((example.path / "reports" / "runs").glob("*/counters.json")).read_text())
    for one in (one for case in record["cases"] for one in case["measurements"]):
        one["code"] = "0" * 64
    stored.save(example.path / "reports" / "counters.json", {}, record, lambda: stored.sources_of(example.path))


def test_a_report_of_an_earlier_run_is_never_read():
    example = Example({"conftest.py": FAKE_CONFTEST, "test_it.py": HEAD + ONE})
    name = "--gpuperf-report=reports/run[1].html"
    first, _ = session("", name, example=example)
    assert (example.path / "reports" / "run[1].ncu-rep").exists()
    assert verdicts(first) == {"test_it": "PASS"}
    second, _ = session("", name, example=example, ncu={"says": "ERR_NVGPUCTRPERM - no"})
    assert reasons(second) == {"test_it": ["ncu-permission"]}
    assert not (example.path / "reports" / "run[1].ncu-rep").exists()


def test_a_report_that_cannot_lie_beside_the_page_costs_no_counters():
    example = Example({"conftest.py": FAKE_CONFTEST, "test_it.py": HEAD + ONE})
    (example.path / "reports" / "latest.ncu-rep" / "full").mkdir(parents=True)
    result, _ = session("", example=example)
    assert verdicts(result) == {"test_it": "PASS"}, result.stdout


def test_of_many_kernels_each_may_have_left_its_writes_in_l2():
    text = '\n@pytest.mark.gpuperf(dram_write="<= 2.1 GB")\ndef test_it(gpuperf, fake):\n    gpuperf.measure(fake.kernel(20e-6))\n'
    conftest = fake_conftest(l2=60 << 20)
    many, _ = session(text, ncu={"bodies": {"test_it/main": [{"dram__bytes_write.sum": 20e6}] * 100}}, conftest=conftest)
    assert reasons(many) == {"test_it": ["absorbed-by-l2"]}
    one, _ = session(text, ncu={"bodies": {"test_it/main": [{"dram__bytes_write.sum": 2e9}]}}, conftest=conftest)
    assert verdicts(one) == {"test_it": "PASS"}, one.stdout


def test_kernels_that_l2_was_asked_to_write_little_for_leave_little():
    text = '\n@pytest.mark.gpuperf(dram_write="<= 2.1 GB", l2_write_sectors="<= 1e9")\ndef test_it(gpuperf, fake):\n    gpuperf.measure(fake.kernel(20e-6))\n'
    small, large = {"dram__bytes_write.sum": 0, "lts__t_sectors_op_write.sum": 10}, {"dram__bytes_write.sum": 1e9, "lts__t_sectors_op_write.sum": 33e6}
    result, _ = session(text, ncu={"bodies": {"test_it/main": [large, *[small] * 20]}}, conftest=fake_conftest(l2=60 << 20))
    assert verdicts(result) == {"test_it": "PASS"}, result.stdout


def test_tests_without_a_place_are_not_taken_for_each_other():
    conftest = FAKE_CONFTEST + textwrap.dedent("""
        @pytest.hookimpl(tryfirst=True)
        def pytest_itemcollected(item):
            item.fixturenames.append("gpuperf")
        """)
    text = """
@pytest.fixture
def measure(request):
    return request.getfixturevalue("gpuperf").measure

@pytest.mark.parametrize("n", [1, 2, 3])
def test_it(measure, fake, n):
    CHILD and n == 2 and os.abort()
    assert measure(fake.kernel(20e-6))["sm__warps_launched.sum"] == 1000
"""
    result, fake = session(text, conftest=conftest)
    assert verdicts(result) == {"test_it[1]": "PASS", "test_it[2]": "UNMEASURED", "test_it[3]": "PASS"}, result.stdout
    assert len(fake.starts) == 2


def test_the_results_have_no_place_for_a_test_that_was_not_collected():
    key = {"nodeid": "t.py::test_a[1]", "file": "t.py", "function": "test_a", "index": -1}
    found = Results({**nothing(Reason("ncu-off")), "hole": None, "cases": [{**key, "hole": None, "measurements": [{"name": "main", "hole": None}]}]})
    assert not isinstance(found.of(key, "main"), Reason)
    assert found.of({**key, "nodeid": "t.py::test_a[2]"}, "main").code == "not-collected"


def test_counters_named_at_the_measurement_are_collected():
    text = """
def test_it(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6), counters=["sm__warps_launched.sum"])
"""
    result, _ = session(text)
    assert counters(result, "test_it")["sm__warps_launched.sum"]["number"] == 1000


def test_a_line_that_a_dying_process_cut_off_costs_only_itself(tmp_path):
    (tmp_path / "progress.jsonl").write_text('{"event": "measu{"event": "start", "pid": 7}\nnothing\n[1]\n{"event": "ended", "nod\n')
    follower = Follower(tmp_path)
    assert follower.look()
    assert follower.story.pid == 7
    assert follower.story.ended == {}
