"""Copies between host and device: rates of the bus with a fake device, and its host memory."""

from __future__ import annotations

import pytest
from rules_bench import STILL, device

from pytest_gpuperf.testing.spec import FakeDeviceError
from pytest_gpuperf.timing.transfers import TRANSFERS, Transfer, time_transfer

NBYTES = 1 << 20
SPEC = {"memory": 1 << 23, "pcie": 5e10, "pcie_both": 8e10, "pageable_in": 2e10, "pageable_out": 1e10, **STILL}


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("pinned, to device", 5e10),
        ("pinned, from device", 5e10),
        ("pinned, both at once", 8e10),
        ("pageable, to device", 2e10),
        ("pageable, from device", 1e10),
    ],
)
def test_each_way_has_its_rate(name, rate):
    fake = device(**SPEC)
    row = next(row for row in TRANSFERS if row.name == name)
    time = time_transfer(fake, row, NBYTES, 0.01)
    # The host's calls and waits are in it: a few microseconds.
    assert row.ways * NBYTES / rate < time.number < row.ways * NBYTES / rate + 15e-6
    assert (time.unit, time.source, time.reason) == ("s", "host", None)
    assert time.low <= time.number <= time.high
    assert time.samples >= 15


def test_every_row_is_there_once_and_copies_something():
    assert len({row.name for row in TRANSFERS}) == len({(row.pinned, row.to_device, row.from_device) for row in TRANSFERS}) == len(TRANSFERS)
    for row in TRANSFERS:
        assert row.ways in {1, 2}
        assert row.name.startswith("pinned" if row.pinned else "pageable")
        assert ("to device" in row.name, "from device" in row.name) == (row.to_device, row.from_device) or row.name.endswith("both at once")


def test_at_least_five_rounds_of_three_and_then_until_the_limit():
    fake = device(**SPEC)
    row = TRANSFERS[0]
    assert time_transfer(fake, row, NBYTES, 0.0).samples == 15
    assert 30 < time_transfer(fake, row, NBYTES, 40 * NBYTES / 5e10).samples <= 42
    assert time_transfer(fake, row, 256, 1.0).samples == 300


def test_no_room_is_unmeasured_with_both_sizes_and_leaves_nothing_behind():
    fake = device(**SPEC)
    free = fake.memory()[0]
    time = time_transfer(fake, TRANSFERS[2], 1 << 22, 0.01)
    assert (time.number, time.reason.code) == (None, "no-memory")
    assert "8,388,608 bytes of device memory are needed, 8,388,608 are free" in time.reason.detail
    assert time_transfer(fake, TRANSFERS[2], NBYTES, 0.01).number
    assert fake.memory()[0] == free
    assert fake.host._memory.used == 0


def test_no_room_on_the_host_is_unmeasured_too():
    fake = device(**{**SPEC, "memory": 4 << 30})
    time = time_transfer(fake, Transfer("pinned, to device", pinned=True, to_device=True, from_device=False), (1 << 30) + 1, 0.01)
    assert time.reason.code == "no-memory"
    assert fake.memory()[0] == 4 << 30


def test_host_memory_of_a_fake_device_holds_what_was_copied():
    fake = device(**SPEC)
    host, there = fake.host.alloc(16, pinned=True), fake.alloc(16)
    fake.upload(there, bytes(range(16)))
    (stream,) = fake.host.streams(1)
    fake.host.from_device(host, there, 16, stream)
    fake.memset(there, 0, 16, 0)
    fake.host.to_device(there, host, 16, stream)
    assert fake.download(there, 16) == bytes(range(16))
    assert fake.host.streams(2)[0] == stream
    fake.host.free(host)
    with pytest.raises(FakeDeviceError, match="not inside one allocation"):
        fake.host.to_device(there, host, 16, stream)


def test_only_a_pageable_copy_lets_the_host_wait():
    fake = device(**SPEC)
    there = fake.alloc(NBYTES)
    (stream,) = fake.host.streams(1)
    for pinned in (True, False):
        host = fake.host.alloc(NBYTES, pinned=pinned)
        fake.synchronize()
        began = fake.now()
        fake.host.to_device(there, host, NBYTES, stream)
        assert (fake.now() - began > NBYTES / 5e10) != pinned
