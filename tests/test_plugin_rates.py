"""tflops as a user meets it: a marker, its verdicts and messages, and what the run file holds."""

from __future__ import annotations

from plugin_runs import SMALL, run_pytest

from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.testing import fake_conftest

pytest_plugins = ["pytester"]

TEST = """
@pytest.mark.gpuperf(tflops=">= 60 %", time="<= 1.3 x roof")
@pytest.mark.parametrize("us, flops, kind", [(13, 10**9, "bf16"), (40, 10**9, "bf16"), (2, 10**9, "bf16"), (20, 10**9, "int8"), (20, 0, "fp32")])
def test_product(gpuperf, fake_kernel, us, flops, kind):
    gpuperf.measure(fake_kernel(us), work=Work(reads=1 << 12, flops=flops, kind=kind))
"""
CONFTEST = (
    fake_conftest(**SMALL, rates={"fp32": 1e13, "fp16": 1e14, "bf16": 1e14, "fp8": 2e14})
    + """

import pytest

@pytest.fixture
def fake_kernel():
    return lambda us: FAKE.kernel(us * 1e-6)
"""
)


def test_a_marker_on_operations_is_judged_and_recorded(pytester):
    run = run_pytest(pytester, TEST, conftest=CONFTEST)
    verdicts = {case["nodeid"].split("[")[1]: case["verdict"] for case in run.run["cases"]}
    assert list(verdicts.values()) == ["PASS", "FAIL", "INCONCLUSIVE", "UNMEASURED", "FAIL"], run.text
    slow = run.case("[40-1000000000-bf16]")
    messages = [budget["message"] for budget in slow["budgets"]]
    assert any(text.startswith("tflops: 27.") for text in messages), messages
    assert any("x roof exceeds 1.300 x roof" in text and "bound by bf16 FLOP" in text for text in messages)
    (measured,) = slow["measurements"]
    assert measured["bound"] == "bf16 FLOP"
    assert {roof["of"]: bool(roof["how"]) for roof in measured["roofs"]} == {"bytes": True, "flops": True}
    assert "'%' needs work=Work(flops=..., kind=...)" in run.text, "a limit on operations needs some"
    assert validate(run.run) == []
