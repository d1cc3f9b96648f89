"""Graphs: one call of a body, captured, as a callable that replays it; and how many kernels a call launches."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import sys
import traceback
import weakref
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.capture import LEGACY_HANDLES, deed, forbidden
from pytest_gpuperf.device.streams import StreamHandle, current_stream
from pytest_gpuperf.errors import NotCapturable, Unmeasured
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.clock import UNKNOWN
from pytest_gpuperf.timing.doors import Watch
from pytest_gpuperf.timing.quiet import quiet_host
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.launched import Launch
    from pytest_gpuperf.values import Listener

    #: Makes a stream the one that `gpuperf.stream` gives, for a block.
    OnStream = Callable[[int], contextlib.AbstractContextManager[None]]

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_CONDITIONAL = "conditional"
#: Argument sets that are called to count: each once, where there are not more.
MOST_SETS = 64


@dataclasses.dataclass(frozen=True)
class Captured:
    """What one call left: the kinds of its nodes, how to replay them on a stream, how to free them, and what the call returned."""

    nodes: Mapping[str, int]
    replay: Callable[[int], None]
    free: Callable[[], None]
    result: Any


class Graph:
    """One captured call of a body: calling it replays that on the measured stream and returns what the captured call had returned.

    `launches` is the number of kernels of a replay, `nodes` the number of nodes by kind. Without a GPU a call runs the body itself, and
    both are unmeasured.

    >>> stream = lambda: gpuperf.stream
    >>> first, second = fake.kernel(5e-6, stream=stream), fake.kernel(3e-6, stream=stream)
    >>> g = gpuperf.graph(lambda: (first(), second()))
    >>> g
    Graph(2 kernel)
    >>> g.launches == 2
    True
    >>> m = gpuperf.measure(g, name="as a graph")
    >>> m.details["body"], m.launches == 2
    ('graph', True)
    """

    def __init__(
        self, body: Body, made: Captured | Reason, stream: Callable[[], int], listener: Listener | None = None, launched: Sequence[Launch] = ()
    ) -> None:
        """Made by `gpuperf.graph`; `launched` are the kernels of numba's that its body was seen to launch."""
        self.body, self.launched = body, launched
        self._made, self._stream, self._listener = made, stream, listener
        if isinstance(made, Captured):
            weakref.finalize(self, made.free).atexit = False

    def __call__(self) -> Any:
        """Replay the graph; run the body itself where there is no GPU."""
        return self.body() if isinstance(self._made, Reason) else self.replay()

    def replay(self) -> Any:
        """Replay the graph on the measured stream; Unmeasured where there is none."""
        made = self._captured()
        made.replay(self._stream())
        return made.result

    @property
    def launches(self) -> Value:
        """The number of kernels that a replay launches, exactly; unmeasured without a GPU, and for graphs that decide on the device."""
        return kernels_of(self._made, self._listener)

    @property
    def nodes(self) -> dict[str, int]:
        """The number of nodes by kind, as {"kernel": 2, "memset": 1}; raises Unmeasured without a GPU."""
        return dict(self._captured().nodes)

    def _captured(self) -> Captured:
        if isinstance(self._made, Captured):
            return self._made
        error = Unmeasured(self._made, "graph")
        if self._listener is not None:
            self._listener.undecided(error)
        raise error

    def __repr__(self) -> str:
        """Say what it holds, or why it holds nothing."""
        if isinstance(self._made, Reason):
            return f"Graph({self._made})"
        return f"Graph({', '.join(f'{number} {kind}' for kind, number in self._made.nodes.items())})"


def kernels_of(made: Captured | Reason, listener: Listener | None) -> Value:
    """Return the number of kernels in a captured call as an exact Value."""
    if isinstance(made, Captured) and _CONDITIONAL in made.nodes:
        made = Reason("not-capturable", "the graph has conditional nodes: how many kernels run is decided on the device")
    if isinstance(made, Reason):
        gone = Value.missing("launches", "1", "graph", made, listener)
        return dataclasses.replace(gone, statistics={"p50": gone})
    found = Value(made.nodes.get("kernel", 0), "1", "graph", name="launches", exact=True, listener=listener, samples=1)
    return dataclasses.replace(found, statistics={"p50": found})


def capture(backend: Backend, on_stream: OnStream, call: Callable[[], Any], name: str) -> Captured:
    """Call a body once, so that it is compiled and loaded, and capture a second call; the device must be open.

    Both calls find our own stream as `gpuperf.stream`, and as torch's and CuPy's current one. NotCapturable says what forbade the capture;
    errors of the body's own come as they are.
    """
    stream = backend.graphs.stream()
    backend.synchronize()
    with on_stream(stream), _current_in_libraries(stream):
        call()
    backend.synchronize()
    return _capture(backend, on_stream, call, name, stream, careful=False)


def count_launches(backend: Backend, on_stream: OnStream, body: Body, kind: str, stream: int, listener: Listener | None) -> Value:
    """Return how many kernels one more call of a measured body launches: it is captured, so nothing of it runs.

    Only a body all of whose launches can be seen to go to the capture is counted; of any other the Value has the reason `not-capturable`.
    """
    if isinstance(body.function, Graph):
        return dataclasses.replace(body.function.launches, listener=listener)
    if kind == UNKNOWN:
        return kernels_of(Reason("not-capturable", "what launches this body's work cannot be seen from Python"), listener)
    where = backend.graphs.stream() if stream in LEGACY_HANDLES else stream
    counts: list[Value] = []
    for index in range(min(body.sets, MOST_SETS)):
        try:
            made = _capture(backend, on_stream, body.bound(index), getattr(body.function, "__name__", type(body.function).__name__), where, careful=True)
        except Exception as error:  # noqa: BLE001 - whatever a body says of being called in a capture, there is no count, and that is why
            return kernels_of(Reason("not-capturable", str(error).splitlines()[0] if str(error) else type(error).__name__), listener)
        made.free()
        found = kernels_of(made, listener)
        if found.number is None:
            return found
        counts.append(found)
    each = [int(one.point) for one in counts]
    if len(set(each)) > 1:
        return kernels_of(Reason("counts-differ", f"{len(each)} inputs= sets launch {min(each)} to {max(each)} kernels: {', '.join(map(str, each))}"), listener)
    return counts[0]


def not_alone(reason: Reason | None) -> Reason | None:
    """Return why a body that was measured cannot be captured, as far as its measurement told; None where it did not.

    >>> not_alone(Reason("sync")).code, not_alone(Reason("throttled")) is None
    ('not-capturable', True)
    """
    if reason is None or reason.code not in {"sync", "other-stream"}:
        return None
    return Reason("not-capturable", reason.detail or reason.cause.sentence)


def _capture(backend: Backend, on_stream: OnStream, call: Callable[[], Any], name: str, stream: int, *, careful: bool) -> Captured:
    backend.synchronize()
    torch = _torch()
    failure: BaseException | None = None
    ended: Any = None
    nodes: tuple[str, ...] = ()
    result = None
    with quiet_host(), on_stream(stream), _current_in_libraries(stream):
        road = _Driver(backend) if torch is None else _Torch(torch)
        road.begin(stream)
        try:
            result = Watch(backend.graphs.capturing, stream, careful=careful).call(call)
            nodes = backend.graphs.nodes(stream)
        except BaseException as error:  # noqa: BLE001 - a capture must be ended whatever ended the body
            failure = error
        try:
            ended = road.end(stream)
        except Exception as error:  # noqa: BLE001 - which of the two is the cause is decided below
            failure = error if failure is None else failure
        if failure is None and not nodes:
            failure = NotCapturable("it launched nothing on gpuperf.stream, nor on what waits for it\nLaunch on gpuperf.stream, read inside the body at each call: kernel[grid, block, gpuperf.stream](...).")
    if failure is not None:
        if ended is not None:
            road.free(ended)
        raise _told(failure, name) from failure
    return Captured(collections.Counter(nodes), lambda on: road.replay(ended, on), lambda: road.free(ended), result)


class _Driver:
    """Capture through the driver: for numba, CuPy and launches of our own."""

    def __init__(self, backend: Backend) -> None:
        self._graphs = backend.graphs

    def begin(self, stream: int) -> None:
        self._graphs.begin(stream)

    def end(self, stream: int) -> Any:
        return self._graphs.end(stream)

    def replay(self, graph: Any, stream: int) -> None:
        self._graphs.replay(graph, stream)

    def free(self, graph: Any) -> None:
        # The device may be gone, or may be given back already: then so is the graph.
        with contextlib.suppress(Exception):
            self._graphs.free(graph)


class _Torch:
    """Capture through torch, whose allocator and random generators must know; its stream is current already."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._graph = torch.cuda.CUDAGraph()

    def begin(self, _stream: int) -> None:
        self._graph.capture_begin(capture_error_mode="thread_local")

    def end(self, _stream: int) -> Any:
        try:
            self._graph.capture_end()
        except Exception:
            # A broken capture can leave torch's allocator in the graph's pool, where every later allocation of the process would go.
            with contextlib.suppress(Exception):
                self._torch._C._cuda_endAllocateToPool(self._torch.cuda.current_device(), self._graph.pool())  # noqa: SLF001 - torch has no public way
            raise
        return self._graph

    def replay(self, graph: Any, stream: int) -> None:
        if self._torch.cuda.current_stream().cuda_stream == stream:
            graph.replay()
            return
        with self._torch.cuda.stream(StreamHandle(stream).torch):
            graph.replay()

    def free(self, graph: Any) -> None:
        with contextlib.suppress(Exception):
            graph.reset()


def _torch() -> Any:
    """Return torch where it is loaded and uses CUDA."""
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return torch if cuda is not None and cuda.is_available() else None


@contextlib.contextmanager
def _current_in_libraries(stream: int) -> Iterator[None]:
    """Make a stream the current one of the loaded libraries that have such a thing."""
    with contextlib.ExitStack() as stack:
        torch = _torch()
        if torch is not None and current_stream() != stream:
            stack.enter_context(torch.cuda.stream(StreamHandle(stream).torch))
        if "cupy" in sys.modules and stream not in LEGACY_HANDLES:
            stack.enter_context(StreamHandle(stream).cupy)
        yield


def _told(failure: BaseException, name: str) -> BaseException:
    """Return the error to raise: NotCapturable where a capture's rules were broken, else the body's own."""
    head = f"cannot capture {name}: "
    if isinstance(failure, NotCapturable):
        return failure if str(failure).startswith("cannot capture") else NotCapturable(f"{head}{failure}")
    row = forbidden(str(failure))
    if row is None:
        if "captur" not in str(failure).lower():
            return failure
        return NotCapturable(f"{head}{str(failure).splitlines()[0]}\nTake what this names out of the body.")
    at, line = _line_of(failure)
    what = deed(row, f"{str(failure).replace(row.name, '').replace(row.sentence, '')} {line}")
    return NotCapturable(f"{head}{what}{at}: {row.name} ({row.code})\nNext: {row.next_step}.")


def _line_of(failure: BaseException) -> tuple[str, str]:
    """Return " at file:line" and the source of the innermost line that is neither ours nor a library's."""
    frames = [one for one in traceback.extract_tb(failure.__traceback__) if "pytest_gpuperf" not in one.filename and "site-packages" not in one.filename]
    if not frames:
        return "", ""
    last = frames[-1]
    short = last.filename.replace("\\", "/").rpartition("/")[2]
    return f" at {short}:{last.lineno}" + (f" ({last.line})" if last.line else ""), last.line or ""
