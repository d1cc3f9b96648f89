"""The verbs of the fixture in a child session: each body is called once inside its range, and nothing is timed, judged or checked."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING, Any, Protocol

from pytest_gpuperf.arguments import call_once, listed, read_body
from pytest_gpuperf.child_values import child_speedup, child_value, child_values
from pytest_gpuperf.comparing import Given
from pytest_gpuperf.comparison import Comparison
from pytest_gpuperf.counters.code import code_hash
from pytest_gpuperf.device.streams import handle_of
from pytest_gpuperf.fixture import OPTIONS, GpuPerf
from pytest_gpuperf.measurement import Measurement
from pytest_gpuperf.metrics import metric
from pytest_gpuperf.nvtx_ranges import measurement_range, slug
from pytest_gpuperf.runtime import Runtime
from pytest_gpuperf.timing.buffers import Buffers
from pytest_gpuperf.timing.fingerprint import inputs_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.device.operations import Operations
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.values import Value
    from pytest_gpuperf.work import Work

#: A full name of a hardware counter.
_COUNTER = re.compile(r"[a-z0-9]+__[A-Za-z0-9_]+(\.[a-z_]+)*")


class Tells(Protocol):
    """Whoever writes down what a child has done."""

    def measured(self, nodeid: str, **told: Any) -> None:
        """Hear of a body whose range has closed: its name, its slug, and what the parent compares."""


class ChildRuntime(Runtime):
    """A runtime that opens the device for operations alone: the parent holds the lock, and nothing here is timed."""

    tells: Tells

    @contextlib.contextmanager
    def locked(self, label: str) -> Iterator[None]:  # noqa: ARG002 - Runtime's own signature
        """Take no lock: the parent has it."""
        yield


@dataclasses.dataclass(repr=False)
class ChildMeasurement(Measurement):
    """A measurement of which nothing is known and every question is answered."""

    def __getitem__(self, quantity: str) -> Value:
        """Return a Value that agrees with everything; KeyError for what no measurement has."""
        return child_value(quantity, "1") if _COUNTER.fullmatch(quantity) else super().__getitem__(quantity)

    def require(self, **limits: Any) -> None:
        """Judge nothing."""

    @property
    def kernels_by_name(self) -> dict[str, tuple[int, float]]:
        """Nothing: no kernel was timed."""
        return {}

    @property
    def roof(self) -> Value:
        """No roof is measured."""
        return child_value("roof", "s")

    @property
    def percent(self) -> Value:
        """No roof is measured."""
        return child_value("percent", "%", "more")

    @property
    def x_roof(self) -> Value:
        """No roof is measured."""
        return child_value("x_roof", "x roof")


@dataclasses.dataclass(repr=False)
class ChildComparison(Comparison):
    """A comparison that compared nothing."""

    def require(self, *, speedup: Any, of: str, over: str) -> None:  # noqa: ARG002 - Comparison's own signature
        """Judge nothing; BadBudget for versions that are not there."""
        self._refuse_unknown("require", of, over)

    def _ratio(self, of: str, over: str) -> Value:
        return child_speedup(f"speedup of {of} over {over}")


class ChildCompiled:
    """A compiled kernel of which nothing is known and every question is answered."""

    ptx = sass = code_hash = ""

    def __getattr__(self, name: str) -> Value:
        """Return a Value that agrees with everything; AttributeError for what is no quantity."""
        row = metric(name)
        if row is None:
            raise AttributeError(name)
        return child_value(name, row.unit, row.better)

    def __getitem__(self, quantity: str) -> Value:
        """Return a Value that agrees with everything."""
        return self.__getattr__(quantity)

    def require(self, **limits: Any) -> None:
        """Judge nothing."""


class ChildGpuPerf(GpuPerf):
    """The `gpuperf` object of a case in a child session."""

    #: A write outside of an array is a tool's to find there, and would not be one inside of a zone.
    _zones = False

    def measure(
        self, fn: Callable[..., Any], *args: Any, name: str | None = None, work: Work | None = None, outputs: Sequence[Any] = (), inout: Sequence[Any] = (),
        inputs: Sequence[Sequence[Any]] | None = None, varies: bool = False, setup: Callable[[], Any] | None = None, stream: Any = None,
        cache: str | None = None, duty: str = "spaced", clock: str | None = None, samples: int = 0, counters: Sequence[str] = (),
        budget: Mapping[str, Any] | None = None, **kw: Any,
    ) -> Measurement:  # fmt: skip
        """Call a body once inside its range, after a call of every argument set outside; its Values agree with everything."""
        __tracebackhide__ = True
        del cache, duty, clock, samples, counters, budget
        chosen = self._case.name_for(name)
        body = read_body(fn, args, inputs, kw, work, setup, varies=varies, options=OPTIONS)
        with self._profiler([body], outputs, inout, stream) as profile:
            result = profile(body, chosen)
        return self._made(chosen, result, work)

    def compare(
        self, versions: Mapping[str, Callable[..., Any]], *args: Any, name: str = "compare", work: Work | None = None, outputs: Sequence[Any] = (),
        inout: Sequence[Any] = (), inputs: Sequence[Sequence[Any]] | None = None, varies: bool = False, setup: Callable[[], Any] | None = None,
        stream: Any = None, cache: str | None = None, **kw: Any,
    ) -> Comparison:  # fmt: skip
        """Call each version once inside its own range, all from the same bits."""
        __tracebackhide__ = True
        bodies = Given(versions, args, kw, name, work, listed(outputs), listed(inout), inputs, varies, setup, stream, cache).bodies()
        names = {version: self._case.name_for(f"{name}/{version}") for version in bodies}
        with self._profiler(list(bodies.values()), outputs, inout, stream) as profile:
            made = {version: self._made(names[version], profile(body, names[version]), work) for version, body in bodies.items()}
        return ChildComparison(name, made, device=self._runtime.device)

    def compiled(self, kernel: Any, signature: str | None = None, **_: Any) -> Any:  # noqa: ARG002 - GpuPerf's own words
        """Compile nothing: the parent does."""
        return ChildCompiled()

    def _check(self, kind: str, name: str, check: Callable[[], str]) -> None:
        """Check nothing: the parent does."""

    def _made(self, name: str, result: Any, work: Work | None) -> Measurement:
        made = ChildMeasurement(name, result, child_values(), work, device=self._runtime.device)
        self._case.measurements[name] = made
        return made

    @contextlib.contextmanager
    def _profiler(self, bodies: Sequence[Body], outputs: Any, inout: Any, stream: Any) -> Iterator[Callable[[Body, str], Any]]:
        """Give what profiles bodies that share their arrays; where there is no device it only calls them."""
        runtime, nodeid = self._runtime, self._case.nodeid
        assert isinstance(runtime, ChildRuntime)
        operations = runtime.operations()
        if operations is None:

            def only_call(body: Body, name: str) -> Any:
                result = call_once(body)
                runtime.tells.measured(nodeid, name=name, slug=slug(nodeid, name), inputs=None, written=None, code=None)
                return result

            yield only_call
            return
        assert runtime.backend is not None
        handle = runtime.stream if stream is None else handle_of(stream)
        arrays = _Arrays(runtime.backend, operations, bodies[0], listed(outputs), listed(inout), handle)
        try:
            with runtime.on_stream(None if stream is None else handle):

                def profile(body: Body, name: str) -> Any:
                    label = slug(nodeid, name)
                    arrays.buffers.restore(handle)
                    given = inputs_record(arrays.backend, operations, body, arrays.inout, handle, arrays.outputs)
                    result = arrays.call(body, label)
                    runtime.tells.measured(nodeid, name=name, slug=label, inputs=given, written=arrays.written, code=code_hash(body))
                    return result

                yield profile
        finally:
            arrays.buffers.close()


class _Arrays:
    """The declared arrays of what is profiled, and how a body is called on them."""

    def __init__(self, backend: Backend, operations: Operations, body: Body, outputs: list[Any], inout: list[Any], stream: int) -> None:
        backend.synchronize()
        self.backend, self.outputs, self.inout, self.stream = backend, outputs, inout, stream
        self.buffers = Buffers(backend, operations, body, outputs, inout)
        self.buffers.prepare(stream)
        self.buffers.snapshot(stream)

    @property
    def written(self) -> int | None:
        """Bytes of all declared outputs and inouts; None where none is declared."""
        declared = [*self.buffers.outputs, *self.buffers.inouts]
        return sum(one.nbytes for one in declared) if declared else None

    def call(self, body: Body, label: str) -> Any:
        """Warm up with every argument set, call set 0 inside its range, and leave exactly one call of every set."""
        for index in range(body.sets):
            self._prepared(body)
            body(index)
        self._prepared(body)
        with measurement_range(label):
            try:
                result = body(0)
            finally:
                # What the body launched before it failed belongs to it too.
                self.backend.synchronize()
        if body.sets > 1:
            self.buffers.restore(self.stream)
            shared = self.buffers.shared_inout()
            for index in range(body.sets):
                if body.setup is not None:
                    body.setup()
                if shared:
                    self.buffers.restore(self.stream)
                result = body(index)
            self.backend.synchronize()
        return result

    def _prepared(self, body: Body) -> None:
        if body.setup is not None:
            body.setup()
        self.buffers.restore(self.stream)
        self.backend.synchronize()
