"""Quantities of the profiled pass where a lie would be cheap: other argument sets, records that are not whole, versions of a comparison."""

from __future__ import annotations

import pytest
from plugin_runs import SMALL, run_pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.device.profiler import Call, Records
from pytest_gpuperf.errors import BudgetExceeded, Inconclusive, Unmeasured
from pytest_gpuperf.testing import fake_conftest


def repeated(fake, stream=0):
    kernel = fake.kernel(5 * US, stream=stream)

    def body(count):
        for _ in range(count):
            kernel()

    return body


@pytest.mark.parametrize("cupti", ["usable", ""])
def test_launches_are_those_of_every_argument_set(cupti):
    fake = device("GPU-sets", cupti=cupti, **STILL)
    with bench(fake) as gpuperf:
        body = repeated(fake, lambda: gpuperf.stream)
        m = gpuperf.measure(body, inputs=[(1,), (2,)], stream=fake.stream())
        with pytest.raises(Inconclusive, match="1 to 2"):
            _ = m.launches == 1
        assert m.launches.reason.code == "counts-differ"
        assert gpuperf.measure(body, inputs=[(2,), (2,)], stream=fake.stream(), name="same").launches == 2


def test_every_one_of_many_argument_sets_is_called():
    fake = device("GPU-sets", cupti="usable", **STILL)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(repeated(fake), inputs=[(1,)] * 19 + [(2,)])
        assert m.launches.reason.code == "counts-differ"


def waiting(fake):
    kernel = fake.kernel(5 * US)
    return lambda: (kernel(), fake.synchronize(0))


def elsewhere(fake):
    stream = fake.stream()
    return fake.kernel(100 * US, stream=lambda: stream)


@pytest.mark.parametrize("made", [waiting, elsewhere])
def test_records_without_the_work_of_a_body_that_has_no_time_are_no_zero(monkeypatch, made):
    fake = device("GPU-holes", cupti="usable", **STILL)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(made(fake))
        assert m.time.reason is not None
        read = type(fake.profiler).read
        monkeypatch.setattr(type(fake.profiler), "read", lambda self: [Records(calls=one.calls) for one in read(self)])
        for name in ("memcpys", "kernels", "busy_time"):
            with pytest.raises(Unmeasured, match="cupti-no-records: CUPTI recorded 0 of the 1 kernel that"):
                _ = m[name] <= 0
        assert m.launches.number is None


def test_records_of_a_part_of_the_launches_are_no_count(monkeypatch):
    fake = device("GPU-holes", cupti="usable", **STILL)
    with bench(fake) as gpuperf:
        kernel = fake.kernel(5 * US)
        m = gpuperf.measure(lambda: (kernel(), kernel()))
        read = type(fake.profiler).read
        monkeypatch.setattr(type(fake.profiler), "read", lambda self: [Records(one.work[:1], one.calls) for one in read(self)])
        with pytest.raises(Unmeasured, match="cupti-dropped: CUPTI recorded 1 of the 2 kernels"):
            _ = m.busy_time < 1


def test_launches_that_a_capture_takes_need_not_run():
    calls = tuple(Call(name, place, place + 0.5, 1, place) for place, name in enumerate(("cuStreamBeginCapture_v2", "cuLaunchKernel", "cudaLaunchKernel_v7000")))
    assert Records(calls=calls).launched == 0
    assert Records(calls=calls[1:]).launched == 2


def test_versions_of_a_comparison_have_the_quantities_of_the_pass():
    fake = device("GPU-compared", cupti="usable", **STILL)
    with bench(fake) as gpuperf:
        c = gpuperf.compare({"one": lambda: repeated(fake)(1), "two": lambda: repeated(fake)(2)})
        assert c["one"].launches == 1
        c["one"].require(launches="== 1", memcpys="== 0")
        with pytest.raises(BudgetExceeded, match="launches: 2 is not 1"):
            c["two"].require(launches="== 1")


@pytest.mark.parametrize(("cupti", "account"), [("usable", {"collected": 3, "PASS": 2, "FAIL": 1}), ("", {"collected": 3, "UNMEASURED": 3})])
def test_limits_of_markers_reach_the_versions(pytester, cupti, account):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(memcpys="== 0", of="compare/a")
        def test_of(gpuperf, fake):
            gpuperf.compare({"a": fake.kernel(5e-6), "b": fake.kernel(7e-6)})

        @pytest.mark.gpuperf(api_calls="<= 1")
        def test_all(gpuperf, fake):
            kernel = fake.kernel(7e-6)
            gpuperf.compare({"a": fake.kernel(5e-6), "b": lambda: (kernel(), kernel())})
        """,
        conftest=fake_conftest(**SMALL, cupti=cupti),
    )
    assert done.account == account, done.text
    assert "KeyError" not in done.text


@pytest.mark.parametrize("word", ['duty="sustained"', 'clock="cupti"', 'budget={"time": "<= 1 us"}', "samples=400"])
def test_an_option_that_compare_does_not_have_is_not_dropped_into_a_body_that_takes_any_word(pytester, word):
    done = run_pytest(
        pytester,
        f"""
        def test_it(gpuperf, fake):
            kernel = fake.kernel(5e-6)
            with pytest.raises(TypeError, match="compare: no option '{word.partition("=")[0]}'"):
                gpuperf.compare({{"a": lambda **kw: kernel(), "b": lambda **kw: kernel()}}, {word})
            gpuperf.compare({{"a": lambda samples: kernel(), "b": lambda samples: kernel()}}, samples=4)
        """,
    )
    assert done.outcomes == {"passed": 1}, done.text


def test_limits_beside_one_that_cannot_be_judged_on_the_spot_are_accounted_for(pytester):
    done = run_pytest(
        pytester,
        """
        def test_raises(gpuperf, fake):
            kernel, broken = fake.kernel(5e-6), []

            def body():
                if broken:
                    raise RuntimeError("late")
                kernel()

            m = gpuperf.measure(body)
            broken.append(1)
            try:
                m.require(memcpys="== 0", time="<= 1 us")
            except RuntimeError:
                pass

        def test_no_work(gpuperf, fake):
            m = gpuperf.measure(fake.kernel(5e-6))
            try:
                m.require(time=["<= 1.3 x roof", "<= 1 us"])
            except Exception:
                pass
        """,
        conftest=fake_conftest(**SMALL, cupti="usable"),
    )
    verdicts = {case["function"]: [(one["quantity"], one["verdict"]) for one in case["budgets"]] for case in done.run["cases"]}
    assert verdicts["test_raises"] == [("memcpys", "UNMEASURED"), ("time", "FAIL")]
    assert verdicts["test_no_work"] == [("time", "FAIL"), ("time", "FAIL")]
    assert done.account == {"collected": 4, "FAIL": 3, "UNMEASURED": 1}
    assert "RuntimeError when this was to be measured: late" in done.text
    assert done.outcomes == {"failed": 2}
