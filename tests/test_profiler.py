"""The profiled quantities on a fake device: counted by records of the calls, in a pass of their own, and never a zero for want of records."""

from __future__ import annotations

import pytest
from plugin_runs import SMALL, run_pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.device.profiler import WAITS, Allocation, Call, ProfilerError, Records, Work, bare, site_of, waits, windows_of
from pytest_gpuperf.errors import BudgetExceeded, Inconclusive, Unmeasured
from pytest_gpuperf.metrics import metric
from pytest_gpuperf.testing import FakeDevice, fake_conftest
from pytest_gpuperf.testing.profiler import STATES
from pytest_gpuperf.timing.counted import COUNTED, PROFILED


def made(**knobs):
    return device("GPU-profiler", **{"cupti": "usable", **STILL, **knobs})


@pytest.fixture
def fake():
    return made()


@pytest.fixture
def gpuperf(fake):
    with bench(fake) as one:
        yield one


def busy(fake):
    """A body of two kernels, a memset and a copy, that waits once and takes memory for a while."""
    here = fake.alloc(4096)
    kernel, other = fake.kernel(5 * US), fake.kernel(3 * US)

    def body():
        kernel()
        other()
        fake.memset(here, 0, 1024, 0)
        fake.copy(here, here + 2048, 2048, 0)
        scratch = fake.alloc(1 << 12)
        fake.synchronize(0)
        fake.free(scratch)

    return body


def test_every_count_of_a_busy_body(fake, gpuperf):
    m = gpuperf.measure(busy(fake))
    assert m.launches == 2
    assert m.launches.source == "cupti"
    assert m.kernels == 1  # both fake kernels have one name
    assert m.memcpys == 1
    assert m.memsets == 1
    assert m.synchronizations == 2
    assert m.api_calls == 7
    assert m.peak_memory == 1 << 12
    assert m.kernels_by_name["body"][0] == 2
    assert 8 * US < m.busy_time.point < 14 * US
    assert m.api_time > 7 * fake.spec.host_cost
    # They are of the calls that were recorded, not of the samples of the time.
    with pytest.raises(BudgetExceeded, match=r"api_time: .* interval [^,]*, \d+ calls recorded by CUPTI\)$"):
        m.require(api_time="<= 1 ns")


def test_the_lines_that_wait_are_those_of_the_user(fake, gpuperf):
    m = gpuperf.measure(busy(fake))
    assert m.synchronizations >= 1
    rows = m.details["profile"]["waits"]
    assert [row["call"] for row in rows] == ["cuStreamSynchronize", "cuMemFree_v2"]
    assert all(row["site"].startswith("test_profiler.py:") for row in rows)
    assert rows[0]["site"] != rows[1]["site"]


def test_the_pass_is_taken_once_and_only_where_somebody_asks(fake, gpuperf):
    calls = []
    kernel = fake.kernel(5 * US)
    m = gpuperf.measure(lambda: (calls.append(1), kernel()))
    before = len(calls)
    assert "memcpys" not in m.record()["values"]
    assert "profile" not in m.record()
    assert m.memcpys == 0
    after = len(calls)
    assert after > before
    assert m.memsets == 0
    assert m.launches == 1
    assert len(calls) == after
    assert m.record()["values"]["memcpys"]["number"] == 0


def test_nothing_records_before_or_after_the_pass(fake, gpuperf):
    m = gpuperf.measure(fake.kernel(5 * US))
    assert not fake.profiler.on
    assert m.launches == 1
    assert not fake.profiler.on


def test_a_pass_leaves_what_was_there(fake, gpuperf):
    total = fake.array(16)
    total.numpy()[:] = 1

    def add():
        total.numpy()[:] += 1

    m = gpuperf.measure(fake.kernel(5 * US, writes=[total], effect=add), inout=[total])
    assert total.numpy()[0] == 2
    assert m.launches == 1
    assert total.numpy()[0] == 2


@pytest.mark.parametrize("quantity", PROFILED)
def test_a_limit_takes_the_pass_from_the_entry_state(fake, gpuperf, quantity):
    total, seen = fake.array(16), []
    total.numpy()[:] = 1

    def add():
        seen.append(total.numpy()[0])
        total.numpy()[:] += 1

    unit = {"s": " s", "B": " GB", "1": ""}[metric(quantity).unit]
    m = gpuperf.measure(fake.kernel(5 * US, writes=[total], effect=add), inout=[total], budget={quantity: f"<= 100{unit}"})
    assert set(seen) == {1}
    assert total.numpy()[0] == 2
    assert m[quantity].source in {"cupti", "torch"}
    assert "profile" in m.record()
    m.require(**{quantity: f"<= 100{unit}"})


def test_a_count_beyond_its_limit_fails(fake, gpuperf):
    kernel = fake.kernel(5 * US)
    m = gpuperf.measure(lambda: (kernel(), kernel()))
    with pytest.raises(BudgetExceeded, match=r"^launches: 2 exceeds 1 \(counted exactly, source cupti\)$"):
        m.require(launches="<= 1")


@pytest.mark.parametrize(
    ("state", "code"), [("", "no-cupti"), ("wrong version", "no-cupti"), ("taken", "cupti-taken"), ("no records", "cupti-no-records"), ("drops", "cupti-dropped")]
)
def test_a_profiler_that_cannot_tell_is_a_reason_and_never_a_zero(state, code):
    fake = made(cupti=state)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(fake.kernel(5 * US))
        for name in PROFILED:
            if name in {"launches", "peak_memory"}:
                continue
            assert m[name].number is None
            assert m[name].reason.code == code
            with pytest.raises(Unmeasured, match=code):
                _ = m[name] <= 1
        assert m.peak_memory.reason.code == "allocator-unknown"
        # Counted by the other road, under its own name, or not at all.
        assert m.launches.source == "graph"


def test_launches_by_a_capture_where_cupti_records_nothing():
    fake = made(cupti="no records")
    with bench(fake) as gpuperf:
        kernel = fake.kernel(5 * US, stream=lambda: gpuperf.stream)
        m = gpuperf.measure(kernel, stream=fake.stream())
        assert m.launches == 1
        assert m.launches.source == "graph"
        assert m.details["profile"]["why"].startswith("UNMEASURED cupti-no-records")


def test_work_that_no_record_shows_is_a_hole(monkeypatch, fake, gpuperf):
    m = gpuperf.measure(fake.kernel(5 * US))
    read = type(fake.profiler).read
    monkeypatch.setattr(type(fake.profiler), "read", lambda self: [Records(calls=one.calls) for one in read(self)])
    assert m.memcpys.reason.code == "cupti-no-records"
    assert "CUPTI recorded no work of the body, of which the clock says" in str(m.memcpys)


def test_a_body_that_launches_nothing_launches_nothing(fake, gpuperf):
    m = gpuperf.measure(lambda: None)
    assert m.launches == 0


def test_counts_that_differ_from_call_to_call_decide_nothing(fake, gpuperf):
    kernel, calls = fake.kernel(5 * US), []

    def lazy():
        calls.append(1)
        kernel()
        if len(calls) % 2:
            kernel()

    m = gpuperf.measure(lazy)
    assert m.launches.reason.code == "counts-differ"
    with pytest.raises(Inconclusive, match="8 calls of the body have 1 to 2 launches"):
        _ = m.launches == 1


def test_an_inout_too_large_for_a_second_snapshot_is_said(monkeypatch, fake, gpuperf):
    total = fake.array(1 << 10)
    m = gpuperf.measure(fake.kernel(5 * US, writes=[total]), inout=[total])
    monkeypatch.setattr(FakeDevice, "memory", lambda self: (1024, 1 << 20))
    assert m.memcpys.reason.code == "no-memory"


def test_every_row_of_counted_is_a_quantity_of_cupti():
    assert len(set(PROFILED)) == len(PROFILED)
    for name in PROFILED:
        assert metric(name).source == "cupti"
    for row in COUNTED:
        assert not row.of(Records())


def test_every_wait_is_there_once_under_its_bare_name():
    assert len({row.name for row in WAITS}) == len(WAITS)
    for row in WAITS:
        assert bare(row.name) == row.name
        assert waits(row.name + "_v2_ptsz")
        assert row.how
    assert not waits("cuLaunchKernel")
    assert not waits("cuMemcpyDtoHAsync_v2")
    assert not waits("cuStreamWaitEvent")


def test_work_goes_to_the_window_of_the_call_that_started_it_even_if_it_runs_later():
    calls = [Call("cuLaunchKernel", 1.0, 1.1, 1, 10), Call("cuLaunchKernel", 3.0, 3.1, 2, 11)]
    work = [Work("kernel", "a", 5.0, 6.0, 0, 10), Work("kernel", "a", 1.05, 1.06, 0, 11), Work("kernel", "a", 1.0, 1.1, 0, 12)]
    first, second = windows_of([(0.9, 2.0), (2.5, 3.5)], work, calls, [Allocation(4, 1.0), Allocation(-4, 3.0)])
    assert [one.start for one in first.work] == [5.0]
    assert [one.start for one in second.work] == [1.05]
    assert (first.peak, second.peak) == (4, 0)


def test_a_site_is_the_innermost_line_of_the_user():
    import json
    import sys

    seen = []

    class Told(dict):
        def items(self):
            seen.append(site_of(sys._getframe(0).f_back))
            return super().items()

    json.JSONEncoder().encode([Told(a=1)])
    json.dumps({"a": Told(a=1)}, indent=1)
    assert all(one.startswith("test_profiler.py:") for one in seen)


def test_every_state_of_the_fake_profiler_is_a_sentence_or_usable():
    for state, why in STATES.items():
        profiler = made(cupti=state).profiler
        assert profiler.missing() == why
        if why:
            with pytest.raises(ProfilerError, match=why), profiler.recording():
                pass


def test_limits_of_a_pass_are_judged_and_shown_from_the_command_line(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(memcpys="== 0", synchronizations="<= 0", api_calls="<= 1", peak_memory="<= 1 kB")
        def test_kept(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))

        @pytest.mark.gpuperf(launches="== 1")
        def test_broken(gpuperf, fake):
            kernel = fake.kernel(5e-6)
            gpuperf.measure(lambda: (kernel(), kernel()))
        """,
        conftest=fake_conftest(**SMALL, cupti="usable"),
    )
    assert done.account == {"collected": 5, "PASS": 4, "FAIL": 1}, done.text
    assert "launches: 2 is not 1 (counted exactly, source cupti)" in done.text
    page = (done.path / "reports" / "latest.html").read_text(encoding="utf-8")
    assert "self-check" in page
    assert "kernels of one call by CUPTI" in page
    case = done.case("test_broken")
    assert case["measurements"][0]["profile"]["kernels"][0]["count"] == 2
    assert case["measurements"][0]["selfcheck"]["agrees"]


def test_without_cupti_the_same_limits_are_unmeasured(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(memcpys="== 0", synchronizations="<= 0", peak_memory="<= 1 kB")
        def test_it(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
        """,
    )
    assert done.account == {"collected": 3, "UNMEASURED": 3}, done.text
    assert sorted(set(done.codes["test_it"])) == ["allocator-unknown", "no-cupti"]
