"""--gpuperf-record: what was measured becomes limits in the file, and nothing else in it changes."""

from __future__ import annotations

import os
import re
import stat
import textwrap
import tomllib
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_runs import FAKE, NO_GPU, run_pytest

from pytest_gpuperf import metrics, recorder, recording
from pytest_gpuperf.budgets.edit import edited
from pytest_gpuperf.budgets.file import read_rows
from pytest_gpuperf.budgets.grammar import parse_limit
from pytest_gpuperf.budgets.plans import Fresh
from pytest_gpuperf.budgets.recorded import plan, read_names, shown
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.metrics import METRICS, Metric

NAME = "gpuperf.toml"
TWO = """
    @pytest.mark.parametrize("n", [1, 2])
    def test_a(gpuperf, fake, n):
        gpuperf.measure(fake.kernel(n * 5e-6))

    def test_b(gpuperf, fake):
        gpuperf.measure(fake.kernel(20e-6), name="x")
    """


def budgets(path):
    return tomllib.loads((path / NAME).read_text(encoding="utf-8"))["budget"]


def test_a_new_file_holds_a_table_for_each_measurement_and_the_next_run_keeps_it(pytester):
    done = run_pytest(pytester, TWO, "--gpuperf-off", "--gpuperf-record")
    assert done.status == 0
    one, _, named = budgets(done.path)
    assert (one["test"], one["device"], "of" in one) == ("test_it.py::test_a[1]", "FAKE", False)
    assert (named["test"], named["of"]) == ("test_it.py::test_b", "x")
    value = done.case("[1]")["measurements"][0]["values"]["time"]
    high = value["high"] + value["systematic"]
    assert high * 1.05 <= parse_limit("time", one["time"]).number <= high * 1.051
    assert f'+time = "{one["time"]}"  # measured ' in done.text
    assert "gpuperf.toml: 3 limits recorded at the end of the 95 % interval and 5 % (3 new, 0 changed, 0 near enough to stay, 0 refused)" in done.text
    assert not [path for path in done.path.iterdir() if path.name.startswith(f".{NAME}")], "nothing is left beside it"
    again = run_pytest(pytester, TWO)
    assert (again.status, again.account) == (0, {"collected": 3, "PASS": 3})
    before = (done.path / NAME).read_bytes()
    same = run_pytest(pytester, TWO, "--gpuperf-record")
    assert "0 limits recorded at the end of the 95 % interval and 5 % (0 new, 0 changed, 3 near enough to stay" in same.text
    assert (done.path / NAME).read_bytes() == before


FILE = """\
# Budgets of this project.

[[budget]]   # all of them
test = "*"
device = "FA*"
time = "<= 1 s"

# The one that matters.
[[budget]]
test = "test_it.py::test_a[1]"
device = "FAKE"      # ours
time = ["<= 2 us",   # as it was
        "p95 <= 1 s"]
wall_time = "<= 1 s"  # for a person's patience
reason = 'why not'

[[known-miss]]
test = "*"
wall_time = "any"
reason = "x"

# below all
[[budget]]
test = "test_it.py::test_b"
time = { "FAKE" = "<= 3 us", "*" = "<= 1.3 x roof" } # by device
of = "x"
# the end
"""


def test_comments_order_and_everything_else_stay(pytester):
    done = run_pytest(pytester, TWO, "--gpuperf-record=time,first_call", "--gpuperf-record-margin=10", files={NAME: FILE})
    assert done.status == 1, "it is judged by the file as it stood"
    text = (done.path / NAME).read_text(encoding="utf-8")
    one = budgets(done.path)[1]
    by_device = budgets(done.path)[2]["time"]
    expected = FILE.replace("<= 2 us", one["time"][0]).replace("p95 <= 1 s", one["time"][1]).replace('wall_time = "<= 1 s"', f'wall_time = "{one["wall_time"]}"', 1)
    expected = expected.replace("<= 3 us", by_device["FAKE"])
    measured = r"  # measured [^\n]* 10 %"
    expected = expected.replace('"]\nwall_time', '"]MEASURED\nwall_time').replace("reason = 'why not'\n", f"reason = 'why not'\nfirst_call = \"{one['first_call']}\"MEASURED\n")
    assert re.match(re.escape(expected).replace("MEASURED", measured) + r"\n\[\[budget\]\]\n", text), text
    assert by_device["*"] == "<= 1.3 x roof"
    assert one["time"][0].startswith("<= 6.4"), "10 % above 5.84"
    new = budgets(done.path)[3]
    assert (new["test"], set(new)) == ("test_it.py::test_a[2]", {"test", "device", "time", "first_call"})


def test_what_is_refused_has_its_line_and_the_others_are_written(pytester):
    done = run_pytest(
        pytester,
        """
        import numpy as np

        def test_good(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))

        def test_waits(gpuperf, fake):
            gpuperf.measure(lambda: fake.kernel(5e-6)() or fake.synchronize(), name="waits")

        def test_wrong(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
            gpuperf.identical(np.zeros(2), np.ones(2))

        def test_raises(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
            raise ValueError("no")

        @pytest.mark.xfail
        def test_expected(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
            raise ValueError("no")

        @pytest.mark.gpuperf(time="<= 9 us")
        def test_marked(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))

        def test_relative(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6), work=Work(reads=1024))
        """,
        "--gpuperf-record=time,bandwidth",
        files={NAME: "[[budget]]\ntest = 'test_it.py::test_relative'\ndevice = 'FAKE'\ntime = '<= 999 x roof'\n"},
    )
    assert [(one["test"], sorted(set(one) - {"test", "device"})) for one in budgets(done.path)] == [
        ("test_it.py::test_relative", ["bandwidth", "time"]), ("test_it.py::test_good", ["time"]),
    ]  # fmt: skip
    told = [line for line in done.text.splitlines() if line.startswith("not recorded: ")]
    assert "not recorded: waits time of test_it.py::test_waits: UNMEASURED sync: " in "\n".join(told)
    for line in (
        "main of test_it.py::test_wrong: the case failed: NotIdentical: bits differ: 2 of 2 elements",
        "main of test_it.py::test_raises: the case failed: ValueError: no",
        "main of test_it.py::test_expected: the case was skipped, or is expected to fail",
        "time of test_it.py::test_marked: its limit stands nearer (function marker): change it there",
        "time of test_it.py::test_relative: '<= 999 x roof' of gpuperf.toml:1 is no such limit, and stays as it is",
        "bandwidth of test_it.py::test_good: UNMEASURED needs-work: bandwidth needs to know the bytes of the body",
    ):
        assert any(one.startswith(f"not recorded: {line}") for one in told), (line, told)


def test_without_a_device_nothing_is_recorded(pytester):
    done = run_pytest(pytester, "def test_a(gpuperf):\n    gpuperf.measure(lambda: None)\n", "--gpuperf-record", conftest=NO_GPU)
    assert done.status == 0
    assert not (done.path / NAME).exists()
    assert "not recorded: time of test_it.py::test_a: UNMEASURED no-gpu" in done.text


def made_run(value, **case):
    """A run of one case with one measurement."""
    one = {"nodeid": "t.py::a", "device": "U", "outcome": "passed", "checks": [], "budgets": [], "error": None, "reasons": [], "measurements": [{"name": "main", "values": {"time": value}}]}
    return {"devices": [{"uuid": "U", "name": "NVIDIA H200"}], "cases": [one | case]}


def test_a_throttled_measurement_is_refused():
    value = {"number": 5e-6, "low": 4.9e-6, "high": 5.1e-6, "systematic": 0.0, "source": "device", "reason": {"code": "throttled", "verdict": "INCONCLUSIVE", "sentence": "hot"}}
    (refused,) = plan(made_run(value), (), read_names(["time"], ""), 0.05).refused
    assert (refused.subject, refused.why) == ("time of t.py::a", "INCONCLUSIVE throttled: hot")
    (fresh,) = plan(made_run(value | {"reason": None}), (), read_names(["time"], ""), 0.05).fresh
    assert (fresh.device, fresh.text, fresh.toolchain) == ("NVIDIA H200", "<= 5.355 us", None)
    run = made_run(value | {"reason": None, "source": "graph"})
    run["cases"][0]["measurements"][0]["cache"] = "warm"
    (fresh,) = plan(run, (), read_names(["time"], ""), 0.05).fresh
    assert fresh.measured == "measured 4.900..5.100 us warm graph, + 5 %"


def test_machine_code_is_recorded_by_architecture_with_its_compiler(monkeypatch):
    monkeypatch.setitem(metrics._BY_NAME, "registers", Metric("registers", "1", "less", ("p50",), (), "compiler", "registers a thread has", exact=True))

    def kernel(arch, number, nvvm="13.0.88", **more):
        found = {"kernel": "k", "arch": arch, "measurements": ["main"], "quantities": {"registers": number}, "holes": {}, "toolchain": {"nvvm": nvvm, "nvjitlink": "13.1.2", "numba": "0.68"}, "error": None}
        return found | more

    def made(text, *kernels):
        # Without a device too: nothing of it is launched.
        return plan(made_run({"number": None, "reason": None}, device=None, compiled=list(kernels)), read_rows(text, NAME), read_names(["registers"], ""), 0.05)

    text = edited("", NAME, made("", kernel("sm_90", 40), kernel("sm_90", 38), kernel("sm_80", 36)).fresh)
    tools = {"nvvm": "13.0", "nvjitlink": "13.1"}
    table = {"test": "t.py::a", "toolchain": tools}
    assert tomllib.loads(text)["budget"] == [table | {"device": "sm_90", "registers": "<= 40"}, table | {"device": "sm_80", "registers": "<= 36"}]
    assert read_rows(text, NAME)[0].note.toolchain == tools
    assert made(text, kernel("sm_90", 40)).kept == 1
    # The same number from another compiler is another record.
    (again,) = made(text, kernel("sm_90", 40, "13.4.1")).fresh
    assert tomllib.loads(edited(text, NAME, [again]))["budget"][0]["toolchain"] == {"nvvm": "13.4", "nvjitlink": "13.1"}
    (more,) = made(text, kernel("sm_90", 44)).fresh
    assert edited(text, NAME, [more]) == text.replace('"<= 40"  # measured 40', '"<= 44"  # measured 44')
    (refused,) = made("", kernel("sm_90", 1, quantities={}, error="ptxas: no\nx")).refused
    assert (refused.subject, refused.why) == ("registers of t.py::a on sm_90", "k was not compiled: ptxas: no")
    assert [one.why for one in made("").refused] == ["UNMEASURED: nothing was compiled for it in this session"]


@given(st.sampled_from([row for row in METRICS if row.unit not in {"%", "x"}]), st.floats(1e-9, 1e13))
def test_a_limit_is_never_nearer_than_what_it_is_made_of(row, number):
    up = row.better == "less"
    text = shown(row, number, up=up)
    limit = parse_limit(row.name, f"{'<=' if up else '>='} {text}").number
    assert limit >= number * (1 - 1e-12) if up else limit <= number * (1 + 1e-12)
    assert limit == pytest.approx(number, rel=2e-3, abs=1.0 if row.unit in {"1", "B"} else 0)


_IDS = st.text("ab[]*?\\\"'µ \u202e", min_size=1, max_size=8).map(lambda text: f"t.py::test[{text}]")


@given(st.lists(_IDS, min_size=1, max_size=3, unique=True), st.booleans())
def test_any_node_id_is_written_so_that_it_is_read_as_itself(nodeids, old):
    before = "# mine\n[[budget]]\ntest = '*'\ntime = '<= 1 s'\n\n\n" if old else ""
    fresh = [Fresh(nodeid, "NVIDIA [x]*", None, "time", "p50", "<= 1 us", "measured 1 us") for nodeid in nodeids]
    text = edited(before, NAME, fresh)
    rows = read_rows(text, NAME)[int(old) :]
    assert text.startswith(before.rstrip("\n"))
    from pytest_gpuperf.budgets.collect import device_matches
    from pytest_gpuperf.budgets.globs import is_wild, literal

    assert [literal(row.test) for row in rows] == nodeids
    assert not any(is_wild(row.test) for row in rows)
    assert all(device_matches(row.device, "NVIDIA [x]*") for row in rows)


@pytest.mark.parametrize(
    ("names", "story"),
    [
        (["tiem"], "--gpuperf-record: unknown quantity 'tiem'; nearest 'time'"),
        (["time.p98"], "--gpuperf-record: time has no statistic 'p98'; nearest 'p99'"),
        (["bandwidth.p99"], "--gpuperf-record: bandwidth has no statistic 'p99'"),
        (["dram__bytes_wrte.sun"], "--gpuperf-record: "),
    ],
)
def test_a_name_that_is_none_is_refused(names, story):
    with pytest.raises(BadBudget) as error:
        read_names(names, "--gpuperf-record")
    assert str(error.value).startswith(story)


def test_the_next_word_is_not_taken_for_a_quantity_without_a_word(pytester):
    done = run_pytest(pytester, TWO, "--gpuperf-record", "test_it.py")
    assert done.status == 4
    assert "ERROR: BadBudget: --gpuperf-record: unknown quantity 'test_it.py'; " in done.text
    assert "(without '=' the option takes the next word: write --gpuperf-record=time)" in done.text


def test_a_percentile_is_sampled_for_and_a_counter_collected(pytester):
    done = run_pytest(pytester, "def test_a(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n", "--gpuperf-record=time.p95,time", "--gpuperf-limit=5", quick=False)
    (one,) = budgets(done.path)
    assert [text.split()[0] for text in one["time"]] == ["p95", "<="]
    done = run_pytest(pytester, TWO, "--gpuperf-record=dram_write", "--gpuperf-ncu=off", files={NAME: ""})
    assert "not recorded: dram_write of test_it.py::test_a[1]: UNMEASURED ncu-off: " in done.text


class TestTheFile:
    def test_a_path_that_cannot_be_written_is_known_in_second_0(self, pytester):
        done = run_pytest(pytester, "raise RuntimeError('collected')\n" + textwrap.dedent(TWO), "--gpuperf-record", "--gpuperf-budgets=conftest.py/x.toml")
        assert done.status == 8
        assert "gpuperf: cannot write " in done.text
        assert "conftest.py/x.toml: " in done.text
        assert done.run is None

    def test_a_file_that_is_read_only_is_refused(self, tmp_path, monkeypatch):
        (tmp_path / NAME).write_text("")
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(Exception, match=r"cannot write .*gpuperf.toml: it is read-only"):
            recorder._refuse_unwritable(tmp_path / NAME)

    def test_a_write_that_fails_leaves_the_file_and_is_trouble(self, pytester, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(recording, "os", types.SimpleNamespace(fdopen=os.fdopen, fsync=full, umask=os.umask))
        done = run_pytest(pytester, TWO, "--gpuperf-record", files={NAME: FILE.replace("<= 2 us", "<= 9 us").replace("<= 3 us", "<= 30 us")})
        assert done.status == 8
        assert "gpuperf: cannot write gpuperf.toml: No space left on device" in done.text
        assert (done.path / NAME).read_text() == FILE.replace("<= 2 us", "<= 9 us").replace("<= 3 us", "<= 30 us")
        assert [path.name for path in done.path.iterdir() if "toml" in path.name] == [NAME]

    def test_what_somebody_wrote_meanwhile_stays(self, pytester):
        edits = f"import pathlib\ndef test_z(gpuperf):\n    pathlib.Path({NAME!r}).write_text('# meanwhile\\n')\n"
        done = run_pytest(pytester, textwrap.dedent(TWO) + edits, "--gpuperf-record", files={NAME: "# before\n"})
        assert (done.path / NAME).read_text().startswith("# meanwhile\n\n[[budget]]\n")
        broken = edits.replace("# meanwhile", "[[")
        done = run_pytest(pytester, textwrap.dedent(TWO) + broken, "--gpuperf-record", files={NAME: "# before\n"})
        assert done.status == 8
        assert "gpuperf: nothing recorded: gpuperf.toml is no TOML" in done.text
        assert (done.path / NAME).read_text() == "[[\n"

    def test_line_ends_mode_and_links_stay(self, pytester):
        real = pytester.path / "real.toml"
        real.write_bytes(b"# one\r\n")
        real.chmod(0o640)
        (pytester.path / NAME).symlink_to(real)
        done = run_pytest(pytester, TWO, "--gpuperf-record")
        text = real.read_bytes()
        assert text.startswith(b"# one\r\n\r\n[[budget]]\r\n")
        assert b"\n" not in text.replace(b"\r\n", b"")
        assert (done.path / NAME).is_symlink()
        assert stat.S_IMODE(real.stat().st_mode) == 0o640

    def test_a_session_that_was_stopped_records_nothing(self, pytester):
        done = run_pytest(pytester, textwrap.dedent(TWO) + "def test_z():\n    pytest.exit('enough')\n", "--gpuperf-record")
        assert not (done.path / NAME).exists()
        assert "gpuperf.toml: nothing recorded, as the session did not come to its end" in done.text

    def test_tables_without_headers_are_left_alone(self, pytester):
        inline = "budget = [{ test = 'test_it.py::test_b', of = 'x', device = 'FAKE', time = '<= 1 us' }]\n"
        done = run_pytest(pytester, TWO, "--gpuperf-record", files={NAME: inline})
        assert done.status == 8
        assert "gpuperf: nothing recorded: gpuperf.toml, budget 1: this table has no header [[budget]] of its own: write it under one" in done.text
        assert (done.path / NAME).read_text() == inline


def test_two_devices_have_a_table_each(pytester):
    body = "def test_a(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n"
    run_pytest(pytester, body, "--gpuperf-record")
    done = run_pytest(pytester, body, "--gpuperf-record", conftest=FAKE.replace("FakeSpec(", "FakeSpec(name='NVIDIA L4', ", 1))
    assert [one["device"] for one in budgets(done.path)] == ["FAKE", "L4"]
