"""FakeKernel: what a test on a fake device measures."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gpuperf.testing.device import FakeDevice

    Arrays = Sequence[Any] | Callable[..., Sequence[Any]]


@dataclasses.dataclass(eq=False)
class FakeKernel:
    """A body that puts one kernel on a stream: its virtual duration, what it reads and writes, what it does to memory.

    `overloads` is empty until the first call, which compiles and takes `FakeSpec.compile_time`: by that numba's kernels tell
    whether they were compiled. Arguments of a call go to `effect`, and to `reads` and `writes` where these are functions.
    """

    device: FakeDevice
    duration: float | None
    reads: Arrays = ()
    writes: Arrays = ()
    effect: Callable[..., Any] | None = None
    stream: int | Callable[[], int] = 0
    graph: bool = False
    host_cost: float | None = None
    watts: float | None = None
    overloads: dict[str, str] = dataclasses.field(default_factory=dict)

    def __call__(self, *arguments: Any) -> Any:
        """Enqueue the kernel, or replay its graph; return what the effect returns."""
        if not self.overloads:
            self.device.compile()
            self.overloads["()"] = "compiled"
        return self.replay(arguments) if self.graph else self.launch(arguments)

    def launch(self, arguments: tuple[Any, ...]) -> Any:
        """Launch it."""
        return self._enqueue(arguments)

    def replay(self, arguments: tuple[Any, ...]) -> Any:
        """Replay a graph of it."""
        return self._enqueue(arguments)

    def where(self) -> int:
        """Return the stream of a call made now."""
        return self.stream() if callable(self.stream) else self.stream

    def _enqueue(self, arguments: tuple[Any, ...]) -> Any:
        reads = self.reads(*arguments) if callable(self.reads) else self.reads
        writes = self.writes(*arguments) if callable(self.writes) else self.writes
        effect = None if self.effect is None else functools.partial(self.effect, *arguments)
        return self.device.run(self.duration, reads, writes, stream=self.where(), graph=self.graph, host_cost=self.host_cost, watts=self.watts, effect=effect)
