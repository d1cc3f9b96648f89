"""What the compiler makes of every configuration of KV compression, without a driver: no spills, 16-byte loads, only the arithmetic written."""

from __future__ import annotations

import re

import pytest
from offline import compiled_rows, lines
from ptx_arithmetic import doubles, stray

from kernels import KERNELS, compression


@pytest.fixture(scope="module", params=["kernels", pytest.param("compression_builds", marks=pytest.mark.slow)])
def compiled(request):
    found = compiled_rows(request.param, lambda name: name.startswith(("decode.", "prefill.")))
    return {name: one for (name, _), one in found.items()}


def test_every_configuration_and_launch_shape_has_rows():
    rows = {row.name for row in KERNELS if row.module == "compression"}
    lanes, tall = compression.PREFILL
    assert rows == {f"decode.{row.name}.{launch.threads[0]}x{launch.threads[1]}" for row in compression.CONFIGS for launch in row.warps} | {
        f"prefill.{row.name}.{lanes}x{tall}" for row in compression.CONFIGS
    }


def test_nothing_spills(compiled):
    for name, one in compiled.items():
        assert (one.quantities["spills"], one.quantities["local"]) == (0, 0), name


def test_registers_keep_memory_busy(compiled):
    # 1024 threads of an SM, each with eight rows of eight bytes under way at least, are twice what its share of the bandwidth needs.
    for name, one in compiled.items():
        assert one.quantities["registers"] <= 64, name


def test_no_arithmetic_that_is_not_written(compiled):
    for name, one in compiled.items():
        assert (stray(one.ptx), doubles(one.ptx), one.sass.count(" SHFL"), one.quantities["f64"]) == ([], [], 0, 0), name


def test_eight_rows_are_under_way_before_the_first_is_waited_for(compiled):
    for name, one in compiled.items():
        if name.startswith("decode"):
            # Two columns a thread; no line takes a place in L1. The scores of eight rows are asked for before the first is looked at.
            vector = r"LDG\.E\.NA\.64" if re.search(r"-float32\.", name) else r"LDG\.E\.NA"
            loads = re.compile(rf"{vector}(?![.\w])")
            order = " ".join(re.findall(r"\b(?:LDG\.E[.\w]*|BAR|FMNMX[.\w]*|CCTL[.\w]*)", " ".join(lines(one))))
            assert len(loads.findall(order.partition("FMNMX")[0])) >= 8, f"{name}: {order}"
            assert len(loads.findall(order)) >= 16, f"{name}: {order}"
