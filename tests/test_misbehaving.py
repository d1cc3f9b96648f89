"""Every row of docs/bodies.md on a fake device; tests/test_gpu_misbehaving.py has the same rows on a real one."""

from __future__ import annotations

import functools
import itertools
import operator
import threading

import pytest
from misbehaving import Body, check, rows
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.timing.stalls import Stall

HERE = r"test_misbehaving\.py:\d+"
LIMIT = 0.2


@pytest.fixture
def fake():
    # A short queue, so that a body that fills it is quick; an allocation as on an H200.
    return device(**STILL, queue=300, alloc_waits=False)


def waits(fake):
    kernel = fake.kernel(5 * US)
    return Body(lambda: (kernel(), fake.synchronize()), told=rf"synchronize \({HERE}\)")


def waits_in_c(fake):
    kernel, wait = fake.kernel(5 * US), operator.methodcaller("synchronize")
    return Body(lambda: (kernel(), wait(fake)), told=HERE)


def waits_now_and_then(fake):
    kernel, calls = fake.kernel(5 * US), itertools.count()

    def body():
        kernel()
        if next(calls) % 7 == 6:
            fake.synchronize()

    return Body(body, told=rf"synchronize \({HERE}\)")


def allocates_from_a_pool(fake):
    pool = [fake.array(64) for _ in range(4)]

    def effect():
        pool.append(pool.pop(0))
        pool[-1].numpy()[:] = 1
        return pool[-1]

    return Body(fake.kernel(5 * US, effect=effect), holds=lambda m: bool((m.result.numpy() == 1).all()))


def allocates(fake):
    kernel = fake.kernel(5 * US)
    return Body(lambda: (kernel(), fake.alloc(64)))


def frees(fake):
    kernel, held = fake.kernel(5 * US), [fake.alloc(64) for _ in range(1000)]
    return Body(lambda: (kernel(), fake.free(held.pop())), told=rf"free \({HERE}\)")


def frees_late(fake):
    kernel, pending = fake.kernel(5 * US), []

    def body():
        pending.append(fake.array(64))
        del pending[:-10]
        kernel()

    return Body(body)


def on_another_stream(fake):
    return Body(fake.kernel(500 * US, stream=fake.stream()), told="busy for")


def a_little_on_another_stream(fake):
    return Body(fake.kernel(2 * US, stream=fake.stream()))


def from_another_thread(fake):
    kernel = fake.kernel(20 * US)

    def body():
        thread = threading.Thread(target=kernel)
        thread.start()
        thread.join()

    return Body(body, holds=lambda m: m.details["body"] == "unknown" and m.time.point == pytest.approx(20.7 * US, rel=0.02))


def nothing(fake):
    return Body(lambda: None, holds=lambda m: m.details["checked"] == "unchecked")


def cached(fake):
    return Body(functools.lru_cache(lambda: fake.array(64)), told="cached result", holds=lambda m: m.details["checked"] == "unchecked")


def compiles_late(fake):
    some, other, calls = fake.kernel(5 * US), fake.kernel(5 * US), itertools.count()
    return Body(lambda: other() if next(calls) == 150 else some(), told=r"1 sample was held to the deadline(.|\n)*compiled 1 more times")


def autotunes(fake):
    out = fake.array(64)
    slow, quick = (fake.kernel(time * US, effect=lambda: out.numpy().fill(2)) for time in (9, 5))
    best = []

    def body():
        if not best:
            for one in (slow, quick):
                one()
                fake.synchronize()
            best.append(quick)
        best[0]()

    return Body(body, (), {"outputs": [out]}, holds=lambda m: m.time.point < 6 * US and m.first_call.number is not None)


def changes_an_input(fake):
    x = fake.array(8)
    x.numpy()[:] = 0
    return Body(fake.kernel(5 * US, effect=lambda x: x.numpy().__iadd__(1)), (x,), told=r"argument 0 \(float32, 8\)")


def undeclared_output(fake):
    source, out = fake.array(8), fake.array(8)
    out.numpy()[:] = 0
    return Body(fake.kernel(5 * US, effect=lambda source, out: out.numpy().fill(1)), (source, out), told=r"argument 1 \(float32, 8\)")


def long(fake):
    return Body(fake.kernel(0.3), told="5 rounds", holds=lambda m: m.time.samples == 5 and m.time.point == pytest.approx(0.3, rel=0.02))


def thousands(fake):
    x = fake.array(8)
    x.numpy()[:] = 0
    kernel = fake.kernel(1 * US, effect=lambda: x.numpy().__iadd__(1))

    def body():
        for _ in range(400):
            kernel()

    return Body(body, (), {"inout": [x]}, told=rf"launch 2[89]\d of one sample.*{HERE}", holds=lambda m: set(x.numpy().tolist()) == {400.0})


BODIES = {
    "waits for the device": waits,
    "waits for the device in C, with the interpreter's lock": waits_in_c,
    "waits for the device now and then": waits_now_and_then,
    "allocates from a pool": allocates_from_a_pool,
    "allocates from the driver": allocates,
    "frees at once": frees,
    "frees late": frees_late,
    "launches on another stream": on_another_stream,
    "launches a little on another stream": a_little_on_another_stream,
    "launches from another thread": from_another_thread,
    "launches nothing": nothing,
    "returns a cached array": cached,
    "compiles late": compiles_late,
    "autotunes": autotunes,
    "changes an input": changes_an_input,
    "writes an output that is not declared": undeclared_output,
    "takes longer than the limit": long,
    "queues thousands of launches": thousands,
}


def test_every_row_is_here():
    assert {*BODIES, "raises"} == {*rows()}


@pytest.mark.parametrize("does", BODIES)
def test_it_gets_what_the_table_says(fake, does):
    body = BODIES[does](fake)
    m = measured(fake, body.fn, *body.args, limit=LIMIT, **body.keywords)
    check(rows()[does], body, m)
    after = measured(fake, fake.kernel(5 * US))
    assert after.time.point == pytest.approx(5.7 * US, rel=0.02)


#: First call, second, host's clocks, pilots, rounds, the last untimed calls: whatever these numbers meet.
@pytest.mark.parametrize("number", [1, 2, 5, 30, 60, 100, 200, 240])
def test_its_error_shows_from_whatever_call(fake, number):
    out, calls = fake.array(8), itertools.count(1)

    def effect():
        if next(calls) == number:
            message = f"call {number} of mine"
            raise ArithmeticError(message)
        out.numpy()[:] = 1

    with bench(fake, LIMIT) as gpuperf:
        with pytest.raises(ArithmeticError, match=f"^call {number} of mine$"):
            gpuperf.measure(fake.kernel(5 * US, effect=effect), outputs=[out])
        assert gpuperf.measure(fake.kernel(5 * US), name="afterwards").time.point == pytest.approx(5.7 * US, rel=0.02)


class TestWhereItWaits:
    """The call and the line that a body without a time is told of."""

    @pytest.mark.parametrize(
        ("call", "launches", "launching", "code"),
        [
            ("torch.Tensor.add_", 1020, True, "queue-full"),
            ("torch.Tensor.item", 800, True, "sync"),
            ("torch.Tensor.add_", 3, True, "sync"),
            ("a call in body", 1020, False, "sync"),
        ],
    )
    def test_a_full_queue_is_told_from_a_wait(self, call, launches, launching, code):
        reason = Stall(1.0, call, "test_it.py:7", launches, launching).reason
        assert reason.code == code
        assert f"{call} (test_it.py:7)" in reason.detail

    def test_an_allocation_that_waits_is_sync_at_its_line(self):
        fake = device(**STILL)
        kernel = fake.kernel(5 * US)
        m = measured(fake, lambda: (kernel(), fake.alloc(64)))
        assert m.time.reason.code == "sync"
        assert "in pytest_gpuperf.testing.device.FakeDevice.alloc (test_misbehaving.py:" in m.time.reason.detail

    def test_many_launches_and_then_a_wait_are_no_full_queue(self, fake):
        kernel = fake.kernel(1 * US)

        def body():
            for _ in range(280):
                kernel()
            fake.synchronize()

        m = measured(fake, body)
        assert m.time.reason.code == "sync"
        assert "FakeDevice.synchronize" in m.time.reason.detail

    def test_a_batch_of_steady_calls_that_fills_the_queue_is_made_smaller(self, fake):
        from pytest_gpuperf.work import Work

        kernel = fake.kernel(50 * US)
        m = measured(fake, lambda: [kernel() for _ in range(10)], cache="steady", work=Work(reads=1 << 20), limit=LIMIT)
        assert m.time.reason is None
        assert m.details["samples"]["batch"] < 30

    def test_it_is_looked_at_once(self, fake):
        kernel = fake.kernel(5 * US)
        with bench(fake) as gpuperf:
            gpuperf.measure(kernel, name="calibrates")
            before = fake.now()
            gpuperf.measure(lambda: (kernel(), fake.synchronize()))
            assert 1.2 < fake.now() - before < 1.4, "one sample held to its deadline of a second, one look of a quarter"

    @pytest.mark.parametrize(("seconds", "whole_device"), [(15e-3, False), (60e-3, True)])
    def test_a_long_kernel_is_no_other_stream_where_the_host_wakes_slowly(self, fake, seconds, whole_device):
        real, asleep = fake.synchronize, []

        def slowly(stream=None):
            before = fake.now()
            real(stream)
            if asleep and (stream is None or not whole_device):
                asleep.clear()
                fake.sleep(36e-6)
            if fake.now() - before > 10e-3:
                asleep.append(1)

        fake.synchronize = slowly
        assert measured(fake, fake.kernel(seconds)).time.reason is None

    def test_the_profile_function_of_others_comes_back(self, fake):
        import sys

        kernel, seen = fake.kernel(5 * US), []
        sys.setprofile(lambda *_: seen.append(1))
        mine = sys.getprofile()
        try:
            measured(fake, lambda: (kernel(), fake.synchronize()))
            assert sys.getprofile() is mine
        finally:
            sys.setprofile(None)

    def test_compare_tells_of_a_version_that_compiles_late(self, fake):
        plain, some, other, calls = fake.kernel(5 * US), fake.kernel(5 * US), fake.kernel(5 * US), itertools.count()
        with bench(fake, LIMIT) as gpuperf:
            c = gpuperf.compare({"plain": plain, "late": lambda: other() if next(calls) == 50 else some()})
        assert c.quantity == "time"
        assert any("held to the deadline and taken again" in note for note in c["late"].details["notes"])
        assert not any("held to the deadline" in note for note in c["plain"].details["notes"])

    @pytest.mark.parametrize("whose", ["waits", "fills"])
    def test_compare_says_which_version_has_no_time(self, fake, whose):
        kernel = fake.kernel(5 * US)
        waits, fills = (lambda: (kernel(), fake.synchronize())), (lambda: [kernel() for _ in range(400)])
        with bench(fake, LIMIT) as gpuperf:
            c = gpuperf.compare({"plain": kernel, "odd": fills if whose == "fills" else waits})
        reason = c["plain"].time.reason
        assert reason.code == ("queue-full" if whose == "fills" else "sync")
        assert reason.detail.startswith("version 'odd' ")
        assert c.quantity == "wall_time"
