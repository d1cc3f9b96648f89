"""Counters of earlier runs: which are taken again, and which are not."""

from __future__ import annotations

import pytest

from pytest_gpuperf.counters import stored
from pytest_gpuperf.counters.results import Profiled
from pytest_gpuperf.reasons import Reason

KEY = {"nodeid": "t.py::test_a", "file": "t.py", "function": "test_a", "index": 0}
WISH = {**KEY, "counters": ["sm__warps_launched.sum"]}
MEASURED = {"name": "main", "slug": "g1", "inputs": None, "written": None, "code": "c0de", "hole": None, "report": "latest.ncu-rep", "kernels": []}
RECORD = {
    "device": {"name": "NVIDIA H200", "driver": "580"}, "ncu": "2025.3", "replay": "kernel", "seed": 0, "metrics": ["sm__warps_launched.sum"],
    "taken": "2026-11-26T10:00:00.000Z", "cases": [{**KEY, "hole": None, "measurements": [MEASURED]}],
}  # fmt: skip
LATER = "2026-11-26T11:00:00.000Z"


@pytest.fixture
def path(tmp_path):
    stored.save(tmp_path / "counters.json", {}, RECORD, lambda: "sources")
    return tmp_path / "counters.json"


def again(path, wish=WISH, sources="sources", **changed):
    conditions = stored.conditions_of({**RECORD, **changed}, sources)
    return stored.reusable(stored.load(path).get(wish["nodeid"]), wish, conditions, LATER)


def test_what_has_not_changed_is_taken_with_its_age_and_without_its_report(path):
    (one,) = again(path)["measurements"]
    assert (one["age_s"], one["report"], one["metrics"]) == (3600.0, None, ["sm__warps_launched.sum"])


@pytest.mark.parametrize(
    "changed",
    [
        {"device": {"name": "NVIDIA H100", "driver": "580"}},
        {"device": {"name": "NVIDIA H200", "driver": "590"}},
        {"ncu": "2026.1"},
        {"replay": "app-range"},
        {"seed": 7},
        {"sources": "others"},
        {"wish": {**WISH, "counters": ["dram__bytes_read.sum"]}},
        {"wish": {**WISH, "nodeid": "t.py::test_b"}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_has_changed_is_not_taken(path, changed):
    assert again(path, **changed) is None


@pytest.mark.parametrize("broken", [{"code": None}, {"hole": {"code": "no-kernel", "detail": ""}}], ids=["no code", "a hole"])
def test_what_could_not_be_held_against_later_code_is_not_stored(path, broken):
    stored.save(path, stored.load(path), {**RECORD, "cases": [{**KEY, "hole": None, "measurements": [MEASURED | broken]}]}, lambda: "sources")
    assert again(path) is None


def test_a_broken_store_is_none(path):
    path.write_text("{")
    assert stored.load(path) == {}
    path.write_text('{"schema": 99, "cases": {"a": 1}}')
    assert stored.load(path) == {}


def test_other_code_is_said_to_be_other():
    old = Profiled(MEASURED | {"age_s": 1.0}, "kernel", frozenset())
    assert stored.same_code(old, "c0de") is old
    assert stored.same_code(old, "beef") == Reason("code-changed")
    assert stored.same_code(old, None).code == "code-changed"
    fresh = Profiled(MEASURED, "kernel", frozenset())
    assert stored.same_code(fresh, "beef") is fresh


def test_every_source_of_the_project_counts_and_nothing_else(tmp_path):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "a.py").write_text("a = 1\n")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "reports").mkdir()
    first = stored.sources_of(tmp_path)
    for other in ("env/b.py", "reports/c.py", "notes.txt"):
        (tmp_path / other).write_text("b = 1\n")
    assert stored.sources_of(tmp_path) == first
    (tmp_path / "kernels" / "a.py").write_text("a = 2\n")
    assert stored.sources_of(tmp_path) != first
