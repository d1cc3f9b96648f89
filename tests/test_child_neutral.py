"""What must not act twice in a child session, a hostile setting for each row of NEUTRALISED: all of them at once, in one child."""

from __future__ import annotations

import collections
import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from child_runs import FAKE, run_child

from pytest_gpuperf.neutral import NEUTRALISED

TEST = """
import breakpoints
import numpy
import pytest

@pytest.mark.timeout(0.001)
@pytest.mark.flaky(reruns=2)
@pytest.mark.parametrize("number", range(4))
def test_case(gpuperf, fake, number, tmp_path, benchmark):
    breakpoint()
    gpuperf.measure(fake.kernel(5e-6))
    gpuperf.golden("array", numpy.zeros(3))
    benchmark(breakpoints.count)
    (tmp_path / "file").write_text("of the child")
    assert number != 1, "fails, which must not end the session"
"""
COUNTED = """
import os, pathlib

def count():
    with (pathlib.Path(os.environ["CHILD_RUNS"]).parent / "calls").open("a") as file:
        file.write("x")
"""
INI = """[pytest]
addopts = --strict-markers
log_file = session.log
reruns = 3
retries = 3
timeout = 0.01
session_timeout = 0.01
faulthandler_timeout = 0.01
faulthandler_exit_on_timeout = true
gpuperf_timeout = 0.001
gpuperf_update_golden = true
gpuperf_strict = all
"""
SENTINEL = "of the parent"


@dataclasses.dataclass
class Seen:
    """What the child saw, and left."""

    run: object
    notes: dict[str, list[object]]
    folder: Path

    def option(self, name: str) -> object:
        return self.notes[f"option {name}"][0]

    def ini(self, name: str) -> object:
        return self.notes[f"ini {name}"][0]

    def kept(self, name: str) -> bool:
        """Whether a file of the parent is as it was, or was never made."""
        file = self.folder / name
        return not file.exists() or file.read_text() == SENTINEL

    @property
    def variables(self) -> list[str]:
        return self.notes["environment"][0]


@dataclasses.dataclass(frozen=True)
class Hostile:
    """What somebody set, and what is true in a child all the same."""

    args: tuple[str, ...] = ()
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    holds: object = None
    files: tuple[str, ...] = ()


def neutral(*names: str):
    return lambda seen: not any(seen.option(name) for name in names)


HOSTILE: dict[str, Hostile] = {
    "maxfail": Hostile(("--maxfail=1",), holds=lambda seen: len(seen.run.outcomes) == 4),
    "stepwise": Hostile(("--sw",), holds=lambda seen: len(seen.run.outcomes) == 4 and not seen.option("stepwise")),
    "collection errors": Hostile(holds=lambda seen: seen.run.outcomes and "broken" in seen.run.text),
    "pdb": Hostile(("--pdb", "--trace"), holds=lambda seen: len(seen.run.outcomes) == 4 and "PDB" not in seen.run.text),
    "cache": Hostile(
        ("--ff", "--nf", "--cache-clear"), holds=lambda seen: seen.kept(".pytest_cache/v/mine") and (seen.folder / ".pytest_cache/v/mine").exists() and seen.notes["cache"][0].endswith("child/cache"),
        files=(".pytest_cache/v/mine",),
    ),
    "basetemp": Hostile(("--basetemp=mine",), holds=lambda seen: (seen.folder / "mine/file").exists(), files=("mine/file",)),
    "collect-only": Hostile(("--setup-only", "--collect-only"), holds=lambda seen: len(seen.run.measured) == 4),
    "durations": Hostile(("--durations=3", "--durations-min=0"), holds=lambda seen: "slowest" not in seen.run.text),
    "xdist": Hostile(
        ("-n", "2", "--dist", "load"), {"PYTEST_XDIST_WORKER": "gw7", "PYTEST_XDIST_WORKER_COUNT": "9"},
        lambda seen: seen.notes["modules"] == [False] and "workers" not in seen.run.text and not any(one.startswith("PYTEST_XDIST") for one in seen.variables),
    ),
    "rerunfailures": Hostile(("--reruns=2",), holds=lambda seen: "rerunfailures" not in seen.notes and not seen.option("reruns") and not seen.ini("reruns")),
    "flaky": Hostile(("--force-flaky",), holds=lambda seen: "flaky" not in seen.notes and not seen.option("force_flaky")),
    "retry": Hostile(("--retries=2",), holds=lambda seen: "retry" not in seen.notes and not seen.option("retries") and not seen.ini("retries")),
    "timeout": Hostile(
        ("--timeout=0.01", "--session-timeout=1"), {"PYTEST_TIMEOUT": "1"},
        lambda seen: "timeout" not in seen.notes and not seen.option("timeout") and not seen.ini("timeout") and not seen.ini("session_timeout") and "PYTEST_TIMEOUT" not in seen.variables,
    ),
    "faulthandler timeout": Hostile(holds=lambda seen: not seen.ini("faulthandler_timeout") and seen.run.events("end")),
    "coverage": Hostile(
        env={"COV_CORE_SOURCE": "x", "COVERAGE_PROCESS_START": "x"},
        holds=lambda seen: "cov" not in seen.notes and not any(one.startswith(("COV_", "COVERAGE_")) for one in seen.variables),
    ),
    "junit": Hostile(("--junitxml=junit.xml",), holds=lambda seen: seen.kept("junit.xml"), files=("junit.xml",)),
    "html": Hostile(("--html=page.html",), holds=neutral("htmlpath")),
    "json-report": Hostile(("--json-report",), holds=neutral("json_report")),
    "report-log": Hostile(("--report-log=log",), holds=neutral("report_log")),
    "csv": Hostile(("--csv=a.csv",), holds=neutral("csv_path")),
    "md-report": Hostile(("--md-report",), holds=neutral("md_report")),
    "allure": Hostile(("--alluredir=allure",), holds=neutral("allure_report_dir")),
    "pastebin": Hostile(("--pastebin=failed",), holds=neutral("pastebin")),
    "debug": Hostile(("--debug=debug.log",), holds=lambda seen: seen.kept("debug.log"), files=("debug.log",)),
    "log-file": Hostile(("--log-file=session.log",), holds=lambda seen: seen.kept("session.log"), files=("session.log",)),
    "split": Hostile(("--store-durations",), holds=neutral("store_durations")),
    "testmon": Hostile(("--testmon",), holds=lambda seen: not seen.option("testmon") and "testmon plugin" not in seen.notes),
    "benchmark": Hostile(
        ("--benchmark-json=bench.json", "--benchmark-autosave", "--benchmark-only"),
        holds=lambda seen: not (seen.folder / ".benchmarks").exists() and (seen.folder / "child/calls").read_text() == "x" * 4,
    ),
    "gpuperf": Hostile(
        ("--gpuperf-report=page.html", "--gpuperf-json=run.json", "--gpuperf-summary=summary.md", "--gpuperf-timeout=0.001", "--gpuperf-strict", "--gpuperf-qualify", "--gpuperf-clock=graph"),
        {"GPUPERF_QUALIFY": "nothing.json"},
        lambda seen: seen.kept("page.html") and seen.kept("run.json") and seen.kept("summary.md") and not (seen.folder / "reports").exists() and not seen.ini("gpuperf_timeout")
        and neutral("gpuperf_qualify", "gpuperf_clock", "gpuperf_strict")(seen) and len(seen.run.measured) == 4,
        files=("page.html", "run.json", "summary.md"),
    ),
    "golden files": Hostile(
        ("--gpuperf-update-golden",), holds=lambda seen: not seen.option("gpuperf_update_golden") and not seen.ini("gpuperf_update_golden") and not (seen.folder / "golden").exists(),
    ),
    "job summary": Hostile(env={"GITHUB_STEP_SUMMARY": "step.md"}, holds=lambda seen: seen.kept("step.md") and "GITHUB_STEP_SUMMARY" not in seen.variables, files=("step.md",)),
    "the running test": Hostile(env={"PYTEST_CURRENT_TEST": "test_it.py::test_outer (call)"}, holds=lambda seen: "test_outer" not in seen.run.text and "PYTEST_CURRENT_TEST" not in seen.variables),
}  # fmt: skip

#: Takes a row out of the list, in the child: its test must then see it.
WITHOUT = """
import os
from pytest_gpuperf import neutral
neutral.NEUTRALISED = tuple(row for row in neutral.NEUTRALISED if row.what != os.environ.get("HOSTILE_WITHOUT"))
"""


def look(folder: Path, without: str = "") -> Seen:
    """Run a child against everything that is hostile: all of it, or only what one row is for, less that row."""
    rows = [HOSTILE[without]] if without else list(HOSTILE.values())

    def put_down() -> None:
        for name in (name for row in rows for name in row.files):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(SENTINEL)

    args = [word for row in rows for word in row.args]
    late = {name: value for row in rows for name, value in row.env.items()}
    plugin = (Path(__file__).parent / "hostile_plugin.py").read_text()
    files = {
        "pytest.ini": INI, "conftest.py": FAKE, "test_case.py": TEST, "test_broken.py": "broken = 1 / 0\n", "breakpoints.py": COUNTED,
        "hostile.py": plugin, "without.py": WITHOUT,
    }  # fmt: skip
    run = run_child(folder, files, "-p", "without", "-p", "hostile", *args, env={"HOSTILE_WITHOUT": without}, late=late, between=put_down, stop=True)
    notes: dict[str, list[object]] = collections.defaultdict(list)
    file = folder / "child" / "seen.jsonl"
    for line in file.read_text().splitlines() if file.exists() else ():
        what, said = json.loads(line)
        notes[what].append(said)
    return Seen(run, dict(notes), folder)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return look(tmp_path_factory.mktemp("hostile"))


def test_every_row_has_a_hostile_setting_of_its_own():
    assert [row.what for row in NEUTRALISED] == [*dict.fromkeys(row.what for row in NEUTRALISED)]
    assert {row.what for row in NEUTRALISED} == set(HOSTILE)
    assert all(row.why for row in NEUTRALISED)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_child_is_kept_from(what, seen):
    assert HOSTILE[what].holds(seen), seen.run.text


@pytest.mark.slow
@pytest.mark.parametrize("what", HOSTILE)
def test_without_its_row_it_would_not_be(what, tmp_path):
    try:
        without = look(tmp_path, what)
        held = bool(HOSTILE[what].holds(without))
    except (KeyError, AttributeError, FileNotFoundError):
        held = False  # the child did not get so far as to say
    assert not held, without.run.text


def test_a_child_leaves_its_record_alone(seen):
    left = {one.name for one in (seen.folder / "child").iterdir()} - {"seen.jsonl", "calls"}
    assert left == {"parent.json", "task.json", "progress.jsonl"}
    shutil.rmtree(seen.folder)


def test_the_page_has_every_row():
    page = (Path(__file__).resolve().parent.parent / "docs" / "child.md").read_text()
    assert [f"| {row.what} | {row.why} |" in page for row in NEUTRALISED] == [True] * len(NEUTRALISED)
    assert page.count("\n| ") == len(NEUTRALISED) + 1
