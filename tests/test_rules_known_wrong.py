"""Known-wrong kernels, each caught by its name: what it does, in which cache states, and what the plugin says."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.work import Work


@dataclasses.dataclass(frozen=True)
class Wrong:
    """One wrong kernel: its name, its effect on (output, state, number of the call), and the error that names it."""

    name: str
    effect: Callable
    told: str


def _accumulates(out, state, call):
    out += 1.0


def _wrong_now_and_then(out, state, call):
    out[:] = 1.0
    if call % 7 == 6:
        out[3] = 2.0


def _forgets_the_tail(out, state, call):
    out[: len(out) - 3] = 1.0


def _writes_once(out, state, call):
    if call == 0:
        out[:] = 1.0


def _writes_nothing(out, state, call):
    pass


def _keeps_count(out, state, call):
    out[:] = call


def _flips_a_sign(out, state, call):
    out[:] = 0.0
    out[5] *= -1.0 if call % 2 else 1.0


def _flips_a_payload(out, state, call):
    out[:] = float("nan")
    out.view("uint32")[5] ^= call % 2


def _spoils_its_state(out, state, call):
    out[:] = 1.0
    state[0] += call


def _gives_its_state_up(out, state, call):
    out[:] = 1.0
    if call < 2:
        state[:] = 5.0


ROWS = (
    Wrong("accumulates into its output", _accumulates, r"^(changed between calls: outputs\[0\]|not written)"),
    Wrong("is wrong now and then", _wrong_now_and_then, r"^changed between calls: outputs\[0\]"),
    Wrong("forgets the tail", _forgets_the_tail, r"^not written: 3 of 61 elements of outputs\[0\] keep the poison, first at \[58\]"),
    Wrong("writes at its first call only", _writes_once, r"^not written: 61 of 61 elements of outputs\[0\]"),
    Wrong("writes nothing", _writes_nothing, r"^not written: 61 of 61 elements of outputs\[0\]"),
    Wrong("counts its calls", _keeps_count, r"^changed between calls: outputs\[0\]"),
    Wrong("flips the sign of a zero", _flips_a_sign, r"^changed between calls: outputs\[0\]"),
    Wrong("flips a bit of a NaN", _flips_a_payload, r"^changed between calls: outputs\[0\]"),
    Wrong("stops changing its state", _gives_its_state_up, r"^changed between calls: inout\[0\]"),
    Wrong("spoils its state", _spoils_its_state, r"^changed between calls: inout\[0\]"),
)


@pytest.mark.parametrize("cache", ["cold", "warm", "cold-dirty", "steady"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_is_rejected(row, cache):
    fake = device(**STILL)
    out, state = fake.array(61), fake.array(8)
    state.numpy()[:] = 1.0
    calls = itertools.count()
    kernel = fake.kernel(1000 * US, effect=lambda: row.effect(out.numpy(), state.numpy(), next(calls)))
    with bench(fake, limit=0.5) as gpuperf, pytest.raises(NotIdentical, match=row.told):
        gpuperf.measure(kernel, outputs=[out], inout=[state], cache=cache, work=Work(reads=1 << 20))


@pytest.mark.parametrize("cache", ["cold", "warm", "cold-dirty", "steady"])
def test_the_right_one_beside_them_is_accepted(cache):
    fake = device(**STILL)
    out, state = fake.array(61), fake.array(8)
    state.numpy()[:] = 1.0

    def effect():
        out.numpy()[:] = 1.0
        state.numpy()[:] = 5.0

    with bench(fake, limit=0.5) as gpuperf:
        m = gpuperf.measure(fake.kernel(1000 * US, effect=effect), outputs=[out], inout=[state], cache=cache, work=Work(reads=1 << 20))
    assert m.time.number is not None
    assert set(state.numpy().tolist()) == {5.0}


@pytest.mark.parametrize("cache", ["cold", "steady"])
def test_one_that_undoes_itself_is_accepted(cache):
    # An even number of calls in a batch ends where it began: that is no body that stopped writing.
    fake = device(**STILL)
    state = fake.array(8)
    state.numpy()[:] = 1.0
    flip = fake.kernel(1000 * US, effect=lambda: state.numpy().__imul__(-1.0))
    with bench(fake, limit=0.5) as gpuperf:
        gpuperf.measure(flip, inout=[state], cache=cache, work=Work(reads=1 << 20))
    assert set(state.numpy().tolist()) == {-1.0}
