"""Child sessions: the same cases as in the parent, each body once in its range, values that let every measurement be reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from child_runs import FAKE, run_child
from plugin_runs import NO_GPU

from pytest_gpuperf import relaunch

TWO = """
import pytest

@pytest.mark.parametrize("size", [1, 2, 3])
def test_case(gpuperf, fake, size):
    gpuperf.measure(fake.kernel(5e-6))

def test_plain():
    pass
"""


def test_cases_of_a_task_run_once_and_in_order_and_nothing_else_does(tmp_path):
    run = run_child(tmp_path, {"test_it.py": TWO}, select=lambda items: [one for one in items if "[2]" not in one["nodeid"]])
    assert run.measured == [("test_it.py::test_case[1]", "main"), ("test_it.py::test_case[3]", "main")]
    assert [one["event"] for one in run.progress] == ["start", "collected", *["case", "measured", "ended"] * 2, "end"]
    assert run.outcomes == {"test_it.py::test_case[1]": ("passed", None), "test_it.py::test_case[3]": ("passed", None)}
    assert run.events("end") == [{"event": "end", "status": 0}]
    assert run.status == 0
    assert not (tmp_path / "reports").exists()


def test_without_a_list_of_cases_all_that_use_the_fixture_run(tmp_path):
    run = run_child(tmp_path, {"test_it.py": TWO}, "-k", "not 3")
    assert [nodeid for nodeid, _ in run.measured] == ["test_it.py::test_case[1]", "test_it.py::test_case[2]"]


def test_a_plan_runs_nothing_and_says_what_there_is(tmp_path):
    run = run_child(tmp_path, {"test_it.py": TWO}, kind="plan")
    assert [one["event"] for one in run.progress] == ["start", "collected", "end"]
    assert run.events("collected")[0]["items"][1] == {"nodeid": "test_it.py::test_case[2]", "file": "test_it.py", "function": "test_case", "index": 1, "counters": []}


@pytest.mark.parametrize(
    "ids",
    ["ids=[secrets.token_hex(4) for _ in range(3)]", "ids=lambda value: f'{id(value):#x}'", "ids=[f'{object()}' for _ in range(3)]"],
    ids=["random", "addresses", "reprs"],
)
def test_ids_that_differ_are_found_by_place_and_told_as_the_parents(tmp_path, ids):
    text = f"""
import secrets, pytest

class TestOf:
    @pytest.mark.parametrize("size", [[1], [2], [3]], {ids})
    def test_case(self, gpuperf, fake, size):
        gpuperf.measure(fake.kernel(5e-6), size[0])
"""
    run = run_child(tmp_path, {"test_it.py": text}, select=lambda items: [items[2], items[0]])
    wanted = [run.parent["items"][0]["nodeid"], run.parent["items"][2]["nodeid"]]
    assert [nodeid for nodeid, _ in run.measured] == wanted
    assert [one["inputs"]["digests"] for one in run.events("measured")] == [["1"], ["3"]]
    assert run.events("collected")[0]["missing"] == []


def test_what_is_not_there_is_missing_and_nothing_takes_its_place(tmp_path):
    gone = {"nodeid": "test_it.py::test_gone", "file": "test_it.py", "function": "test_gone", "index": 0}
    moved = {"nodeid": "test_it.py::test_case[9]", "file": "test_it.py", "function": "test_case", "index": 1}
    run = run_child(tmp_path, {"test_it.py": TWO}, select=lambda items: [moved, gone, items[1]])
    assert run.events("collected")[0]["missing"] == [moved, gone]
    assert [nodeid for nodeid, _ in run.measured] == ["test_it.py::test_case[2]"]


def test_a_shuffled_collection_is_the_same_cases(tmp_path):
    shuffle = FAKE + "\nimport os\n\ndef pytest_collection_modifyitems(items):\n    items.reverse() if os.environ.get('GPUPERF_CHILD') else items.sort(key=str)\n"
    text = TWO.replace("[1, 2, 3]", "[1, 2, 3], ids=lambda value: f'{value}-{id(object()) + value:#x}'").replace("kernel(5e-6)", "kernel(5e-6), size")
    run = run_child(tmp_path, {"test_it.py": text, "conftest.py": shuffle}, select=lambda items: [one for one in items if one["index"] != 1 and one["function"] == "test_case"])
    assert {one["nodeid"].partition("-")[0]: one["inputs"]["digests"] for one in run.events("measured")} == {"test_it.py::test_case[3": ["3"], "test_it.py::test_case[1": ["1"]}


def test_a_conftest_that_goes_elsewhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    conftest = f"import os\nos.chdir({str(tmp_path / 'elsewhere')!r})\n" + FAKE
    run = run_child(tmp_path, {"sub/test_it.py": TWO, "conftest.py": conftest}, "sub", select=lambda items: items[:1])
    assert run.measured == [("sub/test_it.py::test_case[1]", "main")]
    assert run.events("end"), run.text


ASSERTING = """
import pytest

@pytest.mark.gpuperf(time="<= 1 ns", of="third")
def test_case(gpuperf, fake):
    first = gpuperf.measure(fake.kernel(5e-6), name="first", budget={"time": "<= 1 ns"})
    assert first.time < 0, "a time"
    assert first.time > 1 and first.time.p99 == 3 and first["time.p95"] != 3
    assert first["dram__bytes_write.sum"] <= 0.9 * first["dram__bytes_write.sum"]
    assert first.bandwidth >= 1e30 and first.time.point < 1e-9 and 2 * first.time.point / 3 < 1e-9
    assert min(first.time, 3.0) and max(first.time, first.host_time) and round(first.time, 3) == 0 and int(first.time) == 0
    assert float(first.time) < 1e-6 and float(first.bandwidth) > 1e15
    assert f"{first.time:.3f} {first.time} {first}" and first.percent > 101 and first.x_roof < 1 and first.roof < 0
    first.require(time="<= 1 ns", bandwidth=">= 80 %")
    assert first.time < first.bandwidth and first.launches == first.time
    assert first.kernels_by_name == {}
    with pytest.raises(KeyError):
        first["tiem"]
    gpuperf.identical([1.0], [2.0])
    gpuperf.close([1.0], [2.0], ulp=1)
    gpuperf.measure(fake.kernel(5e-6), name="second")
    c = gpuperf.compare({"loop": fake.kernel(5e-6), "kernel": fake.kernel(9e-6)})
    assert c.speedup(of="kernel", over="loop") > 50 and c["kernel"].time < 0
    c.require(speedup=">= 50", of="kernel", over="loop")
    g = gpuperf.graph(fake.kernel(2e-6, stream=lambda: gpuperf.stream))
    assert g.launches == 1
    gpuperf.measure(g, name="third")
"""


def test_every_measurement_is_reached(tmp_path):
    run = run_child(tmp_path, {"test_it.py": ASSERTING})
    assert run.outcomes == {"test_it.py::test_case": ("passed", None)}, run.text
    assert [name for _, name in run.measured] == ["first", "second", "compare/loop", "compare/kernel", "third"]
    slugs = [one["slug"] for one in run.events("measured")]
    assert len(set(slugs)) == 5
    assert slugs[3].endswith("-test_case-compare_kernel")


FAILING = """
import os, pytest

@pytest.fixture
def broken():
    if os.environ.get("GPUPERF_CHILD"):
        raise RuntimeError("in the set-up\\nand more")

def test_body(gpuperf, fake):
    gpuperf.measure(fake.kernel(5e-6), name="before")
    def body():
        assert os.environ.get("GPUPERF_CHILD") is None, "only in a child"
    gpuperf.measure(body, name="fails")
    gpuperf.measure(fake.kernel(5e-6), name="never")

def test_setup(gpuperf, broken):
    pass

def test_skips(gpuperf, fake):
    gpuperf.measure(fake.kernel(5e-6))
    pytest.skip("has seen enough")

@pytest.mark.skip(reason="not today")
def test_skipped(gpuperf):
    pass

@pytest.mark.skipif("os.environ.get('GPUPERF_CHILD')", reason="is a child")
def test_knows(gpuperf):
    pass

def test_last(gpuperf, fake):
    gpuperf.measure(fake.kernel(5e-6))
"""


def test_what_fails_or_is_skipped_costs_the_others_nothing(tmp_path):
    run = run_child(tmp_path, {"test_it.py": FAILING}, "-x")
    ended = {nodeid.partition("::")[2]: (outcome, error) for nodeid, (outcome, error) in run.outcomes.items()}
    assert ended == {
        "test_body": ("failed", "AssertionError: only in a child"),
        "test_setup": ("failed", "RuntimeError: in the set-up"),
        "test_skips": ("skipped", "Skipped: has seen enough"),
        "test_skipped": ("skipped", "Skipped: not today"),
        "test_knows": ("skipped", "Skipped: is a child"),
        "test_last": ("passed", None),
    }
    assert [(nodeid.partition("::")[2], name) for nodeid, name in run.measured] == [("test_body", "before"), ("test_skips", "main"), ("test_last", "main")]
    assert [one["nodeid"] for one in run.events("case")] == list(run.outcomes)


CALLS = """
import json, numpy as np

def test_case(gpuperf, fake):
    calls = []
    data = fake.array((4,), dtype="float32")
    data.numpy()[:] = 1
    def add(one):
        calls.append(["body", float(data.numpy()[0]), one])
        data.numpy()[:] += 1
    m = gpuperf.measure(add, inputs=[(1,), (2,)], inout=[data], setup=lambda: calls.append("setup"))
    assert data.numpy().tolist() == [2, 2, 2, 2]
    json.dump(calls, open("calls.json", "w"))
    data.numpy()[:] = 1
    def whole(scale):
        data.numpy()[:] *= scale
        return scale
    m = gpuperf.measure(whole, 3, inout=[data], name="result")
    assert m.result == 3 and data.numpy().tolist() == [3] * 4
    versions = {"a": lambda: data.numpy().__iadd__(1), "b": lambda: data.numpy().__iadd__(2)}
    gpuperf.compare(versions, inout=[data])
    assert data.numpy().tolist() == [5] * 4
"""


def test_every_call_starts_from_the_same_bits_and_one_is_left(tmp_path):
    run = run_child(tmp_path, {"test_it.py": CALLS})
    assert run.outcomes == {"test_it.py::test_case": ("passed", None)}, run.text
    calls = json.loads((tmp_path / "calls.json").read_text())
    # Both sets warm, then set 0 in the range; then one call of each, so that the last is what is left.
    assert calls == [one for number in (1, 2, 1, 1, 2) for one in ("setup", ["body", 1.0, number])]
    assert [one["written"] for one in run.events("measured")] == [16, 16, 16, 16]
    one, other = (told["inputs"]["digests"] for told in run.events("measured")[2:])
    assert one == other


INPUTS = """
import os, time
import numpy as np, pytest

@pytest.mark.parametrize("how", ["seeded", "by time"])
def test_case(gpuperf, fake, how):
    data = fake.array((64,), dtype="float32")
    data.numpy()[:] = np.random.default_rng(time.time_ns()).random(64) if how == "by time" else np.random.random(64)
    if not os.environ.get("GPUPERF_CHILD"):
        padding = fake.array((1000,))
    gpuperf.measure(fake.kernel(5e-6), data, np.arange(3), {"scale": 2.0, "object": object()}, outputs=[])
"""


def test_inputs_that_differ_are_seen_by_their_digests(tmp_path_factory):
    runs = [run_child(tmp_path_factory.mktemp("inputs"), {"test_it.py": INPUTS}) for _ in range(2)]
    (seeded, by_time), (seeded_again, by_time_again) = ([one["inputs"] for one in run.events("measured")] for run in runs)
    assert seeded == seeded_again
    assert by_time["digests"][0] != by_time_again["digests"][0]
    assert by_time["digests"][1:] == by_time_again["digests"][1:]
    assert seeded["names"] == ["argument 0", "argument 1", "argument 2['scale']"]
    assert seeded["shapes"] == ["float32 64", "int64 3", "float"]
    assert seeded["digests"][2] == "2.0"
    assert seeded["ignored"] == ["argument 2['object']: object"]


def test_what_a_child_starts_itself_is_no_child(tmp_path):
    text = """
import os, subprocess, sys

def test_case(gpuperf, fake):
    assert os.environ["GPUPERF_CHILD"] == "1"
    open("test_inner.py", "w").write("def test_inner():\\n    pass\\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "test_inner.py", "-q", "-p", "pytest_gpuperf.plugin"], capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
"""
    assert run_child(tmp_path, {"test_it.py": text}).outcomes == {"test_it.py::test_case": ("passed", None)}


def test_the_hash_seed_is_fixed_and_the_parents_own_is_kept(monkeypatch, tmp_path):
    for given, seen in ((None, "0"), ("random", "0"), ("7", "7")):
        monkeypatch.delenv("PYTHONHASHSEED", raising=False)
        if given:
            monkeypatch.setenv("PYTHONHASHSEED", given)
        assert relaunch.environment(tmp_path / "task.json")["PYTHONHASHSEED"] == seen


def test_a_command_line_keeps_what_was_typed_and_adds_before_the_end_of_options(pytester):
    config = pytester.parseconfig("-p", "no:cacheprovider", "--debug=debug.log", "--", "test_it.py")
    command = relaunch.command(config)
    begin = command.index("no:cacheprovider")
    assert command[begin : begin + 5] == ["no:cacheprovider", "--debug=debug.log", "--debug=", "--", "test_it.py"]
    config._ensure_unconfigure()


def test_a_task_is_read_as_it_was_written(tmp_path, monkeypatch):
    task = relaunch.Task("ncu", str(tmp_path), ({"nodeid": "a", "file": "b", "function": "c", "index": 0},), 3, {"randomly_seed": 5})
    relaunch.write(task, tmp_path / "deep" / "task.json")
    for name, value in relaunch.environment(tmp_path / "deep" / "task.json").items():
        monkeypatch.setenv(name, value)
    assert relaunch.read() == task
    monkeypatch.chdir(tmp_path)
    assert relaunch.environment(Path("task.json"))[relaunch.TASK] == str(tmp_path / "task.json")
    monkeypatch.delenv(relaunch.TASK)
    assert relaunch.read() is None


def test_the_seed_of_pytest_randomly_is_carried(tmp_path):
    plugin = """
import json, os

def pytest_addoption(parser):
    parser.addoption("--randomly-seed", dest="randomly_seed", default="default")

def pytest_configure(config):
    if config.option.randomly_seed == "default":
        config.option.randomly_seed = os.getpid()

def pytest_sessionfinish(session):
    if os.environ.get("GPUPERF_CHILD"):
        open("seed", "w").write(str(session.config.option.randomly_seed))
"""
    run = run_child(tmp_path, {"test_it.py": TWO, "randomly_like.py": plugin}, "-p", "randomly_like")
    assert (tmp_path / "seed").read_text() == str(run.parent["carried"]["randomly_seed"])


def test_a_graph_counts_by_what_it_was_captured_with(tmp_path):
    text = """
def test_case(gpuperf, fake):
    g = gpuperf.graph(fake.kernel(2e-6, stream=lambda: gpuperf.stream), 7)
    gpuperf.measure(g)
"""
    (told,) = run_child(tmp_path, {"test_it.py": text}).events("measured")
    assert told["inputs"]["names"] == ["argument 0"]
    assert told["inputs"]["digests"] == ["7"]


def test_without_a_device_every_body_is_called_and_the_cases_that_need_one_are_skipped(tmp_path):
    text = """
import pytest

def test_case(gpuperf):
    called = []
    m = gpuperf.measure(lambda: called.append(1) or 5)
    assert m.result == 5 and called == [1] and m.time < 1

@pytest.mark.gpuperf(gpu=True)
def test_needs(gpuperf):
    raise AssertionError
"""
    run = run_child(tmp_path, {"test_it.py": text, "conftest.py": NO_GPU})
    assert [one["inputs"] for one in run.events("measured")] == [None]
    assert {nodeid.partition("::")[2]: outcome for nodeid, (outcome, _) in run.outcomes.items()} == {"test_case": "passed", "test_needs": "skipped"}
