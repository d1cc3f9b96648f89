"""The gate tests itself on a GPU: its kernel takes longer by the step and leaves the bits of its twin, and a small qualification comes home whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_gpuperf.qualify.subject import SUBJECTS, Bench, Words, launch
from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.testing import Example
from pytest_gpuperf.testing.kernels import work

pytestmark = pytest.mark.gpu
pytest_plugins = ["gpu_fixtures"]


@pytest.fixture
def bench(gpu_runtime: Any) -> Any:
    made = Bench(gpu_runtime.instruments(0), cache="cold", limit=0.2)
    yield made
    made.close()


@pytest.mark.parametrize("iterations", [0, 7, 256, 1003])
def test_the_kernel_leaves_the_bits_of_its_twin(gpu_runtime: Any, iterations: int) -> None:
    backend = gpu_runtime.instruments(0).backend
    count = 256 * 3
    values = np.random.default_rng(iterations).integers(0, 1 << 32, count, np.uint32)
    source, target = backend.alloc(4 * count), backend.alloc(4 * count)
    try:
        backend.upload(source, values.tobytes())
        launch(backend, Words(source, count), Words(target, count), iterations, 0)
        backend.synchronize()
        found = np.frombuffer(backend.download(target, 4 * count), np.uint32)
    finally:
        backend.free(source)
        backend.free(target)
    assert (found == work(values, iterations)).all()


def test_every_kernel_is_as_long_as_it_is_named_and_five_percent_more_work_are_five_percent_more_time(bench: Any) -> None:
    pace = bench.pace()
    for subject in SUBJECTS:
        # Where its memory lies costs a cold kernel 0.4 us now and then, the same at every call: the middle of five places.
        plain, slow = (sorted(bench.time(pace.iterations(subject.seconds, slowdown)).point for _ in range(5))[2] for slowdown in (0.0, 0.05))
        assert plain == pytest.approx(subject.seconds, rel=0.15, abs=0.2e-6)
        assert slow / plain == pytest.approx(1.05, abs=0.03)


def test_a_small_qualification_is_recorded_whole_and_finds_what_it_put_in(gpu_runtime: Any) -> None:
    result = Example({}).run_pytest("--gpuperf-qualify", "--gpuperf-pairs=2", timeout=90)
    assert result.run is not None, result.stdout + result.stderr
    assert validate(result.run) == []
    found = result.run["qualification"]
    assert found["reason"] is None
    assert not any(pair["reason"] for pair in found["pairs"]), result.stdout
    medium = [pair for pair in found["pairs"] if pair["kernel"] == "medium" and pair["slowdown"] == 0.05]
    assert len(medium) == 3
    # One pair of two processes may be undecided; what it must not be is unchanged.
    assert [pair["verdicts"]["0.02"] for pair in medium if pair["kind"] == "allocations"] == ["FAIL", "FAIL"], medium
    assert not any(pair["verdicts"]["0.02"] == "PASS" for pair in medium), medium
    unchanged = [pair for pair in found["pairs"] if not pair["slowdown"] and pair["kernel"] != "short"]
    assert not any(verdict == "FAIL" for pair in unchanged for verdict in pair["verdicts"].values()), result.stdout
