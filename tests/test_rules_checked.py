"""Rule 5: what is checked is what was timed."""

from __future__ import annotations

import gc
import re

import numpy as np
import pytest
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.testing import FakeDevice
from pytest_gpuperf.work import Work

STATES = ["cold", "warm", "cold-dirty", "steady"]


class Logged(FakeDevice):
    """Writes down every operation that a sample is made of, in the order in which it is enqueued."""

    def __init__(self, spec):
        super().__init__(spec)
        self.log = []

    def launch(self, kernel, arguments, stream, **shape):
        self.log.append(kernel)
        super().launch(kernel, arguments, stream, **shape)

    def memset(self, address, byte, nbytes, stream):
        if nbytes > 1024:
            self.log.append("memset")
        super().memset(address, byte, nbytes, stream)

    def copy(self, *arguments):
        self.log.append("copy")
        super().copy(*arguments)

    def record(self, *arguments):
        self.log.append("event")
        super().record(*arguments)

    def block(self, *arguments):
        self.log.append("block")
        super().block(*arguments)

    def release(self):
        self.log.append("release")
        return super().release()


ORDER = {
    "cold": "setup copy fill memset flush_read block event body event release digest digest",
    "warm": "setup copy fill body copy fill block event body event release digest digest",
    "cold-dirty": "setup copy fill memset block event body event release digest digest",
}


@pytest.mark.parametrize("cache", ORDER)
def test_the_order_of_a_sample(cache):
    fake = device(kind=Logged, **STILL)
    state, out = fake.array(64), fake.array(64)
    state.numpy()[:] = 0
    kernel = fake.kernel(5 * US, writes=[state, out], effect=lambda: (fake.log.append("body"), out.numpy().fill(7), None)[-1])
    m = measured(fake, kernel, outputs=[out], inout=[state], setup=lambda: fake.log.append("setup"), cache=cache)
    # A spin kernel may stand before the window, so that the host is ahead of the device.
    text = _without_leads(fake.log)
    assert text.count(ORDER[cache]) >= m.time.samples, text[-600:]


def test_the_order_of_a_steady_sample():
    fake = device(kind=Logged, **STILL)
    arrays = [fake.array(1 << 17, "uint8") for _ in range(3)]
    kernel = fake.kernel(1000 * US, effect=lambda one: (fake.log.append("body"), one.numpy().fill(7), None)[-1])
    m = measured(fake, kernel, inputs=[(one,) for one in arrays], outputs=arrays, cache="steady")
    batch = m.details["samples"]["batch"]
    assert batch % 3 == 0
    text = _without_leads(fake.log)
    order = "fill fill fill block body body body event" + " body" * batch + " event release digest"
    assert text.count(order) >= m.time.samples, text[-600:]


def _without_leads(log):
    """The operations in order, less the events that stand before the first of a reading, and the spin kernel before its block."""
    return re.sub(r"(event )+(?=event body)", "", " ".join(log).replace("spin block", "block"))


def _adder(fake, size=64):
    """A kernel that adds its input to an array in place: two calls leave something else than one."""
    total = fake.array(size, "int32")
    total.numpy()[:] = 10
    return total, fake.kernel(1000 * US, writes=[total], effect=lambda: total.numpy().__iadd__(1) is None)


@pytest.mark.parametrize("cache", STATES)
def test_the_buffers_hold_exactly_one_call_from_the_entry_state(cache):
    fake = device(**STILL)
    total, kernel = _adder(fake)
    m = measured(fake, kernel, inout=[total], cache=cache, work=Work(reads=1 << 20))
    assert m.time.number is not None, m.time
    assert set(total.numpy().tolist()) == {11}


@pytest.mark.parametrize("cache", STATES)
def test_every_argument_set_holds_one_call_too(cache):
    fake = device(**STILL)
    arrays = [fake.array(1 << 16, "int32") for _ in range(3)]
    for place, one in enumerate(arrays):
        one.numpy()[:] = place
    kernel = fake.kernel(1000 * US, effect=lambda one: one.numpy().__iadd__(10) is None)
    m = measured(fake, kernel, inputs=[(one,) for one in arrays], inout=arrays, cache=cache)
    assert m.time.number is not None, m.time
    assert [set(one.numpy().tolist()) for one in arrays] == [{10}, {11}, {12}]


def test_every_timed_call_starts_from_the_entry_state():
    fake = device(**STILL)
    total, _ = _adder(fake)
    seen = set()
    kernel = fake.kernel(5 * US, effect=lambda: (seen.add(int(total.numpy()[0])), total.numpy().__iadd__(1))[0])
    measured(fake, kernel, inout=[total], cache="warm")
    assert seen == {10}


def test_a_kernel_that_goes_wrong_after_call_10_is_caught():
    fake = device(**STILL)
    out = fake.array(64, "int32")
    calls = []

    def effect():
        calls.append(1)
        out.numpy()[:] = 7
        if len(calls) > 100:
            out.numpy()[13] = 8

    with pytest.raises(NotIdentical, match=r"^changed between calls: outputs\[0\] has other bits after timed call \d+ than after timed call 1, from the same inputs"):
        measured(fake, fake.kernel(5 * US, effect=effect), outputs=[out], limit=0.3)


def test_a_cached_result_that_is_replayed_without_writing_is_not_written():
    fake = device(**STILL)
    out = fake.array((4, 16), "float32")
    calls = []

    def effect():
        calls.append(1)
        # The 'fast path' of a body that remembers that it has seen these inputs.
        if len(calls) == 1:
            out.numpy()[:] = 1.0

    with pytest.raises(NotIdentical, match=r"^not written: 64 of 64 elements of outputs\[0\] keep the poison, first at \[0, 0\]"):
        measured(fake, fake.kernel(5 * US, effect=effect), outputs=[out])


@pytest.mark.parametrize("cache", STATES)
@pytest.mark.parametrize("varies", [False, True])
def test_elements_that_are_never_written_are_found(varies, cache):
    fake = device(**STILL)
    out = fake.array((4, 16), "float32")

    def effect():
        out.numpy()[:2] = 1.0
        out.numpy()[2:, 1:] = 1.0

    with pytest.raises(NotIdentical, match=r"^not written: 2 of 64 elements of outputs\[0\] keep the poison, first at \[2, 0\]"):
        measured(fake, fake.kernel(1000 * US, effect=effect), outputs=[out], varies=varies, cache=cache, work=Work(reads=1 << 20))


def test_varies_is_reported_and_not_an_error():
    fake = device(**STILL)
    out = fake.array(64, "int32")
    numbers = iter(range(1, 100_000))
    kernel = fake.kernel(5 * US, effect=lambda: out.numpy().fill(next(numbers)))
    with bench(fake) as gpuperf:
        m = gpuperf.measure(kernel, outputs=[out], varies=True)
        (check,) = gpuperf._case.checks
    assert m.details["varies"] is True
    assert (check.kind, check.verdict) == ("outputs", "PASS")
    assert "differ between calls, as declared" in check.detail
    with pytest.raises(NotIdentical, match="varies=True"):
        measured(fake, kernel, outputs=[out])


def test_an_inout_that_comes_out_differently_is_caught():
    fake = device(**STILL)
    state = fake.array(64, "int32")
    state.numpy()[:] = 0
    hidden = []

    def effect():
        hidden.append(1)
        state.numpy()[:] += len(hidden) // 50

    with pytest.raises(NotIdentical, match=r"^changed between calls: inout\[0\]"):
        measured(fake, fake.kernel(5 * US, effect=effect), inout=[state], limit=0.3)


def test_device_arrays_that_the_body_returns_are_digested_too():
    fake = device(**STILL)
    calls = []

    def effect():
        calls.append(1)
        made = fake.array(64, "int32")
        made.numpy()[:] = 7 + (len(calls) > 100)
        return {"made": (made, 3)}

    with pytest.raises(NotIdentical, match=r"^changed between calls: returned array 0"):
        measured(fake, fake.kernel(5 * US, effect=effect), limit=0.3)
    calls.clear()
    m = measured(fake, fake.kernel(5 * US, effect=lambda: [fake.array(0), fake.array(8).numpy().fill(3)]))
    assert m.details["checked"] == "unchecked"


def test_the_result_is_that_of_the_last_call():
    fake = device(**STILL)
    numbers = iter(range(100_000))
    last = []
    kernel = fake.kernel(5 * US, effect=lambda: last.append(next(numbers)) or last[-1])
    assert measured(fake, kernel).result == last[-1]


def test_nothing_to_digest_is_unchecked_and_said():
    fake = device(**STILL)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(fake.kernel(5 * US))
        assert gpuperf._case.checks == []
    assert m.details["checked"] == "unchecked"
    assert m.details["digest"] is None


@pytest.mark.parametrize(("cache", "checked"), [("cold", "every sample"), ("steady", "batch ends")])
def test_what_was_digested_is_said(cache, checked):
    fake = device(**STILL)
    out = fake.array(64, "int32")
    m = measured(fake, fake.kernel(1000 * US, effect=lambda: out.numpy().fill(7)), outputs=[out], cache=cache, work=Work(reads=1 << 20))
    assert m.details["checked"] == checked
    assert m.details["digest"]


def _late(wrong_from, cache, duration, work=None, **knobs):
    """Measure a body whose result changes after so many calls; return the measurement and how often it was called."""
    fake = device(memory=1 << 28, **knobs, **STILL)
    out = fake.array(1 << 20, "uint8")
    calls = []

    def effect():
        calls.append(1)
        out.numpy()[:] = 7
        out.numpy()[5] += len(calls) > wrong_from
        return out

    return measured(fake, fake.kernel(duration, effect=effect), limit=0.5, cache=cache, work=work), len(calls)


NEVER = 10**9


def test_few_digests_where_all_would_take_half_of_the_time_and_a_late_change_is_found_all_the_same():
    slow = {"bandwidth": 1e9, "l2_bandwidth": 1e9}
    m, calls = _late(NEVER, "warm", 1 * US, **slow)
    assert m.details["checked"] == "first 8, one a round, last"
    with pytest.raises(NotIdentical, match="changed between calls"):
        _late(calls - 5, "warm", 1 * US, **slow)


def test_a_change_between_steady_batches_is_found():
    m, calls = _late(NEVER, "steady", 1000 * US, Work(reads=1 << 20))
    assert m.details["checked"] == "batch ends"
    with pytest.raises(NotIdentical, match="changed between calls"):
        _late(calls - 8, "steady", 1000 * US, Work(reads=1 << 20))


def test_the_case_fails_after_its_values_are_known():
    fake = device(**STILL)
    out = fake.array(64, "int32")
    with bench(fake) as gpuperf:
        with pytest.raises(NotIdentical):
            gpuperf.measure(fake.kernel(5 * US), outputs=[out])
        assert gpuperf._case.measurements["main"].time.number is not None
        (check,) = gpuperf._case.checks
    assert (check.kind, check.verdict) == ("outputs", "FAIL")


def test_setup_runs_before_every_call():
    fake = device(**STILL)
    total, kernel = _adder(fake)

    def setup():
        total.numpy()[:] = 10

    m = measured(fake, kernel, outputs=[], setup=setup)
    assert m.time.number is not None
    assert set(total.numpy().tolist()) == {11}


def test_strided_outputs_are_poisoned_and_digested_alone():
    fake = device(**STILL)
    whole = fake.array((8, 16), "int32")
    whole.numpy()[:] = -1
    part = whole[:, ::2]
    measured(fake, fake.kernel(5 * US, effect=lambda: part.numpy().fill(7)), outputs=[part])
    assert (whole.numpy()[:, ::2] == 7).all()
    assert (whole.numpy()[:, 1::2] == -1).all(), "what lies between is left alone"
    assert np.array_equal(part.numpy(), np.full((8, 8), 7))


def test_arrays_that_only_a_cycle_holds_do_not_count_against_a_snapshot():
    fake = device(memory=64 << 20, **STILL)
    state = fake.array(16 << 20, "uint8")
    state.numpy()[:] = 0
    held = [fake.array(24 << 20, "uint8")]
    held.append(held)
    gc.disable()
    try:
        del held
        free = fake.memory()[0]
        assert state.nbytes > free // 2
        m = measured(fake, fake.kernel(50 * US, writes=[state]), inout=[state])
    finally:
        gc.enable()
    assert m.time.number is not None


def test_what_setup_leaves_in_an_inout_is_no_part_of_the_entry_state():
    fake = device(**STILL)
    array = fake.array(1024)
    dirty = fake.kernel(1 * US, writes=[array], effect=lambda: array.numpy().fill(7))
    kernel = fake.kernel(5 * US, writes=[array], effect=lambda: array.numpy()[:1].fill(1))
    entry = array.numpy()[1]
    m = measured(fake, kernel, setup=dirty, inout=[array])
    assert m.time.reason is None
    assert [array.numpy()[0], array.numpy()[1]] == [1, entry]
