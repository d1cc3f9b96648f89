"""Attempts to pass a wrong kernel: each of these bodies once did."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.device.arrays import view
from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.testing import FakeArray
from pytest_gpuperf.timing.extents import extent, shares
from pytest_gpuperf.work import Work

#: Of a device with the bench's small L2, a body of these bytes may be measured in steady without inputs.
LARGE = Work(reads=1 << 20)


def _rotating(fake, sets=4):
    return [(fake.array(1 << 17, "uint8"), fake.array(64, "int32")) for _ in range(sets)]


def test_a_kernel_that_is_wrong_only_back_to_back_is_caught():
    fake = device(**STILL)
    out = fake.array(64, "int32")
    last = [-1.0]

    def effect():
        # Right for a call on its own, wrong for one that follows another at once: a race between two launches.
        now = fake.now()
        out.numpy()[:] = 7 if now - last[0] > 8 * US else 9
        last[0] = now

    with pytest.raises(NotIdentical, match=r"^changed between calls: outputs\[0\] has other bits after the last, untimed call"):
        measured(fake, fake.kernel(1000 * US, effect=effect), outputs=[out], cache="steady", work=LARGE)


def test_a_steady_batch_goes_on_from_its_inout_and_is_no_difference():
    fake = device(**STILL)
    total = fake.array(64, "int32")
    total.numpy()[:] = 1

    def effect():
        total.numpy()[:] += 1

    m = measured(fake, fake.kernel(1000 * US, effect=effect), inout=[total], cache="steady", work=LARGE)
    assert m.details["checked"] == "batch ends"
    assert set(total.numpy().tolist()) == {2}


@pytest.mark.parametrize("wrong", ["changing", "unwritten"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_every_argument_set_of_a_steady_rotation_is_checked(wrong, place):
    fake = device(memory=1 << 28, **STILL)
    inputs = _rotating(fake)
    calls = []

    def effect(_source, out):
        calls.append(1)
        if out is not inputs[place][1]:
            out.numpy()[:] = 7
        elif wrong == "changing":
            out.numpy()[:] = len(calls)

    text = rf"^changed between calls: outputs\[{place}\]" if wrong == "changing" else rf"^not written: 64 of 64 elements of outputs\[{place}\]"
    with pytest.raises(NotIdentical, match=text):
        measured(fake, fake.kernel(50 * US, effect=effect), inputs=inputs, outputs=[out for _, out in inputs], cache="steady")


def test_one_output_of_all_argument_sets_holds_that_of_the_last_and_is_no_difference():
    fake = device(memory=1 << 28, **STILL)
    inputs = [(fake.array(1 << 17, "uint8"), number) for number in range(4)]
    out = fake.array(64, "int32")
    m = measured(fake, fake.kernel(50 * US, effect=lambda _source, number: out.numpy().fill(number)), inputs=inputs, outputs=[out], cache="steady")
    assert m.details["checked"] == "batch ends"


@pytest.mark.parametrize("place", [0, 2])
def test_varies_does_not_hide_what_one_argument_set_never_writes(place):
    fake = device(**STILL)
    inputs = _rotating(fake, 3)
    calls = []

    def effect(_source, out):
        calls.append(1)
        if out is not inputs[place][1]:
            out.numpy()[:] = len(calls)

    with pytest.raises(NotIdentical, match=rf"^not written: 64 of 64 elements of outputs\[{place}\]"):
        measured(fake, fake.kernel(50 * US, effect=effect), inputs=inputs, outputs=[out for _, out in inputs], varies=True)


def _synchronising(fake, effect):
    kernel = fake.kernel(50 * US, effect=effect)

    def body():
        kernel()
        fake.synchronize(0)

    return body


def test_a_body_without_a_time_is_checked_all_the_same():
    fake = device(**STILL)
    out = fake.array(64, "int32")
    with pytest.raises(NotIdentical, match=r"^not written: 59 of 64 elements of outputs\[0\]"):
        measured(fake, _synchronising(fake, lambda: out.numpy()[:5].fill(3)), outputs=[out])
    calls = []
    with pytest.raises(NotIdentical, match=r"^changed between calls: outputs\[0\]"):
        measured(fake, _synchronising(fake, lambda: calls.append(1) or out.numpy().fill(len(calls))), outputs=[out])
    with pytest.raises(NotIdentical, match=r"^not written: 59 of 64"):
        measured(fake, fake.kernel(50 * US, effect=lambda: out.numpy()[:5].fill(3)), outputs=[out], cache="steady")
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_synchronising(fake, lambda: out.numpy().fill(3)), outputs=[out])
        (check,) = gpuperf._case.checks
    assert m.time.reason.code == "sync"
    assert check.detail == "outputs of calls hold the same bits (3 untimed calls digested)"


def test_an_output_that_shares_memory_with_an_inout_is_refused():
    fake = device(**STILL)
    whole = fake.array((4, 16), "int32")
    kernel = fake.kernel(5 * US)
    for output, inout in ((whole[2:], whole[:3]), (whole[1:], whole), (whole[:, ::2], whole[:, 2:5])):
        with pytest.raises(ValueError, match=r"^outputs\[0\] and inout\[0\] share memory"):
            measured(fake, kernel, outputs=[output], inout=[inout])
    whole.numpy()[:] = 1
    measured(fake, fake.kernel(5 * US, effect=lambda: whole[:, ::2].numpy().fill(7)), outputs=[whole[:, ::2]], inout=[whole[:, 1::2]])
    assert (whole.numpy()[:, 1::2] == 1).all(), "interleaved arrays share no element"


@pytest.mark.parametrize("cache", ["cold", "steady"])
def test_an_output_that_is_a_view_of_an_argument_belongs_to_its_set(cache):
    fake = device(memory=1 << 28, **STILL)
    inputs = [(fake.array(1 << 17, "uint8"),) for _ in range(3)]
    m = measured(fake, fake.kernel(50 * US, effect=lambda a: a.numpy()[4:].fill(3)), inputs=inputs, outputs=[a[4:] for (a,) in inputs], cache=cache)
    assert m.details["checked"] != "unchecked"
    with pytest.raises(NotIdentical, match=r"of outputs\[1\]"):
        measured(
            fake, fake.kernel(50 * US, effect=lambda a: None if a is inputs[1][0] else a.numpy()[4:].fill(3)),
            inputs=inputs, outputs=[a[4:] for (a,) in inputs], cache=cache,
        )  # fmt: skip


def test_a_returned_array_that_is_missing_later_is_a_difference():
    fake = device(**STILL)
    calls = []

    def effect():
        calls.append(1)
        array = fake.array(8, "int32")
        array.numpy()[:] = 3
        return [array, array[:4]] if len(calls) < 60 else None

    with pytest.raises(NotIdentical, match=r"^changed between calls: returned array 0 is returned by some calls and not by others"):
        measured(fake, fake.kernel(5 * US, effect=effect), limit=0.3)


def test_many_returned_arrays_have_room_and_more_of_them_are_a_difference():
    fake = device(**STILL)
    arrays = [fake.array(8, "int32") for _ in range(40)]
    for array in arrays:
        array.numpy()[:] = 3
    assert measured(fake, fake.kernel(5 * US, effect=lambda: arrays)).details["checked"] != "unchecked"
    calls = []
    with pytest.raises(NotIdentical, match=r"^changed between calls: returned array 1 is returned by some calls"):
        measured(fake, fake.kernel(5 * US, effect=lambda: calls.append(1) or arrays[: 1 if len(calls) < 60 else 40]), limit=0.3)


def test_argument_sets_may_return_as_many_arrays_as_each_likes():
    fake = device(**STILL)
    arrays = [fake.array(8, "int32") for _ in range(12)]
    for array in arrays:
        array.numpy()[:] = 3
    m = measured(fake, fake.kernel(5 * US, effect=lambda count: arrays[:count]), inputs=[(1,), (5,), (12,), (0,)])
    assert m.details["checked"] != "unchecked"


def test_wall_time_waits_for_work_on_every_stream():
    fake = device(**STILL)
    other = fake.stream()
    m = measured(fake, fake.kernel(1000 * US, stream=other))
    assert m.time.reason.code == "other-stream"
    assert m.wall_time > 1000 * US
    assert m.first_call > 1000 * US


def test_two_bodies_of_unknown_kind_share_no_calibration():
    fake = device(**STILL)
    found = set()
    for _ in range(20):
        # What a call made is gone before the next one, so that its address comes again.
        found |= set(measured(fake, lambda: fake.run(20 * US, [], [])).time.systematic)
    assert len(found) == 20, "a part that two measurements share cancels in their difference"


@dataclasses.dataclass
class Unhashable:
    """A body that has no hash, as any dataclass with fields."""

    kernel: object

    def __call__(self):
        return self.kernel()


def test_a_body_without_a_hash_is_measured_and_known_again():
    fake = device(**STILL)
    body = Unhashable(fake.kernel(5 * US))
    with bench(fake) as gpuperf:
        assert gpuperf.measure(body).time.number is not None
        assert gpuperf.measure(body, name="again").first_call.reason.code == "already-warm"


def test_extents_of_any_layout():
    whole = np.zeros((4, 6), "int16")
    start = whole.ctypes.data
    for array in (whole, whole[::-1], whole[1:, ::-2], whole[:, 3], whole.T):
        touched = [start + 2 * int(place) for place in np.flatnonzero(_marked(whole, array))]
        assert extent(view(array)) == (min(touched), max(touched) + 2)
    assert extent(view(whole[:0])) == (start, start)
    assert not shares(view(whole[:0]), view(whole))
    assert shares(view(whole[1:, 1:]), view(whole[:2, :2]))
    assert not shares(view(whole[:, 0]), view(whole[:, 1]))
    assert isinstance(device().array(4)[1:], FakeArray)


def _marked(whole, part):
    whole[:] = 0
    part[:] = 1
    return whole.reshape(-1).copy()
