"""Imitations of plugins that are not installed, by their names and options: each does in a child what it would do, and a file says that it did."""

from __future__ import annotations

import json
import os
import pathlib
import sys

import pytest

#: Options of other plugins: flag, destination, and what argparse is told beside.
FLAGS = {
    "--html": {"dest": "htmlpath"},
    "--json-report": {"dest": "json_report", "action": "store_true"},
    "--report-log": {"dest": "report_log"},
    "--csv": {"dest": "csv_path"},
    "--md-report": {"dest": "md_report", "action": "store_true"},
    "--alluredir": {"dest": "allure_report_dir"},
    "--store-durations": {"dest": "store_durations", "action": "store_true"},
    "--testmon": {"dest": "testmon", "action": "store_true"},
    "--reruns": {"dest": "reruns", "type": int},
    "--force-flaky": {"dest": "force_flaky", "action": "store_true"},
    "--retries": {"dest": "retries", "type": int},
    "--timeout": {"dest": "timeout", "type": float},
    "--session-timeout": {"dest": "session_timeout", "type": float},
    "--no-cov": {"dest": "no_cov", "action": "store_true"},
    "--randomly-seed": {"dest": "randomly_seed", "default": "default"},
}
OUT = pathlib.Path(os.environ.get("CHILD_RUNS", ".")).parent
CHILD = bool(os.environ.get("GPUPERF_CHILD"))


def note(what: str, said: object = True) -> None:
    if CHILD:
        with (OUT / "seen.jsonl").open("a") as file:
            file.write(json.dumps([what, said]) + "\n")


class Timeout:
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item):
        if item.get_closest_marker("timeout"):
            note("timeout")
            pytest.fail("timed out")


class Again:
    """Runs each test twice, as its marker asks for."""

    def __init__(self, name):
        self.name = name

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item):
        if item.get_closest_marker("flaky"):
            note(self.name)


class Testmon:
    def pytest_sessionfinish(self):
        note("testmon plugin")


class Cov:
    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config):
        if not early_config.known_args_namespace.no_cov:
            note("cov")


def pytest_addoption(parser, pluginmanager):
    for flag, settings in FLAGS.items():
        parser.addoption(flag, **{"default": None, **settings})
    for name in ("reruns", "timeout", "session_timeout", "retries"):
        parser.addini(name, name)
    for name, plugin in {
        "timeout": Timeout(), "rerunfailures": Again("rerunfailures"), "flaky": Again("flaky"), "pytest-retry": Again("retry"), "pytest_cov": Cov(),
        "TestmonSelect": Testmon(),
    }.items():  # fmt: skip
        pluginmanager.register(plugin, name)


def pytest_configure(config):
    for line in ("timeout(seconds): imitated", "flaky(reruns): imitated"):
        config.addinivalue_line("markers", line)
    config.add_cleanup(lambda: None)


def pytest_sessionstart(session):
    # What a plugin with an ini value would take where its option is neutral.
    for name in ("reruns", "timeout", "session_timeout", "retries", "log_file", "faulthandler_timeout", "gpuperf_timeout", "gpuperf_strict", "gpuperf_update_golden"):
        note(f"ini {name}", session.config.getini(name))
    for name in vars(session.config.option):
        value = getattr(session.config.option, name)
        note(f"option {name}", value if isinstance(value, (bool, int, float, str, type(None), list)) else str(value))
    note("environment", sorted(os.environ))
    note("cache", str(session.config.cache._cachedir))


def pytest_sessionfinish(session):
    note("cases", getattr(session, "testscollected", 0))
    note("modules", "xdist.dsession" in sys.modules and bool(session.config.pluginmanager.get_plugin("dsession")))
