"""Roofs of operations: the time of our own kernels that only compute, for exactly a work's operations."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from pytest_gpuperf.device.rates import Rate, rates_of
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.body import Body
from pytest_gpuperf.timing.measure import Request, measure
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.work import Work

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_QUICK = 0.03
#: Operations of the launch that says which row is the fastest, and how long the launch of a roof may take, in seconds.
_PILOT = 1 << 34
_LONGEST = 0.05
#: A launch below this many seconds is less what it does before it computes: about a microsecond.
_SHORT = 2e-4


@dataclasses.dataclass(frozen=True, slots=True)
class Roof:
    """A measured roof: seconds with its interval, and how it was reached."""

    time: Value
    how: str


def compute_roof(instruments: Instruments, as_body: Request, work: Work, *, zeros: bool = False) -> Roof:
    """Measure the roof of a work's operations, as the body of a request is measured: in the same state, with as many samples, so at the same clocks.

    UNMEASURED `no-rate` where none of our kernels reaches the rate of that kind on this architecture.
    """
    capability = instruments.limits.compute_capability
    rows = rates_of(work.kind, capability)
    if not rows:
        detail = f"none of our kernels reaches what compute capability {capability[0]}.{capability[1]} does in {work.kind}"
        return Roof(Value.missing("roof", "s", as_body.clock, Reason("no-rate", detail)), "")
    sm_count, stream = instruments.limits.sm_count, as_body.stream

    def timed(launch: Callable[[], None], seconds: float) -> Value:
        request = dataclasses.replace(as_body, body=Body(launch, ((),), {}, work), limit=seconds)
        return dataclasses.replace(measure(instruments, request).values["time"], name="roof")

    def time(row: Rate, flops: int, seconds: float) -> Value:
        return timed(functools.partial(launch_rate, instruments.backend, row, flops, sm_count, stream, zeros=zeros), seconds)

    pilot = min(work.flops, _PILOT)
    pilots = {row: time(row, pilot, _QUICK).number or float("inf") for row in rows}
    best = min(rows, key=lambda row: pilots[row])
    # What Work claims may be wrong by a factor of a thousand: nobody waits a minute for its roof.
    most = max(pilot, int(pilot * _LONGEST / pilots[best]))
    flops = min(work.flops, most)
    roof = time(best, flops, as_body.limit)
    blocks, rounds, extra = best.grid(flops, sm_count)
    done = (rounds * blocks * (best.threads // best.lanes) + extra) * best.flops
    how = f"{best.instruction}, {blocks} blocks of {best.threads}, {done:,} operations on {'zeros' if zeros else 'noise'}"
    if roof.number is not None and roof.number < _SHORT:
        # What the kernel does before it computes, as making its noise, is no part of the roof; a launch is.
        before = timed(functools.partial(instruments.backend.launch, best.kernel, (0,) * 5, stream, blocks=blocks, threads=best.threads), _QUICK)
        empty = timed(functools.partial(instruments.backend.launch, "empty", (), stream, blocks=1, threads=32), _QUICK)
        roof = dataclasses.replace(roof - before + empty, unit="s", source=roof.source, name="roof", samples=roof.samples)
    if flops < work.flops:
        roof = dataclasses.replace(roof * (work.flops / flops), unit="s", source=roof.source, name="roof", samples=roof.samples)
        how += f", its time times {work.flops / flops:.1f}"
    return Roof(roof, how)


def launch_rate(backend: Backend, row: Rate, flops: int, sm_count: int, stream: int, *, zeros: bool = False) -> None:
    """Launch a row of RATES with at least so many operations, on noise or on zeros."""
    blocks, rounds, extra = row.grid(flops, sm_count)
    mask, low = (0, 0) if zeros else row.operands
    backend.launch(row.kernel, (rounds, extra, mask, low, 0), stream, blocks=blocks, threads=row.threads)
