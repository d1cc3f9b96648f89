"""What the compiler makes of suites/wrong_counters.py, without a driver: one spills and its twin does not, tiles have the width that they should."""

from __future__ import annotations

import pytest
from offline import compiled_attributes

from suites import wrong_counters

FLAT, SQUARE = "float32[::1]", "float32[:,::1]"
SIGNATURES = {"transpose": f"void({SQUARE}, {SQUARE})", "sums": f"void({FLAT}, {FLAT}, int64)", "copy": f"void({FLAT}, {FLAT})"}


@pytest.fixture(scope="module")
def compiled():
    kernels = [(name, SIGNATURES.get(name.partition("_")[0])) for name in sorted(vars(wrong_counters))]
    found = compiled_attributes([("suites.wrong_counters", name, signature) for name, signature in kernels if signature])
    return {name: one.quantities for (name, _), one in found.items()}


def test_six_kernels(compiled):
    assert len(compiled) == 6


def test_only_the_one_of_32_registers_spills(compiled):
    spilling = compiled["sums_spilling"]
    assert spilling["registers"] <= 32
    assert spilling["spills"] > 0
    assert spilling["stack"] > 0
    for name, row in compiled.items():
        if name != "sums_spilling":
            assert (row["spills"], row["stack"]) == (0, 0), name


def test_a_padded_tile_has_a_word_more_in_each_row(compiled):
    assert compiled["transpose_padded"]["shared"] - compiled["transpose_conflicting"]["shared"] == 32 * 4
    assert compiled["copy_strided"]["shared"] == compiled["sums_in_registers"]["shared"] == 0
