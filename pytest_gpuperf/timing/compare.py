"""A fair comparison: first calls of every version, interleaved samples of all, what each left held against the others, and the Values of each."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.timing.buffers import Buffers
from pytest_gpuperf.timing.calls import check_untimed, found_failure, leave_and_compare
from pytest_gpuperf.timing.interleave import Limits, Version, take_device, take_host
from pytest_gpuperf.timing.measure import assemble, first_calls
from pytest_gpuperf.timing.quiet import quiet_host
from pytest_gpuperf.timing.rotated import needs_inputs
from pytest_gpuperf.timing.sampler import Sampler
from pytest_gpuperf.timing.taken import Plan
from pytest_gpuperf.timing.telling import begin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_gpuperf.device.arrays import ArrayView
    from pytest_gpuperf.reasons import Reason
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.timing.measure import First, Request, Timed

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: Of the limit, for host times beside device times, and the least number of their blocks.
_HOST_SHARE, _HOST_BLOCKS = 0.2, 5


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Two versions whose outputs differ: their names, the array's name, and what each left in it, on the host."""

    first: str
    second: str
    array: str
    left: Any
    right: Any


@dataclasses.dataclass
class Compared:
    """What came out: a Timed by version, the quantity that is compared with its samples by version and block, the order of every block.

    `synchronises` tells of a version that waits for the device, for which all are compared by wall time; `failed` names the version of `failure`.
    """

    timed: dict[str, Timed]
    quantity: str
    blocks: dict[str, list[list[float]]]
    ticks: dict[str, float]
    order: list[list[int]]
    hole: Reason | None = None
    synchronises: str = ""
    difference: Difference | None = None
    failed: str = ""
    failure: Exception | None = None
    checked: str = "unchecked"


def compare(instruments: Instruments, requests: Mapping[str, Request], seed: int) -> Compared:
    """Compare versions that share stream, cache state, outputs and inout; the caller holds the device's lock.

    On return the buffers hold exactly one call, of the last version, from the entry state.
    """
    backend = instruments.backend
    backend.synchronize()
    versions = []
    try:
        for name, request in requests.items():
            versions.append(Version(name, request.body, Buffers(backend, instruments.operations, request.body, request.outputs, request.inout)))
        stream = next(iter(requests.values())).stream
        for one in versions:
            one.buffers.prepare(stream)
        versions[0].buffers.snapshot(stream)
        for one in versions[1:]:
            one.buffers.share(versions[0].buffers)
        with quiet_host():
            return _compare(instruments, requests, versions, seed)
    finally:
        # The first one holds the snapshots of all.
        for one in reversed(versions):
            one.buffers.close()


def _compare(instruments: Instruments, requests: Mapping[str, Request], versions: Sequence[Version], seed: int) -> Compared:
    firsts = {one.name: first_calls(instruments, requests[one.name], one.buffers) for one in versions}
    request = requests[versions[0].name]
    seconds = request.limit * len(versions)
    needed = {name: max(one.samples.get(name, 0) for one in requests.values()) for name in ("time", "host_time", "wall_time")}
    on_host = max(needed["host_time"], needed["wall_time"])
    for one in versions:
        _prepare(instruments, requests[one.name], one, firsts[one.name])
    hole = needs_inputs(instruments, request)
    begin(request.telling, "comparing")
    order, culprit = ([], None) if hole else take_device(instruments, versions, Limits(seconds, needed["time"]), request.stream, seed, request.telling)
    begin(request.telling, "comparing" if culprit is not None else "host")
    if culprit is not None:
        hole = culprit.reason
        order = take_host(instruments, versions, Limits(seconds, on_host), request.stream, seed, request.telling)
    else:
        take_host(instruments, versions, Limits(_HOST_SHARE * seconds, on_host, _HOST_BLOCKS), request.stream, seed)
    compared = Compared({}, "wall_time" if culprit else "time", {}, {}, order, None if culprit else hole, culprit.reason.detail if culprit else "")
    for one in versions:
        compared.blocks[one.name] = one.host.wall if culprit else one.calls
        compared.ticks[one.name] = 0.0 if culprit else instruments.limits.tick / one.taken.batch
        timed = _finish(instruments, requests[one.name], one, firsts[one.name], hole)
        compared.timed[one.name] = timed
        if timed.failure is not None and compared.failure is None:
            compared.failed, compared.failure = one.name, timed.failure
    if compared.failure is None and not request.body.varies:
        compared.difference = _difference(instruments, requests, versions)
        compared.checked = next((f"{one.taken.checked} digested" for one in versions if one.buffers.checked), "unchecked")
    return compared


def _prepare(instruments: Instruments, request: Request, one: Version, first: First) -> None:
    plan = Plan(request.cache, request.limit, request.samples.get("time", 0), max(1.0, 4 * first.host))
    one.constant = instruments.calibration.constant(first.kind)[0]
    one.sampler = Sampler(
        instruments.backend, instruments.watch, instruments.flusher, one.body, one.buffers, plan, request.stream,
        tick=instruments.limits.tick, witness=instruments.witness,
    )  # fmt: skip


def _finish(instruments: Instruments, request: Request, one: Version, first: First, hole: Reason | None) -> Timed:
    """Check what a version left, leave one call of it in the buffers, and make its Values."""
    if not one.taken.rounds:
        one.taken.checked = check_untimed(instruments, request, one.buffers)
    result, failure = leave_and_compare(instruments, request, one.buffers, found_failure(request, one.buffers))
    failure = failure or one.buffers.given_up(first.entry, first.changed, request.stream)
    return assemble(instruments, request, one.buffers, first, one.host, one.taken, hole, result, failure)


def _difference(instruments: Instruments, requests: Mapping[str, Request], versions: Sequence[Version]) -> Difference | None:
    """Hold what every version left against the first one; None where all arrays that both have hold the same bits."""
    first = versions[0]
    for one in versions[1:]:
        mine, theirs = first.buffers.left, one.buffers.left
        for key in mine:
            if key in theirs and mine[key] != theirs[key]:
                left, right = (_again(instruments, requests[version.name], version, *key) for version in (first, one))
                return Difference(first.name, one.name, key[1], left, right)
    return None


def _again(instruments: Instruments, request: Request, one: Version, index: int, name: str) -> Any:
    """Call a version once more and bring home what it leaves in one array."""
    if one.body.setup is not None:
        one.body.setup()
    one.buffers.restore(request.stream)
    result = one.body(index)
    instruments.backend.synchronize()
    array = dict(one.buffers.arrays_of(index, result))[name]
    return on_host(array, instruments.operations.download(array))


def on_host(array: ArrayView, packed: Any) -> Any:
    """Return packed bytes as an array of the shape and, where NumPy knows it, the dtype of another.

    >>> from pytest_gpuperf.device.arrays import view
    >>> on_host(view(np.zeros((1, 2), "float32")), np.arange(8, dtype="uint8")).shape
    (1, 2)
    """
    import numpy as np

    try:
        dtype = np.dtype(array.dtype)
    except TypeError:
        dtype = np.dtype(f"V{array.itemsize}" if array.itemsize not in {1, 2, 4, 8} else f"u{array.itemsize}")
    return packed.view(dtype).reshape(array.shape)
