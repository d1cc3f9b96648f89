"""What a fake device computes: the plugin's kernels that only compute, and how long they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.device.rates import RATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.testing.spec import FakeSpec

#: By kernel: its kind, and the lanes and operations of a round.
COMPUTING = {row.kernel: (row.kind, row.lanes, row.flops) for row in RATES}


def seconds_of(spec: FakeSpec, kernel: str, arguments: Sequence[int], blocks: int, threads: int) -> float:
    """Return the own span of a kernel of RATES: as long as the device's rate says, and shorter on zeros.

    >>> from pytest_gpuperf.testing import FakeSpec
    >>> spec = FakeSpec(rates={"bf16": 1e15}, rate_prologue=0.0)
    >>> round(1e3 * seconds_of(spec, "wgmma_bf16", (1000, 0, 1, 0, 0), 132, 256), 3)
    0.554
    """
    kind, lanes, flops = COMPUTING[kernel]
    rounds, extra, mask, *_ = arguments
    done = (rounds * blocks * (threads // lanes) + extra) * flops
    return spec.latency + spec.rate_prologue + done / spec.rates[kind] / (1.0 if mask else spec.zeros_faster)
