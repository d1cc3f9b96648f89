"""What the compiler makes of the rows of KERNELS that stage tokens and masks, without a driver: nothing spills, rows move as vectors."""

from __future__ import annotations

import re
import sys

import pytest
from offline import compiled_rows, lines, order
from ptx_arithmetic import doubles, stray

import kernels

ARCHS = ("sm_80", "sm_90", "sm_100")
MODULES = ("masks", "staging")


@pytest.fixture(scope="module")
def compiled():
    return compiled_rows("kernels", lambda name: name.startswith(("accept", "write_all", "commit_masked")), ARCHS)


def test_every_kernel_has_a_row_and_every_name_is_used_once():
    modules = {name: module for name, module in sys.modules.items() if name.startswith("kernels.")}
    # A kernel of numba's, or of its simulator's.
    launched = {
        id(value)
        for name, module in modules.items()
        for value in vars(module).values()
        if type(value).__name__ in {"CUDADispatcher", "FakeCUDAKernel"} and not getattr(value, "targetoptions", {}).get("device")
        and (getattr(value, "py_func", None) or value.fn).__module__ == name
    }  # fmt: skip
    assert launched
    assert launched <= {id(row.function) for row in kernels.KERNELS}
    assert len({row.name for row in kernels.KERNELS}) == len(kernels.KERNELS)
    assert all(f"kernels.{row.module}" in modules for row in kernels.KERNELS)
    for row in kernels.KERNELS:
        if row.module in MODULES:
            assert id(row.function) in {id(value) for value in vars(modules[f"kernels.{row.module}"]).values()}, row.name


def test_nothing_spills(compiled):
    assert len(compiled) == 6 * len(ARCHS)
    for name, one in compiled.items():
        assert (one.quantities["spills"], one.quantities["stack"], one.quantities["local"]) == (0, 0, 0), name


def test_registers_leave_half_of_an_sm_busy(compiled):
    # Half of its threads keep enough loads under way.
    for name, one in compiled.items():
        assert one.quantities["occupancy"] >= 50, f"{name}: {one.quantities['registers']} registers"


def test_no_kernel_computes_but_as_it_is_written(compiled):
    # Every operation on floating-point numbers is a primitive with its rounding: the compiler fuses none, and widens none.
    for name, one in compiled.items():
        assert (stray(one.ptx), doubles(one.ptx), one.quantities["f64"]) == ([], [], 0), name


@pytest.fixture(scope="module")
def staging(compiled):
    return {name: one for (name, arch), one in compiled.items() if arch == "sm_90" and not name.startswith("accept")}


def test_staging_moves_vectors(staging, compiled):
    # A write: two that do not wait for the slot, two of a loop. A commit: four of a loop, two behind it.
    accesses = {"write_all": 4, "commit_masked": 6}
    assert {name.split(".")[0] for name in staging} == set(accesses)
    for name, one in staging.items():
        expected = accesses[name.split(".")[0]]
        assert one.ptx.count("ld.global.v4.b32") == one.ptx.count("st.global.v4.b32") == expected, name
        for arch in ARCHS:
            # ptxas may unroll the loop, so there may be more of them in SASS.
            told = compiled[name, arch].quantities
            assert told["loads_128"] == told["stores_128"] >= expected, (name, arch)


def test_a_write_reads_rows_beside_their_slots(staging):
    for name, one in staging.items():
        if name.startswith("write_all."):
            found = lines(one)
            before = found[: next(number for number, line in enumerate(found) if "BAR.SYNC" in line)]
            slot, *vectors = (number for number, line in enumerate(before) if re.search(r"\bLDG\.", line))
            assert ["LDG.E.128" in before[number] for number in vectors] == [True, True], f"{name}: {before}"
            first = int(re.search(r"LDG\S* R(\d+),", before[slot])[1])
            # Whatever names the slot's registers would wait for it.
            waits = [line for line in before[slot + 1 :] if re.search(rf"\bR({first}|{first + 1})\b", line)]
            assert not waits, f"{name}: {waits}"


def test_a_commit_waits_once_for_slot_and_mask(staging):
    slot = {"int32": "LDG.E", "int64": "LDG.E.64"}
    for name, one in staging.items():
        if name.startswith("commit_masked."):
            found = order(one)
            first = next(number for number, access in enumerate(found) if access.startswith("LDG"))
            assert set(found[first : first + 2]) == {slot[name.split(".")[1]], "LDG.E.U8"}, f"{name}: {found}"
            # Then it has four loads under way before its first store.
            vectors = [access for access in found[first + 2 :] if access.endswith(".128")]
            assert vectors[:5] == ["LDG.E.128"] * 4 + ["STG.E.128"], f"{name}: {vectors}"
