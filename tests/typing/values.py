"""What a type checker makes of Values; read by mypy, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

import pytest_gpuperf
from pytest_gpuperf import Value

if TYPE_CHECKING:
    from pytest_gpuperf import GpuPerf, Measurement


def measurements_hold_values(m: Measurement) -> None:
    assert_type(m.time, Value)
    assert_type(m.time.p99, Value)
    assert_type(m["host_time"], Value)
    assert_type(m.roof, Value)
    assert_type(m.x_roof, Value)
    assert_type(m.require(time="<= 12 us"), None)


def comparisons_are_bools(m: Measurement, base: Measurement) -> None:
    assert_type(m.time < 15e-6, bool)
    assert_type(m.time <= 0.9 * base.time, bool)
    assert_type(m["time"] > base["time"], bool)
    assert_type(m.time >= 1, bool)
    assert_type(m["launches"] == 1, bool)
    assert_type(m["launches"] != 1, bool)
    assert_type(1e-6 < m.time, bool)  # noqa: SIM300


def arithmetic_gives_values(m: Measurement, base: Measurement) -> None:
    assert_type(m.time - base.time, Value)
    assert_type(m.time / base.time, Value)
    assert_type(0.9 * base.time, Value)
    assert_type(1 + base.time, Value)
    assert_type(1 - base.time, Value)
    assert_type(1 / base.time, Value)
    assert_type(base.time * 2, Value)
    assert_type(-base.time, Value)
    assert_type(abs(m.time - base.time), Value)


def numbers_are_asked_for(m: Measurement) -> None:
    assert_type(m.time.point, float)
    assert_type(float(m.time), float)
    assert_type(m.time.bounds, tuple[float, float])
    assert_type(f"{m.time:.3f}", str)


def mistakes_are_found(m: Measurement) -> None:
    _ = m.time < "12 us"  # type: ignore[operator]
    _ = m.time + "12 us"  # type: ignore[operator]
    _ = m.time - None  # type: ignore[operator]
    m.time.number = 3.0  # type: ignore[misc]
    m.time.bounds = (0.0, 1.0)  # type: ignore[misc]
    pytest_gpuperf.Work(reeds=4)  # type: ignore[call-arg]


def a_test_of_a_user(gpuperf: GpuPerf) -> None:
    def body(count: int) -> int:
        return count

    m = gpuperf.measure(body, 3, work=pytest_gpuperf.Work(reads=4, writes=4), cache="warm")
    assert_type(m, pytest_gpuperf.Measurement)
    assert m.time < 15e-6
