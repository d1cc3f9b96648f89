"""Host clocks: how long the call takes to return, and until the device is idle."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.buffers import Buffers

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

ROUNDS = 10
_MIN_ROUNDS = 5
_A_ROUND = 8
_GAP = 5e-3


@dataclasses.dataclass
class HostTaken:
    """Seconds by round: until the call returned, and until the device was idle."""

    host: list[list[float]] = dataclasses.field(default_factory=list)
    wall: list[list[float]] = dataclasses.field(default_factory=list)


def take_host(backend: Backend, body: Body, buffers: Buffers, stream: int, *, limit: float, samples: int = 0) -> HostTaken:
    """Time calls on an idle device with the host's clock; at least 5 rounds, more within `limit` seconds.

    `samples` is what a percentile needs; it is taken within twice the limit.
    """
    taken = HostTaken()
    began = backend.now()
    count = max(_A_ROUND, -(-samples // ROUNDS))
    for number in range(ROUNDS):
        spent = backend.now() - began
        missing = samples - sum(map(len, taken.host))
        if number >= _MIN_ROUNDS and (spent > 2 * limit or (spent > limit and missing <= 0)):
            break
        if number:
            backend.sleep(_GAP)
        host: list[float] = []
        wall: list[float] = []
        # The first call after a pause finds the host asleep and takes ten times as long (60 us for a launch of 5, seen beside an H200): it does not count.
        for index in range(-1, count):
            if body.setup is not None:
                body.setup()
            buffers.restore(stream)
            backend.synchronize()
            call = body.bound(index)
            start = backend.now()
            result = call()
            returned = backend.now()
            # The whole device: a body that works on another stream is not done when its own is.
            backend.synchronize()
            done = backend.now()
            buffers.early.look(index % body.sets, result, stream)
            # What it returned is not freed inside the next call.
            del result
            if index < 0:
                continue
            wall.append(done - start)
            host.append(returned - start)
            if done - began > limit and missing <= 0:
                break
        taken.host.append(host)
        taken.wall.append(wall)
    return taken
