"""Capture through the driver: what one stream launches becomes a graph; and what CUDA says of a body that cannot be one."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.backend import LEGACY_STREAM
from pytest_gpuperf.device.calls import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Handles that all mean the legacy default stream: the default of a process without per-thread streams, and CU_STREAM_LEGACY.
LEGACY_HANDLES = (LEGACY_STREAM, 1)
_ACTIVE = 1
_PREFIX = "CU_GRAPH_NODE_TYPE_"


@dataclasses.dataclass(frozen=True, slots=True)
class Forbidden:
    """One row of FORBIDDEN: a code of the driver, its name there and in the runtime, its sentence, what it means for a body, the next step."""

    code: int
    name: str
    runtime_name: str
    sentence: str
    what: str
    next_step: str


FORBIDDEN: tuple[Forbidden, ...] = (
    Forbidden(
        900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "cudaErrorStreamCaptureUnsupported", "not permitted when stream is capturing",
        "it waits for the device, allocates or frees memory, or loads code", "move that out of the body; allocate before, synchronise after",
    ),
    Forbidden(
        906, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "cudaErrorStreamCaptureImplicit", "legacy stream depend on a capturing blocking stream",
        "it uses the legacy default stream", "launch on gpuperf.stream, read inside the body at each call: kernel[grid, block, gpuperf.stream](...)",
    ),
    Forbidden(
        904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "cudaErrorStreamCaptureUnjoined", "unjoined work",
        "it leaves work on another stream that gpuperf.stream does not wait for", "let gpuperf.stream wait for the other stream at the end of the body",
    ),
    Forbidden(
        905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "cudaErrorStreamCaptureIsolation", "dependency on an uncaptured event",
        "it waits for work from before the capture", "let gpuperf.stream wait for that work before the body",
    ),
    Forbidden(
        902, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "cudaErrorStreamCaptureMerge", "merge two independent capture sequences",
        "it merges two captures", "capture one body at a time",
    ),
    Forbidden(
        903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "cudaErrorStreamCaptureUnmatched", "not initiated in this stream",
        "it ends a capture itself", "take the capture out of the body: gpuperf.graph makes its own",
    ),
    Forbidden(
        907, "CUDA_ERROR_CAPTURED_EVENT", "cudaErrorCapturedEvent", "last recorded in a capturing stream",
        "it waits for, or asks for the time of, an event of the capture", "take events out of the body",
    ),
    Forbidden(
        908, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "cudaErrorStreamCaptureWrongThread", "attempted to be ended in a different thread",
        "it launches from another thread", "launch from the thread that calls the body",
    ),
    # Last: it follows one of those above, and says less.
    Forbidden(
        901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "cudaErrorStreamCaptureInvalidated", "previous error during capture",
        "a call in it broke the capture, and the body went on",
        "look for a call in it that waits for the device, allocates, or uses the legacy default stream",
    ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Deed:
    """One row of DEEDS: how calls are named that all do one thing a capture forbids, and what that is."""

    pattern: str
    what: str


DEEDS: tuple[Deed, ...] = (
    Deed(r"[Ss]ynchronize|\bsync\b|\.item\(|\.tolist\(", "it waits for the device"),
    Deed(r"copy_to_host|copy_to_device|to_device|\.cpu\(|\.numpy\(|\.get\(\)|[Mm]emcpy|\bupload\b|\bdownload\b", "it copies between host and device and waits for that"),
    Deed(r"[Mm]em[A-Z]?\w*[Aa]lloc|cudaMalloc|[Mm]em[A-Z]?\w*Free|cudaFree|device_array|\balloc\b|\bfree\b", "it allocates or frees device memory"),
    Deed(r"Module|Library|FuncLoad|\bcompile\b", "it compiles or loads code"),
    Deed(r"Query", "it asks whether an event or a stream is done"),
)


def forbidden(text: str) -> Forbidden | None:
    """Return the row of FORBIDDEN that an error's text names; None where it names none.

    >>> forbidden("CUDA error: operation not permitted when stream is capturing").code
    900
    >>> forbidden("ValueError: no") is None
    True
    """
    return next((row for row in FORBIDDEN if row.name in text or row.runtime_name in text or row.sentence in text), None)


def deed(row: Forbidden, text: str) -> str:
    """Say what a body did, from the names of calls in an error's text and the source line.

    >>> deed(FORBIDDEN[0], "cuCtxSynchronize: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900)")
    'it waits for the device'
    """
    if row.code != FORBIDDEN[0].code:
        return row.what
    return next((one.what for one in DEEDS if re.search(one.pattern, text)), row.what)


class Captures:
    """Capture and replay through the driver; see `Graphs` for what each does."""

    def __init__(self, driver: Any, call: Callable[..., Any]) -> None:
        """Keep the driver and its checked call; no stream is made yet."""
        self._driver, self._call = driver, call
        self._stream: Any = None
        self._graphs: set[int] = set()

    def stream(self) -> int:
        """Return our own stream.

        A blocking one: beside a non-blocking stream a launch on the legacy stream would run at once, unseen, instead of failing.
        """
        if self._stream is None:
            self._stream = self._call("cuStreamCreate", int(self._driver.CUstream_flags.CU_STREAM_DEFAULT))
        return int(self._stream)

    def begin(self, stream: int) -> None:
        """Begin to capture; other threads of the process may go on with what is forbidden here."""
        self._call("cuStreamBeginCapture", stream, self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)

    def capturing(self, stream: int) -> bool:
        """Ask the driver; the legacy stream is never captured."""
        return stream not in LEGACY_HANDLES and int(self._call("cuStreamIsCapturing", stream)) == _ACTIVE

    def nodes(self, stream: int) -> tuple[str, ...]:
        """List the nodes of the graph while it grows: so torch's captures, which keep their graph, are read in the same way."""
        status, _, graph, *_ = self._call("cuStreamGetCaptureInfo", stream)
        if int(status) != _ACTIVE:
            row = FORBIDDEN[-1]
            message = f"cuStreamGetCaptureInfo: {row.name} ({row.code}): {row.what}"
            raise DeviceError(message, row.code)
        return tuple(self._kinds(graph))

    def _kinds(self, graph: Any) -> Iterator[str]:
        _, count = self._call("cuGraphGetNodes", graph, 0)
        nodes, _ = self._call("cuGraphGetNodes", graph, count) if count else ((), 0)
        for node in nodes:
            kind = self._driver.CUgraphNodeType(int(self._call("cuGraphNodeGetType", node))).name.removeprefix(_PREFIX).lower()
            if kind == "graph":
                yield from self._kinds(self._call("cuGraphChildGraphNodeGetGraph", node))
            else:
                yield kind

    def end(self, stream: int) -> Any:
        """End the capture and instantiate."""
        graph = self._call("cuStreamEndCapture", stream)
        try:
            made = self._call("cuGraphInstantiate", graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)
        self._graphs.add(int(made))
        return int(made)

    def replay(self, graph: Any, stream: int) -> None:
        """Launch the graph."""
        self._call("cuGraphLaunch", graph, stream)

    def free(self, graph: Any) -> None:
        """Destroy the graph, where the device has not been given back."""
        if graph in self._graphs:
            self._graphs.discard(graph)
            self._call("cuGraphExecDestroy", graph)

    def held(self) -> Iterator[tuple[Any, ...]]:
        """Yield the calls that give everything back."""
        yield from (("cuGraphExecDestroy", graph) for graph in sorted(self._graphs))
        self._graphs.clear()
        if self._stream is not None:
            yield "cuStreamDestroy", self._stream
            self._stream = None
