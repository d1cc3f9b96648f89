"""Timelines: what is recorded of one profiled call and of a case, when ranges are heard, and that nobody hears them beside a timed sample."""

from __future__ import annotations

import itertools

import pytest
from plugin_runs import SMALL, run_pytest
from rules_bench import STILL, US, bench, device
from run_files import make_run

from pytest_gpuperf import nvtx_ranges
from pytest_gpuperf.device.profiler import Call, Records, Work
from pytest_gpuperf.records.runfile import dumps, thin
from pytest_gpuperf.testing import fake_conftest
from pytest_gpuperf.timing.steps import MOST, CaseTimeline, Heard, Span
from pytest_gpuperf.timing.timeline import timeline_of

USABLE = fake_conftest(**SMALL, cupti="usable")
BODY = """
    HEARD = []

    @pytest.fixture
    def staged(gpuperf, fake):
        with gpuperf.range("make inputs"):
            return fake.kernel(5e-6)

    @pytest.mark.gpuperf(launches="== 2")
    def test_body(gpuperf, staged, fake):
        from pytest_gpuperf import nvtx_ranges
        here, out = fake.alloc(4096), fake.array(4)
        staged.effect = lambda: out.numpy().fill(1.0)

        def body():
            HEARD.append(nvtx_ranges._hear is not None)
            with gpuperf.range("mask"):
                staged()
                with gpuperf.range("inner"):
                    fake.copy(here, here + 2048, 2048, 0)
            staged()

        with gpuperf.range("measured"):
            gpuperf.measure(body)
        gpuperf.compare({"a": staged, "b": body})
        gpuperf.deterministic(body, outputs=[out], runs=4)
        # The first call, and the last one of two profiled passes: no other call was heard, and least of all a timed one.
        assert HEARD.count(True) == 3 and HEARD[0] and len(HEARD) > 60, HEARD
"""


@pytest.fixture
def case(pytester):
    """Run a case with ranges on a fake device with CUPTI."""
    run = run_pytest(pytester, BODY, conftest=USABLE)
    assert run.status == 0, run.text
    return run.case("::test_body")


def events(told, kind):
    return [one for one in told["events"] if one["kind"] == kind]


def test_one_profiled_call_has_calls_work_and_ranges_on_one_clock(case):
    told = case["measurements"][0]["timeline"]
    assert told["source"] == "cupti"
    assert [one["lane"] for one in events(told, "kernel")] == ["stream 0", "stream 0"]
    assert [one["name"] for one in events(told, "memcpy")] == ["memcpy DTOD"]
    assert [one["name"] for one in events(told, "api")] == ["cuLaunchKernel", "cuMemcpyDtoDAsync_v2", "cuLaunchKernel"]
    mask, inner = events(told, "range")
    assert (mask["name"], inner["name"]) == ("mask", "inner")
    assert mask["start_s"] <= inner["start_s"] < inner["start_s"] + inner["duration_s"] <= mask["start_s"] + mask["duration_s"] + 1e-9
    copies = events(told, "api")[1]
    assert inner["start_s"] <= copies["start_s"] <= inner["start_s"] + inner["duration_s"]
    first, second = events(told, "kernel")
    assert events(told, "api")[0]["start_s"] < first["start_s"] < second["start_s"]
    assert told["span_s"] == pytest.approx(second["start_s"] + second["duration_s"], abs=2e-9)
    assert told["more"] == 0
    # Since the call began, not since the clock did.
    assert told["events"][0]["start_s"] < 1e-6
    assert 10 * US < told["span_s"] < 100 * US


def test_a_case_has_steps_and_its_own_ranges_and_none_of_timed_calls(case):
    told = case["ranges"]
    assert told["source"] == "host"
    assert [one["name"] for one in events(told, "range")] == ["make inputs", "measured", "mask", "inner"]
    steps = [(one["lane"], one["name"]) for one in events(told, "step")]
    assert steps == [*(("main", name) for name in ("first call", "early calls", "host clock", "samples", "checks", "profiled pass")), ("compare", "blocks in turns"), *((f"compare/{one}", "profiled pass") for one in "ab")]
    measured = events(told, "range")[1]
    mains = [one for one in events(told, "step") if one["lane"] == "main"]
    ends = [(one["start_s"], one["start_s"] + one["duration_s"]) for one in mains]
    assert measured["start_s"] <= ends[0][0]
    assert ends[-1][1] <= measured["start_s"] + measured["duration_s"] + 1e-6
    assert all(before <= after + 1e-6 for (_, before), (after, _) in itertools.pairwise(ends))
    assert told["span_s"] >= ends[-1][1]


def test_after_a_session_nobody_hears_and_a_range_is_what_it_was(case):
    assert case
    assert nvtx_ranges._hear is None
    assert nvtx_ranges.Range.__enter__ is nvtx_ranges._enter
    assert nvtx_ranges.Range.__exit__ is nvtx_ranges._exit


def test_a_session_that_is_interrupted_leaves_nobody_listening(pytester):
    with nvtx_ranges.heard_by(None):
        pytester.makepyfile("def test_it(gpuperf):\n    raise KeyboardInterrupt\n")
        pytester.inline_run("--gpuperf", "-p", "no:cacheprovider", no_reraise_ctrlc=True)
        assert nvtx_ranges.listening() is None


def test_without_cupti_there_is_the_case_alone(pytester):
    run = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 1 ms", busy_time="<= 1 ms")
        def test_it(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))

        def test_nothing(gpuperf):
            gpuperf.identical([1.0], [1.0]) if False else None
        """,
    )
    case = run.case("::test_it")
    assert "timeline" not in case["measurements"][0]
    assert next(one["name"] for one in case["ranges"]["events"]) == "first call"
    assert "ranges" not in run.case("::test_nothing")
    page = (run.path / "reports" / "latest.html").read_text(encoding="utf-8")
    assert "what one call does on the device is not shown: UNMEASURED no-cupti" in page.replace("\\u003c", "<")


def test_a_pass_that_a_test_asks_for_later_has_a_timeline_too():
    with bench(device("GPU-timeline", cupti="usable", **STILL)) as gpuperf:
        fake = gpuperf._runtime.backend
        m = gpuperf.measure(fake.kernel(5 * US))
        assert "timeline" not in m.record()
        assert m.launches == 1
        assert [one["kind"] for one in m.record()["timeline"]["events"]] == ["api", "kernel"]


def test_of_many_events_the_longest_of_each_kind_are_kept():
    work = tuple(Work("kernel", f"k{number}", 10.0 + number, 10.0 + number + number / 1000, 7, number) for number in range(500))
    calls = tuple(Call("cuLaunchKernel", 10.0 + number, 10.5 + number, 1 + number % 2, number) for number in range(100))
    told = timeline_of(Records(work, calls, (), 10.0, 11.0), [Span("all", 10.0, 600.0)], 5)
    assert len(told["events"]) == 64
    assert told["more"] == 500 + 100 + 1 - 64 + 5
    assert {one["lane"] for one in told["events"]} == {"host", "host 2", "stream 7", "ranges"}
    kept = [one["name"] for one in told["events"] if one["kind"] == "kernel"]
    assert "k499" in kept
    assert "k1" not in kept
    starts = [one["start_s"] for one in told["events"]]
    assert starts == sorted(starts)


def test_a_loop_of_ranges_is_counted_not_kept():
    heard = Heard(iter(range(10_000)).__next__)
    for _ in range(MOST + 36):
        heard("step", True)
        heard("step", False)
    assert len(heard.found) == MOST
    assert heard.more == 36


def test_a_case_that_ends_gives_back_to_who_heard_before():
    outer, inner = CaseTimeline(), CaseTimeline()
    outer.begin(None)
    with nvtx_ranges.range("a"):
        inner.begin(None)
        with nvtx_ranges.range("b"), inner.heard():
            pass
        assert [one["name"] for one in inner.record()["ranges"]["events"]] == ["b"]
        inner.end()
    assert [one["name"] for one in outer.record()["ranges"]["events"]] == ["a"]
    outer.end()
    assert nvtx_ranges._hear is None
    assert outer.record() == {}


def test_a_thin_run_keeps_the_timelines_of_what_did_not_pass():
    run = make_run(passed=3, failed=1, undecided=1)
    told = {"source": "host", "span_s": 1.0, "events": [], "more": 0}
    for one in run["cases"]:
        one["ranges"] = told
        one["measurements"][0]["timeline"] = told
    thinned = thin(run, len(dumps(run)) - 100)
    for one in thinned["cases"]:
        assert ("ranges" in one) == (one["verdict"] != "PASS")
        assert ("timeline" in one["measurements"][0]) == (one["verdict"] != "PASS")
