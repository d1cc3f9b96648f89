"""The lazy quantities of one measurement: its profiled pass, taken when a limit or the test asks for the first of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.counted import PROFILED, value_of
from pytest_gpuperf.timing.graph import Graph, count_launches, kernels_of, not_alone
from pytest_gpuperf.timing.memory import Memory
from pytest_gpuperf.timing.profile import Profile, take_later

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gpuperf.case import Case
    from pytest_gpuperf.runtime import Runtime
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.measure import Timed
    from pytest_gpuperf.values import Value

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


def wants_profile(runtime: Runtime, case: Case, name: str, own: Sequence[Any]) -> bool:
    """Say whether a limit of a measurement needs the pass, which then follows the timed samples at once, from the entry state."""
    assert runtime.backend is not None
    asked = [quantity for quantity in PROFILED if case.has_limit(quantity, name, list(own))]
    return bool(asked) and ("peak_memory" in asked or not runtime.backend.profiler.missing())


class Profiling:
    """The profiled quantities of one measured body, and what of them goes into its record."""

    def __init__(self, runtime: Runtime, case: Case, name: str, body: Body, arrays: Sequence[Any], stream: int, timed: Timed) -> None:
        """Keep what the pass needs; one that followed the samples is taken over."""
        self._runtime, self._case, self._name, self._body, self._arrays, self._stream, self._timed = runtime, case, name, body, arrays, stream, timed
        self._profile = None if timed.profile is None else self._believed(timed.profile)
        #: The record's details, where the pass is written down.
        self.details: dict[str, Any] = {}

    def lazy(self) -> dict[str, Callable[[], Value]]:
        """Return what measures each quantity, by name."""
        return {name: self._launches if name == "launches" else lambda name=name: self._value(name) for name in PROFILED}  # type: ignore[misc]

    def _value(self, name: str) -> Value:
        return value_of(name, self._taken(), self._case)

    def _launches(self) -> Value:
        """Count by CUPTI; where that is not there, and for a graph, which knows them, from the nodes of a capture."""
        backend, body, case = self._runtime.backend, self._body, self._case
        assert backend is not None
        hole = self._runtime.hole
        if hole is None and not isinstance(body.function, Graph) and not backend.profiler.missing():
            found = self._value("launches")
            if found.number is not None:
                return found
        hole = hole or not_alone(self._timed.values["time"].reason)
        return kernels_of(hole, case) if hole else count_launches(backend, self._runtime.on_stream, body, self._timed.details["body"], self._stream, case)

    def _taken(self) -> Profile:
        if self._profile is None:
            hole = self._runtime.hole
            if hole is not None:
                return Profile(hole, Memory(reason=hole))
            with self._runtime.locked(self._case.nodeid), self._runtime.on_stream(self._stream):
                steps = self._case.timeline.of(self._name)
                taken = take_later(self._runtime.instruments(self._stream), self._body, self._arrays, self._stream, steps)
            self._profile = self._believed(taken)
        self.details |= {"profile": self._profile.record(), **self._profile.timeline()}
        return self._profile

    def _believed(self, profile: Profile) -> Profile:
        """Refuse records without any work of a body that the device clock saw work of, or with fewer kernels than it launched: they are a hole, not a zero."""
        time = self._timed.values["time"]
        if isinstance(profile.calls, Reason):
            return profile
        if not any(one.work for one in profile.calls) and time.number is not None and time.reason is None:
            return dataclasses.replace(profile, calls=Reason("cupti-no-records", f"CUPTI recorded no work of the body, of which the clock says {time}"))
        for one in profile.calls:
            seen, launched = len(one.of("kernel")), one.launched
            if seen < launched:
                told = f"CUPTI recorded {seen} of the {launched} {'kernel' if launched == 1 else 'kernels'} that a call of the body launched"
                return dataclasses.replace(profile, calls=Reason("cupti-dropped" if seen else "cupti-no-records", told))
        return profile
