"""What a test that reads a trace of nsys sees of its types."""

from __future__ import annotations

from typing import assert_type

from pytest_gpuperf import Measurement, Value
from pytest_gpuperf.imports import nsys

trace = nsys.load("trace.sqlite")
assert_type(trace, nsys.Trace)
assert_type(trace["step"], Measurement)
assert_type(trace.measurement("step", domain="", process=1, skip=1).launches, Value)
assert_type([one.label for one in trace], list[str])

trace[1]  # type: ignore[index]
trace.measurement("step", thread=1)  # type: ignore[call-arg]
