"""Pure functions of compiled kernels: what changed between two, whose doing a slower time is, which limit counts where, and by which toolchain."""

from __future__ import annotations

import dataclasses
import random
from types import SimpleNamespace

import pytest
from compiled_runs import SASS, TOOLCHAIN, compiled, compiled_run
from run_files import assemble, case

from pytest_gpuperf.budgets.architectures import for_arch, glob_matches
from pytest_gpuperf.budgets.collect import read_limits, read_marks, stack
from pytest_gpuperf.budgets.grammar import parse_limit
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.report.account import nearest
from pytest_gpuperf.report.beside import beside
from pytest_gpuperf.report.html import render
from pytest_gpuperf.report.resources import resources, resources_line
from pytest_gpuperf.resources import Resources, judge_one
from pytest_gpuperf.static.explain import cause_of, explain
from pytest_gpuperf.static.record import record_of, unpacked
from pytest_gpuperf.static.versions import differs, recorded


def record(failed=False, **told):
    return record_of(compiled(**told), ["main"], failed=failed)


def limits(origin="function marker", **given):
    return read_limits(given, "here", origin)


def test_equal_code_is_the_same_machine_code_whatever_else_differs():
    assert explain(record(), record(toolchain=TOOLCHAIN | {"nvvm": "13.1.0"})) == ["decode on sm_90: same machine code"]


def test_registers_and_the_mix_of_instructions_are_told():
    other = record(code_hash="cd", registers=56, loads_128=0, sass=SASS.replace("LDG.E.128 R4", "LDG.E R4") * 4)
    assert explain(other, record()) == [
        "decode on sm_90: registers 40 -> 56, loads_128 4 -> 0",
        "decode on sm_90: instructions by kind EXIT +3, FADD +3, LDG +3",
    ]


def test_code_that_differs_and_counts_alike_is_told_and_so_is_another_toolchain():
    other = record(code_hash="cd", toolchain=TOOLCHAIN | {"nvvm": "13.1.7"})
    assert explain(other, record()) == [
        "decode on sm_90: other machine code of the same size and resources",
        "decode on sm_90: compiled by another toolchain: NVVM 13.0 -> 13.1",
    ]


def test_a_kernel_without_machine_code_says_nothing_of_it():
    assert explain(record(code_hash=None), record(code_hash=None)) == []


@pytest.mark.parametrize(
    ("here", "there", "cause"),
    [
        ([{}], [{}], "same"),
        ([{}], [{"code_hash": "cd"}], "other"),
        ([{}, {"kernel": "other"}], [{}], ""),
        # Two kernels of one name.
        ([{"code_hash": "cd"}, {}], [{}], ""),
        ([{"code_hash": None}], [{"code_hash": None}], ""),
        ([], [], ""),
    ],
)
def test_a_slower_time_has_the_same_code_only_where_all_kernels_do(here, there, cause):
    assert cause_of(0.1, [record(**one) for one in here], [record(**one) for one in there]) == cause


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (None, None),
        ({}, None),
        ({"nvvm": "13.0", "nvjitlink": "13.0"}, None),
        ({"nvvm": "13.0.1"}, None),
        ({"nvvm": "13.1"}, "toolchain-differs"),
        ({"nvjitlink": "12.9"}, "toolchain-differs"),
        ({"numba": "0.1"}, None),
    ],
)
def test_a_recorded_limit_expires_with_its_toolchain_and_a_written_one_never(told, code):
    reason = differs(told, TOOLCHAIN)
    assert (reason.code if reason else None) == code
    limit = limits(registers="<= 8")[0]
    noted = dataclasses.replace(limit, note=SimpleNamespace(toolchain=told))
    judged = judge_one(noted, "main", compiled())
    assert judged.verdict == ("INCONCLUSIVE" if code else "FAIL")
    assert judge_one(limit, "main", compiled()).verdict == "FAIL"


def test_what_a_recorded_limit_keeps_is_held_against_what_compiles_now():
    assert recorded(TOOLCHAIN) == {"nvvm": "13.0", "nvjitlink": "13.0"}
    assert differs(recorded(TOOLCHAIN), TOOLCHAIN) is None
    reason = differs({"nvvm": "12.9", "nvjitlink": "13.2"}, TOOLCHAIN)
    assert reason.detail == "recorded with NVVM 12.9, compiled with 13.0; nvJitLink 13.2, compiled with 13.0"


@pytest.mark.parametrize(
    ("glob", "arch", "device", "matches"),
    [
        ("sm_90", "sm_90", None, True), ("SM_90", "sm_90", None, True), ("sm_9*", "sm_90", None, True), ("sm_9", "sm_90", None, False),
        ("H200*", "sm_90", None, False), ("H200*", "sm_90", "NVIDIA H200 NVL", True), ("*", "sm_75", None, True), ("?200", "sm_90", "H200", True),
    ],
)  # fmt: skip
def test_a_glob_is_of_architectures_or_of_devices(glob, arch, device, matches):
    assert glob_matches(glob, arch, device) is matches


def test_the_nearest_level_that_matches_counts_and_in_it_the_glob_that_says_most():
    near = limits("function marker", registers={"sm_90": "<= 40", "sm_*": "<= 48"})
    far = limits("module marker", registers={"sm_90": "<= 8", "*": "<= 64"})
    filed = limits("gpuperf.toml:3", registers={"*": "<= 2"})
    budgets = stack([near, far, filed])
    for arch, text in (("sm_90", "<= 40"), ("sm_80", "<= 48")):
        assert [one.limit.text for one in for_arch(budgets, arch, None)] == [text]
    assert [one.limit.text for one in for_arch(stack([limits("function marker", registers={"sm_90": "<= 40"}), far]), "sm_80", None)] == ["<= 64"]
    assert [one.limit.text for one in for_arch(filed, "sm_80", None)] == ["<= 2"]


def test_two_globs_that_say_equally_much_are_refused():
    with pytest.raises(BadBudget, match=r"^registers: globs 'sm_?0' and 'sm_9\?' both match 'sm_90' and say equally much$|^registers: globs"):
        for_arch(limits(registers={"sm_9?": "<= 1", "sm_?0": "<= 2"}), "sm_90", None)
    judged = Resources((compiled(),)).judged("main", limits(registers={"sm_9?": "<= 1", "sm_?0": "<= 2"}))
    assert [one.verdict for one in judged] == ["FAIL"]


@pytest.mark.parametrize(
    ("given", "story"),
    [
        ({"registers": "<= 64 KB"}, "registers is a count and has no unit: write '<= 64'"),
        ({"registers": "p99 <= 64"}, "registers has no statistic 'p99'; valid: p50"),
        ({"occupancy": ">= 50"}, "needs a unit: %"),
        ({"registers": "<= 1.5 x roof"}, "registers cannot be held against 'x roof': it has no roof"),
        ({"registers": 64}, "a limit is a string such as '<= 64'"),
        ({"registerz": "<= 64"}, "nearest 'registers'"),
    ],
)
def test_a_limit_on_machine_code_that_cannot_be_read_is_refused(given, story):
    with pytest.raises(BadBudget) as error:
        read_marks([("function marker", SimpleNamespace(args=(), kwargs=given))], None, "here")
    assert story in str(error.value)


def test_bytes_need_no_unit():
    assert parse_limit("spills", "== 0").number == 0
    assert parse_limit("shared", "<= 48 KiB").number == 48 * 1024


def test_several_architectures_are_one_value_with_its_worst_and_its_bounds():
    of_two = Resources((compiled(arch="sm_80"), compiled(registers=56, loads_128=2)))
    assert (of_two.value("registers").point, of_two.value("registers").bounds) == (56, (40, 56))
    assert of_two.value("loads_128").point == 2
    assert of_two.value("registers") <= 56
    assert not of_two.value("registers") <= 39
    assert of_two.value("spills") == 0
    assert of_two.value("spills").exact
    assert not of_two.value("registers").exact


@pytest.mark.parametrize(
    ("given", "device", "code", "verdict"),
    [
        ({"H200*": "<= 8"}, None, "no-gpu", "UNMEASURED"),
        ({"H200*": "<= 8"}, "NVIDIA A100", "other-device", "NOT-APPLICABLE"),
        ({"sm_80": "<= 8"}, None, "other-device", "NOT-APPLICABLE"),
        ({"H200*": "<= 8"}, "NVIDIA H200", None, "FAIL"),
        ({"H200*": "<= 8", "sm_90": "<= 64"}, None, None, "PASS"),
    ],
)
def test_a_limit_that_is_for_nothing_here_says_so(given, device, code, verdict):
    (judged,) = Resources((compiled(),), device=device).judged("main", limits(registers=given))
    assert (judged.verdict, judged.reason and judged.reason.code) == (verdict, code)


def page_case(*records, nodeid="t.py::test_it", budgets=()):
    made = case(0, "PASS", random.Random(1))
    return made | {"nodeid": nodeid, "compiled": list(records), "budgets": list(budgets)}


def budget_of(one):
    return judge_one(limits(registers="<= 48")[0], "", one).record()


def test_the_page_has_a_row_for_each_kernel_and_architecture_and_what_changed():
    here, there = compiled_run(failing=True), compiled_run()
    shown = resources(here, beside(here, there))
    assert [(line.kernel, line.arch, line.span, line.verdict, line.change) for line in shown.lines] == [
        ("decode", "sm_80", 2, "PASS", "same machine code"),
        ("decode", "sm_90", 0, "FAIL", "1 change"),
    ]
    cell = shown.lines[1].cells[shown.heads.index("registers")]
    assert (cell.text, cell.was, cell.verdict, cell.limit) == ("56", "40", "FAIL", "<= 48")
    whose, changed = shown.sentences
    assert changed == "decode on sm_90: registers 40 -> 56"
    assert whose.startswith("t.py::test_it main: time +")
    assert whose.endswith(" %: other machine code")
    assert [(text.title, text.against) for text in shown.texts] == [
        ("Opcodes of decode on sm_90", "held against the reference's"), ("SASS of decode on sm_90", ""), ("PTX of decode on sm_90", ""),
    ]  # fmt: skip
    assert ("-", "LDG.E.128") in shown.texts[0].lines
    assert ("+", "LDG.E") in shown.texts[0].lines
    page = render(here, there)
    assert "registers 40 -&gt; 56" in page
    assert "machine code: 1 kernel compiled for sm_80, sm_90" in page


def test_a_slower_time_of_the_same_code_points_at_the_launch_the_inputs_and_the_machine():
    shown = resources(compiled_run(slow=True), beside(compiled_run(slow=True), compiled_run()))
    (whose,) = shown.sentences
    assert whose.endswith(" %: same machine code: look at the launch (grid, block, launches), the inputs and the machine")


def test_what_has_no_noise_is_not_listed_as_near_to_its_limit():
    assert [one["verdict"] for made in compiled_run()["cases"] for one in made["budgets"]] == ["PASS", "PASS"]
    assert nearest(compiled_run(), 5) == []


def test_long_code_is_capped_and_hostile_names_are_escaped():
    name = "<script>alert(1)</script>"
    long = compiled(name, sass="IMAD R1, R1, R1, R1 ;\n" * 5000)
    run = assemble([page_case(record_of(long, [], failed=True), budgets=[judge_one(limits(registers="<= 1")[0], "", long).record()])])
    shown = resources(run, beside(run, None))
    assert len(shown.texts[0].lines) == 400
    assert shown.texts[0].more == 4600
    assert name not in render(run)


def test_a_run_that_compiled_nothing_has_no_table():
    run = assemble([case(0, "PASS", random.Random(1))])
    assert resources(run, beside(run, None)) is None
    assert resources_line(run["cases"]) == ""
    assert 'id="resources"' not in render(run)


def test_texts_are_kept_whole_for_failures_only():
    assert record()["sass"] is record()["ptx"] is None
    assert unpacked(record()["opcodes"]).splitlines() == ["LDG.E.128", "FADD", "EXIT"]
    assert "LDG.E.128 R4, [R2] ;" in unpacked(record(failed=True)["sass"])
    assert unpacked("no base64") == ""


def test_a_budget_knows_its_kernel_and_architecture():
    assert budget_of(compiled())["subject"] == "decode on sm_90"


def test_another_block_size_of_the_same_code_is_not_told_as_the_machines_doing():
    here = compiled_run(slow=True)
    for made in here["cases"]:
        for one in made.get("compiled") or ():
            one["block"] = (one.get("block") or 128) // 4
    whose = [text for text in resources(here, beside(here, compiled_run())).sentences if "time +" in text]
    assert [text.rpartition(" %: ")[2] for text in whose] == ["same machine code, in blocks of another number of threads"]
