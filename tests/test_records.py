"""The run file, its schema, plain values and the environment."""

from __future__ import annotations

import copy
import enum
import errno
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
from record_events import FIRST, case, journal, judged
from run_files import make_run

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records import environment as environment_module
from pytest_gpuperf.records.environment import environment
from pytest_gpuperf.records.fields import RECORDS
from pytest_gpuperf.records.runfile import load, thin, write
from pytest_gpuperf.records.schema import plain, validate


class TestSchema:
    @pytest.mark.parametrize("gpu", [True, False])
    def test_a_sound_run_has_no_problem(self, gpu):
        assert validate(make_run(gpu=gpu)) == []

    def test_every_type_of_a_field_is_known(self):
        scalars = {"text", "int", "number", "bool", "any", "verdict"}
        for name, fields in RECORDS.items():
            for field in fields:
                bare = field.type.replace("?", "").strip("[]{}")
                assert bare in scalars or bare in RECORDS, f"{name}.{field.name}: {field.type}"
                assert field.meaning
            assert len({field.name for field in fields}) == len(fields)

    @pytest.mark.parametrize(
        ("spoil", "line"),
        [
            (lambda run: run["cases"][0].pop("nodeid"), "cases[0].nodeid: missing (text)"),
            (lambda run: run["cases"][0].update(verdict="OK"), "cases[0].verdict: 'OK' is not one of FAIL"),
            (lambda run: run["cases"][0].update(line=True), "cases[0].line: True is not a whole number"),
            (lambda run: run["account"].update(PASS=None), "account.PASS: None is not a whole number"),
            (lambda run: run["cases"][0].update(nodid="x"), "cases[0].nodid: no field of a case; nearest 'nodeid'"),
            (lambda run: run["run"].update(argv="pytest"), "run.argv: 'pytest' is not a list"),
            (lambda run: run.update(devices=3), "devices: 3 is not a list"),
        ],
    )
    def test_a_problem_is_named_by_its_place(self, spoil, line):
        run = make_run()
        spoil(run)
        found = validate(run)
        assert len(found) == 1
        assert found[0].startswith(line)

    def test_a_sample_that_is_no_integer_is_found(self):
        run = make_run()
        samples = next(m["samples"] for c in run["cases"] for m in c["measurements"] if m["samples"])
        samples["rounds"][1][2] = 1.5
        assert validate(run)[0].endswith("samples.rounds[1][2]: 1.5 is not a whole number")


class TestPlain:
    def test_foreign_values_become_plain(self):
        class Colour(enum.StrEnum):
            RED = "red"

        obj = {
            "a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": pathlib.PurePath("x") / "y", "e": (1, np.array([1, 2])), "f": float("inf"),
            "g": np.float64("nan"), "h": Colour.RED, np.str_("i"): np.str_("t"),
        }  # fmt: skip
        got = plain(obj)
        assert got == {"a": 0.5, "b": 3, "c": True, "d": "x/y", "e": [1, [1, 2]], "f": None, "g": None, "h": "red", "i": "t"}
        assert {type(value) for value in got.values()} <= {float, int, bool, str, list, type(None)}
        assert {type(key) for key in got} == {str}

    @pytest.mark.parametrize(
        ("obj", "line"),
        [
            ({"a": [object()]}, "record.a[0]: builtins.object is no plain JSON value"),
            ({"a": {1: 2}}, "record.a: a key of a record is text, not int (1)"),
            ({"a": np.complex64(1)}, "record.a: builtins.complex is no plain JSON value: (1+0j)"),
            (b"x", "record: builtins.bytes is no plain JSON value"),
        ],
    )
    def test_what_is_not_plain_is_refused_with_its_place(self, obj, line):
        with pytest.raises(TypeError) as error:
            plain(obj)
        assert str(error.value).startswith(line)


class TestRunFile:
    def test_what_is_written_is_read(self, tmp_path):
        run = make_run()
        write(run, tmp_path / "deep" / "run.json")
        text = (tmp_path / "deep" / "run.json").read_text()
        assert text.startswith('{"schema":2,\n')
        assert json.loads(text) == run
        assert load(tmp_path / "deep" / "run.json") == run
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run.json"]

    def test_a_write_that_fails_leaves_the_old_file(self, tmp_path, monkeypatch):
        write(make_run(passed=1), tmp_path / "run.json")
        before = (tmp_path / "run.json").read_bytes()

        def full(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RunFileError, match=r"cannot write run file .*run\.json: No space left on device"):
            write(make_run(passed=2), tmp_path / "run.json")
        assert (tmp_path / "run.json").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["run.json"]

    def test_what_is_not_plain_never_reaches_the_file(self, tmp_path):
        with pytest.raises(TypeError, match=r"run\.run\.argv: builtins\.object"):
            write(make_run() | {"run": {"argv": object()}}, tmp_path / "run.json")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("text", "cause"),
        [
            ("", "it is empty"),
            ("hello", "no JSON at line 1, column 1"),
            ('{"schema": 1, "run": ', "it is cut off"),
            ("[]", "it has no schema number"),
            ('{"schema": 3}', "has schema 3; this version of pytest-gpuperf reads schemas 1 to 2; a newer one wrote it: upgrade"),
            ('{"schema": 0}', "has schema 0; this version of pytest-gpuperf reads schemas 1 to 2"),
            ('{"schema": 1}', "is not a sound run file: run: missing (record run) (and 5 more)"),
            ('{"schema": 2}', "is not a sound run file: run: missing (record run) (and 8 more)"),
            ('{"schema": NaN}', "NaN is no JSON"),
        ],
    )
    def test_what_is_no_run_file_is_refused_with_the_file_and_the_cause(self, tmp_path, text, cause):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(RunFileError) as error:
            load(tmp_path / "run.json")
        assert str(tmp_path / "run.json") in str(error.value)
        assert cause in str(error.value)
        assert "\n" not in str(error.value)

    def test_binary_and_missing_files(self, tmp_path):
        (tmp_path / "run.json").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(RunFileError, match="not text"):
            load(tmp_path / "run.json")
        with pytest.raises(RunFileError, match=r"cannot read run file .*nothing\.json: No such file"):
            load(tmp_path / "nothing.json")

    def test_a_directory_of_journals(self, tmp_path):
        journal(tmp_path / "runs" / "one" / "gw0.jsonl", ("case", case(FIRST, judged())), worker="gw0")
        assert load(tmp_path / "runs" / "one")["cases"][0]["nodeid"] == FIRST
        with pytest.raises(RunFileError, match=r"holds no journals \(\*\.jsonl\); its newest run is .*one"):
            load(tmp_path / "runs")

    def test_a_field_of_a_later_version_does_not_hinder(self, tmp_path):
        run = make_run()
        run["cases"][0]["weather"] = "rain"
        write(run, tmp_path / "run.json")
        assert load(tmp_path / "run.json")["cases"][0]["weather"] == "rain"

    def test_thinned_runs_are_small_and_say_so(self):
        run = make_run(each=200)
        before = copy.deepcopy(run)
        limit_bytes = 150_000
        small = thin(run, limit_bytes)
        assert run == before
        assert len(json.dumps(small, separators=(",", ":"))) <= limit_bytes
        assert validate(small) == []
        pairs = [(old, new) for a, b in zip(run["cases"], small["cases"], strict=True) for old, new in zip(a["measurements"], b["measurements"], strict=True)]
        old, new = next(pair for pair in pairs if pair[0]["samples"])
        assert len(new["samples"]["rounds"]) == len(old["samples"]["rounds"])
        assert all(taken for taken in new["samples"]["rounds"])
        assert new["values"] == old["values"]
        assert new["notes"][-1].startswith("samples thinned for the reference: ")
        assert thin(run, 10**9) is run

    def test_of_checks_a_thinned_run_has_one_a_kind_and_each_that_failed(self):
        run = make_run()
        passed = [{"kind": "identical", "name": f"identical {number}", "verdict": "PASS", "detail": f"{number} elements"} for number in range(1, 400)]
        failed = {"kind": "identical", "name": "identical 400", "verdict": "FAIL", "detail": "bits differ"}
        run["cases"][0]["checks"] = [*passed, failed]
        small = thin(run, len(json.dumps(run, separators=(",", ":"))) - 1000)
        assert small["cases"][0]["checks"] == [
            {"kind": "identical", "name": "399 checks", "verdict": "PASS", "detail": "the first: 1 elements"}, failed,
        ]  # fmt: skip
        assert validate(small) == []

    def test_a_run_that_cannot_be_small_enough_is_refused(self):
        run = make_run(each=200)
        with pytest.raises(RunFileError, match="bytes with one sample a round; a reference may have 1,000"):
            thin(run, 1000)


class TestEnvironment:
    def test_it_fits_the_schema_and_names_no_path(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GPUPERF_COMMIT", "abc123")
        found = environment(tmp_path)
        assert validate(make_run() | {"run": make_run()["run"] | found}) == []
        assert found["commit"] == "abc123"
        assert found["dirty"] is None
        assert found["packages"]["pytest"] == pytest.__version__
        assert str(tmp_path) not in json.dumps(found)

    def test_git_says_commit_and_dirty(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GPUPERF_COMMIT", "not-this")
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            monkeypatch.delenv(name)

        def git(*arguments):
            settings = ["-c", "user.name=x", "-c", "user.email=x@y", "-c", "commit.gpgsign=false"]
            subprocess.run(["git", "-C", tmp_path, *settings, *arguments], check=True, capture_output=True)

        git("init")
        (tmp_path / "a.py").write_text("1")
        git("add", ".")
        git("commit", "-m", "x")
        clean = environment(tmp_path)
        assert len(clean["commit"]) == 40
        assert clean["dirty"] is False
        (tmp_path / "a.py").write_text("2")
        assert environment(tmp_path)["dirty"] is True

    def test_no_git_at_all_is_not_known(self, tmp_path, monkeypatch):
        monkeypatch.delenv("GPUPERF_COMMIT", raising=False)

        def missing(*_, **__):
            raise FileNotFoundError

        monkeypatch.setattr(environment_module.subprocess, "run", missing)
        assert environment(tmp_path)["commit"] is None
