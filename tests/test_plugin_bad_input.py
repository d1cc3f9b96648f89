"""Bad input: one clear line with the nearest name, as early as can be."""

from __future__ import annotations

import pytest
from plugin_runs import FAKE, NO_GPU, run_pytest

_CASE = "def test_bad(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n"

#: marker, and what the line says of it
BAD_MARKERS = [
    ("tiem='<= 12 us'", "gpuperf marker has no keyword 'tiem'; nearest 'time'"),
    ("time='<= 12 uz'", "time='<= 12 uz': unknown unit 'uz'; nearest 'us'"),
    ("time='12 us'", "time='12 us': not a limit; write '[p50|p95|p99] OP NUMBER [unit | % | x roof]', as '<= 12 us'"),
    ("time='p999 <= 12 us'", "time has no statistic 'p999'; nearest 'p99'"),
    ("time=12e-6", "time=1.2e-05: a limit is a string such as '<= 12 us'"),
    ("time='== 12 us'", "time has an interval, so == never decides; use <= or >="),
    ("wall_time='<= 80 %'", "wall_time cannot be held against '%': it has no roof"),
    ("time={}", "time={} holds no limit"),
    ("time={'*': '<= 1 us', '?*': '<= 2 us'}", "globs '*' and '?*' both match 'NVIDIA FAKE' and say equally much"),
    ("'<= 12 us'", "write limits by name, as gpuperf(time='<= 12 us')"),
    ("gpu='yes'", "gpu='yes': write True or False"),
    ("of=3, time='<= 1 us'", "of=3: name one measurement, as of='baseline'"),
]


@pytest.mark.parametrize(("marker", "told"), BAD_MARKERS, ids=[marker for marker, _ in BAD_MARKERS])
def test_a_bad_marker_is_a_collection_error_in_one_line(pytester, marker, told):
    done = run_pytest(pytester, f"@pytest.mark.gpuperf({marker})\n{_CASE}")
    assert done.status == 2
    assert done.outcomes == {"errors": 1}
    errors = [line for line in done.text.splitlines() if "BadBudget" in line and not line.startswith("ERROR")]
    assert len(errors) == 1, done.text
    assert errors[0].startswith("BadBudget: test_it.py::test_bad: ")
    assert errors[0].endswith(told)
    assert "Traceback" not in done.text


def test_a_bad_marker_is_known_without_gpuperf_too(pytester):
    done = run_pytest(pytester, f"@pytest.mark.gpuperf(tiem='<= 1 us')\n{_CASE}", "--gpuperf-off", quick=False)
    assert done.status == 2
    assert "nearest 'time'" in done.text


def test_limits_without_the_fixture_are_refused(pytester):
    done = run_pytest(pytester, "@pytest.mark.gpuperf(time='<= 12 us')\ndef test_bare():\n    pass\n")
    assert done.status == 2
    assert "test_it.py::test_bare: has limits (time <= 12.00 us) but does not use the gpuperf fixture, so nothing would judge them" in done.text


def test_a_module_marker_does_not_ask_for_the_fixture(pytester):
    done = run_pytest(pytester, "pytestmark = pytest.mark.gpuperf(time='<= 12 us')\ndef test_bare():\n    pass\n" + _CASE)
    assert done.outcomes == {"passed": 2}
    assert done.account == {"collected": 1, "PASS": 1}


#: the body of a case, and the line that it fails with
BAD_CALLS = [
    ("measure(k, name='a'); gpuperf.measure(k, name='a')", "ValueError: measure: this case has measured 'a' already; give each its own name"),
    ("measure(k); gpuperf.measure(k)", "ValueError: measure: this case has measured 'main' already; give the second one a name="),
    ("measure(k, name='')", "ValueError: measure(name=''): a name is a text such as 'baseline'"),
    ("measure(k, cache='hot')", "ValueError: cache='hot': no such cache state"),
    ("measure(k, cache='stedy')", "ValueError: cache='stedy': no such cache state; nearest 'steady'"),
    ("measure(k, 1, inputs=[(2,)])", "ValueError: measure: give the arguments either after fn or as inputs= sets, not both"),
    ("measure(k, inputs=[])", "ValueError: inputs=[]: needs at least one argument set"),
    ("measure(k, outputs=[np.zeros(3)])", "TypeError: outputs=: ndarray of shape (3,) is not on the device"),
    ("measure(k, inout=np.zeros((2, 3)))", "TypeError: inout=: ndarray of shape (2, 3) is not on the device"),
    ("measure(k, outputs=[a], inout=[a])", "ValueError: outputs[0] and inout[0] share memory: it is poisoned as one and restored as the other; name it once"),
    ("measure(k, outputs=[3])", "TypeError: int is no array: needs NumPy, torch, numba, CuPy or an object with __cuda_array_interface__"),
    ("measure(3)", "TypeError: measure(int): the body must be callable; pass the function itself and its arguments after it"),
    ("measure(k, work=4096)", "TypeError: work=4096: pass Work(reads=..., writes=...) in bytes"),
    ("measure(k, work=Work(reads=-1))", "ValueError: Work(reads=-1): needs a whole number of bytes, 0 or more"),
    ("measure(k, stream='s')", "TypeError: stream='s': no CUDA stream; pass a stream of torch, CuPy, numba or cuda-core, or its handle as an int"),
    ("measure(k, budget={'tiem': '<= 1 us'})", "BadBudget: measure('main'): unknown quantity 'tiem'; nearest 'time'"),
    ("measure(k, budget='<= 1 us')", "BadBudget: measure('main'): budget='<= 1 us': write limits by quantity, as {'time': '<= 12 us'}"),
    ("measure(k, output=[a])", "TypeError: measure: no option 'output', and the body takes no such argument; nearest 'outputs'"),
    ("close(np.ones(2), np.zeros(2), ulp=1, name='cache')", "NotClose: cache: not close: 2 of 2 elements"),
    ("measure(k).require(time='<= 1 uz')", "BadBudget: require: time='<= 1 uz': unknown unit 'uz'; nearest 'us'"),
    ("measure(k)['tiem']", "KeyError: \"measurement 'main' has no quantity 'tiem'; nearest 'time'\""),
    ("measure(k).tiem", "AttributeError: measurement 'main' has no quantity 'tiem'; nearest 'time'"),
    ("measure(k).percent", "BadBudget: measurement 'main' has no roof: pass work=Work(reads=..., writes=...)"),
]


def test_a_bad_call_fails_its_case_in_one_line(pytester):
    cases = [
        f"def test_{number}(gpuperf, fake):\n    k, a = fake.kernel(5e-6), fake.array(8)\n    gpuperf.{call}\n    assert False, 'went on'\n" for number, (call, _) in enumerate(BAD_CALLS)
    ]
    done = run_pytest(pytester, "import numpy as np\n" + "\n".join(cases))
    assert done.outcomes == {"failed": len(BAD_CALLS)}
    for number, (call, told) in enumerate(BAD_CALLS):
        first = done.case(f"::test_{number}")["error"].splitlines()[0]
        assert told in first, (call, first)
    frames = [line for line in done.text.splitlines() if "pytest_gpuperf/" in line]
    assert frames == [], "no frame of the plugin's own"


def test_a_defect_of_the_plugin_keeps_its_frames(pytester, monkeypatch):
    monkeypatch.setattr("pytest_gpuperf.timing.measure.take_host", lambda *_, **__: 1 / 0)
    done = run_pytest(pytester, _CASE, "--full-trace")
    assert done.outcomes == {"failed": 1}
    assert "pytest_gpuperf/timing/measure.py" in done.text


def test_a_relative_limit_without_work_is_a_failure(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 1.3 x roof", bandwidth=">= 80 %")
        def test_no_work(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
        """,
    )
    assert done.outcomes == {"failed": 1}
    assert done.account == {"collected": 2, "FAIL": 2}
    assert "'x roof' needs work=Work(reads=..., writes=...) in measure('main')" in done.text
    assert "'%' needs work=Work(reads=..., writes=...) in measure('main')" in done.text


def test_a_relative_limit_without_work_is_a_failure_without_a_gpu_too(pytester):
    done = run_pytest(
        pytester,
        "@pytest.mark.gpuperf(time='<= 1.3 x roof')\ndef test_no_work(gpuperf):\n    gpuperf.measure(lambda: None)\n",
        conftest=NO_GPU,
    )
    assert done.outcomes == {"failed": 1}


def test_of_that_names_nothing_is_a_failure_with_the_nearest_name(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 12 us", of="baselin")
        def test_of(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6), name="baseline")
        """,
    )
    assert done.outcomes == {"failed": 1}
    assert "of='baselin': this case has no such measurement; nearest 'baseline'" in done.text
    assert done.account == {"collected": 1, "FAIL": 1}


def test_a_snapshot_above_half_of_the_free_memory_names_setup(pytester):
    done = run_pytest(
        pytester,
        """
        def test_large(gpuperf, fake):
            cache = fake.array(3 << 18)
            gpuperf.measure(fake.kernel(5e-6), inout=[cache])
        """,
        conftest=FAKE.replace("FakeSpec(", "FakeSpec(memory=6 << 20, "),
    )
    assert done.outcomes == {"failed": 1}
    first = done.case("test_large")["error"].splitlines()[0]
    assert "a snapshot of inout= takes 3,145,728 bytes, above half of the " in first
    assert "setup=" in first


def test_an_unwritable_report_path_is_known_in_second_0(pytester):
    pytester.path.joinpath("file").write_text("not a folder")
    done = run_pytest(pytester, "raise SystemExit('collected')", "--gpuperf-report=file/page.html")
    assert done.status == 8
    assert "gpuperf: cannot write " in done.text
    assert "file/page.html" in done.text
    assert "collected" not in done.text
    assert "Traceback" not in done.text


def test_a_report_path_that_is_a_folder_and_an_unwritable_json(pytester):
    pytester.mkdir("pages")
    done = run_pytest(pytester, _CASE, "--gpuperf-report=pages")
    assert done.status == 8
    assert "it is a directory" in done.text
    pytester.path.joinpath("file").write_text("not a folder")
    done = run_pytest(pytester, _CASE, "--gpuperf-json=file/run.json")
    assert done.status == 8
    assert "file/run.json" in done.text


def test_a_reference_that_cannot_be_read_is_known_in_second_0(pytester):
    done = run_pytest(pytester, "raise SystemExit('collected')", "--gpuperf-reference=nowhere.json")
    assert done.status == 8
    assert "gpuperf: cannot read run file " in done.text
    assert "nowhere.json" in done.text


def test_a_report_that_cannot_be_written_at_the_end_is_exit_status_8(pytester):
    text = _CASE + "\ndef test_late():\n    import pathlib\n    pathlib.Path('out/page.html').mkdir()\n"
    done = run_pytest(pytester, text, "--gpuperf-report=out/page.html")
    assert done.status == 8
    assert "cannot write " in done.text
    assert done.run is not None, "the run file is written all the same"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--gpuperf-strict=unmesured", "--gpuperf-strict: 'unmesured' is none of its values; nearest 'unmeasured'"),
        ("--gpuperf-cache=col", "--gpuperf-cache: 'col' is none of its values; nearest 'cold'"),
        ("--gpuperf-limit=0", "--gpuperf-limit: '0' is not a number of seconds above 0"),
        ("--gpuperf-limit=soon", "--gpuperf-limit: 'soon' is not a number of seconds above 0"),
    ],
)
def test_an_option_that_cannot_be_is_a_usage_error(pytester, option, told):
    done = run_pytest(pytester, _CASE, option)
    assert done.status == 4
    assert f"ERROR: {told}" in done.text
    assert not (done.path / "reports").exists()
