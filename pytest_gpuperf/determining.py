"""How the verb `deterministic` runs: the same call again and again from the same bits, on poisoned outputs, every other time beside contention."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import resolved, view
from pytest_gpuperf.device.operations import BLOCKS_A_MULTIPROCESSOR, THREADS
from pytest_gpuperf.device.poison import fresh
from pytest_gpuperf.device.streams import handle_of
from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.identity.determinism import Call, Layout, Record, beside, explain
from pytest_gpuperf.identity.held import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_gpuperf.device.arrays import ArrayView
    from pytest_gpuperf.device.operations import Operations
    from pytest_gpuperf.runtime import Runtime
    from pytest_gpuperf.timing.body import Body

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: Contention lasts this many times as long as the body did alone, in seconds at least and at most, in copies of at most so many bytes.
_LONGER, _LEAST, _MOST, _COPY = 2.0, 300e-6, 0.5, 64 << 20


def read_runs(runs: Any) -> int:
    """Return the number of calls; ValueError for one that proves nothing.

    >>> read_runs(1)
    Traceback (most recent call last):
    ValueError: deterministic(runs=1): a single call has nothing to differ from; runs is a whole number from 2
    """
    if not isinstance(runs, int) or isinstance(runs, bool) or runs < 2:
        message = f"deterministic(runs={runs!r}): {'a single call has nothing to differ from; ' if runs == 1 else ''}runs is a whole number from 2"
        raise ValueError(message)
    return runs


@dataclasses.dataclass(frozen=True)
class Repeats:
    """What `deterministic` was given, read."""

    body: Body
    outputs: Sequence[Any]
    inout: Sequence[Any]
    runs: int
    stream: Any


def run_repeats(runtime: Runtime, label: str, wanted: Repeats) -> str:
    """Call the body so often and return what was compared, or raise NotIdentical; inouts hold one call from their first bits afterwards."""
    __tracebackhide__ = True
    operations = runtime.operations()
    handle = runtime.stream if wanted.stream is None else handle_of(wanted.stream)
    named = [(f"{kind}[{number}]", view(one), kind) for kind in ("outputs", "inout") for number, one in enumerate(getattr(wanted, kind))]
    record = Record()
    with contextlib.ExitStack() as stack:
        if operations is not None:
            stack.enter_context(runtime.locked(label))
            operations.backend.synchronize()
        held = [(Held(name, array, operations, handle), kind) for name, array, kind in named]
        for one, kind in held:
            stack.callback(one.close)
            if kind == "inout":
                one.set_aside()
        load = stack.enter_context(_contention(operations))
        stack.enter_context(runtime.on_stream(None if wanted.stream is None else handle))
        seconds = math.inf
        for number, contended in enumerate(beside(wanted.runs), 1):
            began = 0.0 if operations is None else operations.backend.now()
            result = _call(wanted, held, number, operations, None if load is None or not contended else load(seconds))
            if operations is not None and not contended:
                # The first call compiles, so later ones tell more.
                seconds = min(seconds, operations.backend.now() - began)
            record.calls.append(_look(record, number, contended and load is not None, held, result, operations, handle))
    if not record.calls[0].left:
        message = "deterministic: nothing to hold one call against another by; pass outputs=[...] or inout=[...], or return the arrays"
        raise ValueError(message)
    found = explain(record)
    if found:
        raise NotIdentical(found)
    names = ", ".join(record.calls[0].left)
    busy = f"{sum(one.contended for one in record.calls)} of them beside contention" if load is not None else "without contention: there is no device"
    return f"{names} hold the same bits after {wanted.runs} calls, {busy}"


def _call(wanted: Repeats, held: Sequence[tuple[Held, str]], number: int, operations: Operations | None, load: Callable[[], None] | None) -> Any:
    """Make one call from the first bits and on poison of its own; returns when the device is idle."""
    __tracebackhide__ = True
    body = wanted.body
    if body.setup is not None:
        body.setup()
    for one, kind in held:
        if kind == "inout":
            one.put_back()
        else:
            one.poison(fresh(0, number))
    if operations is not None:
        operations.backend.synchronize()
    if load is not None:
        load()
    result = body()
    if operations is not None:
        operations.backend.synchronize()
    return result


def _look(record: Record, number: int, contended: bool, held: Sequence[tuple[Held, str]], result: Any, operations: Operations | None, stream: int) -> Call:
    """Digest what a call left and returned; keep the bytes of results that were not seen before."""
    known = {(one.array.place, one.array.address) for one, _ in held}
    returned = [one for one in _arrays_of(result) if (one.place, one.address) not in known and one.nbytes]
    looked = [(one, kind == "outputs") for one, kind in held]
    looked += [(Held(f"returned array {place}", one, operations, stream), False) for place, one in enumerate(returned)]
    left: dict[str, tuple[Layout, int]] = {}
    for one, poisoned in looked:
        layout, digest = Layout(one.array.shape, one.array.dtype, one.array.itemsize, poisoned), one.digest()
        left[one.name] = layout, digest
        if record.wants(one.name, layout, digest):
            record.bytes[one.name, layout, digest] = number, one.bytes().copy()
    return Call(number, contended, left)


def _arrays_of(result: Any) -> list[ArrayView]:
    """Return the arrays in nested tuples, lists and dicts, wherever they lie."""
    if isinstance(result, dict):
        return [one for value in result.values() for one in _arrays_of(value)]
    if isinstance(result, tuple | list):
        return [one for value in result for one in _arrays_of(value)]
    try:
        return [resolved(result)]
    except TypeError:
        return []


@contextlib.contextmanager
def _contention(operations: Operations | None) -> Iterator[Callable[[float], Callable[[], None]] | None]:
    """Give what keeps memory and half of the threads of every multiprocessor busy, in a stream of its own, for about so many seconds; None without a device.

    Copies of our own of more than the L2 holds: they evict what the body reads, and its blocks start when and where there is room.
    """
    if operations is None:
        yield None
        return
    backend, limits = operations.backend, operations.backend.open()
    (stream,) = backend.host.streams(1)
    nbytes = min(max(limits.l2_bytes, 1 << 20), _COPY, backend.memory()[0] // 8) // 16 * 16
    source, target = backend.alloc(nbytes), backend.alloc(nbytes)

    def copy(times: int) -> None:
        for _ in range(times):
            backend.launch("move", (source, target, nbytes, nbytes), stream, blocks=limits.sm_count * BLOCKS_A_MULTIPROCESSOR // 2, threads=THREADS)

    try:
        backend.memset(source, 0, nbytes, stream)
        copy(2)
        backend.synchronize(stream)
        began = backend.now()
        copy(8)
        backend.synchronize(stream)
        each = max((backend.now() - began) / 8, 1e-6)

        def load(seconds: float) -> Callable[[], None]:
            # A queue takes some thousand launches, and whoever fills it waits.
            times = min(math.ceil(min(max(_LONGER * seconds, _LEAST), _MOST) / each), 500)
            return lambda: copy(times)

        yield load
    finally:
        backend.synchronize()
        for address in (source, target):
            backend.free(address)
