"""Inside a row's details: history, host and device, kernels, timelines; from the record alone, inside their pictures, and never wrong for want of a history."""

from __future__ import annotations

import json
import random
import re
import time
from typing import Any

import pytest
from compared_runs import measured, run_of
from detailed_runs import NAMES, call_timeline, detailed, detailed_run, earlier
from plugin_runs import run_pytest
from run_files import assemble, case, make_run, reason

from pytest_gpuperf.cli import main
from pytest_gpuperf.records.runfile import write
from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.reference import past as past_module
from pytest_gpuperf.reference.history import keep
from pytest_gpuperf.reference.index import NAME
from pytest_gpuperf.reference.past import MOST, past
from pytest_gpuperf.report.beside import beside
from pytest_gpuperf.report.details import FULL_ROWS, SMALL, code_lines, drawn, split_of, whole_of
from pytest_gpuperf.report.history import with_this
from pytest_gpuperf.report.html import render
from pytest_gpuperf.report.svg import Mark
from pytest_gpuperf.report.svg_history import Point, history
from pytest_gpuperf.report.svg_kernels import Kernel, kernels
from pytest_gpuperf.report.svg_parts import CHARACTER
from pytest_gpuperf.report.svg_split import Part, split
from pytest_gpuperf.report.svg_timeline import Event, timeline
from pytest_gpuperf.report.views import rows, worst_first

HOSTILE = "</svg><script>alert(1)</script>\"' &amp; \u202e"
A, B = "t.py::test_a", "t.py::test_b[1]"


def pictures(run: dict[str, Any]) -> list[str]:
    """Return every drawing of details of a run."""
    table = drawn(rows(run, beside(run, None)), run, beside(run, None), earlier(run))
    return [one.svg for row in table if row.whole for part in (row.whole.left, row.whole.right, row.whole.wide) for one in part]


def texts(svg: str) -> list[tuple[str, float, float, float]]:
    """Return the texts of a drawing with the ends and the base that they take."""
    found = []
    for tag, words in re.findall(r"<text([^>]*)>([^<]*)</text>", svg):
        x, y = (float(re.search(rf' {name}="([-\d.]+)"', tag)[1]) for name in "xy")  # type: ignore[index]
        width = len(words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")) * CHARACTER
        shift = {"end": 1.0, "middle": 0.5}.get((re.search(r'text-anchor="(\w+)"', tag) or [None, ""])[1] or "", 0.0)
        found.append((words, x - shift * width, x + (1 - shift) * width, y))
    return found


def test_a_made_run_is_as_the_schema_says() -> None:
    assert validate(detailed_run()) == []


def test_no_text_stands_outside_its_picture_or_on_another() -> None:
    drawings = pictures(detailed_run(kernels=12))
    assert len(drawings) > 15
    for svg in drawings:
        width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())  # type: ignore[union-attr]
        told = texts(svg)
        assert told
        for words, left, right, base in told:
            assert left >= -1, words
            assert right <= width + 4, words
            assert 8 <= base <= height, words
        for place, (words, left, right, base) in enumerate(told):
            for other, begin, end, level in told[place + 1 :]:
                assert abs(base - level) > 9 or right <= begin + 1 or end <= left + 1, (words, other)


def test_drawings_are_small() -> None:
    for svg in pictures(detailed_run(kernels=60)):
        assert len(svg) < (3000 if 'class="dist timeline' in svg else 4500)


def test_hostile_names_are_text_everywhere() -> None:
    made = detailed(1, "PASS", random.Random(1))
    one = made["measurements"][0]
    one["profile"]["kernels"][0]["name"] = HOSTILE
    for event in (*one["timeline"]["events"], *made["ranges"]["events"]):
        event["name"] = HOSTILE
        event["lane"] = HOSTILE if event["kind"] != "step" else "main"
    made["compiled"][0]["kernel"] = HOSTILE
    page = render(assemble([made]))
    assert "<script>alert" not in page.replace("\\u003c", "<")
    assert "\u202e" not in page


class TestHistory:
    POINTS = tuple(Point(f"2026-11-{day}T10:15:00Z", "4f9d2c1ab83e", day == 12, day * 1e-6, day * 0.99e-6, day * 1.01e-6) for day in (11, 12, 13))

    def test_a_slower_run_lies_higher_and_this_one_is_marked_in_its_verdict(self) -> None:
        svg = history(self.POINTS, None, "FAIL")
        ys = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
        assert ys == sorted(ys, reverse=True)
        assert svg.count('class="here"') == 1
        assert svg.index('class="here"') > svg.rindex('class="dot"')
        assert 'class="dist history v-FAIL"' in svg
        assert "2026-11-12 10:15 4f9d2c1ab8+ 12.00 us (11.88..12.12 us)" in svg
        assert "13.00 us (12.87..13.13 us), this run" in svg
        assert 'aria-label="3 runs, 11.00..13.00 us, this one 13.00 us"' in svg

    def test_a_near_limit_is_a_line_and_a_far_one_none(self) -> None:
        assert history(self.POINTS, Mark(14e-6, "<= 14 us")).count('class="limit"') == 1
        assert "14.00 us" in history(self.POINTS, Mark(14e-6, "<= 14 us"))
        assert 'class="limit"' not in history(self.POINTS, Mark(1.0, "<= 1 s"))

    def test_equal_times_and_negative_ones_are_drawn(self) -> None:
        for number in (0.0, -1e-9, 5e-6):
            svg = history([Point("2026-11-11", None, False, number, number, number)] * 3)
            assert svg.count("<circle") == 3
            assert "nan" not in svg

    def test_no_history_no_drawing(self) -> None:
        run = make_run(passed=2, failed=0, undecided=0)
        one = run["cases"][0]
        assert with_this(run, one, one["measurements"][0], {}) == ()
        assert 'class="dist history' not in render(run).replace('\\"', '"')

    def test_the_simulator_has_none(self) -> None:
        run = make_run(passed=3, failed=0, gpu=False)
        past_of = {(one["nodeid"], "main"): self.POINTS for one in run["cases"]}
        for one in run["cases"]:
            one["measurements"][0]["values"]["time"] |= {"number": 12e-6}
        for row in rows(run, beside(run, None)):
            assert whole_of(row, run, past_of).left == ()


class TestPast:
    @pytest.fixture
    def directory(self, tmp_path):
        """Keep four runs, of which one is of another device and one of another cache state."""
        for number, more in enumerate(({}, {"name": "NVIDIA H100"}, {}, {})):
            keep(run_of(measured(A, 50.0 + number, cache="warm" if number == 2 else "cold"), measured(B, None), number=number, **more), tmp_path / "runs")
        return tmp_path / "runs"

    def test_only_earlier_runs_of_the_same_device_cache_state_and_source_count(self, directory) -> None:
        now = run_of(measured(A, 60.0), number=9)
        keep(now, directory)
        found, said = past(now, directory)
        assert said == []
        assert [round(one.number * 1e6, 3) for one in found[A, "main"]] == [50.0, 53.0]
        assert [one.started for one in found[A, "main"]] == ["2026-11-21T10:15:00Z", "2026-11-21T10:15:03Z"]
        assert [round(one.number * 1e6, 3) for one in past(run_of(measured(A, 60.0), number=1), directory)[0][A, "main"]] == [50.0]
        other = run_of(measured(A, 60.0), number=9)
        other["cases"][0]["measurements"][0]["values"]["time"]["source"] = "cupti"
        assert past(other, directory)[0] == {}
        assert past(run_of(measured("t.py::new", 60.0), number=9), directory)[0] == {}

    def test_the_newest_are_kept(self, directory, monkeypatch) -> None:
        monkeypatch.setattr(past_module, "MOST", 1)
        found, _ = past(run_of(measured(A, 60.0), number=9), directory)
        assert [round(one.number * 1e6, 3) for one in found[A, "main"]] == [53.0]

    def test_a_broken_index_is_made_anew_and_said(self, directory) -> None:
        now = run_of(measured(A, 60.0), number=9)
        past(now, directory)
        (directory / NAME).write_bytes(b"SQLite format 3\0" + b"broken" * 500)
        found, said = past(now, directory)
        assert len(found[A, "main"]) == 2
        assert len(said) == 1
        assert "was broken: made anew" in said[0]

    def test_an_index_that_cannot_be_had_at_all_is_one_line(self, directory, monkeypatch) -> None:
        def fails(*_: Any, **__: Any) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(past_module, "Index", fails)
        found, said = past(run_of(measured(A, 60.0), number=9), directory)
        assert found == {}
        assert said == ["no history on the page: [Errno 5] Input/output error"]

    def test_a_torn_run_file_is_left_out_without_a_word(self, directory) -> None:
        (directory / "torn.json").write_text("{")
        found, said = past(run_of(measured(A, 60.0), number=9), directory)
        assert len(found[A, "main"]) == 2
        assert said == []

    def test_a_directory_of_this_run_alone_gets_no_index(self, tmp_path) -> None:
        now = run_of(measured(A, 60.0), number=9)
        write(now, tmp_path / f"{now['run']['id']}.json")
        assert past(now, tmp_path) == ({}, [])
        assert past(now, tmp_path / "gone") == ({}, [])
        assert [path.suffix for path in tmp_path.iterdir()] == [".json"]

    def test_reading_ends_when_patience_does_and_goes_on_next_time(self, directory) -> None:
        now = run_of(measured(A, 60.0), number=9)
        found, said = past(now, directory, patience=-1.0)
        assert found == {}
        assert said == [f"history: 4 run files of {directory} are not in its index yet; gpuperf show CASE reads them all"]
        assert len(past(now, directory)[0][A, "main"]) == 2

    def test_a_large_history_is_quick_once_it_is_indexed(self, tmp_path) -> None:
        cases = [measured(f"t.py::test[{number}]", 50.0) for number in range(400)]
        for one in cases:
            one["measurements"][0] |= {"samples": None, "evidence": []}
        for number in range(20):
            keep(run_of(*cases, number=number), tmp_path)
        now = run_of(*cases, number=30)
        past(now, tmp_path, patience=60.0)
        began = time.process_time()
        found, said = past(now, tmp_path)
        assert time.process_time() - began < 0.5
        assert said == []
        # More than may be drawn whole: the worst ones alone are asked for.
        assert len(found) == FULL_ROWS
        assert {len(points) for points in found.values()} == {20}
        assert MOST < 30

    def test_a_session_draws_its_earlier_runs(self, pytester) -> None:
        text = "def test_it(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n"
        pages = [(run_pytest(pytester, text).path / "reports" / "latest.html").read_text(encoding="utf-8") for _ in range(2)]
        assert ["2 runs, " in page for page in pages] == [False, True]

    def test_render_takes_the_runs_beside_or_those_of_a_directory(self, directory, tmp_path, capsys) -> None:
        alone = tmp_path / "alone" / "now.json"
        alone.parent.mkdir()
        write(run_of(measured(A, 60.0), number=9), alone)
        for words, there in (((), False), (("--history", str(directory)), True)):
            assert main(["render", str(alone), *words]) == 0
            assert ("3 runs, " in alone.with_suffix(".html").read_text(encoding="utf-8")) == there
        assert capsys.readouterr().err == ""


class TestSplit:
    def test_bars_are_to_one_scale_and_gaps_follow_what_was_busy(self) -> None:
        svg = split([Part("wall time", "host", 40e-6, "host"), Part("device busy", "device", 10e-6, "CUPTI"), Part("gaps", "gaps", 10e-6, "rest", after=10e-6)])
        ends = [tuple(map(float, found)) for found in re.findall(r'class="\w+" d="M([\d.]+) [\d.]+H([\d.]+)v', svg)]
        (left, wall), (_, busy), (begin, gaps) = ends
        assert busy - left == pytest.approx((wall - left) / 4, abs=0.2)
        assert begin == busy
        assert gaps - left == pytest.approx((wall - left) / 2, abs=0.2)

    def test_only_what_the_record_has(self) -> None:
        made = case(1, "PASS", random.Random(1))["measurements"][0]
        assert [part.label for part in split_of(made)] == ["wall time", "host time", "device time"]
        made["values"]["time"] |= {"number": None, "reason": reason("sync")}
        svg = split(split_of(made))
        assert svg.count('class="hole"') == 1
        assert "not measured: sync" in svg
        assert "device time 0" not in svg

    def test_the_first_call_is_text_and_squeezes_nothing(self) -> None:
        svg = split([Part("host time", "host", 1e-6, "host"), Part("first call", "host", 2.0, "host", text=True)])
        assert svg.count('class="host"') == 1
        assert "2.000 s, host" in svg


class TestKernels:
    def test_at_most_eight_and_the_rest_by_number_and_time(self) -> None:
        svg = kernels([Kernel(f"k{number}", 1, (number + 1) * 1e-6) for number in range(12)])
        assert svg.count('class="device"') == 8
        assert "and 4 more: 10.00 us" in svg
        assert svg.index("k11<") < svg.index("k10<") < svg.index("k5<")

    def test_a_long_name_is_whole_in_its_title_and_bare_beside_its_bar(self) -> None:
        svg = kernels([Kernel(NAMES[0], 3, 1e-6)])
        assert f"<title>{NAMES[0]}</title>" in svg
        assert ">3 x pack_rows_bf16<" in svg
        assert 'aria-label="kernels of one call: 3 x pack_rows_bf16 1.000 us"' in svg


class TestTimeline:
    def test_what_overlaps_in_a_lane_takes_another_row(self) -> None:
        svg = timeline([Event("ranges", "range", "outer", 0.0, 8e-6), Event("ranges", "range", "inner", 1e-6, 2e-6), Event("ranges", "range", "next", 8e-6, 2e-6)], 1e-5)
        tops = [float(y) for y in re.findall(r'<path d="M[\d.]+ ([\d.]+)h', svg)]
        assert tops == [4.0, 22.0, 4.0]

    def test_every_event_has_a_bar_where_it_was(self) -> None:
        told = call_timeline(30)
        found = [Event(one["lane"], one["kind"], one["name"], one["start_s"], one["duration_s"]) for one in told["events"]]
        svg = timeline(found, told["span_s"], told["more"])
        lefts = [float(x) for x in re.findall(r"M([\d.]+) [\d.]+h[\d.]+v15", svg)]
        assert len(lefts) == len(found)
        expected = sorted(86 + 844 * one.start / told["span_s"] for one in found)
        assert sorted(lefts) == pytest.approx(expected, abs=0.11)

    def test_what_is_missing_is_said(self) -> None:
        bare = case(1, "PASS", random.Random(1)) | {"ranges": detailed(1, "PASS", random.Random(1))["ranges"]}
        run = assemble([bare])
        (row,) = rows(run, beside(run, None))
        assert whole_of(row, run, {}).missing.startswith("what one call does on the device is not shown: no profiled pass was taken")
        bare["measurements"][0]["profile"] = {"source": None, "calls": 0, "why": "UNMEASURED no-cupti: cupti-python is not installed"}
        assert whole_of(row, run, {}).missing.endswith("UNMEASURED no-cupti: cupti-python is not installed")
        bare.pop("ranges")
        assert whole_of(row, run, {}).wide == ()


def test_machine_code_stands_beside_the_measurement_that_launched_it() -> None:
    made = detailed(1, "PASS", random.Random(1))
    assert code_lines(made, made["measurements"][0]) == ["pack_rows on sm_90: 40 registers, 0 B of spills, 62.5 % occupancy", "mask on sm_90: 32 registers, 0 B of spills, 62.5 % occupancy"]
    made["compiled"][0]["measurements"] = []
    assert len(code_lines(made, made["measurements"][0])) == 1
    assert '<a href="#resources">machine code</a>' in render(assemble([made])).replace("\\u003c", "<").replace('\\"', '"')


def test_a_run_of_few_is_drawn_whole_and_of_many_the_worst() -> None:
    run = make_run(passed=SMALL - 20, failed=5, each=1)
    counts = []
    for extra in (0, 40):
        run["cases"] += [case(2000 + number, "PASS", random.Random(number), each=1) for number in range(extra)]
        table = drawn(rows(run, beside(run, None)), run, beside(run, None), {})
        counts.append([row.whole is not None for row in table])
    able = sum(counts[0])
    assert able > SMALL - 20
    assert counts[1].count(True) == FULL_ROWS
    assert not any(counts[1][FULL_ROWS + 10 :])


def test_rows_and_the_history_agree_on_what_is_worst() -> None:
    run = make_run(passed=30, failed=6)
    pairs = [(one, measurement) for one in run["cases"] for measurement in one["measurements"]]
    assert [one["nodeid"] for one, _ in worst_first(pairs)] == [row.nodeid for row in rows(run, beside(run, None))]


def test_show_tells_what_a_short_row_leaves_out(tmp_path, capsys) -> None:
    run = detailed_run(1)
    write(run, tmp_path / "run.json")
    assert main(["show", str(tmp_path / "run.json"), run["cases"][0]["nodeid"]]) == 0
    told = capsys.readouterr().out
    assert "kernels (CUPTI): 1x " in told
    assert "    steps: first call 420.0 ms, early calls 2.000 ms, " in told
    assert "    ranges: make inputs 290.0 ms, reference 200.0 ms" in told
    assert "    machine code: pack_rows on sm_90: 40 registers" in told
    assert json.loads((tmp_path / "run.json").read_text())["cases"][0]["ranges"]["more"] == 0
