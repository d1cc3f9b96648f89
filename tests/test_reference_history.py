"""The history: run files that are never changed, an index that is never the only place of anything, and the trend that it makes quick."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading

import pytest
from compared_runs import measured, run_of

from pytest_gpuperf.cli import main
from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records.runfile import load
from pytest_gpuperf.reference import index as index_module
from pytest_gpuperf.reference.find import check, find
from pytest_gpuperf.reference.history import keep
from pytest_gpuperf.reference.index import NAME, Index
from pytest_gpuperf.reference.trend import sparkline

A, B = "t.py::test_a", "t.py::test_b[1]"
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def history(tmp_path):
    """Make a history of four runs, of which the third has another driver."""
    for number, (time_us, driver) in enumerate([(50.0, "580"), (50.1, "580"), (56.0, "590"), (56.1, "590")]):
        keep(run_of(measured(A, time_us, code="x"), measured(B, 20.0), number=number, driver=driver), tmp_path / "history")
    return tmp_path / "history"


def told(history, capsys, *words, status=0):
    assert main(["show", *words, "--history", str(history)]) == status
    found = capsys.readouterr()
    return found.out if status == 0 else found.err, found.err


class TestKeep:
    def test_two_runs_of_one_id_are_two_files_and_one_run_is_one(self, tmp_path):
        one, other = run_of(measured(A)), run_of(measured(B))
        assert keep(one, tmp_path) == keep(one, tmp_path)
        keep(other, tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
        assert {case["nodeid"] for path in tmp_path.iterdir() for case in load(path)["cases"]} == {A, B}

    def test_many_writers_at_once_lose_nothing_and_leave_no_part(self, tmp_path):
        runs = [run_of(measured(f"t.py::test_{number}"), number=number % 3) for number in range(24)]
        threads = [threading.Thread(target=keep, args=(run, tmp_path)) for run in runs + runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(tmp_path.iterdir())) == 24
        assert all(load(path)["cases"] for path in tmp_path.iterdir())

    def test_a_disk_without_hard_links(self, tmp_path, monkeypatch):
        def refuses(*_):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuses)
        keep(run_of(measured(A)), tmp_path)
        (found,) = tmp_path.iterdir()
        assert load(found)["cases"]

    def test_where_it_cannot_be_written_it_says_so_in_one_line(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        with pytest.raises(RunFileError, match=r"^cannot write into the history .*file: "):
            keep(run_of(measured(A)), tmp_path / "file")

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RunFileError, match=r"No space left on device$"):
            keep(run_of(measured(A)), tmp_path / "there")
        assert list((tmp_path / "there").iterdir()) == []


class TestTrend:
    def test_every_run_with_its_change_and_where_the_environment_changed(self, history, capsys):
        lines = told(history, capsys, "test_a")[0].splitlines()
        assert lines[:2] == [A, "  main, time, cold, device, NVIDIA H200  ▇▇██"]
        assert lines[2].startswith("    2026-11-21 10:15  4f9d2c1ab8+    50.00 us (")
        assert lines[3].endswith("+0.2 % SAME; equal machine code")
        assert lines[4] == "    -- driver 580 -> 590"
        assert lines[5].endswith("+11.8 %; equal machine code"), "across a change of the environment nothing is said of the code"
        assert lines[6].endswith("+0.2 % SAME; equal machine code")
        assert len(lines) == 7

    def test_only_the_last_and_another_quantity(self, history, capsys):
        lines = told(history, capsys, B, "--last", "2", "--quantity", "bandwidth", status=2)[0].splitlines()
        assert lines == [f"gpuperf show: {B} has no bandwidth in any run; it has time"]
        lines = told(history, capsys, B, "--last", "2")[0].splitlines()
        assert lines[2] == "    (2 earlier runs; --last 4 shows all)"
        assert len(lines) == 5

    def test_a_case_that_is_not_there_names_the_nearest(self, history, capsys):
        assert told(history, capsys, "test_q", status=2)[0] == f"gpuperf show: no case 'test_q' in the 4 runs of {history}; nearest 't.py::test_a'\n"

    def test_a_directory_that_is_not_there(self, tmp_path, capsys):
        assert "gpuperf show: cannot read the history " in told(tmp_path / "none", capsys, "test_a", status=2)[0]

    def test_what_was_not_measured_says_so(self, tmp_path, capsys):
        keep(run_of(measured(A, None), number=1), tmp_path)
        keep(run_of(measured(A, 50.0), number=2), tmp_path)
        assert "UNMEASURED sync" in told(tmp_path, capsys, "test_a")[0]

    def test_bars(self):
        assert sparkline([]) == ""
        assert sparkline([0.0, 0.0]) == "▁▁"


class TestIndex:
    def test_it_is_made_once_and_then_only_added_to(self, history, capsys, monkeypatch):
        expected = told(history, capsys, "test_a")
        read = []
        real = index_module._read
        monkeypatch.setattr(index_module, "_read", lambda path, *stamp: read.append(path.name) or real(path, *stamp))
        assert told(history, capsys, "test_a") == expected
        assert read == []
        added = keep(run_of(measured(A, 57.0), number=9, driver="590"), history)
        assert len(told(history, capsys, "test_a")[0].splitlines()) == 8
        assert read == [added.name]

    def test_a_run_that_is_taken_away_is_gone(self, history, capsys):
        told(history, capsys, "test_a")
        min(history.glob("*.json")).unlink()
        assert len(told(history, capsys, "test_a")[0].splitlines()) == 6

    @pytest.mark.parametrize("junk", [b"", b"junk" * 1000, b"SQLite format 3\0" + b"x" * 5000])
    def test_a_missing_or_broken_index_costs_nothing(self, history, capsys, junk):
        expected = told(history, capsys, "test_a")[0]
        (history / NAME).write_bytes(junk)
        out, err = told(history, capsys, "test_a")
        assert out == expected
        assert ("was broken: made anew" in err) == bool(junk)
        assert told(history, capsys, "test_a") == (expected, "")

    def test_an_index_of_another_version_is_made_anew(self, history, capsys):
        expected = told(history, capsys, "test_a")[0]
        with sqlite3.connect(history / NAME) as other:
            other.execute("drop table point")
            other.execute("create table point (x)")
            other.execute("pragma user_version = 99")
        other.close()
        assert told(history, capsys, "test_a") == (expected, "")

    def test_who_holds_the_index_blocks_nobody(self, history, capsys, monkeypatch):
        expected = told(history, capsys, "test_a")[0]
        keep(run_of(measured(A, 57.0), number=9, driver="590"), history)
        monkeypatch.setattr(index_module, "_PATIENCE_S", 0.05)
        holder = sqlite3.connect(history / NAME)
        holder.execute("begin exclusive")
        out, err = told(history, capsys, "test_a")
        holder.rollback()
        holder.close()
        assert out.startswith(expected.rpartition("▇")[0][:60])
        assert len(out.splitlines()) == 8
        assert "cannot be used (database is locked): worked in memory" in err

    @pytest.mark.skipif(AS_ROOT, reason="root writes everywhere")
    def test_a_directory_that_cannot_be_written(self, history, capsys):
        expected = told(history, capsys, "test_a")[0]
        (history / NAME).unlink()
        history.chmod(stat.S_IRUSR | stat.S_IXUSR)
        try:
            out, err = told(history, capsys, "test_a")
        finally:
            history.chmod(stat.S_IRWXU)
        assert out == expected
        assert "cannot be used (unable to open database file): worked in memory" in err

    def test_an_index_that_cannot_be_written_is_read_and_added_to_in_memory(self, history, capsys, monkeypatch):
        told(history, capsys, "test_a")
        keep(run_of(measured(A, 57.0), number=9, driver="590"), history)

        def readonly(path):
            return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)

        monkeypatch.setattr(index_module, "_connected", readonly)
        out, err = told(history, capsys, "test_a")
        assert len(out.splitlines()) == 8
        assert "attempt to write a readonly database" in err

    def test_a_torn_file_is_left_out_with_a_line_and_the_others_are_there(self, history, capsys):
        torn = sorted(history.glob("*.json"))[1]
        torn.write_bytes(torn.read_bytes()[:500])
        (history / "notes.json").write_text("[]")
        out, err = told(history, capsys, "test_a")
        assert len(out.splitlines()) == 6
        assert err.splitlines() == [
            f"gpuperf show: {torn} is not a run file: it is cut off; left out",
            f"gpuperf show: {history / 'notes.json'} is not a run file: it has no schema number; left out",
        ]

    def test_many_files_are_read_by_several_processes(self, tmp_path, capsys, monkeypatch):
        for number in range(12):
            keep(run_of(measured(A, 50.0 + number), number=number), tmp_path)
        monkeypatch.setattr(index_module, "_MANY", 8)
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        assert len(told(tmp_path, capsys, "test_a")[0].splitlines()) == 14

    def test_two_that_index_at_once_agree(self, history):
        indices = []
        threads = [threading.Thread(target=lambda: indices.append(len(_points(history)))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert indices == [4] * 6
        assert len(_points(history)) == 4


def _points(history):
    with Index(history) as index:
        return index.points(A, "time")


class TestFind:
    def test_the_newest_run_of_the_same_model_that_ended(self, history):
        keep(run_of(measured(A, 70.0), number=20, name="NVIDIA A100"), history)
        cut = run_of(measured(A, 71.0), number=21)
        cut["run"]["complete"] = False
        keep(cut, history)
        run = run_of(measured(A), number=30)
        found, said = find("last", history, run)
        assert (found["run"]["id"][:17], said) == ("20261121T101503-1", "")
        assert find(str(history), history / "elsewhere", run)[0] == found
        assert find("last", history, run_of(measured(A), number=31, name="NVIDIA A100"))[0]["run"]["id"][:17] == "20261121T101520-1"
        other = find("last", history, run_of(measured(A), number=31, name="NVIDIA B200"))[0]
        assert other["run"]["id"][:17] == "20261121T101520-1", "of no run of this model the newest: its device is listed at the top"

    def test_a_run_is_not_its_own_reference(self, tmp_path):
        run = run_of(measured(A))
        keep(run, tmp_path)
        assert find("last", tmp_path, run) == (None, f"no earlier run lies in {tmp_path}: nothing to compare with")
        assert find("last", tmp_path / "none", run) == (None, f"no run lies in {tmp_path / 'none'} yet")

    def test_a_torn_one_is_passed_over_and_said(self, history):
        torn = max(history.glob("*.json"))
        torn.write_text("{")
        found, said = find("last", history, run_of(measured(A), number=30))
        assert found["run"]["id"][:17] == "20261121T101502-1"
        assert said == f"{torn} is not a run file: it is cut off; passed over"

    def test_what_was_named_and_cannot_be_read_is_known_at_once(self, tmp_path):
        check("last")
        (tmp_path / "x.json").write_text(json.dumps({"schema": 1}))
        for path in (tmp_path / "x.json", tmp_path / "none.json"):
            with pytest.raises(RunFileError):
                check(str(path))
        (tmp_path / "empty").mkdir()
        with pytest.raises(RunFileError, match="holds no journals"):
            check(str(tmp_path / "empty"))
        check(str(tmp_path))
