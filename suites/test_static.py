"""The machine code of every row of KERNELS for three architectures, with and without a GPU: registers, spills, vectors, nothing in float64.

Nothing here is launched or timed: a limit is held against what the compiler makes of a kernel, so it holds on a laptop as on a server.
"""

from __future__ import annotations

import dataclasses
import fnmatch

import pytest

from kernels import KERNELS

ARCHS = ("sm_80", "sm_90", "sm_100")


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the rows of KERNELS whose names match a glob; of two on one quantity, the later one counts."""

    names: str
    limits: dict[str, object]


#: Names of KV compression are head size, ratio, dtypes of rows and of the state, and the threads of a block.
LIMITS = (
    Limits("*", {"spills": "== 0", "stack": "== 0", "f64": "== 0"}),
    Limits("accept.*", {"registers": "<= 32", "shared": "== 128", "occupancy": ">= 100 %"}),
    # A loop that sm_100 unrolls four times has four times the vectors.
    Limits("write_all.*", {"registers": {"sm_80": "<= 48", "sm_90": "<= 40", "*": "<= 56"}, "loads_128": ">= 4", "stores_128": ">= 4", "loads_32": "<= 1"}),
    Limits("commit_masked.*", {"registers": {"sm_80": "<= 48", "*": "<= 40"}, "loads_128": "== 6", "stores_128": "== 6", "loads_32": "<= 1"}),
    # Two columns a thread: rows of a float32 state are 8 bytes, and of a bfloat16 one 4. Registers let 1024 threads share a multiprocessor.
    Limits("decode.*", {"registers": "<= 64"}),
    Limits("decode.*-r128-*", {"instructions": "<= 1250", "loads_32": "<= 28", "loads_128": ">= 1"}),
    Limits("decode.*-r128-*-float32.*", {"loads_32": "<= 12", "stores_128": ">= 2"}),
    Limits("decode.*-r128-float32-*", {"loads_128": ">= 3"}),
    Limits("decode.*-r4-*", {"instructions": "<= 1000", "loads_32": "<= 30"}),
    Limits("decode.*-r4-*-float32.*", {"loads_32": "<= 14"}),
    Limits("prefill.*-r128-*", {"registers": "<= 64", "loads_128": ">= 10", "loads_32": "<= 20"}),
    Limits("prefill.*-r4-*", {"registers": {"sm_80": "<= 72", "*": "<= 64"}, "loads_128": ">= 5", "loads_32": "<= 16"}),
    Limits("prefill.*-float32-*", {"loads_128": ">= 14"}),
    Limits("prefill.*-bfloat16-float32.*", {"loads_128": ">= 10"}),
    Limits("prefill.*-float32-float32.*", {"loads_128": ">= 19"}),
)


def limits_of(name: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for row in LIMITS:
        if fnmatch.fnmatchcase(name, row.names):
            found |= row.limits
    return found


@pytest.mark.parametrize("row", KERNELS, ids=lambda row: row.name)
@pytest.mark.parametrize("arch", ARCHS)
def test_machine_code(gpuperf, row, arch):
    gpuperf.compiled(row, arch=arch).require(**limits_of(row.name))


def test_every_kernel_has_limits_of_its_own_and_every_limit_a_kernel():
    for row in KERNELS:
        assert {"registers", "spills", "f64"} <= limits_of(row.name).keys(), row.name
    for one in LIMITS:
        assert any(fnmatch.fnmatchcase(row.name, one.names) for row in KERNELS), one.names
