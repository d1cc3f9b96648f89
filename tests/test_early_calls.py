"""Calls before the first timed one: what they leave is held against what the timed ones leave."""

from __future__ import annotations

import pytest
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.work import Work


@pytest.mark.parametrize("cache", ["cold", "steady"])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda call: call > 10, "calls 1 to 10"),
        (lambda call: call == 11, "call 11"),
        (lambda call: call == 1, "call 1"),
        (lambda call: call == 2, "call 2"),
        (lambda call: 5 <= call <= 9, "calls 5 to 9"),
    ],
    ids=["after call 10", "only on call 11", "at first", "only on call 2", "for a while"],
)
def test_a_kernel_that_is_wrong_while_nothing_is_timed_is_caught(wrong, told, cache):
    fake = device(**STILL)
    out, calls = fake.array(64, "int32"), []

    def effect():
        calls.append(1)
        out.numpy()[:] = 7
        out.numpy()[13] += wrong(len(calls))

    with pytest.raises(NotIdentical, match=rf"^changed between calls: outputs\[0\] has other bits after {told} than after later ones, from the same inputs \((pass varies|call the body)"):
        measured(fake, fake.kernel(1000 * US, effect=effect), outputs=[out], cache=cache, work=Work(reads=1 << 20))
    calls.clear()
    measured(fake, fake.kernel(1000 * US, effect=effect), outputs=[out], varies=True, cache=cache, work=Work(reads=1 << 20))


def test_what_calls_return_while_nothing_is_timed_is_looked_at_too():
    fake = device(**STILL)
    kernel, calls = fake.kernel(5 * US), []

    def body():
        calls.append(1)
        kernel()
        made = fake.array(4, "int32")
        made.numpy()[:] = len(calls) == 11
        return made

    with pytest.raises(NotIdentical, match=r"^changed between calls: returned array 0 has other bits after call 11 than after later ones"):
        measured(fake, body)


def test_a_steady_batch_that_goes_on_from_its_inout_is_held_against_none():
    fake = device(**STILL)
    total = fake.array(8, "int32")
    total.numpy()[:] = 0
    kernel = fake.kernel(1000 * US, effect=lambda: total.numpy().__iadd__(1))
    measured(fake, kernel, inout=[total], cache="steady", work=Work(reads=1 << 20))
    assert set(total.numpy().tolist()) == {1}


def test_inout_of_an_early_call_is_looked_at():
    fake = device(**STILL)
    total, calls = fake.array(8, "int32"), []
    total.numpy()[:] = 0

    def effect():
        calls.append(1)
        total.numpy()[:] += 2 if len(calls) == 11 else 1

    with pytest.raises(NotIdentical, match=r"^changed between calls: inout\[0\] has other bits after call 11 than after later ones"):
        measured(fake, fake.kernel(5 * US, effect=effect), inout=[total])
    assert set(total.numpy().tolist()) == {1}, "the buffers hold one call from the entry state"


def test_a_body_whose_first_call_tunes_is_called_before():
    fake = device(**STILL)
    total, tuned = fake.array(8, "int32"), []
    total.numpy()[:] = 0

    def effect():
        total.numpy()[:] += 1 if tuned else 100
        tuned.append(1)

    kernel = fake.kernel(5 * US, effect=effect)
    with pytest.raises(NotIdentical, match=r"after call 1 than after later ones, from the same inputs \(call the body before it is measured, where its first call tunes\)"):
        measured(fake, kernel, inout=[total])
    tuned.clear()
    kernel()
    measured(fake, kernel, inout=[total])


def test_each_argument_set_has_early_calls_of_its_own():
    fake = device(**STILL)
    sets = [(fake.array(8, "int32"),) for _ in range(3)]
    calls = []

    def effect(one):
        calls.append(1)
        one.numpy()[:] = 7 + (len(calls) == 5)

    with pytest.raises(NotIdentical, match=r"^changed between calls: outputs\[2\] has other bits after call"):
        measured(fake, fake.kernel(5 * US, effect=effect), inputs=sets, outputs=[one for (one,) in sets])


def test_a_version_that_is_wrong_at_first_is_told_by_compare():
    fake = device(**STILL)
    out, calls = fake.array(8, "int32"), []

    def effect():
        calls.append(1)
        out.numpy()[:] = 7 + (len(calls) == 2)

    kernels = {"right": fake.kernel(5 * US, effect=lambda: out.numpy().fill(7)), "moody": fake.kernel(5 * US, effect=effect)}
    with bench(fake) as gpuperf, pytest.raises(NotIdentical, match=r"^version 'moody': changed between calls: outputs\[0\] has other bits after call 2 than"):
        gpuperf.compare(kernels, outputs=[out])
