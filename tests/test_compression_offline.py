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
    shapes = {f"{row.name}.{launch.threads[0]}x{launch.threads[1]}" for row in compression.CONFIGS for launch in row.warps}
    rows = {row.name for row in KERNELS if row.module == "compression"}
    assert rows == {f"{kind}.{shape}" for kind in ("decode", "prefill") for shape in shapes}


def test_nothing_spills(compiled):
    for name, one in compiled.items():
        assert (one.quantities["spills"], one.quantities["local"]) == (0, 0), name


def test_registers_keep_memory_busy(compiled):
    # A thread of a decode kernel has 256 bytes under way: 512 threads of an SM are three times what its share of the bandwidth needs.
    for name, one in compiled.items():
        registers = one.quantities["registers"]
        assert registers <= (128 if name.startswith("decode") else 64), f"{name}: {registers} registers"


def test_no_arithmetic_that_is_not_written(compiled):
    for name, one in compiled.items():
        assert (stray(one.ptx), doubles(one.ptx), one.sass.count(" SHFL"), one.quantities["f64"]) == ([], [], 0, 0), name


def test_eight_rows_are_under_way_before_the_first_is_waited_for(compiled):
    for name, one in compiled.items():
        if name.startswith("decode"):
            vector = r"LDG\.E\.128\.STRONG\.GPU" if re.search(r"-float32\.", name) else r"LDG\.E\.64\.STRONG\.GPU"
            # Eight rows of scores and eight of values, and nothing that computes with them between: that begins with their maximum.
            order = " ".join(re.findall(r"\b(?:LDG\.E[.\w]*|BAR|FMNMX)", " ".join(lines(one))))
            assert re.findall(rf"(?:{vector} ?){{16}}", order), f"{name}: {order}"
