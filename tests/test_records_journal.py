"""The journal: on disk at once, on a full disk, after kill -9, and read again."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from record_events import FIRST, RUN, SECOND, case, journal, judged, start

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records.journal import EVENTS, Journal, read_journal
from pytest_gpuperf.records.runfile import load
from pytest_gpuperf.records.schema import SCHEMA


class FullDisk:
    """A file whose disk takes the first bytes of a line, or none."""

    def __init__(self, file, takes=None):
        self.file, self.takes = file, takes

    def write(self, line):
        if self.takes is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(line[: self.takes])

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.fixture
def opened():
    journals = []

    def opened(*args):
        journals.append(Journal(*args))
        return journals[-1]

    yield opened
    for lines in journals:
        lines.close()


class TestJournal:
    def test_every_line_is_on_disk_at_once(self, tmp_path, opened):
        lines = opened(tmp_path / "new" / "a.jsonl")
        lines.append("session", run=RUN)
        assert json.loads((tmp_path / "new" / "a.jsonl").read_text())["schema"] == SCHEMA
        lines.append("start", case={"nodeid": FIRST})
        assert [event["event"] for event in read_journal(lines.path).events] == ["session", "start"]

    def test_a_path_that_cannot_be_written_is_known_at_once(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(RunFileError) as error:
            Journal(tmp_path / "file" / "a.jsonl")
        assert str(error.value).startswith(f"cannot write journal {tmp_path / 'file' / 'a.jsonl'}: ")
        assert "\n" not in str(error.value)

    def test_an_unknown_event_and_a_missing_key_are_refused(self, tmp_path, opened):
        lines = opened(tmp_path / "a.jsonl")
        with pytest.raises(ValueError, match="no event 'colected' in a journal; nearest 'collected'"):
            lines.append("colected", items=[])
        with pytest.raises(ValueError, match="event 'case' needs case"):
            lines.append("case")
        assert len({row.name for row in EVENTS}) == len(EVENTS)

    def test_a_full_disk_loses_nothing_while_the_process_lives(self, tmp_path, opened):
        told = []
        lines = opened(tmp_path / "a.jsonl", told.append)
        lines.append("session", run=RUN)
        real, full = lines._file, FullDisk(lines._file)
        lines._file = full
        lines.append("start", case={"nodeid": FIRST})
        lines.append("case", case=case(FIRST))
        assert lines.lost == 2
        assert len(told) == 1
        assert "No space left on device; 1 records are kept in memory" in told[0]
        assert len(read_journal(lines.path).events) == 1
        lines._file = real
        lines.append("start", case={"nodeid": SECOND})
        assert lines.lost == 0
        assert [event["event"] for event in read_journal(lines.path).events] == ["session", "start", "case", "start"]
        assert not read_journal(lines.path).notes

    def test_half_a_line_on_a_full_disk_is_taken_back(self, tmp_path, opened):
        lines = opened(tmp_path / "a.jsonl")
        lines.append("session", run=RUN)
        real = lines._file
        lines._file = FullDisk(real, takes=10)
        lines.append("start", case={"nodeid": FIRST})
        assert not read_journal(lines.path).truncated
        lines._file = FullDisk(real)
        assert lines.close() == 1
        assert lines.lost == 1

    def test_what_was_killed_in_the_middle_of_a_line_is_read_up_to_there(self, tmp_path, opened):
        path = journal(tmp_path / "a.jsonl", start(FIRST), ("case", case(FIRST, judged())), end=False)
        path.write_bytes(path.read_bytes() + b'{"event":"case","case":{"nodeid":"t.py::te')
        reading = read_journal(path)
        assert reading.truncated
        assert len(reading.events) == 4
        lines = opened(path)
        lines.append("end", ended="z", exit_status=1)
        assert read_journal(path).events[-1]["event"] == "end"
        assert read_journal(path).damaged == 1

    def test_unknown_events_are_counted(self, tmp_path):
        path = journal(tmp_path / "a.jsonl")
        path.write_text(path.read_text() + '{"event":"weather","rain":true}\n{"event":"case","case":7}\n')
        assert read_journal(path).notes == [
            "journal a.jsonl: 1 events of kinds that this version does not know were left out",
            "journal a.jsonl: 1 lines that are no events were left out",
        ]

    def test_another_schema_is_refused_with_both_numbers(self, tmp_path):
        (tmp_path / "a.jsonl").write_text('{"event":"session","schema":9,"run":{}}\n')
        with pytest.raises(RunFileError, match=r"a\.jsonl has schema 9; this version of pytest-gpuperf reads schemas 1 to 2"):
            read_journal(tmp_path / "a.jsonl")

    def test_a_file_without_an_event_is_no_journal(self, tmp_path):
        (tmp_path / "a.jsonl").write_text("hello\nworld\n")
        with pytest.raises(RunFileError, match="is not a journal: none of its 2 lines is an event"):
            read_journal(tmp_path / "a.jsonl")

    @pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
    def test_kill_9_costs_the_running_case_alone(self, tmp_path):
        script = f"""
import pathlib, sys, time
sys.path[:0] = {[str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1])]!r}
import record_events as t
t.journal(pathlib.Path({str(tmp_path / "a.jsonl")!r}), t.start(t.FIRST), ("case", t.case(t.FIRST, t.judged())), t.start(t.SECOND), end=False)
print("there", flush=True)
time.sleep(60)
"""
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"there\n"
            process.send_signal(signal.SIGKILL)
        run = load(tmp_path / "a.jsonl")
        assert [(found["nodeid"], found["verdict"], found["outcome"]) for found in run["cases"]] == [(FIRST, "PASS", "passed"), (SECOND, "UNMEASURED", None)]
        assert not run["run"]["complete"]
