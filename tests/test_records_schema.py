"""The schema: published as JSON Schema, kept by every file that is written, and reached by every older file."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_schema_subset import valid
from run_files import make_run

from pytest_gpuperf.cli import main
from pytest_gpuperf.records.fields import RECORDS
from pytest_gpuperf.records.published import json_schema
from pytest_gpuperf.records.runfile import load, write
from pytest_gpuperf.records.schema import SCHEMA, problems, validate
from pytest_gpuperf.records.sound import sound
from pytest_gpuperf.records.upgrade import UPGRADES, upgraded

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "docs" / "run-file.schema.json"
REFERENCES = sorted((ROOT / "reports" / "reference").glob("*.json"))
OLD = [path for path in REFERENCES if '"schema":1,' in path.read_text(encoding="utf-8")[:20]]
RULES = json_schema()
RUN = make_run(passed=1, failed=1, undecided=1)


def small(run):
    """Return a run with a few of its cases: what the slow validators look at."""
    return run | {"cases": run["cases"][:6] + [case for case in run["cases"] if "comparisons" in case][:2]}


def places(value, path=()):
    """Yield the way to every part of a value, those inside lists of numbers left out."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) and len(value) < 15 else ()
    for key, part in inner:
        yield from places(part, (*path, key))


PLACES = list(places(RUN))


def test_what_is_published_is_what_the_code_says(capsys):
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == RULES
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == PUBLISHED.read_text(encoding="utf-8")


def test_every_record_and_every_field_is_in_it():
    assert len(RULES["$defs"]) == len(RECORDS) - 1
    for name, fields in RECORDS.items():
        rules = RULES if name == "run file" else RULES["$defs"][name.replace(" ", "-")]
        assert list(rules["properties"]) == [field.name for field in fields]
        assert all(rule["description"] for rule in rules["properties"].values())


@pytest.mark.parametrize("gpu", [True, False])
def test_a_written_file_is_valid(gpu, tmp_path):
    write(make_run(passed=3, gpu=gpu), tmp_path / "run.json")
    assert valid(json.loads((tmp_path / "run.json").read_text()), RULES, RULES)


def test_every_recorded_file_is_sound():
    for path in REFERENCES:
        assert validate(load(path)) == [], path.name


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_recorded_file_of_schema_1_is_upgraded_and_no_number_changes(path):
    old = json.loads(path.read_text(encoding="utf-8"))
    run = load(path)
    assert (old["schema"], run["schema"]) == (1, SCHEMA)
    assert valid(small(run), RULES, RULES)
    assert not valid(small(old), RULES, RULES)
    assert validate(small(run)) == []
    assert sound(run)
    for before, after in zip(old["cases"], run["cases"], strict=True):
        for one, other in zip(before["measurements"], after["measurements"], strict=True):
            assert (one["values"], one["samples"], one["evidence"]) == (other["values"], other["samples"], other["evidence"])
            assert other["code"] is None
    assert old["account"] == run["account"]


def test_there_are_recorded_files_of_schema_1():
    assert len(OLD) >= 2


def test_every_older_schema_has_its_step_and_ends_at_this_one():
    assert [step.old for step in UPGRADES] == list(range(1, SCHEMA))
    assert upgraded({"schema": 1})["schema"] == SCHEMA
    now = {"schema": SCHEMA, "cases": []}
    assert upgraded(now) is now


def test_an_upgrade_leaves_what_is_wrong_to_the_validator():
    for junk in ({"schema": 1, "cases": 3}, {"schema": 1, "cases": [7, {"measurements": [None]}]}, {"schema": 1, "devices": {"a": 1}}):
        assert list(problems(upgraded(junk), unknown=False))


@settings(max_examples=150)
@given(st.sampled_from(PLACES), st.sampled_from([None, 3, -0.5, "x", True, [], {}, [[1]], float("inf"), "PASS"]), st.booleans())
def test_three_validators_agree_on_what_is_wrong(place, value, cut):
    """The quick one, the one that names the place, and the published schema."""
    run = copy.deepcopy(RUN)
    if not place:
        run = value
    else:
        *way, last = place
        inner = run
        for key in way:
            inner = inner[key]
        if cut:
            del inner[last]
        else:
            inner[last] = value
    wrong = list(problems(run, unknown=False))
    assert sound(run) == (not wrong), wrong
    if value != float("inf") and "schema" not in place:  # JSON has no infinity, and JSON Schema no word for it
        assert valid(run, RULES, RULES) == (not wrong), wrong
