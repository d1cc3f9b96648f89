"""NEUTRALISED: what must not act a second time in a child session, how it is kept from it, and why."""

from __future__ import annotations

import dataclasses
import pdb  # noqa: T100 - to turn it off
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Stands in a row for a path of the child's own folder.
OWN = "<own>/"


@dataclasses.dataclass(frozen=True, slots=True)
class Neutralised:
    """One row: what it is, why it must not act again, and any of five ways to keep it from it.

    `options` and `inis` are set to values before anything is configured, where they are known; `plugins` are unregistered after they were
    configured, so that their markers stay known to --strict-markers; `arguments` are added to the command line, by the plugin or the option that
    must be there for them; `environment` variables go, by the beginnings of their names.
    """

    what: str
    why: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inis: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    environment: tuple[str, ...] = ()


#: Our own options that are the parent's business.
_OURS = ("report", "json", "summary", "reference", "qualify", "timeout", "strict", "clock", "cache", "compare", "base", "fail_on", "history")
_WRITES = "it would write over what the parent session writes"

NEUTRALISED: tuple[Neutralised, ...] = (
    Neutralised("maxfail", "outcomes of a child mean nothing: every case must be reached", {"maxfail": 0}),
    Neutralised("stepwise", "the parent has selected, and its memory is its own", {"stepwise": False, "stepwise_skip": False, "stepwise_reset": False}),
    Neutralised("collection errors", "a broken file must not cost the cases of the others theirs", {"continue_on_collection_errors": True}),
    Neutralised("pdb", "nobody sits at a child, nor at its breakpoint()", {"usepdb": False, "trace": False}),
    Neutralised(
        "cache", "the parent has selected by it, and writes it", {"lf": False, "failedfirst": False, "newfirst": False, "cacheshow": None, "cacheclear": False},
        {"cache_dir": f"{OWN}cache"},
    ),
    Neutralised("basetemp", "it would be wiped under the parent's feet", {"basetemp": f"{OWN}tmp"}),
    Neutralised("collect-only", "a child is started to run", {"collectonly": False, "setuponly": False, "setupplan": False, "setupshow": False}),
    Neutralised("durations", "times under a profiler mean nothing", {"durations": None}),
    Neutralised(
        "xdist", "a profiler looks at one process",
        {"numprocesses": None, "maxprocesses": None, "dist": "no", "distload": False, "tx": [], "px": [], "looponfail": False}, environment=("PYTEST_XDIST_",),
    ),
    Neutralised(
        "rerunfailures", "a case that runs twice is profiled twice", {"reruns": None, "force_reruns": None, "max_suite_reruns": None, "fail_on_flaky": False},
        {"reruns": ""}, ("rerunfailures",),
    ),
    Neutralised("flaky", "as rerunfailures", {"force_flaky": False, "max_runs": None, "min_passes": None}, plugins=("flaky",)),
    Neutralised("retry", "as rerunfailures", {"retries": None}, {"retries": None}, ("pytest-retry", "pytest_retry")),
    Neutralised(
        "timeout", "a profiler calls each body many times", {"timeout": 0, "session_timeout": None}, {"timeout": "", "session_timeout": ""}, ("timeout",),
        environment=("PYTEST_TIMEOUT",),
    ),
    Neutralised("faulthandler timeout", "as timeout", inis={"faulthandler_timeout": 0.0, "faulthandler_exit_on_timeout": False}),
    Neutralised(
        "coverage", "it would count lines twice, and slow every call", arguments={"pytest_cov": "--no-cov"},
        environment=("COV_CORE_", "COVERAGE_PROCESS_"),
    ),
    Neutralised("junit", _WRITES, {"xmlpath": None}),
    Neutralised("html", _WRITES, {"htmlpath": None}),
    Neutralised("json-report", _WRITES, {"json_report": False}),
    Neutralised("report-log", _WRITES, {"report_log": None}),
    Neutralised("csv", _WRITES, {"csv_path": None}),
    Neutralised("md-report", _WRITES, {"md_report": False, "md_report_output": None}),
    Neutralised("allure", _WRITES, {"allure_report_dir": None}),
    Neutralised("pastebin", "it would publish the session twice", {"pastebin": None}),
    Neutralised("debug", "its file is opened before anything else, and emptied", arguments={"--debug": "--debug="}),
    Neutralised("log-file", _WRITES, {"log_file": None}, {"log_file": None}),
    Neutralised("split", _WRITES, {"store_durations": False}),
    Neutralised("testmon", "the parent has selected by it, and writes it", {"testmon": False, "testmon_forceselect": False}, plugins=("TestmonSelect", "TestmonCollect")),
    Neutralised(
        "benchmark", "its storage is the parent's, and its repeated calls only cost",
        {
            "benchmark_disable": True, "benchmark_enable": False, "benchmark_only": False, "benchmark_skip": False, "benchmark_save": None,
            "benchmark_autosave": None, "benchmark_save_data": False, "benchmark_json": None, "benchmark_compare": [], "benchmark_compare_fail": [],
            "benchmark_storage": f"file://{OWN}benchmarks", "benchmark_histogram": [], "benchmark_cprofile": None, "benchmark_cprofile_dump": [],
        },
    ),
    Neutralised(
        "gpuperf", "the parent judges, records and reports",
        {f"gpuperf_{name}": None for name in _OURS} | {"gpuperf_enabled": True},
        {f"gpuperf_{name}": None for name in _OURS},
        environment=("GPUPERF_QUALIFY",),
    ),
    Neutralised(
        "golden files", "the parent writes them", {"gpuperf_update_golden": None}, {"gpuperf_update_golden": None},
    ),
    Neutralised("job summary", "the parent adds to it, and a step has one", environment=("GITHUB_STEP_SUMMARY",)),
    Neutralised("the running test", "a child is no part of the test that started it", environment=("PYTEST_CURRENT_TEST",)),
)  # fmt: skip


def arguments(config: pytest.Config) -> list[str]:
    """Return what a child's command line needs beside the parent's: only where nothing later would be in time."""
    found = []
    for row in NEUTRALISED:
        for needs, argument in row.arguments.items():
            given = config.getoption(needs, None) if needs.startswith("-") else config.pluginmanager.hasplugin(needs)
            found += [argument] if given else []
    return found


def is_dropped(variable: str) -> bool:
    """Say whether a child does not inherit a variable of the environment.

    >>> is_dropped("PYTEST_XDIST_WORKER"), is_dropped("PYTEST_ADDOPTS")
    (True, False)
    """
    return any(variable.startswith(prefix) for row in NEUTRALISED for prefix in row.environment)


def before_configuring(config: pytest.Config, folder: Path) -> None:
    """Set options and ini values, in a child, before any plugin is configured; UsageError where pytest does not take one."""
    for row in NEUTRALISED:
        for name, value in row.options.items():
            if hasattr(config.option, name):
                setattr(config.option, name, _own(value, folder))
        for name, value in row.inis.items():
            _set_ini(config, name, _own(value, folder))


def after_configuring(config: pytest.Config) -> None:
    """Unregister, in a child, the plugins that no option silences."""
    manager = config.pluginmanager
    for name in (name for row in NEUTRALISED for name in row.plugins):
        plugin = manager.get_plugin(name)
        if plugin is not None:
            manager.unregister(plugin)
    # pytest's own hooks of both are in place by now, and would read from a terminal that is not there; its cleanup puts Python's back.
    sys.breakpointhook = pdb.set_trace = _goes_on


def _goes_on(*_: Any, **__: Any) -> None:
    """Do not stop at a breakpoint."""


def _own(value: Any, folder: Path) -> Any:
    return value.replace(OWN, f"{folder}/") if isinstance(value, str) else value


def _set_ini(config: pytest.Config, name: str, value: Any) -> None:
    try:
        config.getini(name)
    except ValueError:  # of a plugin that is not there
        return
    # pytest has no public way to set an ini value once the command line is read; a change of its private one must not pass unseen.
    cached: Any = getattr(config, "_inicache", {})
    cached[name] = value
    if config.getini(name) != value:
        message = f"this pytest ({pytest.__version__}) does not let a child session of gpuperf set {name}"
        raise pytest.UsageError(message)
