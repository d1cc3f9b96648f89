"""A run held against a reference, whole: pairs, surroundings, machine code, limits, and what is said of it."""

from __future__ import annotations

import copy

import pytest
from compared_runs import compiled, count, counter, measured, run_of
from run_files import make_run, value

from pytest_gpuperf.records.runfile import write
from pytest_gpuperf.reference.compared import compare, quantities
from pytest_gpuperf.reference.limits import read_limits
from pytest_gpuperf.reference.slim import load_both, slim
from pytest_gpuperf.reference.told import lines, markdown
from pytest_gpuperf.report import html

A, B, C = "t.py::test_a", "t.py::test_b", "t.py::test_c[x|y`z]"


def verdicts(comparison):
    return {one.nodeid if one.name == "main" else (one.nodeid, one.name): one.change.verdict for one in comparison.held}


def text(comparison, verbosity=0):
    return "\n".join(line for line, _ in lines(comparison, verbosity))


def two(case):
    """Give a case a second measurement."""
    return case | {"measurements": [*case["measurements"], case["measurements"][0] | {"name": "other"}]}


def only(comparison):
    (one,) = comparison.held
    return one


def test_a_run_is_the_same_as_itself():
    run = make_run()
    before = copy.deepcopy(run)
    found = compare(run, run, read_limits("time:+5%"))
    assert run == before
    # Host times are too wide to be the same within 2 %.
    assert {one.change.verdict for one in found.held if one.change.quantity == "time"} == {"SAME"}
    assert not {"SLOWER", "FASTER", "LESS", "MORE"} & set(verdicts(found).values())
    assert (found.missing, found.new, found.differences, found.failed("")) == ((), (), (), False)


def test_faster_same_slower_missing_and_new():
    reference = run_of(measured(A), measured(B), measured(C), measured("t.py::test_gone"))
    run = run_of(measured(A, 55.0), measured(B, 50.1), measured(C, 40.0), two(measured("t.py::test_new")))
    found = compare(run, reference)
    assert verdicts(found) == {A: "SLOWER", B: "SAME", C: "FASTER"}
    assert found.counts == {"SLOWER": 1, "SAME": 1, "FASTER": 1}
    assert (found.missing, found.new) == ((("t.py::test_gone", "main"),), (("t.py::test_new", "main"), ("t.py::test_new", "other")))
    said = text(found)
    assert "SLOWER       t.py::test_a  time 50.00 us -> 55.00 us, +10.00 % (" in said
    assert "missing      t.py::test_gone\n" in said
    assert "new          t.py::test_new main, other\n" in said
    assert "3 measurements compared: 1 SLOWER, 1 SAME, 1 FASTER, 1 missing, 2 new" in said
    assert A in said
    assert B not in said
    assert B in text(found, 1)


def test_what_was_deselected_is_not_missing():
    reference, run = run_of(measured(A), measured(B), measured(C)), run_of(measured(A))
    run["deselected"] = [{"nodeid": B, "budgets": 0}]
    found = compare(run, reference)
    assert found.missing == ((C, "main"),)
    assert "1 missing, 1 deselected" in text(found)


def test_the_measurement_of_the_same_card_is_the_reference_then_of_the_same_model():
    reference = run_of(measured(A, 60.0, device="GPU-1"), measured(A, 50.0, device="GPU-2"))
    reference["devices"].append(reference["devices"][0] | {"uuid": "GPU-2"})
    run = run_of(measured(A, 50.0, device="GPU-2"))
    run["devices"][0]["uuid"] = "GPU-2"
    assert only(compare(run, reference)).change.verdict == "SAME"
    run = run_of(measured(A, 50.0, device="GPU-3"), uuid="GPU-3")
    reference["devices"][0]["name"] = "NVIDIA A100"
    assert only(compare(run, reference)).change.verdict == "SAME"


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"driver": "590.1"}, "driver 580.159 -> 590.1"),
        ({"name": "NVIDIA H100"}, "device NVIDIA H200 -> NVIDIA H100"),
        ({"sm_clock": 1755}, "SM clock 1980 -> 1755"),
        ({"packages": {"numba-cuda": "0.31.0"}}, "numba-cuda 0.30.4 -> 0.31.0"),
    ],
)
def test_changed_surroundings_decide_nothing_and_stand_at_the_top(changed, what):
    reference = run_of(measured(A), sm_clock=1980)
    found = compare(run_of(measured(A, 60.0), **{"sm_clock": 1980} | changed), reference, read_limits("time:+5%"))
    one = only(found)
    assert (one.change.verdict, one.change.reason.code, one.change.reason.detail) == ("INCONCLUSIVE", "environment-differs", what)
    assert [judged.verdict for judged in one.gates] == ["INCONCLUSIVE"]
    assert [found.failed(strict) for strict in ("", "unmeasured", "all")] == [False, False, True]
    assert text(found).splitlines()[1].startswith(f"  environment: {what} (moves device times")


def test_what_moves_nothing_is_only_told():
    found = compare(run_of(measured(A, 60.0), packages={"pytest": "9.9"}), run_of(measured(A), packages={"pytest": "9.8"}))
    assert only(found).change.verdict == "SLOWER"
    assert "  also different: pytest 9.8 -> 9.9" in text(found)


def test_a_python_moves_host_times_alone():
    values = {"wall_time": value(9e-5, "s", source="host")}
    slow = {"wall_time": value(18e-5, "s", source="host")}
    reference, run = run_of(measured(A, values=values)), run_of(measured(A, values=slow))
    run["run"]["python"] = "3.14"
    one = only(compare(run, reference, read_limits("time:+5%,wall_time:+5%")))
    assert [(judged.change.quantity, judged.verdict) for judged in one.gates] == [("time", "PASS"), ("wall_time", "INCONCLUSIVE")]


def test_clocks_of_single_measurements():
    slow = measured(A, 60.0)
    for row in slow["measurements"][0]["evidence"]:
        row["effective_clock"] = 1500.0
    found = compare(run_of(slow, measured(B)), run_of(measured(A), measured(B)))
    assert verdicts(found) == {A: "INCONCLUSIVE", B: "SAME"}
    assert "  environment: SM clock of 1 measurement 1980 -> 1500 MHz (moves device times and counters)" in text(found)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"cache": "warm"}, "another cache state: cold -> warm"),
        ({"duty": "sustained"}, "another duty: spaced -> sustained"),
        ({"work": {"reads": 1, "writes": 1, "flops": 0, "kind": "fp32"}}, "Work says other bytes or operations than the reference's"),
    ],
)
def test_what_was_measured_in_another_way_decides_nothing(more, words):
    one = only(compare(run_of(measured(A, 90.0, **more)), run_of(measured(A))))
    assert (one.change.verdict, one.change.reason.code, one.change.reason.detail) == ("INCONCLUSIVE", "measured-otherwise", words)


def test_equal_and_other_machine_code_say_so():
    reference = run_of(measured(A, code="x"), measured(B, code="x"), measured(C))
    found = compare(run_of(measured(A, 60.0, code="x"), measured(B, 60.0, code="y"), measured(C, code="y")), reference)
    assert {one.nodeid: one.same_code for one in found.held} == {A: True, B: False, C: None}
    said = text(found)
    assert "  other machine code in 1 measurement: test_b" in said
    assert "  equal machine code in 1 measurement" in said
    assert said.count("; equal machine code") == said.count("; other machine code") == 1
    moved = compare(run_of(measured(A, 60.0, code="x"), driver="590.1"), reference)
    assert only(moved).change.reason.detail == "driver 580.159 -> 590.1; the machine code is equal"


def test_counts_and_counters_are_told_of_unasked():
    def of(launches, written, time_us=50.0):
        return run_of(measured(A, time_us, values={"launches": count(launches)}, counters={"dram__bytes_write.sum": counter(written)}))

    found = compare(of(3, 2.0e6), of(1, 1.0e6), read_limits("dram_write:+2%"))
    said = text(found)
    assert "FAIL         t.py::test_a  dram_write 1.000 MB -> 2.000 MB, +100.0 % (allowed +2%)" in said
    assert "MORE         t.py::test_a  launches 1 -> 3, +200.0 %" in said
    assert found.failed("")
    assert not compare(of(1, 1.01e6), of(1, 1.0e6), read_limits("dram_write:+2%")).failed("all")
    assert "LESS         t.py::test_a  dram__bytes_write.sum 2.000 MB -> 1.000 MB" in text(compare(of(1, 1.0e6), of(1, 2.0e6)))


def test_a_limit_that_nothing_reaches_and_one_that_this_run_did_not_measure():
    reference = run_of(measured(A, counters={"dram__bytes_write.sum": counter(5.0)}))
    found = compare(run_of(measured(A)), reference, read_limits("dram_write:+2%,launches:+0"))
    assert found.unreached == ("launches:+0",)
    assert "no measurement has what the limit launches:+0 is on" in text(found)
    assert [judged.verdict for judged in only(found).gates] == ["UNMEASURED"]
    assert [found.failed(strict) for strict in ("", "unmeasured", "all")] == [False, True, True]


def test_a_body_that_synchronises_in_both_is_compared_by_its_wall_time():
    def of(seconds):
        return run_of(measured(A, None, values={"wall_time": value(seconds, "s", source="host")}))

    found = compare(of(2e-3), of(1e-3), read_limits("time:+5%"))
    assert (only(found).change.quantity, only(found).change.verdict) == ("wall_time", "SLOWER")
    assert found.unreached == ("time:+5%",)


class TestCompiled:
    """Kernels that were compiled without being launched, on machines without a GPU too."""

    def of(self, *kernels):
        run = run_of(measured(A, None) | {"compiled": list(kernels), "measurements": []})
        return run | {"devices": []}

    def judged(self, here, there, limits="registers:+0"):
        return compare(self.of(here), self.of(there), read_limits(limits) if limits else ())

    @pytest.fixture(autouse=True)
    def registers(self, monkeypatch):
        """Give METRICS the row of a quantity of the compiler, where it has none."""
        from pytest_gpuperf import metrics
        from pytest_gpuperf.reference.change import kind_of, row_of

        row = metrics.Metric("registers", "1", "less", ("p50",), (), "compiler", "registers a thread has", exact=True)
        monkeypatch.setitem(metrics._BY_NAME, "registers", metrics._BY_NAME.get("registers", row))
        row_of.cache_clear()
        kind_of.cache_clear()
        yield
        row_of.cache_clear()

    def test_more_registers_exceed_a_limit(self):
        found = self.judged(compiled(56, "cd"), compiled(40))
        assert found.failed("")
        assert "FAIL         t.py::test_a decode on sm_90  registers 40 -> 56, +40.00 % (allowed +0); other machine code" in text(found)
        assert "limits on changes: 1 FAIL" in text(found)
        assert not self.judged(compiled(40), compiled(40)).failed("all")
        assert "MORE         t.py::test_a decode on sm_90  registers 40 -> 56" in text(self.judged(compiled(56), compiled(40), ""))

    def test_another_compiler_decides_nothing(self):
        found = self.judged(compiled(56, "cd", nvvm="13.2"), compiled(40))
        ((_, judged),) = found.gates("INCONCLUSIVE")
        assert judged.change.reason.detail == "nvvm 13.0 -> 13.2; the machine code differs too"

    def test_the_code_of_a_measurement_is_that_of_its_kernels(self):
        def of(code):
            return run_of(measured(A) | {"compiled": [compiled(code=code), compiled(code="z", kernel="other", measurements=["base"])]})

        assert only(compare(of("ab"), of("ab"))).same_code is True
        assert only(compare(of("cd"), of("ab"))).same_code is False
        assert only(compare(of(None), of("ab"))).same_code is None

    def test_of_two_kernels_of_one_name_neither_hides_the_other(self):
        def of(code):
            return run_of(measured(A) | {"compiled": [compiled(code=code), compiled(code="ab")]})

        assert only(compare(of("cd"), of("cd"))).same_code is True
        assert only(compare(of("ef"), of("cd"))).same_code is False


def hostile():
    reference = run_of(measured(C), measured(A))
    return compare(run_of(measured(C, 60.0), measured("t.py::test[<script>\n|`]"), driver="590.1"), reference, read_limits("time:+1%"))


def test_markdown_is_a_table_that_foreign_names_cannot_break():
    made = markdown(hostile())
    rows = [line for line in made.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "missing: `t.py::test_a`" in made
    assert "- environment: driver 580.159 -> 590.1" in made
    assert len(markdown(compare(make_run(passed=900), make_run(passed=900, seed=8)))) < 100_000


def test_the_page_shows_the_comparison_and_its_headline():
    reference = run_of(measured(A), measured(B))
    found = compare(run_of(measured(A, 60.0)), reference, read_limits("time:+5%"))
    page = html.render(found.run, reference, found)
    assert "1 measurement is worse than the reference by more than is allowed" in page
    assert page.index('id="compared"') < page.index('id="all"')
    changes = page[page.index('id="compared"') : page.index('id="all"')]
    assert "50.00 us \u2192 60.00 us" in changes
    assert "<b>+20.00 %</b>" in changes
    assert "allowed +5%" in changes
    assert changes.count('<path class="limit"') == 1, "the limit is drawn in the bar of the change"
    assert "1 missing" in page
    made = hostile()
    page = html.render(made.run, made.reference, made)
    assert "<script>\n|" not in page
    assert "environment-differs" in page
    assert 'id="compared"' not in html.render(make_run())


def test_large_runs_are_read_by_two_processes_and_say_the_same(tmp_path):
    reference, run = make_run(passed=5), make_run(passed=5, seed=9)
    write(reference, tmp_path / "a.json")
    write(run, tmp_path / "b.json")
    limits = read_limits("time:+5%,bandwidth:-5%")
    thin, now = load_both(tmp_path / "a.json", tmp_path / "b.json", quantities(limits), large=0)
    assert now == run
    assert thin == slim(reference, quantities(limits))
    assert text(compare(now, thin, limits), 1) == text(compare(run, reference, limits), 1)
    (tmp_path / "a.json").write_text("{")
    from pytest_gpuperf.errors import RunFileError

    with pytest.raises(RunFileError, match="it is cut off"):
        load_both(tmp_path / "a.json", tmp_path / "b.json", quantities(), large=0)


def test_what_straddles_without_a_limit_is_not_told_in_words_about_limits():
    runs = run_of(measured(A, 50.0, spread=0.05)), run_of(measured(A, 50.5, spread=0.05), number=2)
    assert "INCONCLUSIVE straddles (1): the interval holds both a change and none that is worth a word; next: raise --gpuperf-limit\n" in text(compare(runs[1], runs[0]))
    assert "INCONCLUSIVE straddles (1): the limit lies inside the interval" in text(compare(runs[1], runs[0], read_limits("time:+3%")))
