"""--gpuperf-base: sessions on a fake device whose base runs in a process of its own, and what each fault of the base costs."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from plugin_runs import FAKE, QUICK, UUID, run_pytest

from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.reference.based import held_to_base
from pytest_gpuperf.reference.told import lines
from pytest_gpuperf.testing import fake_conftest

ROOT = Path(__file__).resolve().parent.parent
GATE = "--gpuperf-fail-on=time:+2%"
TWO = """
    import kern

    def test_one(gpuperf, fake):
        gpuperf.measure(fake.kernel(kern.US * 1e-6))

    def test_two(gpuperf, fake):
        gpuperf.measure(fake.kernel(50e-6))
"""


@pytest.fixture(autouse=True)
def _reachable(monkeypatch):
    # The base's process is to import what this one does, installed or not, and nothing of the machine's git may matter.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


def git(folder, *words):
    done = subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout


def commit(folder, files):
    """Make `folder` a repository whose one commit holds these files and a fake device."""
    for name, text in {"pytest.ini": "[pytest]\n", "conftest.py": FAKE, ".gitignore": "reports/\n__pycache__/\n", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "base")


def held(run):
    """Return what a run says of its base, by case and measurement."""
    assert run.run is not None, run.text
    assert validate(run.run) == []
    comparison = held_to_base(run.run)
    return comparison, {f"{one.nodeid.partition('::')[2]} {one.name}": one.change for one in comparison.held}


@pytest.fixture
def nothing_left(monkeypatch, tmp_path_factory):
    """A temporary directory of its own, in which nothing of the base is left."""
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    yield
    assert list(place.glob("gpuperf-base-*")) == []


CASES = """
    import kern

    def test_slower(gpuperf, fake):
        gpuperf.measure(fake.kernel(kern.US * 1e-6))

    def test_named(gpuperf, fake):
        gpuperf.measure(fake.kernel(90e-6), name="other")
        gpuperf.measure(fake.kernel((180 - 4 * kern.US) * 1e-6), name="faster")

    def test_inout(gpuperf, fake):
        array = fake.array(4)
        array.numpy()[:] = 0
        gpuperf.measure(fake.kernel(30e-6, writes=[array], effect=lambda: (array.numpy().__iadd__(1), None)[-1]), inout=[array])
        assert list(array.numpy()) == [1.0] * 4

    def test_sync(gpuperf, fake):
        kernel = fake.kernel(200e-6 * kern.US / 20)
        gpuperf.measure(lambda: (kernel(), fake.synchronize(0)))

    def test_asserts(gpuperf, fake):
        m = gpuperf.measure(fake.kernel(kern.US * 1e-6), cache=kern.CACHE)
        assert m.time < 1.0
        gpuperf.measure(fake.kernel(50e-6), name="after")

    def test_breaks(gpuperf, fake):
        calls = []
        def body():
            calls.append(1)
            if kern.US == 20 and len(calls) == 80:
                raise RuntimeError("enough")
            kernel()
        kernel = fake.kernel(30e-6)
        gpuperf.measure(body)

    def test_fails_in_turns(gpuperf, fake):
        calls = []
        def body():
            calls.append(1)
            if kern.US == 21 and len(calls) == 300:
                raise RuntimeError("too much")
            kernel()
        kernel = fake.kernel(30e-6)
        assert gpuperf.measure(body).time < 1.0

    def test_broken(gpuperf, fake):
        assert kern.US == 21, "it does not work yet"
        gpuperf.measure(fake.kernel(kern.US * 1e-6))

    def test_plain():
        assert True
"""


def test_what_a_change_did_and_what_it_did_not(pytester, nothing_left):
    commit(pytester.path, {"kern.py": "US, CACHE = 20, 'cold'\n", "test_it.py": "import pytest\nfrom pytest_gpuperf import *\n" + textwrap.dedent(CASES + """
    def test_old(gpuperf, fake):
        gpuperf.measure(fake.kernel(50e-6))
    """)})
    (pytester.path / "kern.py").write_text("US, CACHE = 21, 'warm'\n")
    done = run_pytest(pytester, CASES + """
    def test_new(gpuperf, fake):
        gpuperf.measure(fake.kernel(50e-6))
    """, "--gpuperf-base=HEAD", GATE)
    comparison, found = held(done)
    assert done.outcomes == {"passed": 10}, done.text
    verdicts = {name: (change.verdict, change.quantity, change.reason.code if change.reason else None) for name, change in found.items()}
    assert verdicts == {
        "test_slower main": ("SLOWER", "time", None),
        "test_named other": ("SAME", "time", None),
        "test_named faster": ("FASTER", "time", None),
        "test_inout main": ("SAME", "time", None),
        "test_sync main": ("SLOWER", "wall_time", None),
        "test_asserts main": ("UNMEASURED", "time", "measured-otherwise"),
        "test_asserts after": ("SAME", "time", None),
        "test_breaks main": ("UNMEASURED", "time", "base-failed"),
        "test_fails_in_turns main": ("UNMEASURED", "time", "body-failed"),
        "test_broken main": ("UNMEASURED", "time", "base-failed"),
    }
    assert found["test_slower main"].ratio == pytest.approx(1.05, abs=0.01)
    assert "in the middle of its turns: RuntimeError: enough" in str(found["test_breaks main"].reason)
    assert "one of its turns: RuntimeError: too much" in str(found["test_fails_in_turns main"].reason)
    assert "it does not work yet" in str(found["test_broken main"].reason)
    assert [name for name, _ in comparison.missing] == ["test_it.py::test_old"]
    assert [name for name, _ in comparison.new] == ["test_it.py::test_new"]
    assert done.status == 1
    assert done.run["run"]["exit_status"] == 1
    assert "FAIL         test_it.py::test_slower  time " in done.text
    record = done.case("test_slower")["measurements"][0]["base"]
    assert record["primers"] >= 2
    assert len(record["base_blocks"]) == len(record["head_blocks"]) >= 10
    assert 'id="based"' in (pytester.path / "reports" / "latest.html").read_text(encoding="utf-8")
    assert git(pytester.path, "worktree", "list").count("\n") == 1
    equal, other = (_with_code(done.run, "test_slower", code) for code in ("a", "b"))
    assert "; equal machine code" in next(text for text in equal if text.startswith("FAIL"))
    assert "; other machine code" in next(text for text in other if text.startswith("FAIL"))


def _with_code(run, name, code):
    """Return the lines of a run whose base ran the code "a"."""
    copied = copy.deepcopy(run)
    (measurement,) = next(case["measurements"] for case in copied["cases"] if case["nodeid"].endswith(name))
    measurement["code"], measurement["base"]["code"] = code, "a"
    return [text for text, _ in lines(held_to_base(copied))]


def test_a_change_of_nothing_raises_no_alarm_in_a_directory(pytester, nothing_left, tmp_path):
    commit(pytester.path, {"kern.py": "US = 20\n", "test_it.py": TWO})
    before = tmp_path / "before"
    git(pytester.path, "worktree", "add", "-q", "--detach", str(before))
    (pytester.path / "kern.py").write_text("US = 10 + 10\n")
    done = run_pytest(pytester, TWO, f"--gpuperf-base={before}", GATE, "--gpuperf-strict")
    _, found = held(done)
    assert (done.status, {change.verdict for change in found.values()}, len(found)) == (0, {"SAME"}, 2), done.text
    assert "compared with the base, directory before, in turns" in done.text
    assert before.is_dir()
    assert str(tmp_path) not in repr(done.run), "no record names a place of this machine"


BROKEN = {
    "test_a.py": "import nothing_of_this_name\n",
    "test_it.py": TWO,
    "test_z.py": """
        import os, kern

        def test_dies(gpuperf, fake):
            if kern.US == 20:
                os.kill(os.getpid(), 9)
            gpuperf.measure(fake.kernel(kern.US * 1e-6))

        def test_last(gpuperf, fake):
            gpuperf.measure(fake.kernel(kern.US * 1e-6))
    """,
}


def test_a_base_that_cannot_be_collected_and_dies_costs_only_what_it_had_not_measured(pytester, nothing_left):
    commit(pytester.path, {"kern.py": "US = 20\n", **BROKEN})
    (pytester.path / "kern.py").write_text("US = 20.0001\n")
    (pytester.path / "test_a.py").write_text("def test_first(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n")
    done = run_pytest(pytester, TWO, "--gpuperf-base=HEAD", GATE)
    assert (done.status, done.outcomes) == (0, {"passed": 5}), done.text
    _, found = held(done)
    assert {name: change.verdict for name, change in found.items()} == {
        "test_first main": "UNMEASURED", "test_one main": "SAME", "test_two main": "SAME", "test_dies main": "UNMEASURED", "test_last main": "UNMEASURED",
    }  # fmt: skip
    assert "the base cannot collect it: test_a.py: ModuleNotFoundError: No module named 'nothing_of_this_name'" in str(found["test_first main"].reason)
    for name in ("test_dies main", "test_last main"):
        assert "it ended with signal 9" in str(found[name].reason)
    assert all(case["verdict"] == "PASS" for case in done.run["cases"])
    assert done.run["base"]["reason"]["code"] == "base-failed"


def test_a_base_that_hangs_is_ended_and_strict_counts_what_it_left(pytester, nothing_left):
    hangs = TWO + """
    def test_waits(gpuperf, fake):
        import time
        time.sleep(60 if kern.US == 20 else 0)
        gpuperf.measure(fake.kernel(50e-6))
    """
    commit(pytester.path, {"kern.py": "US = 20\n", "test_it.py": hangs})
    (pytester.path / "kern.py").write_text("US = 20.0001\n")
    done = run_pytest(pytester, hangs, "--gpuperf-base=HEAD", GATE, "--gpuperf-timeout=2", "--gpuperf-strict=unmeasured")
    _, found = held(done)
    assert "it did not answer in 2 s, and was ended" in str(found["test_waits main"].reason)
    assert (done.status, done.outcomes) == (1, {"passed": 3}), done.text


def test_a_base_that_imports_the_head_is_told(pytester, nothing_left, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(pytester.path)
    where = str(pytester.path / "lib")
    conftest = f"import sys\nsys.path.insert(0, {where!r})\n" + FAKE
    commit(pytester.path, {"lib/kern.py": "US = 20\n", "conftest.py": conftest, "test_it.py": TWO})
    (pytester.path / "lib" / "kern.py").write_text("US = 30\n")
    # Tests that are named by another way into this tree are the base's own all the same.
    done = run_pytest(pytester, TWO, "--gpuperf-base=HEAD", GATE, str(link / "test_it.py"), conftest=conftest)
    _, found = held(done)
    reasons = {change.reason.code for change in found.values()}
    assert (reasons, done.status) == ({"base-imports-head"}, 0), done.text
    assert "in the base's session kern came from " in done.text


@pytest.mark.parametrize(
    ("args", "story"),
    [
        (["--gpuperf-base=no-such"], "--gpuperf-base=no-such: git knows no such commit, and there is no directory of that name"),
        (["--gpuperf-base=./no-such"], "--gpuperf-base=./no-such: no directory "),
        (["--gpuperf-base=HEAD", "-n2"], "--gpuperf-base=HEAD takes turns with one process on the device, so xdist has nothing to share out: run it with -n0"),
        (["--gpuperf-base=HEAD", "--gpuperf-qualify"], "--gpuperf-base=HEAD measures tests, and --gpuperf-qualify the gate itself: run one after the other"),
        (["--gpuperf-base=HEAD", "--gpuperf-clock=graph"], "--gpuperf-base=HEAD takes turns on the device clock"),
        (["--gpuperf-base=HEAD", "--gpuperf-fail-on=launches:+0"], "--gpuperf-fail-on: launches:+0: --gpuperf-base takes time and wall_time in turns"),
        (["--gpuperf-base=."], "--gpuperf-base=.: is the tree under test itself"),
    ],
)
def test_what_cannot_be_is_known_before_any_test(pytester, args, story):
    commit(pytester.path, {"kern.py": "US = 20\n"})
    done = run_pytest(pytester, TWO, *args)
    assert done.status == 4, done.text
    assert story in done.text


def test_a_shallow_clone_says_what_to_fetch(pytester, tmp_path):
    origin = tmp_path / "origin"
    commit(origin, {"kern.py": "US = 20\n", "test_it.py": TWO})
    git(origin, "commit", "-qm", "second", "--allow-empty")
    old = git(origin, "rev-parse", "HEAD~1").strip()
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{origin}", str(pytester.path / "clone")], check=True, capture_output=True)
    os.chdir(pytester.path / "clone")
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--gpuperf", f"--gpuperf-base={old}")
    assert done.ret == 4
    done.stderr.fnmatch_lines([f"*--gpuperf-base={old}: this shallow clone does not have it; fetch it first*"])


def test_without_git_or_without_a_gpu(pytester, monkeypatch):
    (pytester.path / "kern.py").write_text("US = 20\n")
    done = run_pytest(pytester, TWO, "--gpuperf-base=HEAD")
    assert "is in no git repository" in done.text or "git knows no such commit" in done.text
    monkeypatch.setenv("PATH", str(pytester.path))
    done = run_pytest(pytester, TWO, "--gpuperf-base=HEAD")
    assert "git is not installed" in done.text


def test_ctrl_c_leaves_neither_a_worktree_nor_a_process(pytester, nothing_left):
    waits = TWO + """
    def test_waits(gpuperf, fake):
        import time
        time.sleep(60)
    """
    commit(pytester.path, {"kern.py": "US = 20\n", "test_it.py": waits, "conftest.py": fake_conftest(uuid=UUID, l2=1 << 16)})
    line = [sys.executable, "-m", "pytest", "-p", "pytest_gpuperf.plugin", "-p", "no:cacheprovider", "--gpuperf", QUICK, "--gpuperf-base=HEAD", "-v"]
    with subprocess.Popen(line, cwd=pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said = ""
        until = time.monotonic() + 30
        for text in process.stdout:
            said += text
            if "test_two PASSED" in text or time.monotonic() > until:
                break
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()
        process.wait(20)
    assert process.returncode == 2, said
    assert "2 measurements compared: 2 SAME" in said
    assert git(pytester.path, "worktree", "list").count("\n") == 1
