"""Traces of nsys as measurements: what lies inside each range, and what a trace cannot tell; on made databases."""

from __future__ import annotations

import pytest
from made_nsys import START_END, Recorder, write

from pytest_gpuperf import BadBudget, BudgetExceeded, Inconclusive, TraceError, Unmeasured
from pytest_gpuperf.imports import nsys


@pytest.fixture
def made():
    return Recorder()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace.sqlite"


def three_launches(recorder):
    def body():
        recorder.launch("add")
        recorder.launch("add")
        recorder.launch("scale")
        copied = recorder.call("cudaMemcpyAsync_v3020", 1.0)
        recorder.work("MEMCPY", copied, 4.0, bytes=64, copyKind=1)
        cleared = recorder.call("cudaMemsetAsync_v3020", 1.0)
        recorder.work("MEMSET", cleared, 1.0, bytes=64)
        recorder.call("cudaStreamSynchronize_v3020", 20.0)

    return body


def test_a_range_is_a_measurement(made, path):
    made.step(body=three_launches(made))
    made.launch("outside")
    m = nsys.load(write(path, made))["step"]
    counts = {name: m[name].point for name in ("launches", "kernels", "memcpys", "memsets", "synchronizations", "api_calls")}
    assert counts == {"launches": 3, "kernels": 2, "memcpys": 1, "memsets": 1, "synchronizations": 1, "api_calls": 6}
    assert m.launches == 3
    assert m.api_time.point == pytest.approx((3 * 2 + 1 + 1 + 20) * 1e-6)
    # One after the other on one stream, from 5 us behind the first call: no gap.
    assert m.busy_time.point == pytest.approx(35e-6)
    assert m.time.point == pytest.approx(35e-6)
    assert m.host_time.point == pytest.approx(29e-6)
    assert {m[name].source for name in ("launches", "time", "host_time", "api_time")} == {"nsys"}
    assert m.kernels_by_name == {"add(float*)": (2, pytest.approx(20e-6)), "scale(float*)": (1, pytest.approx(10e-6))}
    assert m.device == "NVIDIA H200"


def test_budgets_apply_as_to_what_was_measured_here(made, path):
    made.step(body=three_launches(made))
    m = nsys.load(write(path, made))["step"]
    m.require(launches="<= 4", api_time={"H200": "<= 50 us", "*": "<= 1 us"}, synchronizations="== 1", busy_time="<= 36 us")
    with pytest.raises(BudgetExceeded) as failed:
        m.require(launches="== 2", api_time="<= 20 us")
    lines = str(failed.value).splitlines()
    told = "1 instance, range of process 1234, trace.sqlite"
    assert lines == [
        f"step launches: 3 is not 2 ({told})",
        f"step api_time: 28.00 us exceeds 20.00 us by 40.0 % (all within 28.00..28.00, {told})",
    ]
    with pytest.raises(BadBudget, match="needs work="):
        m.require(time="<= 1.5 x roof")
    with pytest.raises(Unmeasured, match="not-in-trace"):
        m.require(peak_memory="<= 1 MB")


def test_instances_are_counted_and_times_are_medians(made, path):
    for took in (30.0, 10.0, 12.0, 11.0, 13.0, 12.0, 12.0):
        made.step(body=lambda took=took: made.launch(call=took))
    trace = nsys.load(write(path, made))
    m = trace["step"]
    assert (trace.ranges[0].instances, m.launches.samples) == (7, 7)
    assert m.api_time.point == pytest.approx(12e-6)
    # Order statistics: the 95 % interval of the median of seven is all of them.
    assert m.api_time.bounds == pytest.approx((10e-6, 30e-6), abs=1e-9)
    with pytest.raises(Inconclusive, match="straddles"):
        m.require(api_time="<= 15 us")
    with pytest.raises(BudgetExceeded, match=r"95 % interval 10.00..30.00, 7 instances"):
        m.require(api_time="<= 5 us")
    trace.measurement("step", skip=1).require(api_time="<= 15 us")
    with pytest.raises(Unmeasured, match="7 instances, p95 needs 72"):
        _ = m.time.p95 < 1
    with pytest.raises(TraceError, match="skip=7: range 'step' of process 1234 has 7 instances"):
        trace.measurement("step", skip=7)


def test_percentiles_of_many_instances(made, path):
    for number in range(400):
        made.step(body=lambda number=number: made.launch(call=1 + number / 100))
    m = nsys.load(write(path, made))["step"]
    assert m["host_time.p99"].point == pytest.approx(1e-6 + (1 + 3.96) * 1e-6, abs=1e-7)
    assert m.api_time.bounds[1] - m.api_time.bounds[0] < 0.5e-6


def test_counts_that_differ_decide_nothing(made, path):
    made.step()
    made.step(body=three_launches(made))
    m = nsys.load(write(path, made))["step"]
    with pytest.raises(Inconclusive, match="counts-differ: 2 instances of the range have 1 to 3 launches"):
        m.require(launches="<= 4")


def test_nested_ranges_both_have_what_lies_inside(made, path):
    def outer():
        made.launch()
        made.step("inner", body=made.launch)
        made.launch()

    made.step("outer", body=outer)
    trace = nsys.load(write(path, made))
    assert (trace["outer"].launches.point, trace["inner"].launches.point) == (3, 1)
    assert [one.name for one in trace] == ["outer", "inner"]


def test_work_belongs_to_the_call_that_started_it_whatever_its_time_and_name(made, path):
    # Runs while the range is open, launched before it.
    made.launch("same", at=500.0)
    start = made.now
    made.launch("same", at=900.0, stream=9)
    made.range("step", start, 600.0)
    made.now = 600.0
    m = nsys.load(write(path, made))["step"]
    assert (m.launches.point, m.busy_time.point) == (1, pytest.approx(10e-6))


def test_a_push_pop_range_is_of_its_thread_and_a_start_end_range_of_its_process(made, path):
    made.launch(thread=11)
    made.launch(thread=22)
    made.launch(thread=33)
    made.range("pushed", 0, made.now, thread=11)
    made.range("started", 0, made.now, kind=START_END, thread=11)
    trace = nsys.load(write(path, made))
    assert (trace["pushed"].launches.point, trace["started"].launches.point) == (1, 3)


def test_two_processes_are_kept_apart(path):
    one, two = Recorder(pid=100), Recorder(pid=200)
    one.step()
    two.step(body=three_launches(two))
    for recorder, program in ((one, "/usr/bin/python3"), (two, "server")):
        recorder.add("PROCESSES", globalPid=recorder.thread(0), pid=recorder.pid, name=program)
    # Both have correlation 1, at the same moment.
    trace = nsys.load(write(path, one, two))
    assert trace.measurement("step", process=100).launches == 1
    assert trace.measurement("step", process=200).launches == 3
    with pytest.raises(TraceError) as ambiguous:
        _ = trace["step"]
    assert str(ambiguous.value) == f"{path} has 2 ranges 'step': 'step' of process 100 (python3), 'step' of process 200 (server); choose one by domain= or process="
    with pytest.raises(TraceError, match="no range 'step' with domain=None, process=300, but 'step' of process 100"):
        trace.measurement("step", process=300)


def test_work_of_a_process_without_calls_is_nobody_elses(path):
    one, two = Recorder(pid=100), Recorder(pid=50)
    one.step()
    two.work("KERNEL", 1)
    trace = nsys.load(write(path, one, two))
    assert trace["step"].launches == 1
    assert trace.notes == ("1 record of the device has no call in the trace that started it, and is in no range",)


def test_a_call_that_begins_as_a_range_ends_is_of_the_next_one(made, path):
    made.launch()
    made.launch()
    made.range("first", 0, 2)
    made.range("second", 2, 4)
    trace = nsys.load(write(path, made))
    assert (trace["first"].launches.point, trace["second"].launches.point) == (1, 1)


def test_two_processes_whose_work_says_not_whose_it_is(path):
    one, two = Recorder(pid=100), Recorder(pid=200)
    one.step()
    two.step()
    without = [("CUPTI_ACTIVITY_KIND_KERNEL", "globalPid")]
    with pytest.raises(TraceError, match="table CUPTI_ACTIVITY_KIND_KERNEL has no column globalPid, or rows without one, and calls of 2 processes"):
        nsys.load(write(path, one, two, without=without))


def test_of_one_process_the_work_is_known_without_it(made, path):
    made.step()
    assert nsys.load(write(path, made, without=[("CUPTI_ACTIVITY_KIND_KERNEL", "globalPid")]))["step"].launches == 1


def test_domains_and_registered_names(made, path):
    made.domain(1, "mine")
    made.step(domain=1)
    made.step()
    made.step(registered=True)
    made.step(domain=5)
    trace = nsys.load(write(path, made))
    assert [(one.label, one.instances) for one in trace] == [("step@mine", 1), ("step", 2), ("step@domain 5", 1)]
    assert trace["step@mine"].launches == 1
    assert trace.measurement("step", domain="").launches.samples == 2
    with pytest.raises(TraceError, match="3 ranges 'step': 'step@mine' of process 1234, 'step' of process 1234, 'step@domain 5' of process 1234;"):
        _ = trace["step"]
    with pytest.raises(TraceError, match=r"has no range 'stpe@mine'; nearest 'step@mine'$"):
        _ = trace["stpe@mine"]


def test_a_call_of_the_driver_inside_one_of_the_runtime_is_no_call_of_its_own(made, path):
    start = made.now
    made.call("cudaMalloc_v3020", 10.0)
    made.call("cuMemAlloc_v2", 8.0, at=start + 1)
    made.call("cuInit", 8.0, at=start + 1, thread=99)
    made.range("step", start, made.now + 1, kind=START_END)
    m = nsys.load(write(path, made))["step"]
    assert (m.api_calls.point, m.api_time.point) == (2, pytest.approx(18e-6))


def test_work_of_an_inner_call_is_work_of_the_outer_one(made, path):
    start = made.now
    made.call("cudaLaunchKernel_v7000", 10.0)
    inner = made.call("cuLaunchKernel", 8.0, at=start + 1)
    made.work("KERNEL", inner, demangledName=made.string("k()"))
    made.range("step", start, made.now)
    assert nsys.load(write(path, made))["step"].launches == 1


@pytest.mark.parametrize(
    ("call", "waits"),
    [("cudaDeviceSynchronize_v3020", 1), ("cuCtxSynchronize", 1), ("cudaEventSynchronize_v3020", 1), ("cudaMemcpy_v3020", 1), ("cudaMemcpyAsync_v3020", 0), ("cudaStreamWaitEvent_v3020", 0)],
)  # fmt: skip
def test_the_calls_that_wait(made, path, call, waits):
    made.step(body=lambda: made.call(call))
    assert nsys.load(write(path, made))["step"].synchronizations == waits


@pytest.mark.parametrize(("kind", "waits"), [(1, 1), (2, 0), (3, 1), (4, 1)])
def test_a_record_of_a_wait_tells_where_the_name_does_not(made, path, kind, waits):
    def body():
        copied = made.call("cudaMemcpyAsync_v3020", 30.0)
        made.work("SYNCHRONIZATION", copied, syncType=kind)

    made.step(body=body)
    assert nsys.load(write(path, made))["step"].synchronizations == waits


def test_work_on_two_streams_overlaps(made, path):
    def body():
        made.launch(took=100.0, stream=1)
        made.launch(took=20.0, stream=2)
        made.launch(took=50.0, stream=3, at=300.0)

    made.step(body=body)
    m = nsys.load(write(path, made))["step"]
    assert m.busy_time.point == pytest.approx(150e-6)
    assert m.time.point == pytest.approx((350 - 7) * 1e-6)


def test_a_range_that_launches_nothing_has_no_time(made, path):
    made.step("other")
    made.step(body=lambda: made.call("cudaGetDevice_v3020"))
    m = nsys.load(write(path, made))["step"]
    assert (m.launches.point, m.busy_time.point, m.api_calls.point) == (0, 0, 1)
    with pytest.raises(Unmeasured, match="no-device-work: nothing ran on the device in 1 of 1 instance"):
        m.require(time="<= 1 ms")
