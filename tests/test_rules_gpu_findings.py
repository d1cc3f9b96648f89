"""What measurements on a real GPU taught, held on a fake one: cold hosts, roofs of small works, prologues."""

from __future__ import annotations

import pytest
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.testing import FakeDevice
from pytest_gpuperf.work import Work

SIZE = 1 << 18
#: 100 GB/s and no L2 to speak of: 256 KiB each way are 5.2 us.
SPEC = {"l2": 1 << 14, "bandwidth": 1e11, **STILL}


@pytest.mark.parametrize("limit", [0.02, 1.0])
def test_the_first_call_after_a_pause_is_no_sample_of_the_host(limit):
    fake = device(**STILL)
    kernel = fake.kernel(5 * US)
    last = [0.0]

    def body():
        # A host that slept takes 60 us more for its next launch.
        if fake.now() - last[0] > 2e-3:
            fake.sleep(60 * US)
        kernel()
        last[0] = fake.now()

    plain = measured(fake, kernel, limit=limit)
    m = measured(fake, body, limit=limit)
    assert m.host_time.point == pytest.approx(plain.host_time.point, abs=2 * US)
    low, high = m.host_time.bounds
    assert high - low < 5 * US


class SlowMove(FakeDevice):
    """A device whose move kernel takes 1 us longer than the driver's copy of the same bytes."""

    def launch(self, kernel, arguments, stream, **shape):
        if kernel == "move":
            self.out = getattr(self, "out", 0) or self.alloc(256)
            super().launch("spin", (1000, self.out), stream, blocks=1, threads=32)
        super().launch(kernel, arguments, stream, **shape)


def test_the_drivers_copy_is_the_roof_of_a_small_copy_where_it_is_faster():
    fake = device(kind=SlowMove, **SPEC)
    source, target = fake.array(SIZE, "uint8"), fake.array(SIZE, "uint8")
    with bench(fake) as gpuperf:
        m = gpuperf.measure(fake.kernel(None, reads=[source], writes=[target]), work=Work(reads=SIZE, writes=SIZE))
        assert m.percent.point == pytest.approx(100, abs=4)
        assert m.bandwidth.reason is None
        (row,) = gpuperf._runtime.roofs(0).record()
    assert row["how"] == "driver copy"


@pytest.mark.parametrize(("faster", "code"), [(0.4 * US, None), (1.0 * US, "impossible")])
def test_an_honest_kernel_may_beat_the_roof_by_its_prologue_and_no_more(faster, code):
    fake = device(**SPEC)
    work = Work(reads=SIZE, writes=0)
    with bench(fake) as gpuperf:
        roof = gpuperf.measure(fake.kernel(5 * US), name="any", work=work).roof.point
        m = gpuperf.measure(fake.kernel(roof - faster - 0.7 * US), work=work)
        assert m.roof.point - m.time.point == pytest.approx(faster, abs=0.05 * US)
        reason = m.bandwidth.reason
    assert (None if reason is None else reason.code) == code
