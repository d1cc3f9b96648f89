"""A body that is faster than any device is INCONCLUSIVE by whatever road its Work is asked for, and whatever the source of its time."""

from __future__ import annotations

import pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.errors import Inconclusive
from pytest_gpuperf.work import Work

CLAIM = Work(reads=1 << 26, writes=1 << 26)

ASKED = {
    "percent": lambda m: m.percent >= 80,
    "x_roof": lambda m: m.x_roof <= 1.3,
    "m['percent']": lambda m: m["percent"] >= 80,
    "bandwidth": lambda m: m.bandwidth >= 1e9,
    "its p50": lambda m: m.bandwidth.p50 >= 1e9,
    "m['bandwidth.p50']": lambda m: m["bandwidth.p50"] >= 1e9,
}


@pytest.mark.parametrize("road", ASKED)
def test_no_road_to_an_impossible_bandwidth_passes(road):
    fake = device("GPU-possible", **STILL)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(fake.kernel(5 * US), work=CLAIM)
        with pytest.raises(Inconclusive, match="impossible"):
            ASKED[road](m)


def test_the_record_says_that_it_is_impossible_once_a_roof_is_known_and_measures_none_itself():
    fake = device("GPU-possible", **STILL)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(fake.kernel(5 * US), work=CLAIM)
        assert m.record()["values"]["bandwidth"]["reason"] is None
        assert "roofs" not in m.record()
        _ = m.roof
        values = m.record()["values"]
    for name in ("bandwidth", "percent", "x_roof"):
        assert values[name]["reason"]["code"] == "impossible", name


@pytest.mark.parametrize("clock", ["cupti", "graph"])
def test_a_bandwidth_by_another_source_is_held_against_what_the_device_can_do(clock):
    fake = device("GPU-possible", cupti="usable", **STILL)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(fake.kernel(5 * US, stream=lambda: gpuperf.stream), work=CLAIM, clock=clock)
        with pytest.raises(Inconclusive, match="impossible"):
            m.require(bandwidth=">= 1 GB/s")


@pytest.mark.parametrize("cache", ["cold", "warm"])
def test_an_honest_graph_without_the_share_of_its_launch_is_possible(cache):
    fake = device("GPU-possible", **STILL)
    with bench(fake) as gpuperf:
        kernel = fake.kernel(None, reads=[fake.array(1 << 18)], writes=[fake.array(1 << 18)], stream=lambda: gpuperf.stream)
        m = gpuperf.measure(kernel, work=Work(reads=1 << 20, writes=1 << 20), clock="graph", cache=cache)
        m.require(bandwidth=">= 1 GB/s")
