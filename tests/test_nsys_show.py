"""`gpuperf show` of a trace of nsys, and the example of its documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_nsys import Recorder, write

from pytest_gpuperf.cli import main
from pytest_gpuperf.testing import Example

DOCS = (Path(__file__).parent.parent / "docs" / "nsys.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)


def decode(path):
    """The trace of docs/nsys.md: a decoding step three times, the second with one launch more, and a graph."""
    one = Recorder(pid=4711)
    one.add("PROCESSES", globalPid=one.thread(0), pid=one.pid, name="/usr/bin/python3")

    def commit(launches):
        for _ in range(launches):
            one.launch("commit", 12.0, call=3.0)
        one.call("cudaStreamSynchronize_v3020", 30.0)

    for launches in (2, 3, 2):
        one.step("commit", body=lambda launches=launches: commit(launches))
    for _ in range(3):
        one.step("stage", body=lambda: one.launch("stage", 8.0, call=3.0))
    one.step("replay", body=lambda: one.graph(4))
    return write(path, one)


def shown(capsys, *arguments):
    status = main(["show", *map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_a_row_for_each_range(tmp_path, monkeypatch, capsys):
    decode(tmp_path / "trace.sqlite")
    monkeypatch.chdir(tmp_path)
    status, out, err = shown(capsys, "trace.sqlite")
    assert (status, err) == (0, "")
    assert out == next(text for language, text in BLOCKS if language == "text")


def test_some_ranges_by_a_part_of_the_name(tmp_path, capsys):
    path = decode(tmp_path / "trace.sqlite")
    status, out, _ = shown(capsys, path, "stag")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["range", "stage"]
    status, out, err = shown(capsys, path, "stgae")
    assert (status, out) == (2, "")
    assert err == f"gpuperf show: {path} has no range 'stgae'; nearest 'stage'\n"


def test_two_processes_have_a_row_each(tmp_path, capsys):
    one, two = Recorder(pid=100), Recorder(pid=200)
    one.step()
    two.step(body=lambda: (two.launch(), two.launch()))
    _, out, _ = shown(capsys, write(tmp_path / "trace.sqlite", one, two))
    assert [line.split()[:4] for line in out.splitlines()[2:]] == [["step", "100", "1", "1"], ["step", "200", "1", "2"]]


def test_a_database_is_known_by_what_it_holds(tmp_path, capsys):
    path = decode(tmp_path / "trace.db")
    assert shown(capsys, path)[0] == 0


@pytest.mark.parametrize(("name", "told"), [("run.nsys-rep", "is a report, not a database: nsys export --type sqlite run.nsys-rep"), ("run.sqlite", "is not an SQLite database;")])
def test_an_error_is_one_line_and_status_2(tmp_path, capsys, name, told):
    (tmp_path / name).write_bytes(b"junk")
    status, out, err = shown(capsys, tmp_path / name)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"gpuperf show: {tmp_path / name} {told}")


def test_names_that_would_change_the_terminal_are_escaped(tmp_path, capsys):
    one = Recorder()
    one.step("red\x1b[31m")
    _, out, _ = shown(capsys, write(tmp_path / "trace.sqlite", one))
    assert "red\\x1b[31m" in out


def test_the_example_of_the_documentation_runs_and_fails_as_it_says(tmp_path):
    example = Example({"test_trace.py": next(text for language, text in BLOCKS if language == "python")})
    decode(example.path / "trace.sqlite")
    result = example.run_pytest("-q", "--gpuperf")
    assert re.search(r"2 passed", result.stdout), result.stdout
    assert "1 unmeasured" in result.stdout.lower()
