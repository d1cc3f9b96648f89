"""Sessions with a fake device under a fake ncu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.testing import FAKE_CONFTEST, Example, FakeNcu

if TYPE_CHECKING:
    from pytest_gpuperf.testing import Result

HEAD = """
import os
import pytest
from pytest_gpuperf import Work

CHILD = os.environ.get("GPUPERF_CHILD") == "1"
"""
#: Three cases, each with a counter of its own.
THREE = """
@pytest.mark.gpuperf(counters=["sm__warps_launched.sum"])
def test_first(gpuperf, fake):
    m = gpuperf.measure(fake.kernel(20e-6))
    assert m.warps == 1000

def test_second(gpuperf, fake):
    {second}
    m = gpuperf.measure(fake.kernel(20e-6))
    assert m["sm__warps_launched.sum"] == 1000

@pytest.mark.gpuperf(warps="<= 1000")
def test_third(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6))
"""


def session(text: str, *args: str, ncu: dict[str, Any] | None = None, conftest: str = FAKE_CONFTEST, env: dict[str, str] | None = None, example: Example | None = None) -> tuple[Result, FakeNcu]:
    """Run a test file with --gpuperf, a fake device and a fake ncu that says what `ncu` has."""
    example = example or Example({"conftest.py": conftest, "test_it.py": HEAD + text})
    fake = FakeNcu(example.path / "bin", **(ncu or {}))
    result = example.run_pytest("--gpuperf", "--gpuperf-limit=0.01", "-p", "no:benchmark", *args, env={**fake.environment(), **(env or {})})
    # Its folder goes with it.
    fake.example = example  # type: ignore[attr-defined]
    return result, fake


def verdicts(result: Result) -> dict[str, str]:
    """Give the verdict of each case, by the name of its function."""
    assert result.run is not None, result.stdout + result.stderr
    return {case["nodeid"].partition("::")[2]: case["verdict"] for case in result.run["cases"]}


def reasons(result: Result) -> dict[str, list[str]]:
    """Give the codes of each case's reasons."""
    assert result.run is not None, result.stdout + result.stderr
    return {case["nodeid"].partition("::")[2]: [one["code"] for one in case["reasons"]] for case in result.run["cases"]}


def counters(result: Result, function: str, name: str = "main") -> dict[str, Any]:
    """Give the counters of one measurement."""
    assert result.run is not None
    case = next(case for case in result.run["cases"] if case["nodeid"].endswith(f"::{function}"))
    found: dict[str, Any] = next(one for one in case["measurements"] if one["name"] == name).get("counters", {})
    return found
