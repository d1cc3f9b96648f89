"""Counters in tests: limits on them in markers, budget= and require; which ones a test wants; and a run that has none of them."""

from __future__ import annotations

import functools
import json

import pytest
from plugin_runs import FAKE, NO_GPU, run_pytest

from pytest_gpuperf.budgets.asked import DISTINCTIVE, asked_in
from pytest_gpuperf.budgets.collect import read_limits, read_marks
from pytest_gpuperf.budgets.grammar import parse_limit
from pytest_gpuperf.budgets.judge import judge
from pytest_gpuperf.errors import BadBudget, BudgetExceeded, Unmeasured
from pytest_gpuperf.measurement import Measurement
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.values import Value

H200 = "NVIDIA H200"
WRITE, READ = "dram__bytes_write.sum", "dram__bytes_read.sum"


def marks(*pairs, asked=(), device=H200):
    return read_marks([(level, pytest.mark.gpuperf(**keywords).mark) for level, keywords in pairs], device, "here", asked)


@pytest.mark.parametrize(
    ("quantity", "text", "op", "number", "unit"),
    [
        ("lts__t_sectors_op_write.sum", "<= 1.1e6", "<=", 1.1e6, "1"),
        ("l2_write_sectors", "<= 1,100,000", "<=", 1.1e6, "1"),
        (WRITE, "<= 48 MB", "<=", 48e6, "B"),
        (WRITE, "<= 1.1e6", "<=", 1.1e6, "B"),
        ("dram_write", "<= 48 MiB", "<=", 48 * 2**20, "B"),
        ("local_bytes", "== 0", "==", 0, "B"),
        ("dram_pct", ">= 80 %", ">=", 80, "%"),
        ("sm__throughput.avg.pct_of_peak_sustained_elapsed", "<= 12.5%", "<=", 12.5, "%"),
        ("dram__bytes_write.sum.per_second", ">= 3.9 TB/s", ">=", 3.9e12, "B/s"),
        ("dram__bytes_write.sum.per_cycle_elapsed", ">= 12.5", ">=", 12.5, "B/cycle"),
        ("lts__t_sectors.sum.per_second", "<= 1e9", "<=", 1e9, "1/s"),
        ("smsp__average_warp_latency.ratio", "<= 1.5", "<=", 1.5, "1"),
        ("gpu__time_duration.sum", "<= 12 us", "<=", 12e-6, "s"),
        ("launch__registers_per_thread", "<= 40", "<=", 40, "1"),
    ],
)
def test_a_limit_on_a_counter_is_read(quantity, text, op, number, unit):
    limit = parse_limit(quantity, text)
    assert (limit.op, limit.unit, limit.relative) == (op, unit, False)
    assert limit.number == pytest.approx(number, rel=1e-12)
    assert parse_limit(quantity, str(limit)) == parse_limit(quantity, str(limit))


def test_percent_of_time_is_still_of_the_roof():
    assert parse_limit("time", ">= 80 %").relative
    assert parse_limit("bandwidth", ">= 80 %").relative


@pytest.mark.parametrize(
    ("quantity", "text", "story"),
    [
        ("dram_pct", "<= 0.8", "dram_pct='<= 0.8': needs a unit: %"),
        ("dram_pct", "== 80 %", "dram_pct='== 80 %': dram_pct is no count, so == never decides; use <= or >="),
        ("dram_write", "<= 80 %", "dram_write='<= 80 %': dram_write cannot be held against '%': it has no roof"),
        ("dram_write", "<= 48 mb", "dram_write='<= 48 mb': unknown unit 'mb'; nearest 'MB'"),
        ("dram_write", "p99 <= 48 MB", "dram_write='p99 <= 48 MB': dram_write has no statistic 'p99'; valid: p50"),
        ("warps", "<= 1.5", "warps='<= 1.5': warps is a count, which 1.5 is not: write a whole number"),
        (WRITE, 48e6, f"{WRITE}=48000000.0: a limit is a string such as '<= 48 MB'"),
        ("gpu__time_duration.sum", "<= 12", "gpu__time_duration.sum='<= 12': needs a unit: one of ns, us, ms, s"),
        ("dram__bytes_write.som", "<= 1", "no counter 'dram__bytes_write.som': there is no suffix '.som'; nearest 'dram__bytes_write.sum'"),
        ("dram_wirte", "<= 1", "unknown quantity 'dram_wirte'; nearest 'dram_write'"),
    ],
)
def test_a_limit_on_a_counter_that_cannot_be_read_says_what_is_nearest(quantity, text, story):
    with pytest.raises(BadBudget) as error:
        parse_limit(quantity, text, "here")
    assert str(error.value) == f"here: {story}"


def test_metrics_and_short_names_are_limits_and_counters_are_only_collected():
    read = marks(("function marker", {"dram_write": "<= 48 MB", "metrics": {READ: ["<= 2 GB", ">= 1 GB"], "warps": {"H200": "== 8", "*": "== 9"}}, "counters": ["dram_pct", "local_bytes"]}))
    assert {(one.limit.quantity, one.limit.text) for one in read.budgets} == {("dram_write", "<= 48 MB"), (READ, "<= 2 GB"), (READ, ">= 1 GB"), ("warps", "== 8")}
    assert read.counters == (
        READ, WRITE, "dram__throughput.avg.pct_of_peak_sustained_elapsed", "l1tex__t_bytes_pipe_lsu_mem_local_op_ld.sum",
        "l1tex__t_bytes_pipe_lsu_mem_local_op_st.sum", "sm__warps_launched.sum",
    )  # fmt: skip
    assert marks(("function marker", {"time": "<= 12 us"})).counters == ()


def test_limits_stack_per_counter_whatever_it_is_called_and_collected_ones_add_up():
    read = marks(
        ("module marker", {"metrics": {WRITE: "<= 1 MB", READ: "<= 1 MB"}, "counters": ["warps"]}),
        ("function marker", {"dram_write": "<= 2 MB", "counters": [READ]}),
    )
    assert {(one.limit.quantity, one.limit.text, one.origin) for one in read.budgets} == {("dram_write", "<= 2 MB", "function marker"), (READ, "<= 1 MB", "module marker")}
    assert read.counters == (READ, WRITE, "sm__warps_launched.sum")


def test_a_limit_for_another_device_collects_nothing():
    read = marks(("function marker", {"dram_write": {"A100": "<= 2 MB"}}))
    assert [one.applies for one in read.budgets] == [False]
    assert read.counters == ()


def test_what_was_asked_for_elsewhere_is_wanted_too():
    assert marks(("function marker", {"warps": "== 8"}), asked=["dram_write", WRITE]).counters == (WRITE, "sm__warps_launched.sum")


@pytest.mark.parametrize(
    ("keywords", "story"),
    [
        ({"counters": "warps"}, "here: counters='warps': write a list, as counters=['dram__bytes_write.sum']"),
        ({"counters": ["wraps"]}, "here: counters=: no counter 'wraps'; nearest 'warps'"),
        ({"counters": ["time"]}, "here: counters=: no counter 'time'; valid: dram_write"),
        ({"metrics": ["warps"]}, "here: metrics=['warps']: write limits by counter, as metrics={'dram__bytes_write.sum': '<= 48 MB'}"),
        ({"metrics": {"time": "<= 12 us"}}, "here: metrics={'time': ...}: that is no counter; write time= as a keyword of its own"),
        ({"metrics": {"dram__bytes_write": "<= 1"}}, "here: metrics=: no counter 'dram__bytes_write': a suffix such as .sum is missing; nearest 'dram__bytes_write.sum'"),
        ({"metrics": {WRITE: "<= 1 us"}}, f"here: {WRITE}='<= 1 us': unknown unit 'us'"),
        ({"metrics": {WRITE: {}}}, f"here: {WRITE}={{}} holds no limit"),
        ({"metric": {WRITE: "<= 1"}}, "here: gpuperf marker has no keyword 'metric'; nearest 'metrics'"),
    ],
)
def test_a_marker_that_cannot_be_judged_is_refused(keywords, story):
    with pytest.raises(BadBudget) as error:
        marks(("function marker", keywords))
    assert str(error.value).startswith(story)


def of_attributes(gpuperf, staged):
    m = gpuperf.measure(staged.commit)
    assert m.dram_write <= 0.9 * gpuperf.measure(staged.write_all, name="b")["dram_read"]


def of_full_names(gpuperf):
    return [gpuperf.measure(print)[one] for one in (WRITE, "sm__warps_launched.sum", "launch__grid_size")]


def nested(gpuperf):
    def inner(m):
        return [m["lts__t_sectors_op_read.sum"] for _ in range(2)] + [one for one in range(2) if (lambda: m.sm_pct)]

    return inner(gpuperf)


def of_limits(gpuperf):
    m = gpuperf.measure(print, budget={"local_bytes": "== 0"})
    m.require(bank_conflicts="== 0", time="<= 1 s")
    m.require(**{"achieved_occupancy": ">= 50 %"})  # noqa: PIE804 - one of the ways
    for one in ("dram_pct", "time"):
        assert m[one]


def bank_conflicts():
    """A kernel that is called like a counter."""


def of_nothing(gpuperf):
    """Measure dram_write, that is dram__bytes_write.sum, and warps."""
    import types as kernels

    m = gpuperf.measure(bank_conflicts, name="local_bytes")
    assert kernels.dram_write
    assert pytest.sm_pct
    assert m.time < 1e-3, f"dram_write of {m.warps} is dram__bytes_write.sum"
    return m["warps"], "dram__bytes_write", "my__notes.sum", "sm__init", "sum"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (of_attributes, ("dram_write", "dram_read")),
        (of_full_names, ("sm__warps_launched.sum", "launch__grid_size")),
        (nested, ("lts__t_sectors_op_read.sum", "sm_pct")),
        (of_limits, ("local_bytes", "bank_conflicts", "achieved_occupancy", "dram_pct")),
        (print, ()),
        (functools.partial(of_attributes, 1), ()),
        (None, ()),
    ],
)
def test_the_code_of_a_test_says_which_counters_it_wants(function, expected):
    assert asked_in(function) == expected


def test_a_text_a_module_and_a_function_of_that_name_ask_for_nothing():
    # A module that the function imports itself is a local name, which nothing tells from a measurement.
    assert asked_in(of_nothing) == ("dram_write",)
    assert "warps" not in DISTINCTIVE


def test_a_wrapped_function_and_parameters_count():
    @functools.wraps(of_attributes)
    def wrapper(*args):
        return of_attributes(*args)

    assert asked_in(wrapper) == ("dram_write", "dram_read")
    assert asked_in(print, [WRITE, "dram_write", "x", 3]) == (WRITE,)


def measured(**counters):
    values = {name: Value(number, unit, "ncu", name=name, exact=unit != "%") for name, (number, unit) in counters.items()}
    m = Measurement("main", values={"time": Value(1e-5, "s", "device", name="time")}, device=H200)
    m.count = lambda row: values.get(row.name) or Value.missing(row.name, row.unit, "ncu", Reason("not-collected"))
    return m


def test_a_counter_is_a_value_by_attribute_and_by_name():
    m = measured(dram_write=(48_000_000, "B"), dram_pct=(62.5, "%"), **{WRITE: (48_000_000, "B")})
    assert m.dram_write == 48_000_000
    assert m["dram_write"] is m.dram_write
    assert m.dram_write.p50 == m["dram_write.p50"] == m[WRITE] == 48e6
    assert m[WRITE] <= 0.9 * m.dram_write * 1.2
    assert m.dram_pct > 60
    with pytest.raises(TypeError, match="== is never meaningful"):
        _ = m.dram_pct == 62.5
    with pytest.raises(Unmeasured, match="not-collected"):
        _ = m.dram_read > 0
    with pytest.raises(KeyError, match=r"has no quantity 'dram__bytes_write.som'; nearest 'dram__bytes_write.sum'"):
        _ = m["dram__bytes_write.som"]
    with pytest.raises(AttributeError, match=r"has no quantity 'dram_wirte'; nearest 'dram_write'"):
        _ = m.dram_wirte


def test_a_percentage_of_a_counter_is_held_against_itself_and_not_against_a_roof():
    m = measured(dram_pct=(62.5, "%"), dram_write=(48_000_000, "B"), local_bytes=(96, "B"))
    m.require(dram_pct=">= 60 %", dram_write=["<= 48 MB", ">= 48 MB"])
    for limits, story in (
        ({"dram_pct": ">= 80 %"}, r"^dram_pct: 62.50 % is below 80.00 % by 21.9 % \(95 % interval 62.50..62.50, profiled run\)$"),
        ({"dram_write": "<= 40 MB"}, r"^dram_write: 48.00 MB exceeds 40.00 MB \(profiled run\)$"),
        ({"local_bytes": "== 0"}, r"^local_bytes: 96.00 B is not 0 B \(profiled run\)$"),
    ):
        with pytest.raises(BudgetExceeded, match=story):
            m.require(**limits)
    with pytest.raises(Unmeasured, match="not-collected"):
        m.require(**{WRITE: "<= 1 MB"})


def test_the_judge_takes_limits_of_full_names():
    [budget] = read_limits({WRITE: "<= 48 MB"}, "here", "function marker")
    assert judge(budget, "main", Value(47e6, "B", "ncu", exact=True)).verdict == "PASS"
    assert judge(budget, "main", Value(49e6, "B", "ncu", exact=True)).verdict == "FAIL"


def test_without_a_profiled_run_counters_are_unmeasured_and_no_record_holds_them():
    m = Measurement("main", values={"time": Value(1e-5, "s", "device", name="time")})
    plain = m.record()
    assert m.dram_write.reason.code == m[WRITE].reason.code == "not-collected"
    assert m.record() == plain
    assert Measurement.unmeasured("main", Reason("no-gpu"), None, None, None).dram_pct.reason.code == "no-gpu"
    assert not any("dram" in name for name in Measurement.unmeasured("main", Reason("no-gpu"), None, None, None).record()["values"])


SEEN = """
import json, pathlib
from pytest_gpuperf.items import MARKS

def pytest_collection_finish(session):
    pathlib.Path("seen.json").write_text(json.dumps({item.name: item.stash[MARKS].counters for item in session.items if MARKS in item.stash}))
"""

TEXT = """
    def test_plain(gpuperf, fake):
        m = gpuperf.measure(fake.kernel(5e-6))
        assert m["dram__bytes_write.sum"] <= 1e6

    @pytest.mark.parametrize("counter", ["sm__warps_launched.sum", "no counter"])
    def test_parameter(gpuperf, fake, counter):
        gpuperf.measure(fake.kernel(5e-6))

    @pytest.mark.gpuperf(metrics={"lts__t_sectors_op_write.sum": "<= 1.1e6"}, time="<= 1 ms")
    def test_marked(gpuperf, fake):
        gpuperf.measure(fake.kernel(5e-6))

    def test_of_a_budget(gpuperf, fake):
        gpuperf.measure(fake.kernel(5e-6), budget={"dram_read": "<= 1 MB"})

    def test_without(gpuperf, fake):
        gpuperf.measure(fake.kernel(5e-6))
"""


def seen(pytester):
    return {name: tuple(found) for name, found in json.loads((pytester.path / "seen.json").read_text()).items()}


def test_every_case_knows_its_counters_when_it_is_collected(pytester):
    done = run_pytest(pytester, TEXT, conftest=FAKE + SEEN)
    assert seen(pytester) == {
        "test_plain": (WRITE,),
        "test_parameter[sm__warps_launched.sum]": ("sm__warps_launched.sum",),
        "test_parameter[no counter]": (),
        "test_marked": ("lts__t_sectors_op_write.sum",),
        "test_of_a_budget": (READ,),
        "test_without": (),
    }
    # Without a profiled run, none of them is a number and each limit is in the account.
    for name in ("test_plain", "test_marked", "test_of_a_budget"):
        assert done.case(name)["verdict"] == "UNMEASURED", name
    assert done.case("test_without")["verdict"] == "PASS"
    assert done.account == {"collected": 3, "PASS": 1, "UNMEASURED": 2}
    assert "dram" not in str(done.case("test_without"))


def test_counters_of_the_ini_file_are_for_every_case(pytester):
    run_pytest(pytester, TEXT, conftest=FAKE + SEEN, files={"pytest.ini": "[pytest]\ngpuperf_counters = dram_write, launch__grid_size\n"})
    assert seen(pytester)["test_without"] == (WRITE, "launch__grid_size")
    assert seen(pytester)["test_marked"] == (WRITE, "launch__grid_size", "lts__t_sectors_op_write.sum")


def test_an_unknown_counter_is_refused_before_anything_runs(pytester):
    done = run_pytest(pytester, TEXT, "--gpuperf-counters=dram_wirte")
    assert done.status == pytest.ExitCode.USAGE_ERROR
    assert "gpuperf_counters: no counter 'dram_wirte'; nearest 'dram_write'" in done.text
    done = run_pytest(pytester, "@pytest.mark.gpuperf(metrics={'dram__bytes_wirte': '<= 1'})\ndef test_x(gpuperf):\n    pass\n")
    assert done.status == pytest.ExitCode.INTERRUPTED
    assert "BadBudget: test_it.py::test_x: metrics=: no counter 'dram__bytes_wirte': a suffix such as .sum is missing" in done.text


def test_without_a_gpu_and_without_the_option_a_counter_says_so(pytester):
    text = TEXT.replace("fake.kernel(5e-6)", "lambda: None").replace(", fake", "")
    done = run_pytest(pytester, text, conftest=NO_GPU)
    assert done.codes["test_plain"] == done.codes["test_of_a_budget"] == ["no-gpu"]
    done = run_pytest(pytester, text, "--gpuperf-off", conftest=NO_GPU)
    assert done.outcomes == {"passed": 5, "skipped": 1}


def test_code_that_nothing_can_read_asks_for_nothing():
    class Odd:
        __code__ = None

        def __call__(self):
            """Do nothing."""

    assert asked_in(Odd()) == ()
