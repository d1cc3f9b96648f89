from __future__ import annotations

import statistics

import numpy as np
import pytest

from pytest_gpuperf.testing import FakeDevice, FakeDeviceError, FakeSpec

STILL = {"jitter": 0.0, "launch_jitter": 0.0}


def reading(fake, body, stream=0, before=None):
    """Take one blocked reading in seconds."""
    first, last = fake.event(), fake.event()
    fake.block(stream, 1.0)
    if before is not None:
        before()
    fake.record(first, stream)
    body()
    fake.record(last, stream)
    assert fake.release()
    fake.wait(last)
    return fake.elapsed(first, last)


def typical(fake, body, prepare=None, count=64, **keywords):
    taken = []
    for _ in range(count):
        if prepare is not None:
            prepare()
        taken.append(reading(fake, body, **keywords))
    return statistics.mean(taken)


@pytest.mark.parametrize(("graph", "share"), [(False, 2.90e-6), (True, 2.62e-6)])
def test_a_blocked_reading_is_the_span_and_the_launch_share(graph, share):
    fake = FakeDevice(FakeSpec(**STILL))
    for span in (1e-6, 20e-6):
        body = fake.kernel(span, graph=graph)
        body()
        assert typical(fake, body) == pytest.approx(span + share, abs=15e-9)
        assert fake.launches[-1].duration == pytest.approx(span + 0.70e-6, abs=1e-9)


def test_an_empty_pair_and_several_kernels():
    fake = FakeDevice(FakeSpec(**STILL))
    assert typical(fake, lambda: None) == pytest.approx(1.28e-6, abs=15e-9)
    body = fake.kernel(5e-6)
    body()
    assert typical(fake, lambda: [body() for _ in range(3)]) == pytest.approx(2.9e-6 + 15e-6 + 2 * (0.5e-6 + 0.7e-6), abs=20e-9)


def test_events_and_the_global_timer_are_on_the_tick_grid():
    fake = FakeDevice()
    body = fake.kernel(3.3e-6)
    body()
    readings = [reading(fake, body) for _ in range(50)]
    steps = [one / 32e-9 for one in readings]
    assert max(abs(one - round(one)) for one in steps) < 1e-3
    assert len({round(one) for one in steps}) > 1
    out = fake.array(2, "uint64")
    fake.launch("spin", (5000, view_address(out)), 0, blocks=1, threads=32)
    start, end = out.numpy().tolist()
    assert start % 32 == 0
    assert 5000 <= end - start < 5032


def view_address(array):
    return array.__cuda_array_interface__["data"][0]


def test_a_spin_under_a_hold_writes_its_times_when_it_runs():
    fake = FakeDevice(FakeSpec(**STILL))
    out = fake.array(2, "uint64")

    def body():
        fake.launch("spin", (10_000, view_address(out)), 0, blocks=1, threads=32)

    raw = typical(fake, body)
    start, end = out.numpy().tolist()
    assert raw - (end - start) * 1e-9 == pytest.approx(2.9e-6, abs=20e-9)


def test_the_host_pays_for_calls_and_not_for_kernels():
    fake = FakeDevice(FakeSpec(host_cost=2e-6))
    body, slow = fake.kernel(1e-3), fake.kernel(1e-3, host_cost=50e-6)
    body(), slow()
    start = fake.now()
    body()
    middle = fake.now()
    slow()
    assert middle - start == pytest.approx(2e-6, abs=1e-7)
    assert fake.now() - middle == pytest.approx(50e-6, abs=1e-7)
    fake.synchronize(0)
    assert fake.now() - start > 2e-3


def test_the_first_call_compiles():
    fake = FakeDevice(FakeSpec(compile_time=0.5))
    body = fake.kernel(1e-6)
    assert body.overloads == {}
    start = fake.now()
    body()
    assert fake.now() - start > 0.5
    assert body.overloads
    start = fake.now()
    body()
    assert fake.now() - start < 1e-3


@pytest.mark.parametrize("wait", ["synchronize", "stream", "download", "free", "alloc", "event", "compile", "sleep"])
def test_a_host_that_waits_under_a_hold_comes_back_at_the_deadline(wait):
    fake = FakeDevice()
    array, address, event = fake.array(4), fake.alloc(16), fake.event()
    calls = {
        "synchronize": fake.synchronize,
        "stream": lambda: fake.synchronize(0),
        "download": lambda: fake.download(view_address(array), 4),
        "free": lambda: fake.free(address),
        "alloc": lambda: fake.alloc(16),
        "event": lambda: fake.wait(event),
        "compile": fake.kernel(1e-6),
        "sleep": lambda: fake.sleep(2.0),
    }
    start = fake.now()
    fake.block(0, 1.0)
    fake.record(event, 0)
    calls[wait]()
    assert fake.now() - start >= 1.0
    assert fake.release() is False
    fake.block(0, 1.0)
    assert fake.release() is True


def test_work_on_another_stream_runs_under_a_hold_and_keeps_the_device_busy():
    fake = FakeDevice()
    other = fake.stream()
    body = fake.kernel(5e-3, stream=other)
    body()
    fake.synchronize()
    fake.block(0, 1.0)
    body()
    assert fake.release()
    fake.synchronize(0)
    idle = fake.now()
    fake.synchronize()
    assert fake.now() - idle > 4e-3


def test_a_full_queue_makes_the_host_wait():
    fake = FakeDevice(FakeSpec(queue=8))
    body = fake.kernel(1e-6)
    body()
    fake.block(0, 1.0)
    for _ in range(9):
        body()
    assert fake.release() is False


def test_operations_of_a_held_stream_have_no_time_yet():
    fake = FakeDevice()
    first, last = fake.event(), fake.event()
    fake.block(0, 1.0)
    fake.record(first, 0)
    fake.record(last, 0)
    with pytest.raises(FakeDeviceError, match="elapsed"):
        fake.elapsed(first, last)
    with pytest.raises(FakeDeviceError, match="held already"):
        fake.block(0, 1.0)


def flush(fake, address, nbytes, *, clean):
    fake.memset(address, 0, nbytes, 0)
    if clean:
        fake.launch("flush_read", (address + nbytes, nbytes, address), 0, blocks=1, threads=256)


def test_cold_is_dirty_after_a_memset_clean_after_a_read_and_warm_is_faster():
    fake = FakeDevice(FakeSpec(l2=1 << 20, **STILL))
    source, target = fake.array(1 << 16), fake.array(1 << 16)
    nbytes = 2 << 20
    buffers = fake.alloc(2 * nbytes)
    body = fake.kernel(20e-6, reads=[source], writes=[target])
    body()
    dirty = typical(fake, body, lambda: flush(fake, buffers, nbytes, clean=False))
    clean = typical(fake, body, lambda: flush(fake, buffers, nbytes, clean=True))
    warm = typical(fake, body, body)
    assert clean == pytest.approx(22.9e-6, abs=30e-9)
    assert dirty - clean == pytest.approx(target.nbytes / 1e12, rel=0.1)  # its own dirty lines push as many others out
    assert clean - warm == pytest.approx(source.nbytes * (1 / 1e12 - 1 / 4e12), rel=0.2)


def test_back_to_back_a_writer_pays_for_its_writes():
    fake = FakeDevice(FakeSpec(l2=1 << 20, **STILL))
    sets = [fake.array(1 << 18) for _ in range(4)]
    body = fake.kernel(10e-6, writes=lambda out: [out])
    body(sets[0])
    for index in range(40):
        body(sets[index % 4])
    fake.synchronize()
    steady = statistics.mean(one.duration for one in list(fake.launches)[-20:]) - 0.7e-6
    assert steady - 10e-6 == pytest.approx(0.4 * (1 << 20) / 1e12, rel=0.1)


def test_a_kernel_without_a_duration_takes_what_its_bytes_need():
    fake = FakeDevice(FakeSpec(l2=1 << 16, bandwidth=1e12, **STILL))
    source = fake.array(1 << 22, "uint8")
    fake.kernel(None, reads=[source])()
    fake.synchronize()
    assert fake.launches[-1].duration == pytest.approx(0.7e-6 + 0.6e-6 + (1 << 22) / 1e12, rel=1e-3)


def durations(fake, count=400, span=10e-6, pause=0.0):
    body = fake.kernel(span)
    for _ in range(count):
        body()
        fake.sleep(pause)
    fake.synchronize()
    return np.array([one.duration - 0.7e-6 for one in list(fake.launches)[-count:]]) / span


def test_noise_is_seeded_and_as_wide_as_asked():
    one, same, other = (durations(FakeDevice(FakeSpec(jitter=0.05, seed=seed))) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert one.std() == pytest.approx(0.05, rel=0.2)
    correlated = durations(FakeDevice(FakeSpec(jitter=0.05, autocorrelation=0.8)), 4000)
    assert np.corrcoef(correlated[1:], correlated[:-1])[0, 1] == pytest.approx(0.8, abs=0.06)
    assert correlated.std() == pytest.approx(0.05, rel=0.3)


def test_drift_grows_with_virtual_time():
    taken = durations(FakeDevice(FakeSpec(jitter=0.0, drift=0.1, compile_time=0.0)), 100, pause=10e-3)
    assert taken[-1] - taken[0] == pytest.approx(0.1, rel=0.05)


def test_throttling_shows_in_times_and_in_the_evidence():
    fake = FakeDevice(FakeSpec(throttle_at=1.0, throttle_factor=1.5, throttle_reasons=0x8, **STILL))
    body = fake.kernel(10e-6)
    body()
    assert (fake.evidence().sm_clock, fake.evidence().throttle) == (1980, 0)
    before = typical(fake, body, count=8)
    fake.sleep(1.0)
    assert typical(fake, body, count=8) - before == pytest.approx(5e-6, abs=50e-9)
    assert (fake.evidence().sm_clock, fake.evidence().throttle) == (1320, 0x8)
    later = FakeDevice()
    later.throttle(after=0.5)
    assert later.evidence().throttle == 0
    later.sleep(0.6)
    assert later.evidence().throttle == 0x4


def test_foreign_load_shows_in_the_evidence_and_in_kernels_of_known_length():
    fake = FakeDevice(FakeSpec(**STILL))
    out = fake.array(2, "uint64")
    assert (fake.evidence().utilization, fake.evidence().processes) == (0, ())
    fake.foreign(utilization=70, processes=(77,), slowdown=2.0)
    assert (fake.evidence().utilization, fake.evidence().processes) == (70, (77,))
    fake.launch("spin", (10_000, view_address(out)), 0, blocks=1, threads=32)
    fake.synchronize()
    start, end = out.numpy().tolist()
    assert end - start == pytest.approx(20_000, abs=64)


def test_faults_happen_where_they_were_ordered():
    fake = FakeDevice(FakeSpec(fail_alloc=2, fail_launch=2))
    fake.alloc(8)
    with pytest.raises(MemoryError, match="injected"):
        fake.alloc(8)
    fake.alloc(8)
    body = fake.kernel(1e-6)
    body()
    with pytest.raises(FakeDeviceError, match="injected"):
        body()
    body()
    fake.fail("alloc", after=1)
    fake.alloc(8)
    with pytest.raises(MemoryError):
        fake.alloc(8)


def test_a_lost_device_stays_lost_and_can_still_be_closed():
    fake = FakeDevice(FakeSpec(lost_at_launch=2))
    body = fake.kernel(1e-6)
    body()
    for call in (body, fake.synchronize, lambda: fake.alloc(8), fake.evidence):
        with pytest.raises(FakeDeviceError, match="is lost"):
            call()
    fake.release()
    fake.close()
