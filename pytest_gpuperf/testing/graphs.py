"""Capture on a fake device: what a capturing stream gets is kept and run at each replay, and what CUDA forbids breaks the capture."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.testing.spec import FakeDeviceError

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Runs one operation: its effect, and its time on a stream; True as part of a graph.
    Run = Callable[[int, bool], Any]

_LEGACY = 0
#: Calls that wait for the device, allocate or load code.
_UNSUPPORTED = frozenset({"alloc", "free", "synchronize", "wait", "elapsed", "upload", "download", "compile", "block", "memory"})


@dataclasses.dataclass
class _Capture:
    stream: int
    operations: list[tuple[str, Run]]
    broken: bool = False


class FakeGraphs:
    """Capture and replay as the plugin's backend has them.

    >>> from pytest_gpuperf.testing import FakeDevice
    >>> fake = FakeDevice()
    >>> stream = fake.graphs.stream()
    >>> body = fake.kernel(5e-6, stream=stream)
    >>> body()
    >>> fake.graphs.begin(stream); body(); body()
    >>> fake.graphs.nodes(stream)
    ('kernel', 'kernel')
    >>> graph = fake.graphs.end(stream)
    >>> fake.graphs.replay(graph, 0)
    """

    def __init__(self, make_stream: Callable[[], int], called: Callable[[str], None]) -> None:
        self._make_stream, self._called = make_stream, called
        self._stream: int | None = None
        self._capture: _Capture | None = None
        self._graphs: dict[int, list[tuple[str, Run]]] = {}
        self._made = 0

    def stream(self) -> int:
        """Return our own stream."""
        if self._stream is None:
            self._stream = self._make_stream()
        return self._stream

    def begin(self, stream: int) -> None:
        """Begin to capture a stream."""
        if stream == _LEGACY or self._capture is not None:
            raise FakeDeviceError(f"begin({stream:#x}): CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900): the legacy stream, or a second capture")
        self._capture = _Capture(stream, [])

    def capturing(self, stream: int) -> bool:
        """Say whether a stream is captured."""
        return self._capture is not None and not self._capture.broken and self._capture.stream == stream

    def nodes(self, stream: int) -> tuple[str, ...]:
        """Return the kinds of what was captured so far."""
        if self._capture is None or not self.capturing(stream):
            raise FakeDeviceError("nodes: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED (901): nothing is captured, or the capture is broken")
        return tuple(kind for kind, _ in self._capture.operations)

    def end(self, stream: int) -> int:
        """End the capture; FakeDeviceError where it was broken."""
        capture, self._capture = self._capture, None
        if capture is None or capture.stream != stream:
            raise FakeDeviceError(f"end({stream:#x}): CUDA_ERROR_ILLEGAL_STATE (401): the stream is not captured")
        if capture.broken:
            raise FakeDeviceError("end: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED (901): a call before broke the capture")
        self._made += 1
        self._graphs[self._made] = capture.operations
        return self._made

    def replay(self, graph: int, stream: int) -> None:
        """Run what was captured."""
        if graph not in self._graphs:
            raise FakeDeviceError(f"replay({graph}): CUDA_ERROR_INVALID_HANDLE (400): no such graph")
        operations = self._graphs[graph]
        self._called("graph")

        def run(on: int, _graph: bool) -> None:
            for _, operation in operations:
                operation(on, True)

        if self.capturing(stream) and self._capture is not None:
            # A replay that is captured is a child graph; its nodes are listed as the driver's are.
            self._capture.operations += operations
            return
        self.issue("graph", stream, run)

    def free(self, graph: int) -> None:
        """Forget a graph."""
        self._graphs.pop(graph, None)

    def refuse(self, call: str) -> None:
        """Fail for a call that a capture forbids."""
        if self._capture is not None and call in _UNSUPPORTED:
            self._capture.broken = True
            raise FakeDeviceError(f"{call}: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900): operation not permitted when stream is capturing")

    def issue(self, kind: str, stream: int, run: Run) -> Any:
        """Run an operation, or keep it where its stream is captured."""
        capture = self._capture
        if capture is not None and stream == _LEGACY:
            capture.broken = True
            raise FakeDeviceError(f"{kind} on stream 0: CUDA_ERROR_STREAM_CAPTURE_IMPLICIT (906): would make the legacy stream depend on a capturing blocking stream")
        if capture is None or stream != capture.stream:
            return run(stream, False)
        capture.operations.append((kind, run))
        return None
