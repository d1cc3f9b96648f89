"""OPTIONS: each row is an option of the command line, of the ini file and of Config; a value that cannot be is refused in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pytest_gpuperf.options import CACHES, OPTIONS, Config, OptionError, read_options

#: For every field of Config: what to write, what it then is on the command line, and what it is by default (paths below the root).
ROWS = {
    "enabled": ("true", True, False),
    "report": ("out/page.html", Path("out/page.html"), Path("reports/latest.html")),
    "json": ("out/run.json", Path("out/run.json"), None),
    "summary": ("out/summary.md", Path("out/summary.md"), None),
    "strict": ("unmeasured", "unmeasured", ""),
    "cache": ("warm", "warm", "cold"),
    "limit": ("0.25", 0.25, 1.0),
    "clock": ("graph", "graph", "device"),
    "timeout": ("7", 7.0, None),
    "sanitize": ("racecheck", "racecheck", ""),
    "seed": ("7", 7, 0),
    "update_golden": ("true", True, False),
    "qualify": ("true", True, False),
    "pairs": ("6", 6, 48),
    "counters": ("dram_write, sm__warps_launched.sum", ("dram_write", "sm__warps_launched.sum"), ()),
    "ncu": ("require", "require", "auto"),
    "ncu_replay": ("app-range", "app-range", "kernel"),
    "archs": ("sm_90 sm_100", ("sm_90", "sm_100"), ("sm_80", "sm_90", "sm_100")),
    "kernels": ("kernels, more.kernels", ("kernels", "more.kernels"), ()),
    "budgets": ("limits.toml", Path("limits.toml"), Path("gpuperf.toml")),
    "record": ("time, launches", ("time", "launches"), ()),
    "record_margin": ("7.5", 7.5, 5.0),
    "reference": ("ref.json", Path("ref.json"), None),
    "compare": ("last", "last", ""),
    "fail_on": ("time:+5%", "time:+5%", ""),
    "base": ("main", "main", ""),
    "history": ("there", Path("there"), None),
}
NOT_AN_OPTION = {"runs"}


def below(root, expected):
    return root / expected if isinstance(expected, Path) else expected


@pytest.fixture
def read(pytester):
    def read(*arguments, ini=""):
        pytester.makeini("[pytest]\n" + ini)
        return read_options(pytester.parseconfig(*arguments))

    return read


def test_every_row_has_a_field_of_config_and_every_field_a_row():
    fields = {field.name for field in dataclasses.fields(Config)}
    assert {option.field for option in OPTIONS} == fields - NOT_AN_OPTION == set(ROWS)


def test_every_row_is_named_once_after_its_flag_and_says_what_it_does():
    assert len({option.flag for option in OPTIONS}) == len({option.field for option in OPTIONS}) == len(OPTIONS)
    for option in OPTIONS:
        assert option.flag == ("--gpuperf" if option.field == "enabled" else f"--gpuperf-{option.field.replace('_', '-')}")
        assert option.ini == option.flag[2:].replace("-", "_")
        assert option.help
        assert not option.help.endswith(".")
        assert option.kind in {"flag", "path", "choice", "seconds", "count", "names", "seed", "run", "text", "percent"}
        assert bool(option.choices) == (option.kind == "choice")
        assert option.bare is None or option.bare in option.choices or option.kind == "names"


def test_defaults_of_the_rows_are_those_of_config(read, pytester):
    config = read()
    for field, (_, _, default) in ROWS.items():
        assert getattr(config, field) == below(pytester.path, default)
        assert getattr(Config(), field) == default
    assert config.runs == pytester.path / "reports" / "runs"


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.field)
def test_every_row_works_on_the_command_line_and_in_the_ini_file_and_the_first_wins(option, read, pytester):
    text, expected, default = ROWS[option.field]
    flag = option.flag if option.kind == "flag" else f"{option.flag}={text}"
    assert getattr(read(flag), option.field) == below(pytester.path, expected)
    assert getattr(read(ini=f"{option.ini} = {text}\n"), option.field) == below(pytester.path, expected)
    other = {"flag": "false", "path": "other.x", "choice": option.choices[-1:] or "", "seconds": "9", "count": "9", "names": "dram_read", "seed": "9", "run": "other.json", "text": "time:+9%", "percent": "9"}[option.kind]
    other = other[0] if isinstance(other, tuple) else other
    assert getattr(read(flag, ini=f"{option.ini} = {other}\n"), option.field) == below(pytester.path, expected)
    if option.kind != "flag":
        assert getattr(read(ini=f"{option.ini} =\n"), option.field) == below(pytester.path, default)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.field)
def test_every_row_is_in_the_help_with_its_ini_twin(option, pytester):
    text = " ".join(pytester.runpytest_inprocess("--help").stdout.str().split())
    assert f" {option.flag}" in text
    assert f"ini: {option.ini})" in text
    assert f"default: {option.default}; " in text or not option.default or option.kind in {"seconds", "percent"}
    assert f"{option.ini} (" in text


def test_paths_start_where_they_were_written(pytester, monkeypatch):
    pytester.makeini("[pytest]\ngpuperf_json = out.json\n")
    inner = pytester.mkdir("inner")
    monkeypatch.chdir(inner)
    config = read_options(pytester.parseconfig(f"--rootdir={pytester.path}", "-c", str(pytester.path / "tox.ini"), "--gpuperf-report=page.html"))
    assert config.report == inner / "page.html"
    assert config.json == pytester.path / "out.json"
    absolute = read_options(pytester.parseconfig(f"--gpuperf-report={pytester.path / 'there.html'}"))
    assert absolute.report == pytester.path / "there.html"


def test_strict_alone_means_all(read):
    assert read("--gpuperf-strict").strict == "all"
    assert read("--gpuperf-strict=unmeasured").strict == "unmeasured"
    assert read("--gpuperf-strict", ini="gpuperf_strict = unmeasured\n").strict == "all"


@pytest.mark.parametrize("cache", CACHES)
def test_every_cache_state_can_be_asked_for(cache, read):
    assert read(f"--gpuperf-cache={cache}").cache == cache


@pytest.mark.parametrize(
    ("flag", "ini", "story"),
    [
        ("--gpuperf-cache=wram", "", "--gpuperf-cache: 'wram' is none of its values; nearest 'warm'"),
        ("", "gpuperf_cache = Cold\n", "ini gpuperf_cache: 'Cold' is none of its values; nearest 'cold'"),
        ("--gpuperf-strict=tests", "", "--gpuperf-strict: 'tests' is none of its values; valid: unmeasured, all (without '=' the option takes the next word: write --gpuperf-strict=all)"),
        ("--gpuperf-limit=soon", "", "--gpuperf-limit: 'soon' is not a number of seconds above 0"),
        ("--gpuperf-limit=0", "", "--gpuperf-limit: '0' is not a number of seconds above 0"),
        ("--gpuperf-limit=nan", "", "--gpuperf-limit: 'nan' is not a number of seconds above 0"),
        ("--gpuperf-limit=inf", "", "--gpuperf-limit: 'inf' is not a number of seconds above 0"),
        ("--gpuperf-pairs=0", "", "--gpuperf-pairs: '0' is not a whole number above 0"),
        ("--gpuperf-pairs=2.5", "", "--gpuperf-pairs: '2.5' is not a whole number above 0"),
        ("--gpuperf-record-margin=-1", "", "--gpuperf-record-margin: '-1' is not a number of percent from 0 to 1000"),
        ("--gpuperf-record-margin=nan", "", "--gpuperf-record-margin: 'nan' is not a number of percent from 0 to 1000"),
        ("--gpuperf-record-margin=5%", "", "--gpuperf-record-margin: '5%' is not a number of percent from 0 to 1000"),
        ("", "gpuperf_limit = -1\n", "ini gpuperf_limit: '-1' is not a number of seconds above 0"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_line_that_says_where_it_stands(flag, ini, story, read):
    with pytest.raises(OptionError) as error:
        read(*([flag] if flag else []), ini=ini)
    assert str(error.value) == story
