"""Testing your own helpers without a GPU: a FakeDevice runs made-up kernels on a virtual clock, so a helper's verdicts can be tried in milliseconds.
It can throttle, lose its device, have other processes and a dirty L2: see `pytest_gpuperf.testing.FakeSpec`.

    pytest examples/test_own_fake.py
"""

import pytest

import pytest_gpuperf
from pytest_gpuperf.testing import FakeDevice


def at_most_twice(gpuperf, body, other):
    """Be the helper that is tested here: one body may take at most twice the time of another."""
    ratio = gpuperf.measure(body, name="body").time / gpuperf.measure(other, name="other").time
    assert ratio <= 2, f"it takes {ratio} times as long"


@pytest.mark.parametrize(("seconds", "holds"), [(15e-6, True), (25e-6, False)])
def test_the_helper_knows_slow_from_fast(seconds, holds):
    fake = FakeDevice()
    with pytest_gpuperf.session(fake, limit=0.1) as gpuperf:
        if holds:
            at_most_twice(gpuperf, fake.kernel(seconds), fake.kernel(10e-6))
        else:
            with pytest.raises(AssertionError, match="times as long"):
                at_most_twice(gpuperf, fake.kernel(seconds), fake.kernel(10e-6))


def test_the_helper_is_not_fooled_by_a_throttle():
    fake = FakeDevice()
    with pytest_gpuperf.session(fake, limit=0.1) as gpuperf:
        gpuperf.measure(fake.kernel(10e-6), name="calibrates")
        fake.throttle(after=0.02, seconds=0.01)
        m = gpuperf.measure(fake.kernel(10e-6))
        assert m.details["evidence"]
