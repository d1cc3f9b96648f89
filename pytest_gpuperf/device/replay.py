"""Graphs of one launch each: what the clock calibrates its constant for graph replays on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Replays:
    """Captured launches by what they launch; each is captured and instantiated at its first use."""

    def __init__(self, driver: Any, call: Callable[..., Any]) -> None:
        """Keep the driver and its checked call; nothing is captured yet."""
        self._driver, self._call = driver, call
        self._graphs: dict[tuple[Any, ...], Any] = {}

    def replay(self, key: tuple[Any, ...], launch: Callable[[Any], None], stream: int) -> None:
        """Replay the graph of a launch; `launch` takes the stream that captures it."""
        if key not in self._graphs:
            self._graphs[key] = self._capture(launch)
        self._call("cuGraphLaunch", self._graphs[key], stream)

    def _capture(self, launch: Callable[[Any], None]) -> Any:
        call, driver = self._call, self._driver
        stream = call("cuStreamCreate", int(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
        try:
            call("cuStreamBeginCapture", stream, driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            launch(stream)
            graph = call("cuStreamEndCapture", stream)
            try:
                return call("cuGraphInstantiate", graph, 0)
            finally:
                call("cuGraphDestroy", graph)
        finally:
            call("cuStreamDestroy", stream)

    def held(self) -> Iterator[tuple[Any, ...]]:
        """Yield the calls that give the graphs back."""
        for graph in self._graphs.values():
            yield "cuGraphExecDestroy", graph
        self._graphs.clear()
