"""Limits of `budget=` are in the account even where the process did not live to judge them: killed, hung, interrupted."""

from __future__ import annotations

import pytest
from test_plugin_processes import case, example

OWN = 'gpuperf.measure(fake.kernel(5e-6), name="own", budget={"time": "<= 12 us", "host_time": "<= 1 s"})'
ENDS = {
    "killed": ("os._exit(7)", "-n1"),
    "hung": ("time.sleep(600)", "--gpuperf-timeout=2"),
    "interrupted": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", "--gpuperf-strict"),
}


@pytest.mark.parametrize("how", ENDS)
def test_own_limits_of_a_case_that_was_ended_are_accounted_for(how):
    end, option = ENDS[how]
    done = example(case("before") + case("ended", f"{OWN}\n    {end}"), f"lies-{how}").run_pytest(option, timeout=55)
    assert done.run is not None, done.stdout + done.stderr
    assert done.run["problems"] == []
    account = done.run["account"]
    (ended,) = (one for one in done.run["cases"] if "ended" in one["nodeid"])
    own = {one["quantity"]: one["verdict"] for one in ended["budgets"] if one["measurement"] == "own"}
    assert own == {"time": "UNMEASURED", "host_time": "UNMEASURED"}
    assert account["collected"] == 4 == account["PASS"] + account["UNMEASURED"]
