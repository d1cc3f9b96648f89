"""The Markdown summary: what it says and in what order, that foreign text stays text, where it is cut, and where it is written."""

from __future__ import annotations

import random
import re

import pytest
from plugin_runs import run_pytest
from run_files import assemble, case, make_run, reason

from pytest_gpuperf.cli import main
from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records.runfile import write as write_run
from pytest_gpuperf.reference.compared import compare
from pytest_gpuperf.reference.limits import read_limits
from pytest_gpuperf.report.cut import Section, fit
from pytest_gpuperf.report.gfm import cell, code, prose
from pytest_gpuperf.report.markdown import LIMIT, summary
from pytest_gpuperf.report.markdown_file import append, write_text

HOSTILE = "t.py::test[</summary></code><script>alert(1)</script> `@team` ``#12`` a|b \\| $x$ *b* [l](http://e) :tada: \u202egnp \x00\nnew]"
TEXTS = (HOSTILE, "", " ", "`", "``", "` `", " x ", "|", "\\|", "\\", "a\tb", "\ud800", "- item", "# head", "> quote", "1. one", "= =", "| - |", "www.e.com", "GH-12", "é")
SLOW = """
@pytest.mark.gpuperf(time="<= 4 us")
def test_slow(gpuperf, fake):
    gpuperf.measure(fake.kernel(5e-6))
"""


def spans(text):
    """Return the code spans of a line, and the line without them, as CommonMark reads both."""
    found, rest, at = [], "", 0
    while at < len(text):
        opening = re.match("`+", text[at:])
        if text[at] == "\\" and at + 1 < len(text):
            rest, at = rest + " ", at + 2
            continue
        if opening is None:
            rest, at = rest + text[at], at + 1
            continue
        fence = opening[0]
        closing = next((one for one in re.finditer("`+", text[at + len(fence) :]) if one[0] == fence), None)
        assert closing is not None, f"a code span that does not end: {text}"
        found.append(text[at + len(fence) : at + len(fence) + closing.start()])
        at += 2 * len(fence) + closing.start()
    return found, rest


def one(**over):
    """Return a run of one failing case with some fields replaced."""
    return assemble([{**case(3, "FAIL", random.Random(1)), **over}])


@pytest.mark.parametrize("text", TEXTS)
def test_foreign_text_is_one_code_span_that_shows_it(text):
    told = code(text)
    (shown,), rest = spans(told)
    assert rest == ""
    assert "\n" not in told
    stripped = shown[1:-1] if shown.startswith(" ") and shown.endswith(" ") and shown.strip() else shown
    assert stripped == "(empty)" or (text.isprintable() and stripped == text) or not text.isprintable()
    assert told.isprintable()


@pytest.mark.parametrize("text", TEXTS)
def test_foreign_text_stays_in_its_cell(text):
    told = cell(text)
    assert "|" not in told
    if told.startswith("<code>"):
        assert re.fullmatch(r"<code>(?:[^<>&`*_\[\]@#$!|\\]|&#\d+;)*</code>", told)
    else:
        assert spans(told)[1] == ""


@pytest.mark.parametrize("text", TEXTS)
def test_a_sentence_is_text_or_code_and_nothing_else(text):
    told = prose(text)
    if told.startswith("<code>"):
        return
    _, rest = spans(told)
    assert not re.search(r"[@#$<>*\[\]|]|://|www\.", rest)
    assert not re.match(r"[-+] |--|[=>#]|\d+[.)] ", rest)


def test_what_matters_stands_first():
    text = summary(make_run(failed=8), page="reports/latest.html", file="reports/runs/r.json")
    parts = ["## ✗ FAIL: 8 of 38 cases fail", "| ✓ PASS |", "NVIDIA H200, driver 580.159, CUDA 13.0", "commit 4f9d2c1ab8", "### Failures", "bits differ", "### Not decided", "**Next:** measure on an idle machine", "### Nearest to their limits", "All 38 measurements", "account: collected 40 budgets"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert text.endswith("More: the page `reports/latest.html`, the run file `reports/runs/r.json`, `gpuperf show reports/runs/r.json`.\n")
    margins = [float(one) for one in re.findall(r"^- ✗ .*\((-[\d.]+) %\)$", text, re.MULTILINE)]
    assert margins == sorted(margins)
    assert len(margins) == 7, "of the eighth the bits differ"
    assert text.count("  - again: `pytest --gpuperf '") == 8


def test_every_message_of_a_failure_is_there():
    run = one()
    run["cases"][0]["budgets"].append({**run["cases"][0]["budgets"][0], "message": "host_time: 3 exceeds 2", "margin": -0.5})
    text = summary(run)
    assert "host_time: 3 exceeds 2" in text
    assert "time: " in text
    assert "-50.00 %" in text


def test_hostile_ids_and_messages_are_harmless_everywhere():
    run = make_run(failed=3)
    for row in run["cases"]:
        row["nodeid"] = HOSTILE
        row["error"] = HOSTILE
        for told in (*row["budgets"], *row["checks"]):
            told |= {name: HOSTILE for name in ("message", "origin", "detail", "name") if told.get(name) is not None}
        for told in row["reasons"]:
            told |= {"sentence": HOSTILE, "subject": HOSTILE, "next_step": HOSTILE, "code": HOSTILE}
        row["measurements"][0]["name"] = HOSTILE
    run["run"]["argv"] = [HOSTILE]
    run["notes"] = [HOSTILE]
    run["devices"][0]["name"] = HOSTILE
    there = make_run(seed=9)
    there["devices"][0]["name"] = HOSTILE + "there"
    text = summary(run, there, page=HOSTILE, file=HOSTILE)
    assert "script" in text
    for line in text.splitlines():
        if line.startswith(("<details>", "</details>")):
            assert not re.search("script|@|#", line)
            continue
        _, rest = spans(line)
        bare = re.sub(r"</?code>", "", rest)
        assert not re.search(r"<[a-z/!]", bare), line
        assert not re.search(r"@[a-z]|#\d|\$|://", re.sub(r"&#\d+;", "", bare)), line
    assert text.count("<details>") == text.count("</details>")


def test_20_000_failures_stay_below_the_limit_and_end_with_what_is_left_out():
    few = make_run(failed=40, passed=10, each=1)
    bad = [row for row in few["cases"] if row["verdict"] == "FAIL"]
    run = few | {"cases": [*(row | {"nodeid": f"{row['nodeid']}-{n}-é"} for n in range(500) for row in bad), *few["cases"]]}
    text = summary(run, page="reports/latest.html", file="run.json")
    assert 850_000 < len(text.encode()) < LIMIT
    last = text.rstrip().splitlines()[-1]
    found = re.fullmatch(r"\*\*Left out for want of room: ([\d,]+) more failures, ([\d,]+) more rows\.\*\* All of it: the page `reports/latest\.html`, the run file `run\.json`, `gpuperf show run\.json`\.", last)
    assert found
    assert text.count("\n- ✗ ") == 50
    shown = len(re.findall(r"^- (?:✗ \*\*)?`", text.partition("### Not decided")[0], re.MULTILINE))
    assert shown + int(found[1].replace(",", "")) == 20_040
    assert "### Not decided" in text, "few reasons are not to be lost for many failures"
    assert "account: collected" in text
    assert text.count("<details>") == text.count("</details>")


@pytest.mark.parametrize("limit", [0, 500, 1500, 3000, 6000, 12000, 20000])
def test_a_cut_is_at_whole_lines_and_leaves_nothing_open(limit):
    run = make_run(failed=9)
    whole, text = summary(run, limit=10**6), summary(run, limit=limit)
    assert text.startswith("## ✗ FAIL: 9 of 39 cases fail\n\n| ✓ PASS")
    assert len(text.encode()) <= max(limit, 700)
    lines = whole.splitlines()
    assert all(line in lines for line in text.splitlines()[:-1])
    assert text.count("<details>") == text.count("</details>")
    assert ("Left out for want of room" in text) == (text != whole)


def test_a_section_that_is_cut_counts_its_lines():
    # Two bytes a letter, a byte a line's end, and two for the frame.
    assert fit([Section(1, "", ("é" * 10,) * 3, noun="row")], 44) == ("éééééééééé\néééééééééé\n", {"row": 1})


def test_what_is_said_of_a_reference_and_of_limits_on_changes():
    here, there = make_run(failed=0, seed=3), make_run(failed=0, seed=3)
    for row in there["cases"]:
        for value in row["measurements"][0]["values"].values():
            if value["number"] is not None:
                value |= {name: value[name] * 0.8 for name in ("number", "low", "high")}
    there["run"] |= {"python": "3.13.1"}
    there["cases"].append(there["cases"].pop() | {"nodeid": "t.py::gone"})
    held = compare(here, there, read_limits("time:+5%"))
    text = summary(here, there, held)
    assert text.startswith("## ✗ FAIL: ")
    assert "worse than the reference by more than is allowed" in text.splitlines()[0]
    assert "### Held against " in text
    assert re.search(r"^\| ✗ FAIL \| `suites/.* main, \w+ \| time \| [\d.]+.us.to.[\d.]+.us \| \+25\.00.% \| .* \| allowed \+5% \|$", text, re.MULTILINE)
    assert "| reference | change |" in text
    assert "<summary>1 missing</summary>\n\n- `t.py::gone`\n\n</details>" in text
    assert "<summary>1 new</summary>" in text
    assert text.index("| ✗ FAIL | `suites") < text.index("<summary>2 changes not decided, or of counts</summary>")
    there["devices"][0]["driver"] = "570.1"
    moved = summary(here, there, compare(here, there, read_limits("time:+5%")))
    assert "<summary>29 changes not decided, or of counts</summary>" in moved
    assert "*environment-differs*: driver 570.1 → 580.159; python 3.13.1 → 3.11.7." in moved
    there["devices"][0]["driver"] = "580.159"
    beside = summary(here, there)
    assert "differs in 1 thing" in beside
    assert "| python | `3.11.7` | `3.13.1` |" in beside


@pytest.mark.parametrize(("status", "said"), [(2, "could not be collected"), (5, "no test to run"), (1, "though no case here does"), (0, None)])
def test_the_exit_status_is_told_where_no_case_tells_it(status, said):
    run = make_run(failed=0)
    run["run"]["exit_status"] = status
    assert ("The session" in summary(run)) == (said is not None)
    assert said is None or said in summary(run)


def test_many_subjects_of_a_reason_are_folded_and_counted():
    run = assemble([case(n, "UNMEASURED", random.Random(n), kind="no-gpu", gpu=False) | {"reasons": [reason("no-gpu")]} for n in range(130)], gpu=False)
    text = summary(run)
    assert "<summary>which 130</summary>" in text
    assert "- and 30 more, in the table" in text


def test_a_failing_session_writes_a_file_and_adds_to_that_of_the_step(pytester, monkeypatch):
    step = pytester.path / "step.md"
    step.write_text("# Earlier\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    done = run_pytest(pytester, SLOW, "--gpuperf-summary=out/summary.md")
    assert done.status == 1
    own = (pytester.path / "out" / "summary.md").read_text(encoding="utf-8")
    assert own.startswith("## ✗ FAIL: 1 of 1 case fails\n")
    assert step.read_text(encoding="utf-8") == "# Earlier\n\n\n" + own
    assert "summary: out/summary.md" in done.text
    assert f"`reports/runs/{done.run['run']['id']}.json`" in own
    assert [one.name for one in (pytester.path / "out").iterdir()] == ["summary.md"]


def test_a_collection_error_and_a_case_that_never_ran_are_told(pytester, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))
    assert run_pytest(pytester, SLOW + "\nraise RuntimeError('at import')\n").status == 2
    assert "could not be collected" in (pytester.path / "step.md").read_text(encoding="utf-8")


def test_ctrl_c_writes_it_too(pytester):
    with pytest.raises(KeyboardInterrupt):
        run_pytest(pytester, SLOW + "\ndef test_stop(gpuperf, fake):\n    raise KeyboardInterrupt\n", "--gpuperf-summary=summary.md")
    assert "test_slow" in (pytester.path / "summary.md").read_text(encoding="utf-8")


def test_a_summary_of_the_step_that_cannot_be_written_is_one_line_and_costs_nothing(pytester, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path))
    done = run_pytest(pytester, SLOW.replace("4 us", "40 us"))
    assert done.status == 0
    assert done.text.count(f"gpuperf: GITHUB_STEP_SUMMARY: cannot add to {pytester.path}: Is a directory") == 1
    assert done.run is not None
    assert (pytester.path / "reports" / "latest.html").exists()


def test_a_summary_that_was_asked_for_and_cannot_be_written_is_known_at_once(pytester):
    (pytester.path / "file").touch()
    done = run_pytest(pytester, SLOW, "--gpuperf-summary=file/summary.md")
    assert done.status == 8
    assert "cannot write" in done.text
    assert done.run is None


def test_one_that_cannot_be_written_in_the_end_costs_neither_run_file_nor_page(pytester):
    stop = "import pathlib\n\ndef test_last():\n    pathlib.Path('out/summary.md').mkdir(parents=True)\n"
    done = run_pytest(pytester, SLOW.replace("4 us", "40 us") + stop, "--gpuperf-summary=out/summary.md")
    assert done.status == 8
    assert "gpuperf: cannot write the summary " in done.text
    assert done.run is not None
    assert (pytester.path / "reports" / "latest.html").exists()


def test_without_gpuperf_nothing_is_written(pytester, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))
    run_pytest(pytester, SLOW, "--gpuperf-off", "--gpuperf-summary=summary.md", quick=False)
    assert not (pytester.path / "step.md").exists()
    assert not (pytester.path / "summary.md").exists()


@pytest.mark.parametrize("there", [0, 500_000, 890_000])
def test_what_stands_in_the_file_of_a_step_counts(there, tmp_path):
    step = tmp_path / "step.md"
    step.write_bytes(b"x" * there)
    run = make_run(failed=40, passed=2000, each=1)
    append(run, step)
    assert there < step.stat().st_size <= LIMIT
    assert "## ✗ FAIL" in step.read_text(encoding="utf-8")


def test_a_file_without_room_is_left_as_it_is(tmp_path):
    step = tmp_path / "step.md"
    step.write_bytes(b"x" * 899_000)
    with pytest.raises(RunFileError, match="it has 899,000 bytes, and GitHub drops a summary above 1 MiB whole"):
        append(make_run(), step)
    assert step.stat().st_size == 899_000


@pytest.fixture
def run_file(tmp_path):
    write_run(make_run(failed=2, passed=3), tmp_path / "r.json")
    return tmp_path / "r.json"


@pytest.mark.parametrize(
    ("words", "made", "begins"),
    [
        (["-o", "x.md"], "x.md", "## ✗ FAIL"),
        (["--format", "markdown"], "r.md", "## ✗ FAIL"),
        (["-o", "x.HTM"], "x.HTM", "<!doctype html>"),
        (["--format", "html", "-o", "x.md"], "x.md", "<!doctype html>"),
        (["--format", "gitlab", "-o", "x.json"], "x.json", '[\n {\n  "description"'),
        (["--format", "markdown", "-o", "-"], None, "## ✗ FAIL"),
        (["--format", "annotations"], None, "::error file=suites/"),
        (["--format", "gitlab"], None, "[\n {"),
    ],
)
def test_render_writes_every_form(words, made, begins, run_file, monkeypatch, capsys):
    monkeypatch.chdir(run_file.parent)
    assert main(["render", "r.json", *words]) == 0
    out = capsys.readouterr().out
    text = out if made is None else (run_file.parent / made).read_text(encoding="utf-8")
    assert text.lstrip().startswith(begins)
    assert made is None or out == f"{made}\n"


def test_render_adds_to_a_file(run_file, tmp_path):
    step = tmp_path / "step"
    step.write_text("before")
    assert main(["render", str(run_file), "--format", "markdown", "--append", "-o", str(step)]) == 0
    assert step.read_text(encoding="utf-8").startswith("before\n\n## ✗ FAIL")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "x.txt"], "-o x.txt: no format has the suffix '.txt': name one with --format html|markdown|annotations|gitlab"),
        (["--format", "markdwon"], "--format markdwon: is none of its values; nearest 'markdown'"),
        (["--append"], "--append adds a Markdown summary to a file: name it with -o, and --format markdown where its suffix does not say so"),
    ],
)
def test_render_says_in_one_line_what_it_cannot_do(words, said, run_file, capsys):
    assert main(["render", str(run_file), *words]) == 2
    assert capsys.readouterr().err == f"gpuperf render: {said}\n"


def test_a_text_replaces_a_file_and_nothing_else(tmp_path):
    (tmp_path / "x").write_text("old")
    write_text("new\ud800", tmp_path / "x", "summary")
    assert (tmp_path / "x").read_text() == "new\\ud800"
    with pytest.raises(RunFileError, match="cannot write the summary"):
        write_text("new", tmp_path, "summary")


def test_a_reason_with_one_subject_is_not_folded():
    one, two = (assemble([case(n, "UNMEASURED", random.Random(n), kind="no-gpu", gpu=False) | {"reasons": [reason("no-gpu")]} for n in range(count)], gpu=False) for count in (1, 2))
    assert "<summary>which" not in summary(one)
    assert "<summary>which 2</summary>" in summary(two)
