"""Properties of journal and merge: whatever is cut off, mixed up or given twice, nothing that was written down whole is lost, and the account adds up."""

from __future__ import annotations

import collections
import contextlib
import json
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from record_events import FIRST, SECOND, THIRD, case, journal, judged, limit, start, sums

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records.merge import combine, merge
from pytest_gpuperf.records.runfile import load
from pytest_gpuperf.records.schema import validate

NAMES = (FIRST, SECOND, THIRD)
FEW = settings(max_examples=60)
TIME = {"unit": "s", "source": "device", "number": 1e-5, "low": 1e-5, "high": 1e-5, "systematic": 0.0, "reason": None}


def measured(nodeid, number=1, verdict="PASS", **more):
    one = {"name": "main", "values": {"time": TIME | {"number": number * 1e-6}}}
    return case(nodeid, judged(verdict), verdict=verdict, measurements=[one], started=f"2026-11-21T10:15:{number % 60:02d}Z", **more)


def whole_journal(folder):
    """Write a journal with everything in it: devices, parts, a case that ran again, one that was deselected."""
    found = [("device", {"uuid": "GPU-1", "name": "NVIDIA H200"}), ("deselected", [{"nodeid": "t.py::test_z", "budgets": 1}])]
    for number, nodeid in enumerate((FIRST, SECOND, FIRST, THIRD), 1):
        part = ("part", {"nodeid": nodeid, "measurements": [{"name": "main", "values": {"time": TIME | {"number": number * 1e-6}}}]})
        found += [start(nodeid), part, ("case", measured(nodeid, number))]
    return journal(folder / "main.jsonl", *found).read_bytes()


with tempfile.TemporaryDirectory() as _folder:
    JOURNAL = whole_journal(Path(_folder))
LINES = JOURNAL.splitlines(keepends=True)


def read(data):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "main.jsonl").write_bytes(data)
        with contextlib.suppress(RunFileError):
            return load(Path(folder))
        return None


def times(run):
    """Return what was measured: (node id, time) of every measurement, as often as it stands there."""
    return collections.Counter((one["nodeid"], m["values"]["time"]["number"]) for one in run["cases"] for m in one["measurements"])


def written(data):
    """Return what the whole lines of a journal say was measured, a case's parts counted with the case."""
    found = collections.Counter()
    running = {}
    for line in data.split(b"\n")[:-1]:
        event = json.loads(line)
        if event["event"] == "start":
            running[event["case"]["nodeid"]] = None
        elif event["event"] in {"part", "case"}:
            (one,) = event["case"]["measurements"]
            running[event["case"]["nodeid"]] = one["values"]["time"]["number"]
            if event["event"] == "case":
                found[event["case"]["nodeid"], running.pop(event["case"]["nodeid"])] += 1
    found.update((nodeid, number) for nodeid, number in running.items() if number is not None)
    return found


@FEW
@example(0)
@example(len(JOURNAL))
@given(st.integers(0, len(JOURNAL)))
def test_a_journal_that_is_cut_anywhere_keeps_all_that_was_whole(cut):
    run = read(JOURNAL[:cut])
    if run is None:
        assert cut <= len(LINES[0])
        return
    assert validate(run) == []
    assert sums(run)
    assert times(run) == written(JOURNAL[:cut])
    assert run["run"]["complete"] == (cut == len(JOURNAL))
    whole = cut in {0, len(JOURNAL)} or JOURNAL[cut - 1 : cut] == b"\n"
    assert any("cut off" in note for note in run["notes"]) == (not whole)


@FEW
@given(st.lists(st.tuples(st.integers(1, len(LINES)), st.sampled_from([b"junk\n", b"\xff\xfe\n", b"{}\n", b"[1]\n", b'{"event":"case","case":3}\n', b'{"event":"rain"}\n', b"\n"])), max_size=6))
def test_lines_that_are_no_events_cost_nothing_and_are_counted(junk):
    lines = list(LINES)
    for place, line in sorted(junk, reverse=True):
        lines.insert(place, line)
    run = read(b"".join(lines))
    assert validate(run) == []
    assert sums(run)
    assert times(run) == written(JOURNAL)
    assert bool(run["notes"]) == any(line != b"\n" for _, line in junk)


@FEW
@given(st.permutations(range(len(LINES) - 2)), st.integers(0, 2))
def test_any_order_of_events_gives_a_sound_run(order, twice):
    middle = LINES[1:-1]
    run = read(b"".join([LINES[0], *(middle[place] for place in order), *middle[:twice], LINES[-1]]))
    assert validate(run) == []
    assert sums(run)
    assert set(times(run)) >= {(nodeid, number * 1e-6) for number, nodeid in enumerate((FIRST, SECOND, FIRST, THIRD), 1)} - {(FIRST, 1e-6), (FIRST, 3e-6)}


CASES = st.builds(
    lambda nodeid, number, verdict, device: measured(nodeid, number, verdict, device=device),
    st.sampled_from(NAMES), st.integers(1, 50), st.sampled_from(["PASS", "FAIL"]), st.sampled_from(["GPU-1", "GPU-2", None]),
)  # fmt: skip
WORKERS = st.lists(st.lists(CASES, max_size=3), min_size=1, max_size=3)


def of_workers(workers, order=None):
    """Merge the journals of xdist's workers, read in some order."""
    with tempfile.TemporaryDirectory() as folder:
        items = tuple((nodeid, [limit()]) for nodeid in NAMES)
        made = [journal(Path(folder) / f"gw{n}.jsonl", *(("case", one) for one in ran), items=items, worker=f"gw{n}") for n, ran in enumerate(workers)]
        return merge([made[place] for place in order or range(len(made))])


@FEW
@given(WORKERS, st.randoms(use_true_random=False))
def test_journals_of_workers_lose_no_case_in_whatever_order_they_are_read(workers, shuffled):
    run = of_workers(workers)
    assert validate(run) == []
    assert sums(run)
    assert times(run) == collections.Counter((one["nodeid"], one["measurements"][0]["values"]["time"]["number"]) for ran in workers for one in ran)
    order = list(range(len(workers)))
    shuffled.shuffle(order)
    other = of_workers(workers, order)
    assert times(other) == times(run)
    assert other["account"]["collected"] == sum(number for name, number in other["account"].items() if name != "collected")


@FEW
@given(st.lists(WORKERS, min_size=1, max_size=3))
def test_shards_that_overlap_lose_nothing_and_number_their_attempts(shards):
    runs = [of_workers(workers) for workers in shards]
    whole = combine(runs)
    assert validate(whole) == []
    assert sums(whole)
    assert times(whole) == sum((times(run) for run in runs), collections.Counter())
    attempts = collections.Counter((one["nodeid"], one["device"], one["attempt"]) for one in whole["cases"])
    assert all(count == 1 for (_, _, _), count in attempts.items()), attempts
    # Shards that were merged by two steps are the same.
    steps = combine([combine(runs[:2]), *runs[2:]])
    assert times(steps) == times(whole)
    assert steps["account"] == whole["account"]
