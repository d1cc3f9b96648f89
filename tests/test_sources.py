"""Other sources of a time: asked for by an option, an ini line or a word, each under its own name, and an error where it cannot be had."""

from __future__ import annotations

import pytest
from plugin_runs import NO_GPU, SMALL, run_pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.errors import NoSource, NotCapturable, NotIdentical
from pytest_gpuperf.testing import fake_conftest
from pytest_gpuperf.testing.profiler import STATES
from pytest_gpuperf.work import Work


def made(**knobs):
    return device("GPU-sources", **{"cupti": "usable", **STILL, **knobs})


@pytest.mark.parametrize("cache", ["cold", "warm", "cold-dirty", "steady"])
def test_cupti_is_the_span_of_the_records(cache):
    fake = made(cupti_error=2 * US)
    work = Work(reads=1 << 20, writes=0)
    with bench(fake) as gpuperf:
        kernel = fake.kernel(20 * US)
        mine = gpuperf.measure(kernel, name="mine", cache=cache, work=work)
        m = gpuperf.measure(kernel, cache=cache, clock="cupti", work=work)
        assert m.time.source == "cupti"
        assert m.bandwidth.source == "cupti"
        assert m.time.reason is None
        batch = m.details["samples"]["batch"]
        assert (batch > 1) == (cache == "steady")
        assert m.time.point - mine.time.point == pytest.approx(2 * US / batch, abs=0.15 * US)
        assert m.details["samples"]["constant"] == 0
        assert "CUPTI records" in m.context
        assert m.time.systematic in ({}, {"cupti/kernel": 0.0})
    assert not fake.profiler.on


def test_cupti_has_rounds_percentiles_and_an_interval():
    fake = made(jitter=0.05)
    with bench(fake, limit=0.5) as gpuperf:
        m = gpuperf.measure(fake.kernel(20 * US), clock="cupti", budget={"time": "p95 <= 1 ms"})
        assert len(m.details["samples"]["rounds"]) >= 5
        low, high = m.time.bounds
        assert low < m.time.point < high
        assert m.time.p95 < 1


@pytest.mark.parametrize("state", ["", "wrong version"])
def test_cupti_that_is_not_there_is_an_error_with_the_cause(state):
    fake = made(cupti=state)
    with bench(fake) as gpuperf, pytest.raises(NoSource, match=f"clock='cupti': {fake.profiler.missing()}"):
        gpuperf.measure(fake.kernel(5 * US), clock="cupti")


@pytest.mark.parametrize(("state", "code"), [("taken", "cupti-taken"), ("no records", "cupti-no-records"), ("drops", "cupti-dropped")])
def test_cupti_that_cannot_tell_is_an_error_and_never_a_number(state, code):
    fake = made(cupti=state)
    with bench(fake) as gpuperf:
        with pytest.raises(NoSource, match=f"clock='cupti': {code}: "):
            gpuperf.measure(fake.kernel(5 * US), clock="cupti")
        assert not fake.profiler.on
        assert gpuperf.measure(fake.kernel(5 * US), name="after").time < 1


def test_a_body_without_records_is_an_error_and_never_zero():
    fake = made()
    with bench(fake) as gpuperf, pytest.raises(NoSource, match="CUPTI recorded no work of the body"):
        gpuperf.measure(lambda: None, clock="cupti")


@pytest.mark.parametrize(("cache", "calls"), [("warm", 20), ("cold", 1), ("cold-dirty", 1)])
def test_a_graph_of_several_calls_where_nothing_must_happen_between(cache, calls):
    fake = made(cupti="")
    with bench(fake) as gpuperf:
        kernel = fake.kernel(5 * US, stream=lambda: gpuperf.stream)
        m = gpuperf.measure(kernel, clock="graph", cache=cache)
        assert m.time.source == "graph"
        assert m.details["samples"]["batch"] == calls
        assert "graph clock" in m.context
        # Between two nodes of a graph there is a gap, and the launch share of each: they are part of this source's time.
        assert 5 * US < m.time.point < 6.6 * US
        assert m.host_time.point < 20 * US


def test_a_graph_with_an_inout_or_setup_is_of_one_call():
    fake = made(cupti="")
    with bench(fake) as gpuperf:
        total = fake.array(16)
        total.numpy()[:] = 0

        def add():
            total.numpy()[:] += 1

        kernel = fake.kernel(5 * US, writes=[total], effect=add, stream=lambda: gpuperf.stream)
        m = gpuperf.measure(kernel, clock="graph", cache="warm", inout=[total])
        assert m.details["samples"]["batch"] == 1
        assert total.numpy()[0] == 1
        again = gpuperf.measure(kernel, name="set up", clock="graph", cache="warm", setup=lambda: None)
        assert again.details["samples"]["batch"] == 1


def test_a_graph_of_every_argument_set():
    fake = made(cupti="")
    with bench(fake) as gpuperf:
        seen = []
        kernel = fake.kernel(5 * US, effect=seen.append, stream=lambda: gpuperf.stream)
        m = gpuperf.measure(kernel, inputs=[(1,), (2,)], clock="graph")
        assert m.time.source == "graph"
        assert {1, 2} == set(seen[-20:])


def test_a_graph_object_is_replayed_as_it_is():
    fake = made(cupti="")
    with bench(fake) as gpuperf:
        g = gpuperf.graph(fake.kernel(5 * US, stream=lambda: gpuperf.stream))
        m = gpuperf.measure(g, clock="graph", cache="warm")
        assert m.time.source == "graph"
        assert m.details["samples"]["batch"] == 1


def test_a_body_that_cannot_be_captured_says_what_forbade_it():
    fake = made(cupti="")
    with bench(fake) as gpuperf, pytest.raises(NotCapturable, match="the body launches on the legacy default stream") as error:
        gpuperf.measure(fake.kernel(5 * US), clock="graph")
    assert not any("contextlib" in str(frame.path) for frame in error.traceback)


def test_roofs_are_from_the_source_of_the_time():
    fake = made()
    work = Work(reads=1 << 14, writes=1 << 14)
    with bench(fake) as gpuperf:
        kernel = fake.kernel(20 * US, stream=lambda: gpuperf.stream)
        m = gpuperf.measure(kernel, clock="cupti", work=work)
        assert m.roof.source == "cupti"
        assert m.percent.source == "cupti"
        g = gpuperf.measure(kernel, name="g", clock="graph", work=work)
        assert g.roof.reason.code == "no-roof"
        assert g.percent.number is None


def test_a_word_that_is_no_source_is_refused():
    with bench(made()) as gpuperf:
        for word, hint in (("cuptii", "nearest 'cupti'"), ("zzz", "one of device, cupti, graph")):
            with pytest.raises(ValueError, match=f"clock='{word}': no such source; {hint}"):
                gpuperf.measure(lambda: None, clock=word)


def test_compare_refuses_another_clock_than_its_own():
    fake = made()
    with bench(fake, clock="cupti") as gpuperf, pytest.raises(NoSource, match="compare: versions alternate on the device clock"):
        gpuperf.compare({"a": fake.kernel(5 * US), "b": fake.kernel(6 * US)})


BODY = """
def test_it(gpuperf, fake):
    m = gpuperf.measure(fake.kernel(5e-6, stream=lambda: gpuperf.stream))
    assert m.time < 1
"""


@pytest.mark.parametrize("where", ["option", "ini"])
@pytest.mark.parametrize("clock", ["device", "cupti", "graph"])
def test_the_option_and_its_twin_choose_the_source(pytester, clock, where):
    ini = f"[pytest]\ngpuperf_clock = {clock}\n" if where == "ini" else "[pytest]\n"
    words = [] if where == "ini" else [f"--gpuperf-clock={clock}"]
    done = run_pytest(pytester, BODY, *words, conftest=fake_conftest(**SMALL, cupti="usable"), files={"pytest.ini": ini})
    assert done.status == 0, done.text
    assert done.case("test_it")["measurements"][0]["values"]["time"]["source"] == clock


@pytest.mark.parametrize("state", ["", "wrong version"])
def test_a_source_that_is_not_there_is_refused_before_anything_runs(pytester, state):
    done = run_pytest(pytester, BODY, "--gpuperf-clock=cupti", conftest=fake_conftest(**SMALL, cupti=state))
    assert done.status == 4
    assert f"--gpuperf-clock=cupti: {STATES[state]}" in done.text
    assert "test_it.py" not in done.text


def test_a_source_that_records_nothing_fails_the_case_with_the_cause(pytester):
    done = run_pytest(pytester, BODY, "--gpuperf-clock=cupti", conftest=fake_conftest(**SMALL, cupti="no records"))
    assert done.status == 1
    assert "cupti-no-records" in done.text
    assert "NoSource: clock='cupti': cupti-no-records" in done.text
    assert done.case("test_it")["verdict"] == "FAIL"


def test_without_a_gpu_a_source_is_no_more_there_than_the_others(pytester):
    done = run_pytest(pytester, "def test_it(gpuperf):\n    gpuperf.measure(lambda: None)\n", "--gpuperf-clock=cupti", conftest=NO_GPU)
    assert done.status == 0, done.text


@pytest.mark.parametrize("words", ['clock="cupti"', 'cache="hot"', 'duty="always"', "inputs=[]"])
def test_limits_of_a_measurement_that_was_refused_are_accounted_for(pytester, words):
    done = run_pytest(
        pytester,
        f"""
        def test_it(gpuperf, fake):
            try:
                gpuperf.measure(fake.kernel(5e-6), {words}, budget={{"time": "<= 1 us"}})
            except Exception:
                pass
        """,
    )
    assert done.account == {"collected": 1, "UNMEASURED": 1}, done.text
    assert done.codes["test_it"] == ["body-failed"]


def test_a_call_that_a_graph_of_many_hides_is_found_alone():
    fake = device("GPU-hidden", **STILL)
    with bench(fake) as gpuperf:
        out, calls = fake.array(16), []
        writer = fake.kernel(5 * US, effect=lambda: out.numpy().fill(1), writes=[out], stream=lambda: gpuperf.stream)
        idler = fake.kernel(1 * US, stream=lambda: gpuperf.stream)

        def body():
            calls.append(1)
            (idler if len(calls) % 20 else writer)()

        with pytest.raises(NotIdentical):
            gpuperf.measure(body, outputs=[out], clock="graph", cache="warm")
        m = gpuperf.measure(writer, outputs=[out], clock="graph", cache="warm", name="honest")
        assert m.details["checked"] == "every sample"
