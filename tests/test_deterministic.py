"""deterministic: kernels that are wrong in each of the known ways, each caught by the name of its way."""

from __future__ import annotations

import numpy as np
import pytest
from plugin_runs import NO_GPU, run_pytest

import pytest_gpuperf
from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.identity.determinism import WAYS, Layout, Split, beside, histogram
from pytest_gpuperf.testing import FakeDevice, FakeSpec


@pytest.fixture
def fake():
    return FakeDevice(FakeSpec(l2=1 << 16))


@pytest.fixture
def gpuperf(fake):
    with pytest_gpuperf.session(fake) as session:
        yield session


class Kernel:
    """A kernel that writes 1.0, and does something else in some of its calls."""

    def __init__(self, fake, wrong=lambda number, contended: False, what=lambda values, number: values.__setitem__(5, 1.0000001), size=64):
        self.fake, self.wrong, self.what, self.number = fake, wrong, what, 0
        self.out = fake.array(size)
        self.contended = []
        self.body = fake.kernel(5e-6, effect=self.effect)

    def effect(self):
        self.number += 1
        now = self.fake.now()
        busy = any(one.name == "move" and one.stream and one.start + one.duration > now for one in list(self.fake.launches)[-600:])
        self.contended.append(busy)
        self.out.numpy()[:] = 1.0
        if self.wrong(self.number, busy):
            self.what(self.out.numpy(), self.number)


def error_of(gpuperf, kernel, **more):
    with pytest.raises(NotIdentical) as caught:
        gpuperf.deterministic(kernel.body, outputs=[kernel.out], **more)
    return str(caught.value).splitlines()


def test_a_right_kernel_runs_half_of_its_calls_beside_contention(gpuperf, fake):
    kernel = Kernel(fake)
    gpuperf.deterministic(kernel.body, outputs=[kernel.out], name="fine")
    assert kernel.contended == list(beside(20))
    (check,) = gpuperf._case.checks
    assert (check.kind, check.name, check.verdict) == ("deterministic", "fine", "PASS")
    assert check.detail == "outputs[0] hold the same bits after 20 calls, 10 of them beside contention"


def test_even_two_calls_have_one_beside_contention(gpuperf, fake):
    kernel = Kernel(fake, lambda _, contended: contended)
    assert error_of(gpuperf, kernel, runs=2)[0].startswith("run-to-run change: outputs[0] has other bits in 1 of 1 calls beside contention and in 0 of 1 without; ")


def test_contention_leaves_no_memory_behind(gpuperf, fake):
    kernel = Kernel(fake)
    gpuperf.deterministic(kernel.body, outputs=[kernel.out])
    before = fake._memory.used
    gpuperf.deterministic(kernel.body, outputs=[kernel.out], inout=[fake.array(8)])
    assert fake._memory.used <= before + 64


def test_wrong_only_on_call_11(gpuperf, fake):
    first, *rest = error_of(gpuperf, Kernel(fake, lambda number, _: number == 11))
    assert first == (
        "wrong only on call 11 (beside contention): outputs[0] has other bits than after 19 of 20 calls; "
        "on call 11: 1 of 64 elements, first at [5]: 0x3f800001 != 0x3f800000 (1 ulp), largest 1 ulp"
    )
    assert rest == ["ulp histogram: 1: 1"]


def test_the_first_call_may_be_the_wrong_one(gpuperf, fake):
    assert error_of(gpuperf, Kernel(fake, lambda number, _: number == 1))[0].startswith("wrong only on call 1: outputs[0] has other bits than after 19 of 20 calls")


def test_wrong_after_call_10(gpuperf, fake):
    assert error_of(gpuperf, Kernel(fake, lambda number, _: number > 10))[0].startswith(
        "wrong from call 11 on: outputs[0] has other bits than after the 10 calls before; on call 11: 1 of 64 elements, first at [5]"
    )


def test_changes_only_under_contention(gpuperf, fake):
    kernel = Kernel(fake, lambda number, contended: contended and number % 4 == 3)
    assert error_of(gpuperf, kernel)[0].startswith(
        "contention-dependent: outputs[0] has other bits in 5 of 10 calls beside contention and in 0 of 10 without; on call 3: "
    )


def test_a_kernel_that_contention_always_breaks_is_held_against_the_quiet_calls(gpuperf, fake):
    text = error_of(gpuperf, Kernel(fake, lambda _, contended: contended))[0]
    assert text.startswith("contention-dependent: outputs[0] has other bits in 10 of 10 calls beside contention and in 0 of 10 without")
    assert "0x3f800001 != 0x3f800000" in text


def test_run_to_run_change(gpuperf, fake):
    kernel = Kernel(fake, lambda *_: True, lambda values, number: values.__setitem__(slice(3, 6), 1 + number * 2.0**-20))
    first, histogram_line = error_of(gpuperf, kernel)
    assert first.startswith("run-to-run change: outputs[0] has other bits in 10 of 10 calls beside contention and in 9 of 10 without; on call 2: 3 of 64 elements, first at [3]")
    assert histogram_line == "ulp histogram: 5..8: 3"


def test_the_last_block_unwritten(gpuperf, fake):
    kernel = Kernel(fake)
    kernel.effect = lambda: kernel.out.numpy()[:48].fill(1.0)
    kernel.body.effect = kernel.effect
    assert error_of(gpuperf, kernel) == ["not written: 16 of 64 elements of outputs[0] keep the poison, first at [48], in every call (an array that is written in part goes to inout=)"]


@pytest.mark.parametrize("runs", [2, 3, 100])
def test_unwritten_is_found_whatever_the_number_of_runs(gpuperf, fake, runs):
    kernel = Kernel(fake)
    kernel.body.effect = lambda: kernel.out.numpy()[:48].fill(1.0)
    assert error_of(gpuperf, kernel, runs=runs)[0].startswith("not written: 16 of 64 elements of outputs[0]")


@pytest.mark.parametrize("runs", [3, 20])
def test_only_the_first_call_writes(gpuperf, fake, runs):
    kernel = Kernel(fake)

    def effect():
        kernel.number += 1
        if kernel.number == 1:
            kernel.out.numpy()[:] = 1.0

    kernel.body.effect = effect
    assert error_of(gpuperf, kernel, runs=runs) == ["not written: 64 of 64 elements of outputs[0] keep the poison, first at [0], in every call but call 1"]


def test_unwritten_on_one_call(gpuperf, fake):
    kernel = Kernel(fake)

    def effect():
        kernel.number += 1
        kernel.out.numpy()[: 48 if kernel.number == 6 else 64].fill(1.0)

    kernel.body.effect = effect
    assert error_of(gpuperf, kernel)[0].startswith("not written: 16 of 64 elements of outputs[0] keep the poison, first at [48]; wrong only on call 6 (beside contention): ")


@pytest.mark.parametrize(
    ("value", "said", "bars"),
    [
        (np.uint32(0x80000000), "0x80000000 != 0x00000000 (sign of zero), largest 0 ulp", "ulp histogram: sign of zero: 1"),
        (np.uint32(0x7FC00001), "0x7fc00001 != 0x7fc00000 (NaN payload)", "ulp histogram: NaN: 1"),
    ],
    ids=["-0.0 for 0.0", "NaN payload"],
)
def test_bits_that_are_equal_numbers(gpuperf, fake, value, said, bars):
    kernel = Kernel(fake)

    def effect():
        kernel.number += 1
        words = kernel.out.numpy().view(np.uint32)
        words[:] = 0 if value == 0x80000000 else 0x7FC00000
        words[7] = value if kernel.number == 9 else words[7]

    kernel.body.effect = effect
    text = error_of(gpuperf, kernel)
    assert said in text[0]
    assert text[0].startswith("wrong only on call 9: ")
    assert text[-1] == bars


def test_inout_starts_from_the_same_bits_and_ends_with_one_call(gpuperf, fake):
    total = fake.array(8, "int32")
    total.numpy()[:] = 5

    def effect():
        total.numpy()[:] += 1

    gpuperf.deterministic(fake.kernel(5e-6, effect=effect), inout=[total])
    assert total.numpy().tolist() == [6] * 8


def test_a_strided_inout(gpuperf, fake):
    whole = fake.array((8, 8), "int32")
    whole.numpy()[:] = 5
    part = whole[:, ::2]

    def effect():
        part.numpy()[:] += 1

    gpuperf.deterministic(fake.kernel(5e-6, effect=effect), inout=[part])
    assert (whole.numpy()[:, ::2] == 6).all()
    assert (whole.numpy()[:, 1::2] == 5).all()


def test_what_the_body_returns_is_held_too(gpuperf, fake):
    calls = iter(range(100))

    def body():
        made = fake.array(4)
        made.numpy()[:] = next(calls) == 2
        return made

    with pytest.raises(NotIdentical, match=r"^wrong only on call 3 \(beside contention\): returned array 0 has other bits than after 19 of 20 calls; on call 3: 4 of 4"):
        gpuperf.deterministic(body)


def test_a_result_of_another_shape(gpuperf, fake):
    calls = iter(range(100))
    with pytest.raises(NotIdentical, match=r"^wrong only on call 4: .*, and another shape or type$"):
        gpuperf.deterministic(lambda: fake.array(5 if next(calls) == 3 else 4, "int8"))


def test_arguments_and_setup(gpuperf, fake):
    source, out, order = fake.array(4), fake.array(4), []
    source.numpy()[:] = 3.0

    def copy(a, b, *, factor):
        order.append("body")
        b.numpy()[:] = a.numpy() * factor

    gpuperf.deterministic(copy, source, out, outputs=[out], factor=2, runs=2, setup=lambda: order.append("setup"))
    assert order == ["setup", "body"] * 2
    assert out.numpy().tolist() == [6.0] * 4


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"runs": 1}, r"^deterministic\(runs=1\): a single call has nothing to differ from; runs is a whole number from 2$"),
        ({"runs": 2.5}, r"^deterministic\(runs=2.5\): runs is a whole number from 2$"),
        ({"outputs": []}, r"^deterministic: nothing to hold one call against another by; pass outputs="),
        ({"output": []}, r"^deterministic: no option 'output', and the body takes no such argument; nearest 'outputs'$"),
    ],
)
def test_what_proves_nothing_is_refused_in_one_line(gpuperf, fake, more, said):
    with pytest.raises((ValueError, TypeError), match=said):
        gpuperf.deterministic(lambda: None, **{"outputs": [], **more})


@pytest.mark.parametrize("kind", ["outputs", "inout"])
def test_an_array_that_is_read_only_is_refused(gpuperf, tmp_path, kind):
    np.save(tmp_path / "mapped.npy", np.zeros(8, np.float32))
    mapped = np.load(tmp_path / "mapped.npy", mmap_mode="r")
    with pytest.raises(ValueError, match=rf"^{kind}\[0\]: the array is read-only$"):
        gpuperf.deterministic(lambda: None, **{"outputs": [], kind: [mapped]})


@pytest.mark.parametrize("wrong", [False, True])
def test_on_the_host_where_there_is_no_device(pytester, wrong):
    text = f"""
        import numpy

        def test_it(gpuperf):
            out, calls = numpy.empty(8, "f4"), iter(range(100))

            def body():
                out[: 7 if next(calls) >= 0 and {wrong} else 8] = 1.0

            gpuperf.deterministic(body, outputs=[out])
    """
    run = run_pytest(pytester, text, conftest=NO_GPU)
    (check,) = run.case("test_it")["checks"]
    if wrong:
        assert "not written: 1 of 8 elements of outputs[0] keep the poison, first at [7], in every call" in check["detail"]
    else:
        assert check["detail"] == "outputs[0] hold the same bits after 20 calls, without contention: there is no device"


def test_each_way_has_a_name_of_its_own_and_the_last_takes_what_is_left():
    assert len({row.name for row in WAYS}) == len(WAYS)
    assert WAYS[-1].holds(Split((), ()))


def test_the_histogram_of_integers_is_none():
    words = np.zeros(4, np.uint8)
    assert histogram(words, words, Layout((1,), "int32", 4)) == ""
