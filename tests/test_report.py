"""The report page, without a browser: what it says, in what order, that nothing escapes, and what it weighs."""

from __future__ import annotations

import base64
import copy
import hashlib
import html.parser
import json
import math
import random
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest
from run_files import assemble, budget, case, make_run, reason

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.format import visible
from pytest_gpuperf.report import account, views
from pytest_gpuperf.report.beside import beside
from pytest_gpuperf.report.details import FULL_ROWS, SMALL
from pytest_gpuperf.report.headline import headline
from pytest_gpuperf.report.html import PAGE_ROWS, WHOLE_FAILURES, render, write
from pytest_gpuperf.report.pack import FIRST, pack, unpack

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "tests/t.py::test[</script><script>alert(1)</script>\"' onload=x &amp; \u202egnp.exe \x00]"


class Reader(html.parser.HTMLParser):
    """Collects elements and the text of each, with scripts and styles apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        self.raw[self._inside].append(data) if self._inside in self.raw else self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


def expanded(page: str, column: str) -> list[str]:
    data = data_of(page)
    return [unpack(data["words"], text) for text in data[column]]


def one(**over: Any) -> dict[str, Any]:
    """Return a run of one passing case with some fields replaced."""
    return assemble([{**case(3, "PASS", random.Random(1)), **over}])


def test_the_headline_counts_the_worst_verdict() -> None:
    assert headline(make_run()) == ("FAIL", "4 of 34 cases fail")
    assert headline(make_run(failed=1, passed=0, undecided=0)) == ("FAIL", "1 of 4 cases fails")
    assert headline(make_run(failed=0))[0] == "INCONCLUSIVE"
    assert headline(make_run(gpu=False)) == ("UNMEASURED", "No case fails, but 24 of 31 cases could not be measured in full")
    assert headline(assemble([])) == ("NOT-APPLICABLE", "No case ran")
    assert headline(one()) == ("PASS", "The only case passes")


def test_a_pass_of_the_simulator_is_never_a_bare_one() -> None:
    page = Reader(render(one(source="simulator")))
    assert "1 in the simulator" in page.text
    assert "✓ PASS (simulator)" in page.text
    assert "The only case passes in the simulator" in page.text


def test_a_run_without_a_gpu_says_so_before_any_number() -> None:
    text = Reader(render(make_run(gpu=False))).text
    assert text.index("This run had no GPU") < text.index("All measurements")
    assert "24 cases" in text or "31 cases" in text


def test_a_killed_session_says_so_and_still_renders() -> None:
    run = make_run(passed=3)
    run["run"] |= {"complete": False, "ended": None, "exit_status": None, "commit": None, "dirty": None}
    hurt = {"outcome": None, "verdict": "UNMEASURED", "duration_s": None, "measurements": [], "budgets": [], "checks": [], "device": None}
    told = {**reason("sync", ""), "code": "interrupted", "sentence": "the session ended while this case ran"}
    run["cases"].append({**run["cases"][0], **hurt, "nodeid": "t.py::killed", "error": None, "source": None, "reasons": [told]})
    text = Reader(render(run)).text
    assert "The session did not end" in text
    assert "interrupted" in text
    assert "t.py::killed" in text


def test_what_the_merge_of_the_journals_found_is_said() -> None:
    run = {**one(), "problems": ["gw1.jsonl: 1 line <lost>"], "notes": ["a key stood twice"], "not_run": [{"nodeid": "t.py::x", "budgets": []}]}
    text = Reader(render(run)).text
    assert "gw1.jsonl: 1 line <lost>" in text
    assert "a key stood twice" in text
    assert "1 collected case did not run before the session ended" in text


def test_failures_are_ordered_wrong_bits_first_then_worst_margin() -> None:
    found = account.failures(make_run(failed=8))
    assert "bits differ" in found[0].messages[0]
    margins = [failure.margin for failure in found[1:]]
    assert all(margin is not None and margin < 0 for margin in margins)
    assert margins == sorted(margins, key=lambda margin: margin or 0.0)


def test_an_error_without_a_budget_is_a_failure_with_its_first_line() -> None:
    run = one(verdict="FAIL", error="ValueError: rows must be positive\n  at line 3", budgets=[], outcome="failed")
    assert account.failures(run)[0].messages == ("ValueError: rows must be positive",)
    assert "rows must be positive" in Reader(render(run)).text


def test_failures_above_the_cap_are_lines_and_none_is_lost_without_javascript() -> None:
    run = make_run(failed=WHOLE_FAILURES + 7, passed=2)
    page = Reader(render(run))
    cards = [attrs for tag, attrs in page.elements if tag == "article" and "v-FAIL" in (attrs.get("class") or "")]
    assert len(cards) == WHOLE_FAILURES
    assert "7 more failures" in page.text
    for row in run["cases"]:
        if row["verdict"] == "FAIL":
            assert row["nodeid"] in page.text


def test_every_failure_card_has_message_distribution_budget_line_and_reproduce_line() -> None:
    run = one(verdict="FAIL", outcome="failed", error="BudgetExceeded: time: too slow")
    limit = run["cases"][0]["measurements"][0]["values"]["time"]["number"] * 0.95
    run["cases"][0]["budgets"] = [budget("<= 99 us", "FAIL", limit=limit, value=limit * 1.05, margin=-0.05, message="time: too slow by 5.0 %")]
    card = re.search(r'<article class="card v-FAIL".*?</article>', render(run), re.DOTALL)
    assert card
    assert "time: too slow by 5.0 %" in card[0]
    assert '<path class="limit"' in card[0]
    assert "&lt;= 99 us" in card[0]
    assert f"pytest --gpuperf &#39;{run['cases'][0]['nodeid']}&#39;" in card[0]


def test_reasons_are_grouped_with_next_step_and_capped() -> None:
    text = Reader(render(make_run(gpu=False, passed=40))).text
    assert "no-gpu 40 times" in text
    assert "run on a machine with a GPU and its driver" in text
    assert "and 20 more in the table" in text


def test_the_reason_of_a_budget_alone_is_not_lost() -> None:
    run = one(reasons=[], verdict="UNMEASURED")
    run["cases"][0]["budgets"][0] |= {"verdict": "UNMEASURED", "reason": reason("sync")}
    assert [(group.code, len(group.subjects)) for group in account.groups(run)] == [("sync", 1)]


def test_different_sentences_of_one_reason_stand_at_their_subjects() -> None:
    run = assemble([case(n, "INCONCLUSIVE", random.Random(n), kind="straddles") for n in range(2)])
    run["cases"][1]["reasons"] = [{**reason("straddles"), "sentence": "the limit 9 us lies inside 8..10 us"}]
    assert account.groups(run)[0].sentence == ""
    assert "the limit 9 us lies inside 8..10 us" in Reader(render(run)).text


def test_hostile_text_is_inert_and_visible_everywhere() -> None:
    row = {**case(1, "FAIL", random.Random(2)), "nodeid": HOSTILE, "error": "<img src=x onerror=alert(1)>\n</script>"}
    row["checks"][0] |= {"verdict": "FAIL", "name": "</style><b>", "detail": "<!-- <script>"}
    row["budgets"][0] |= {"text": "<= <i>1</i> us", "message": "<u>slow</u>", "glob": "<*>", "origin": "\"'>"}
    row["measurements"][0] |= {"name": "main", "notes": ["</td><script>n()</script>"]}
    row["measurements"][0]["evidence"][0]["processes"] = ["<svg onload=alert(2)>"]
    run = assemble([row, {**case(2, "UNMEASURED", random.Random(2), kind="sync"), "nodeid": HOSTILE}])
    run["run"]["argv"] = ["pytest", "</script>"]
    run["run"]["packages"]["<b>evil</b>"] = "1"
    text = render(run, run)
    page = Reader(text)
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert not {"img", "u"} & {tag for tag, _ in page.elements}
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    shown = visible(HOSTILE)
    assert "\\u202egnp.exe \\x00" in shown
    assert shown in page.text
    assert "\u202e" not in text
    assert "\x00" not in text
    assert "<" not in (page.raw["script"][0])
    assert expanded(text, "ids") == [shown, shown]
    for cells in expanded(text, "html") + expanded(text, "details"):
        inner = Reader(cells)
        assert not {"script", "img", "u", "style"} & {tag for tag, _ in inner.elements}
        assert not [name for _, attrs in inner.elements for name in attrs if name.startswith("on")]


def test_private_use_characters_cannot_name_a_fragment() -> None:
    words, (column,) = pack([["<td class=x>1"] * 9 + [chr(FIRST)]])
    assert words
    assert unpack(words, column[9]) == "\ufffd"
    assert visible(chr(FIRST)) == "\\ue000"


def test_the_policy_names_exactly_the_style_and_script_of_the_page() -> None:
    page = Reader(render(make_run(passed=2)))
    policy = next(attrs["content"] for tag, attrs in page.elements if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert policy.startswith("default-src 'none'; ")
    for name, text in (("style", page.raw["style"][0]), ("script", page.raw["script"][-1])):
        assert f"{name}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert not [attrs for _, attrs in page.elements if "style" in attrs]


def test_the_page_names_no_network_address() -> None:
    assert not re.findall(r"(?:https?:)?//\w", re.sub(r"\s//\s", "", render(make_run())))


def test_the_table_holds_every_measurement_once_worst_first() -> None:
    run = make_run(passed=PAGE_ROWS + 30)
    page = render(run)
    data = data_of(page)
    assert sorted(expanded(page, "ids")) == sorted(row["nodeid"] for row in run["cases"])
    assert len(re.findall(r'<tr class="r ', page.split('id="data"')[0])) == PAGE_ROWS
    assert "bits differ" in expanded(page, "details")[0]
    ranks = data["keys"]["verdict"]
    assert ranks == sorted(ranks)
    assert {len(data[name]) for name in ("ids", "html", "details", "verdicts")} == {len(run["cases"])}
    assert {len(keys) for keys in data["keys"].values()} == {len(run["cases"])}


def test_only_the_worst_rows_of_a_large_run_have_whole_drawings() -> None:
    details = expanded(render(make_run(passed=SMALL + 5, each=2)), "details")
    drawn = ["<figure>" in text for text in details]
    assert drawn.count(True) == FULL_ROWS
    measured = [text for text in details if "gpuperf show" in text or "<figure>" in text]
    assert not any("<figure>" in text for text in measured[FULL_ROWS + 5 :])
    assert all("gpuperf show reports/runs/" in text for text in details[FULL_ROWS + 5 :])


def test_a_case_without_a_measurement_has_a_row() -> None:
    page = render(one(measurements=[], budgets=[]))
    assert "no measurement" in expanded(page, "html")[0]


def test_an_unknown_value_is_a_reason_and_never_zero() -> None:
    page = render(assemble([case(1, "UNMEASURED", random.Random(1), kind="sync")]))
    row, details = expanded(page, "html")[0], expanded(page, "details")[0]
    assert "<td class=n>sync" in row
    assert not re.search(r">0(\.0+)? (us|s|B/s|%)", row + details)
    assert data_of(page)["keys"]["time"] == [None]


def test_numbers_that_json_lacks_do_not_cost_the_page() -> None:
    run = one()
    run["cases"][0]["measurements"][0]["values"]["bandwidth"]["number"] = math.inf
    assert data_of(render(run))["keys"]["bandwidth"] == [None]


def test_one_measurement_of_a_failed_case_keeps_its_own_verdict() -> None:
    row = case(1, "FAIL", random.Random(1))
    other = {**copy.deepcopy(row["measurements"][0]), "name": "baseline"}
    row["measurements"].append(other)
    row["budgets"].append(budget("<= 1 s", "PASS", measurement="baseline", margin=0.9))
    assert {made.label.split(",")[0]: made.verdict for made in views.rows(assemble([row]), beside(assemble([row]), None))} == {
        "main": "FAIL",
        "baseline": "PASS",
    }


def test_a_reference_is_shown_beside_and_labelled() -> None:
    run, recorded = make_run(gpu=False, passed=1), make_run(passed=0)
    recorded["cases"] = [{**case(200, "PASS", random.Random(3)), "nodeid": run["cases"][0]["nodeid"]}]
    recorded["run"] |= {"started": "2026-10-02T00:00:00Z", "commit": "feedbeefcafe0000", "dirty": False}
    page = render(run, recorded)
    text = Reader(page).text
    assert "recorded on NVIDIA H200, 2026-10-02, commit feedbeefca." in text
    assert "driver 580.159 none" in text
    shown = [row for row, name in zip(expanded(page, "html"), expanded(page, "ids"), strict=True) if name == run["cases"][0]["nodeid"]]
    assert re.search(r"<td>\d+\.\d+ us$", shown[0])
    assert any("not this run: recorded on NVIDIA H200" in text for text in expanded(page, "details"))


def test_a_difference_to_the_reference_needs_one_device_and_one_cache_state() -> None:
    run = one()
    same, other = copy.deepcopy(run), copy.deepcopy(run)
    other["devices"][0]["name"] = "NVIDIA A100"
    row, measured = run["cases"][0], run["cases"][0]["measurements"][0]
    assert beside(run, same).cell(row, measured)[1] == "0 %"
    assert beside(run, other).cell(row, measured)[1] == ""
    assert beside(run, other).ghost(row, measured) == []
    same["cases"][0]["measurements"][0]["cache"] = "cold-dirty"
    assert beside(run, same).cell(row, measured)[1] == ""
    assert beside(run, same).cell(row, measured)[0].endswith(" cold-dirty")


def test_the_page_stays_under_a_kilobyte_a_test() -> None:
    small, large = (len(render(make_run(passed=count, each=20)).encode()) for count in (400, 1400))
    assert (large - small) / 1000 < 1024


def test_write_is_atomic_and_names_what_stopped_it(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "latest.html"
    write(one(), target)
    before = target.read_text(encoding="utf-8")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    with pytest.raises(TypeError):
        write({**one(), "cases": [None]}, target)
    assert target.read_text(encoding="utf-8") == before
    assert [path.name for path in target.parent.iterdir()] == ["latest.html"]
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RunFileError, match=r"cannot write the report page .*file.latest\.html: "):
        write(one(), blocked / "latest.html")


def test_a_lone_surrogate_in_a_node_id_does_not_cost_the_page(tmp_path: Path) -> None:
    run = one(nodeid="t.py::a[\ud800]", error="\ud800")
    run["cases"][0]["checks"][0]["kind"] = "ident\udfffical"
    text = write(run, tmp_path / "p.html").read_text(encoding="utf-8")
    assert "\\ud800" in text
    assert "\\udfff" in text
