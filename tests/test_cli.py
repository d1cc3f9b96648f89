"""The console script: render, show, merge, and its errors."""

from __future__ import annotations

import subprocess
import sys

import pytest
from run_files import make_run

from pytest_gpuperf.cli import VERBS, main
from pytest_gpuperf.records.journal import Journal
from pytest_gpuperf.records.runfile import load, write


@pytest.fixture
def run_file(tmp_path):
    write(make_run(), tmp_path / "run.json")
    return tmp_path / "run.json"


@pytest.fixture
def journal(tmp_path):
    lines = Journal(tmp_path / "runs" / "r.1" / "main.jsonl")
    lines.append("session", run=make_run()["run"], worker="main")
    lines.append("case", case=make_run()["cases"][0])
    lines.append("start", case={"nodeid": "t.py::test_killed"})
    lines.close()
    return lines.path


def test_render_writes_the_page_beside_the_run(run_file, capsys):
    assert main(["render", str(run_file)]) == 0
    page = run_file.with_suffix(".html")
    assert capsys.readouterr().out == f"{page}\n"
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


def test_render_takes_a_reference_and_an_output(run_file, tmp_path):
    write(make_run(seed=8), tmp_path / "reference.json")
    page = tmp_path / "new" / "page.html"
    assert main(["render", str(run_file), "--reference", str(tmp_path / "reference.json"), "-o", str(page)]) == 0
    assert page.exists()


def test_render_holds_a_run_against_limits_on_changes(tmp_path, capsys):
    run, there = make_run(), make_run(seed=8)
    run["run"]["exceeded"] = ["time:+1%"]
    write(run, tmp_path / "run.json")
    write(there, tmp_path / "there.json")
    words = ["render", str(tmp_path / "run.json"), "--reference", str(tmp_path / "there.json"), "-o", str(tmp_path / "page.html")]
    for added, allowed in (([], "allowed +1%"), (["--fail-on", "time:+3%"], "allowed +3%")):
        assert main([*words, *added]) == 0
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert page.count(allowed) > 0
        assert not {"allowed +1%", "allowed +3%"} - {allowed} & {one for one in ("allowed +1%", "allowed +3%") if one in page}
    capsys.readouterr()
    assert main([*words[:2], "--fail-on", "time:+3%"]) != 0
    assert "--fail-on is held against another run: name it with --reference" in capsys.readouterr().err


def test_render_works_on_the_journal_of_a_killed_session_and_its_directory(journal, capsys):
    assert main(["render", str(journal)]) == 0
    assert main(["render", str(journal.parent)]) == 0
    pages = capsys.readouterr().out.split()
    assert pages == [str(journal.with_suffix(".html")), str(journal.parent.with_name("r.1.html"))]
    assert "test_killed" in journal.with_suffix(".html").read_text(encoding="utf-8")


def test_show_prints_values_and_verdicts(run_file, capsys):
    assert main(["show", str(run_file)]) == 0
    out = capsys.readouterr().out
    run = load(run_file)
    assert out.startswith(f"run {run['run']['id']} of {run['run']['started']}: commit ")
    for case in run["cases"]:
        assert f"{case['verdict']:<14} {case['nodeid']}" in out
    account = run["account"]
    assert f"budgets: {account['collected']} collected = PASS {account['PASS']}, FAIL {account['FAIL']}, " in out


def test_show_of_one_case(run_file, capsys):
    chosen = next(case for case in load(run_file)["cases"] if case["measurements"])
    assert main(["show", str(run_file), chosen["nodeid"]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-1] == chosen["nodeid"]
    assert sum("::" in line for line in lines) == 1
    assert any(line.split()[0] == "time" and " .. " in line for line in lines[2:] if line.strip())


def test_show_of_a_case_that_is_not_there_names_the_nearest(run_file, capsys):
    name = load(run_file)["cases"][0]["nodeid"]
    assert main(["show", str(run_file), name[:-2] + "Q]"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gpuperf show: no case ")
    assert "; nearest '" in error
    assert error.count("\n") == 1


def test_merge_of_shards(run_file, tmp_path, capsys):
    other = make_run(seed=9)
    for case in other["cases"]:
        case["nodeid"] = "other/" + case["nodeid"]
    write(other, tmp_path / "b.json")
    assert main(["merge", str(run_file), str(tmp_path / "b.json"), "-o", str(tmp_path / "c.json")]) == 0
    whole, one = load(tmp_path / "c.json"), load(run_file)
    assert len(whole["cases"]) == len(one["cases"]) + len(other["cases"])
    told = capsys.readouterr()
    assert told.out.startswith(f"{tmp_path / 'c.json'}: {len(whole['cases'])} cases of 2 runs; {whole['account']['collected']} budgets: ")
    assert told.err == ""


def test_merge_of_the_same_cases_twice_says_so(run_file, tmp_path, capsys):
    assert main(["merge", str(run_file), str(run_file), "-o", str(tmp_path / "c.json")]) == 0
    cases = len(load(run_file)["cases"])
    assert capsys.readouterr().err.startswith(f"gpuperf merge: {cases} cases are in more than one of the merged runs; ")
    assert {case["attempt"] for case in load(tmp_path / "c.json")["cases"]} == {1, 2}


@pytest.mark.parametrize("verb", ["render", "show"])
def test_an_error_is_one_line_and_status_2(verb, tmp_path, capsys):
    (tmp_path / "junk.json").write_text('{"schema": 1, ')
    for name, cause in (("junk.json", "it is cut off"), ("nothing.json", "No such file or directory"), ("", "holds no journals")):
        assert main([verb, str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"gpuperf {verb}: ")
        assert str(tmp_path / name) in error
        assert cause in error
        assert error.count("\n") == 1


def test_an_output_that_cannot_be_written_is_an_error(run_file, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for verb in (["render", str(run_file)], ["merge", str(run_file)]):
        assert main([*verb, "-o", str(tmp_path / "file" / "x")]) == 2
        assert capsys.readouterr().err.startswith(f"gpuperf {verb[0]}: ")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rendr r.json", "gpuperf: error: no verb 'rendr'; nearest 'render'"),
        ("render r.json --fromat=gitlab", "gpuperf render: error: no option --fromat; nearest '--format'"),
        ("schema --foo", "gpuperf schema: error: no option --foo; valid: --help"),
        ("render r.json s.json", "gpuperf render: error: too many arguments: s.json"),
    ],
)
def test_a_misspelt_verb_or_option_ends_with_the_nearest(line, told, capsys):
    with pytest.raises(SystemExit) as left:
        main(line.split())
    assert left.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == told


def test_help_lists_every_verb_and_imports_nothing_heavy(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    for verb in VERBS:
        assert verb.help in " ".join(out.split())
    code = "import sys\nfrom pytest_gpuperf.cli import main\ntry: main(['show', '--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted({'numpy', 'jinja2', 'numba', 'torch', 'pytest', 'nvtx', 'cuda'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.endswith("[]\n")


def test_a_reader_that_goes_away_is_no_error(run_file):
    code = "import sys; from pytest_gpuperf.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "show", str(run_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0
