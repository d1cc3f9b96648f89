"""Curves on the page: axes, panels, a qualification's lines, and the curve of a test function over a size, from records alone."""

from __future__ import annotations

import copy
import itertools
import re
from xml.etree import ElementTree as ET

import pytest
from curve_runs import SIZES, sized, sizes_with_holes
from run_files import assemble, make_run, reason

from pytest_gpuperf.qualify import trial
from pytest_gpuperf.qualify.rule import pair
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.records.merge import combine
from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.report.axes import Axis, axis
from pytest_gpuperf.report.curves import QUANTITIES, curves
from pytest_gpuperf.report.headline import headline
from pytest_gpuperf.report.html import render
from pytest_gpuperf.report.qualified import event_lines, picture, qualification_lines, qualified
from pytest_gpuperf.report.svg_curves import Dot, Line, Panel, figure
from pytest_gpuperf.testing import Example, fake_conftest
from pytest_gpuperf.values import Value


def tags(svg: str, name: str) -> list[ET.Element]:
    return [element for element in ET.fromstring(svg).iter() if name in (element.get("class") or "").split()]


def test_a_function_over_a_size_has_time_bandwidth_and_fraction_of_the_roof():
    run = assemble([sized(place, n) for place, n in enumerate(reversed(SIZES))])
    assert validate(run) == []
    (found,) = curves(run)
    assert (found.title, found.size, found.remarks) == ("test_copy [dtype float32]", "n", ())
    assert len(found.pictures) == len(QUANTITIES) == 3
    for _, svg in found.pictures:
        assert len(tags(svg, "point")) == len(SIZES)
        places = [float(dot.get("cx") or "nan") for dot in tags(svg, "point")]
        assert places == sorted(places)
        gaps = [right - left for left, right in itertools.pairwise(places)]
        # Equal factors are equally long.
        assert max(gaps) - min(gaps) < 0.2
        assert "1 Ki" in svg
    assert 'id="curves"' in render(run)


def test_what_is_not_decided_is_marked_and_said_not_dropped():
    run = assemble(sizes_with_holes())
    (found,) = curves(run)
    for _, svg in found.pictures:
        assert len(tags(svg, "point")) == 4
        assert [dot.get("class") for dot in tags(svg, "ring")] == ["ring v-UNMEASURED"]
        assert len(tags(svg, "v-INCONCLUSIVE")) == 1
        (line,) = tags(svg, "line")
        # Two pieces before what was not measured, none over it.
        assert (line.get("d") or "").count("M") == 2
    assert [(verdict, why.partition(":")[0]) for verdict, _, why in found.remarks] == [("INCONCLUSIVE", "drift"), ("UNMEASURED", "sync")]
    page = render(run)
    assert page.count("the body synchronises with the host") >= 2


def test_an_interval_that_reaches_below_zero_leaves_a_logarithmic_axis():
    cases = [sized(place, n) for place, n in enumerate(SIZES)]
    cases[0]["measurements"][0]["values"]["time"] |= {"number": 1e-7, "low": 5e-8, "systematic": 1e-7}
    (found,) = curves(assemble(cases))
    assert "10 us" in found.pictures[0][1]
    assert len(tags(found.pictures[0][1], "point")) == len(SIZES)


def test_a_case_that_measured_nothing_stands_on_the_curve_of_its_function():
    run = assemble([sized(place, n) for place, n in enumerate(SIZES)])
    run["cases"][1] |= {"measurements": [], "verdict": "UNMEASURED", "reasons": [reason("no-gpu")]}
    (found,) = curves(run)
    assert [(verdict, why) for verdict, _, why in found.remarks] == [("UNMEASURED", "no-gpu: no NVIDIA GPU is visible to this process")]
    assert all(len(tags(svg, "ring")) == 1 for _, svg in found.pictures)


def test_fewer_than_three_sizes_are_no_curve_and_other_parameters_keep_curves_apart():
    assert curves(assemble([sized(place, n) for place, n in enumerate(SIZES[:2])])) == []
    two = [sized(place, n, dtype=dtype) for dtype in ("float16", "float32") for place, n in enumerate(SIZES)]
    assert [found.title for found in curves(assemble(two))] == ["test_copy [dtype float16]", "test_copy [dtype float32]"]
    text = [sized(place, n) | {"numbers": {}} for place, n in enumerate(SIZES)]
    assert curves(assemble(text)) == []
    old = [{key: entry for key, entry in one.items() if key != "numbers"} for one in text]
    assert curves(assemble(old)) == []


def test_a_second_attempt_counts_in_place_of_the_first_and_every_measurement_has_its_own_curve():
    cases = [sized(place, n) for place, n in enumerate(SIZES)]
    again = copy.deepcopy(cases[0]) | {"attempt": 2}
    for one in (*cases, again):
        one["measurements"].append(copy.deepcopy(one["measurements"][0]) | {"name": "second"})
    found = curves(assemble([*cases, again]))
    assert [one.title for one in found] == ["test_copy [dtype float32] main", "test_copy [dtype float32] second"]
    assert len(tags(found[0].pictures[0][1], "point")) == len(SIZES)


def test_a_run_without_sizes_has_no_section_of_curves():
    page = render(make_run())
    assert 'id="curves"' not in page
    assert 'id="qualification"' not in page


def test_a_parametrised_test_on_a_fake_device_has_its_curve():
    test = """
        import pytest
        from pytest_gpuperf import Work
        @pytest.mark.parametrize("n", [1 << 10, 1 << 14, 1 << 18])
        @pytest.mark.parametrize("kind", ["a"])
        def test_it(gpuperf, fake, n, kind):
            source = fake.array(n)
            assert gpuperf.measure(fake.kernel(None, reads=[source]), work=Work(reads=4 * n, writes=0)).time < 1
    """
    example = Example({"conftest.py": fake_conftest(l2=1 << 16), "test_it.py": test})
    result = example.run_pytest("--gpuperf", "--gpuperf-limit=0.02")
    assert result.outcomes() == {"passed": 3}, result.stdout
    assert [one["numbers"] for one in result.run["cases"]] == [{"n": 1 << 10}, {"n": 1 << 14}, {"n": 1 << 18}]
    assert [found.title for found in curves(result.run)] == ["test_it [kind a]"]
    assert 'id="curves"' in result.report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("numbers", "unit", "how", "labels"),
    [
        ([1.2e-6, 3.4e-6], "s", {}, ["1", "2", "3", "4 us"]),
        ([0.0, 0.0], "%", {"zero": True}, ["0.00", "0.25", "0.50", "0.75", "1.00 %"]),
        ([5.0, 5.0], "", {}, ["4.50", "4.75", "5.00", "5.25", "5.50"]),
        ([100, 400], "", {"tight": True}, ["100", "200", "300", "400"]),
        ([1e9, 4e12], "B/s", {}, ["1 GB/s", "10 GB/s", "100 GB/s", "1 TB/s"]),
        ([1, 1 << 30], "", {}, ["1", "1 Ki", "1 Mi", "1 Gi"]),
        ([3, 3000], "", {}, ["10", "100", "1,000"]),
        ([0.1, 0.5, 1.0], "", {"tight": True}, ["0.25", "0.50", "0.75", "1.00"]),
    ],
)
def test_axes_write_round_numbers_that_hold_the_data(numbers, unit, how, labels):
    made = axis(numbers, unit, **how)
    assert made.low <= min(numbers) <= max(numbers) <= made.high
    assert [label for _, label in made.ticks] == labels
    shares = [made.share(number) for number, _ in made.ticks]
    assert shares == sorted(shares)
    assert 2 < len(made.ticks) <= 8


def test_a_figure_escapes_what_it_writes_and_keeps_names_apart():
    lines = tuple(Line(f"<{name}>", (Dot(0.0, 50.0), Dot(1.0, 50.0)), f"curve t{place}") for place, name in enumerate("abc"))
    svg = figure(Axis(0.0, 1.0, False, ((0.0, "<0>"),)), [Panel("<p>", axis([0.0, 100.0], zero=True), lines)], '"<all>"', "<x>")
    names = [float(element.get("y") or "nan") for element in tags(svg, "name")]
    assert len(names) == 3
    assert min(abs(one - other) for place, one in enumerate(names) for other in names[:place]) >= 11.9
    assert re.search(r"<[abcpx]>|<0>|<all>", svg) is None


@pytest.fixture
def record():
    def time(seconds, half):
        return Value(seconds, "s", "device", seconds - half, seconds + half, name="time")

    pairs = []
    for name, seconds in (("short", 2e-6), ("medium", 20e-6)):
        for slowdown in (0.0, 0.05):
            pairs += [pair(name, "allocations", slowdown, time(seconds, 2e-8), time(seconds * (1 + slowdown), 2e-8)) for _ in range(6)]
    pairs.append(pair("short", "processes", 0.0, time(2e-6, 1e-9), time(2.2e-6, 1e-9)))
    pairs.append(pair("short", "processes", 0.0, time(2e-6, 1e-9), Value.missing("time", "s", "device", Reason("no-answer", "it <did> not answer"))))
    kernels = [trial.Kernel(name, {0.0: 10, 0.05: 12}, time(seconds, 2e-8)) for name, seconds in (("short", 2e-6), ("medium", 20e-6))]
    return trial.record(pairs, kernels, trial.Setting("cold", 1.0, 6), 12.5)


def test_a_qualification_is_told_with_every_count_and_its_interval(record):
    run = make_run() | {"qualification": record}
    assert validate(run) == []
    lines = list(qualification_lines(run))
    assert lines[0] == "qualification: 26 pairs of 2 kernels, cold, in 12 s"
    assert any(re.fullmatch(r"  short   none \(A/A\) +allocations +0 of 6 \(\+6\) +0 of 6 \(\+6\) +0 of 6", line) for line in lines), lines
    assert any(re.fullmatch(r"  short   none \(A/A\) +processes +1 of 1, 1 UNMEASURED( +1 of 1, 1 UNMEASURED){2}", line) for line in lines), lines
    assert "  A/A short, fresh processes: false alarm at 1 %, 2 %, 5 %: ratio 1.1000 (1.0990 .. 1.1011)" in lines
    assert "  A/A short, fresh processes: UNMEASURED no-answer: it <did> not answer" in lines
    assert any("false alarms at 2 %: 1 of 13 pairs, in truth 0.1946 to 36.03 %" in line for line in lines), lines
    assert sum("INCONCLUSIVE at 1 %, 2 %: ratio" in line for line in lines) == 3
    assert any("3 more that are INCONCLUSIVE" in line for line in lines)
    assert len(list(event_lines(record, cut=0))) == 6 + 2


def test_the_page_draws_a_figure_a_kernel_with_a_line_a_threshold(record):
    shown = qualified(make_run() | {"qualification": record})
    assert shown is not None
    assert [title for title, _ in shown.pictures] == ["short kernel, 2.000 us, fresh allocations", "medium kernel, 20.00 us, fresh allocations"]
    svg = picture(record, record["kernels"][1])
    for number in range(3):
        # Named above, not below; two panels.
        assert len(tags(svg, f"t{number}")) == 3
    assert len(tags(svg, "point")) == 2 * 3 * 2
    assert len(tags(svg, "whisker")) == 12
    page = render(make_run() | {"qualification": record})
    assert "it &lt;did&gt; not answer" in page
    assert "0 of 6 (0 .. 45.9 %)" in page


def test_a_qualification_that_was_not_measured_is_one_line(record):
    run = make_run() | {"qualification": trial.unmeasured(Reason("no-gpu"), trial.Setting("cold", 1.0, 6))}
    assert validate(run) == []
    assert list(qualification_lines(run)) == [
        "qualification: UNMEASURED no-gpu: no NVIDIA GPU is visible to this process (run on a machine with a GPU and its driver)"
    ]
    assert "no NVIDIA GPU is visible" in render(run)


@pytest.mark.parametrize(
    ("verdicts", "why", "expected"),
    [
        (["PASS", "PASS"], None, ("PASS", "This gate keeps what it promises")),
        (["PASS", "INCONCLUSIVE"], None, ("INCONCLUSIVE", "This gate keeps what it promises, as far as so few pairs tell")),
        (["FAIL", "PASS"], None, ("FAIL", "This gate breaks what it promises: p0")),
        ([], {"code": "no-gpu"}, ("UNMEASURED", "This gate could not be qualified here")),
    ],
)
def test_a_session_without_cases_is_headed_by_its_qualification_and_a_broken_promise_heads_any_but_a_failed_one(verdicts, why, expected):
    record = {"reason": why, "promises": [{"name": f"p{place}", "verdict": verdict} for place, verdict in enumerate(verdicts)]}
    assert headline({"cases": [], "qualification": record}) == expected
    passed = {"cases": [{"verdict": "PASS", "source": "device"}], "qualification": record}
    assert headline(passed)[0] == ("FAIL" if expected[0] == "FAIL" else "PASS")
    failed = {"cases": [{"verdict": "FAIL", "source": "device"}], "qualification": record}
    assert headline(failed) == ("FAIL", "1 of 1 case fails")


def test_merged_runs_keep_a_qualification(record):
    first, second = make_run(seed=1), make_run(seed=2) | {"qualification": record}
    assert combine([first, second])["qualification"] == record
    assert "qualification" not in combine([first, first])
