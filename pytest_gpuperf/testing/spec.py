"""What a fake device is like: every knob, one row each."""

from __future__ import annotations

import dataclasses

from pytest_gpuperf.errors import GpuPerfError


class FakeDeviceError(GpuPerfError):
    """What a CUDA call on a fake device came to: an illegal address, a lost device, an injected fault."""


@dataclasses.dataclass(frozen=True, slots=True)
class FakeSpec:
    """Describe a fake device; sizes in bytes, times in virtual seconds, rates in bytes a second.

    The launch shares are those of an H200: a blocked event pair reads `event_cost + lead + share + own span`, which is the own
    span + 2.90 us; a profiler counts the own span + 0.70 us; a graph replay's pair reads 0.28 us less. The default L2 is small,
    so that flushes of real memory are quick.

    >>> spec = FakeSpec(l2=4 << 20, jitter=0.0)
    >>> spec.name, spec.l2, round((spec.event_cost + spec.lead + spec.share) * 1e6, 2)
    ('NVIDIA FAKE', 4194304, 2.9)
    """

    name: str = "NVIDIA FAKE"
    uuid: str = "GPU-fa4e0000-0000-4000-8000-000000000001"
    driver: str = "580.00"
    cuda: str = "13.0"
    compute_capability: tuple[int, int] = (9, 0)
    sm_count: int = 132
    memory: int = 1 << 30
    l2: int = 2 << 20
    #: share of the L2 that dirty lines may take before they are written back
    l2_dirty: float = 0.4
    bandwidth: float = 1.0e12
    l2_bandwidth: float = 4.0e12
    #: step of event times and of %globaltimer
    tick: float = 32e-9
    #: what a call of the driver costs the host
    host_cost: float = 2e-6
    #: what compiling a kernel costs the host at its first call
    compile_time: float = 0.25
    event_cost: float = 1.28e-6
    lead: float = 0.92e-6
    graph_lead: float = 0.64e-6
    share: float = 0.70e-6
    gap: float = 0.50e-6
    #: the shortest own span that one of our kernels has
    latency: float = 0.6e-6
    #: whether an allocation waits for a held stream; an H200 with driver 580 does not
    alloc_waits: bool = True
    #: how many operations a held stream queues before the host has to wait
    queue: int = 1024
    seed: int = 0
    #: standard deviation of a kernel's span, as a share of it, and its autocorrelation from one kernel to the next
    jitter: float = 0.004
    autocorrelation: float = 0.0
    #: standard deviation of what a launch adds, in seconds
    launch_jitter: float = 15e-9
    #: change of every span per virtual second, as a share of it
    drift: float = 0.0
    #: when the device throttles, in virtual seconds from its start, by which factor and for which reason bits
    throttle_at: float | None = None
    throttle_factor: float = 1.25
    throttle_reasons: int = 0x4
    sm_clock: int = 1980
    memory_clock: int = 3201
    #: what other processes do: utilisation in percent, their ids, and how much longer every kernel runs
    foreign_utilization: int = 0
    foreign_processes: tuple[int, ...] = ()
    foreign_slowdown: float = 1.0
    #: the number, from 1, of the call that fails: an allocation with MemoryError, a launch with FakeDeviceError
    fail_alloc: int | None = None
    fail_launch: int | None = None
    #: the number of the launch after which the device is lost: it and every later call raises
    lost_at_launch: int | None = None
