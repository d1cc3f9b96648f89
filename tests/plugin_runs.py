"""Runs of the plugin as a user meets it, in this process: files, a command line, and what came of them."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pkgutil
import textwrap
from pathlib import Path
from typing import Any

import filelock  # noqa: F401 - as below
import jinja2  # noqa: F401 - as below
import numpy as np  # noqa: F401 - pytester forgets the modules that a run imports: these are not to be loaded twice
import pytest

import pytest_gpuperf
from pytest_gpuperf.testing import fake_conftest

for _module in pkgutil.walk_packages(pytest_gpuperf.__path__, "pytest_gpuperf."):
    # The driver's modules are not there on every machine, and no fake needs them.
    if not _module.name.endswith((".driver", ".discovery")):
        importlib.import_module(_module.name)

#: Sampling that ends after 5 rounds of one sample: for tests of what happens around a measurement.
QUICK = "--gpuperf-limit=0.01"
#: A device of this process alone, so that parallel test runs do not wait for each other.
UUID = f"GPU-fa4e0000-0000-4000-8000-{os.getpid():012d}"
#: A small cache makes flushes of real memory quick.
SMALL = {"uuid": UUID, "l2": 1 << 16}
FAKE = fake_conftest(**SMALL)
#: A session without any device, on every machine.
NO_GPU = textwrap.dedent("""\
    from pytest_gpuperf.reasons import Reason
    from pytest_gpuperf.device import discovery


    def pytest_configure(config):
        config.add_cleanup(lambda before=discovery.open_backend: setattr(discovery, "open_backend", before))
        discovery.open_backend = lambda: Reason("no-gpu", "NVML: library not found")
    """)
_QUIET = ("-p", "no:cacheprovider", "-p", "no:benchmark", "-p", "no:hypothesispytest", "-p", "no:randomly")


@dataclasses.dataclass(frozen=True)
class Run:
    """What came of a run: exit status, its text, its folder, and its run file where it wrote one."""

    status: int
    text: str
    path: Path
    outcomes: dict[str, int]
    run: dict[str, Any] | None

    @property
    def account(self) -> dict[str, int]:
        """The account, which must add up."""
        assert self.run is not None, self.text
        assert self.run["problems"] == [], self.run["problems"]
        account: dict[str, int] = self.run["account"]
        assert account["collected"] == sum(number for name, number in account.items() if name != "collected")
        return {name: number for name, number in account.items() if number}

    def case(self, name: str) -> dict[str, Any]:
        """Return the record of a case by the end of its node id."""
        assert self.run is not None, self.text
        (found,) = (case for case in self.run["cases"] if case["nodeid"].endswith(name))
        return found

    @property
    def codes(self) -> dict[str, list[str]]:
        """The reason codes of every case, by its function's name."""
        assert self.run is not None, self.text
        return {case["function"]: [reason["code"] for reason in case["reasons"]] for case in self.run["cases"]}


def run_pytest(pytester: pytest.Pytester, text: str, *args: str, conftest: str = FAKE, files: dict[str, str] | None = None, quick: bool = True) -> Run:
    """Write `text` as test_it.py beside a conftest with a fake device, and run pytest --gpuperf over it in this process."""
    given = {"pytest.ini": "[pytest]\n", "conftest.py": conftest, "test_it.py": "import pytest\nfrom pytest_gpuperf import *\n" + textwrap.dedent(text)}
    for name, content in {**given, **(files or {})}.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content), encoding="utf-8")
    words = [*_QUIET, *([] if "--gpuperf-off" in args else ["--gpuperf"]), *([QUICK] if quick else []), *(one for one in args if one != "--gpuperf-off")]
    result = pytester.runpytest_inprocess(*words)
    return Run(int(result.ret), result.stdout.str() + result.stderr.str(), pytester.path, _outcomes(result), _run_file(pytester.path))


def _outcomes(result: pytest.RunResult) -> dict[str, int]:
    try:
        return dict(result.parseoutcomes())
    except ValueError:
        return {}


def _run_file(path: Path) -> dict[str, Any] | None:
    found = sorted((path / "reports" / "runs").glob("*.json"), key=lambda one: one.stat().st_mtime_ns)
    if not found:
        return None
    run: dict[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    return run
