"""Roofs on the page: by which kernel, how long, and what binds the work."""

from __future__ import annotations

import copy
import random

from run_files import assemble, case

from pytest_gpuperf.report import views
from pytest_gpuperf.report.beside import beside

ROOFS = [
    {"of": "bytes", "how": "move, 64 blocks of 256", "time": {"unit": "s", "number": 2.5e-6, "low": 2.4e-6, "high": 2.6e-6, "systematic": 1e-7}},
    {"of": "flops", "how": "", "time": {"unit": "s", "number": None, "low": None, "high": None, "systematic": None, "reason": {"code": "no-rate"}}},
]


def shown(**more):
    """Return what the page tells of one measurement with these fields."""
    record = copy.deepcopy(case(3, "PASS", random.Random(1)))
    record["measurements"] = [{**record["measurements"][0], **more}]
    run = assemble([record])
    (row,) = views.rows(run, beside(run, None))
    return row, views.facts(row)


def test_a_measurement_tells_its_roofs_and_what_binds_it():
    _, told = shown(roofs=ROOFS, bound="bytes")
    assert ("roof", "of bytes, by move, 64 blocks of 256: 2.500 us") in told
    assert ("bound by", "bytes") in told
    assert len([name for name, _ in told if name == "roof"]) == 1, "what could not be measured has no kernel to tell of"


def test_a_measurement_without_roofs_says_nothing_of_them():
    _, told = shown()
    assert not {"roof", "bound by"} & {name for name, _ in told}


def test_a_limit_on_operations_stands_where_the_time_would_just_meet_it():
    row, _ = shown()
    name, time = row.measurement["name"], row.measurement["values"]["time"]["number"]
    limit = {"measurement": name, "quantity": "tflops", "op": ">=", "limit": 5e13, "value": 1e14, "unit": "FLOP/s", "text": ">= 50 TFLOP/s", "statistic": "p50"}
    (mark,) = views.marks({"budgets": [limit]}, row.measurement)
    assert mark.at == 2 * time
