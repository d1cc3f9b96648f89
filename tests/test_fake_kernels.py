from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import pytest

from pytest_gpuperf.testing import FAKE_CONFTEST, Example, FakeDevice, FakeDeviceError, FakeSpec, fake_conftest
from pytest_gpuperf.testing.cache import L2, Traffic
from pytest_gpuperf.testing.kernels import OWN_KERNELS, digest


def view_address(array):
    return array.__cuda_array_interface__["data"][0]


def test_memory_is_bounded_and_accesses_stay_inside_allocations():
    fake = FakeDevice(FakeSpec(memory=1 << 20))
    free, total = fake.memory()
    assert free == total == 1 << 20
    address = fake.alloc(1000)
    assert address % 256 == 0
    assert fake.memory()[0] == free - 1024
    with pytest.raises(MemoryError, match=r"cannot allocate 1,048,576 bytes: 1,047,552 of 1,048,576 bytes are free"):
        fake.alloc(1 << 20)
    for call in (lambda: fake.memset(address, 0, 1025, 0), lambda: fake.memset(address - 1, 0, 1, 0), lambda: fake.download(address + 1024, 1), lambda: fake.free(address + 256)):
        with pytest.raises(FakeDeviceError, match=r"illegal address|not the start"):
            call()
    fake.free(address)
    assert fake.memory()[0] == free
    with pytest.raises(FakeDeviceError):
        fake.upload(address, b"x")


def test_memory_of_an_array_goes_back_with_its_last_part():
    fake = FakeDevice()
    free = fake.memory()[0]
    array = fake.array((8, 8))
    part = array[::2]
    del array
    gc.collect()
    assert fake.memory()[0] < free
    fake.memset(view_address(part), 0, 4, 0)
    del part
    gc.collect()
    assert fake.memory()[0] == free
    with pytest.raises(TypeError, match="copy"):
        _ = fake.array(4)[[0, 1]]


@pytest.fixture
def lab():
    """Return a fake device and 4 KiB of random bytes on it."""
    fake = FakeDevice()
    array = fake.array(4096, "uint8")
    array.numpy()[:] = np.random.default_rng(0).integers(0, 256, 4096)
    return fake, array.numpy(), view_address(array), array


def launch(fake, name, *arguments):
    fake.launch(name, arguments, 0, blocks=1, threads=256)


def test_move_copies_the_shorter_length_and_reads_or_writes_the_rest(lab):
    fake, data, at, _keep = lab
    launch(fake, "move", at + 1, at + 2001, 100, 60)
    assert (data[2001:2061] == data[1:61]).all()
    before = data[2100:].copy()
    launch(fake, "move", at, at + 1000, 10, 40)
    assert (data[1000:1010] == data[:10]).all()
    assert (data[2100:] == before).all()


def test_fill_repeats_the_word_from_the_first_byte(lab):
    fake, data, at, _keep = lab
    launch(fake, "fill", at + 3, 21, 0x0807060504030201)
    assert data[3:24].tolist() == [1, 2, 3, 4, 5, 6, 7, 8] * 2 + [1, 2, 3, 4, 5]


def reference_digest(data):
    mask = (1 << 64) - 1
    total = 0
    data = data + bytes(-len(data) % 8)
    for i in range(len(data) // 8):
        x = int.from_bytes(data[8 * i : 8 * i + 8], "little") ^ ((i + 1) * 0x9E3779B97F4A7C15 & mask)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = ((x ^ (x >> shift)) * factor) & mask
        total += x ^ (x >> 31)
    return total & mask


@pytest.mark.parametrize(("offset", "nbytes"), [(0, 0), (0, 8), (0, 4000), (1, 9), (3, 1021)])
def test_digest_is_the_sum_of_mixed_words_added_to_what_stands_there(lab, offset, nbytes):
    fake, data, at, _keep = lab
    out = fake.alloc(8)
    fake.upload(out, (2**64 - 5).to_bytes(8, "little"))
    launch(fake, "digest", at + offset, nbytes, out)
    want = (2**64 - 5 + reference_digest(data[offset : offset + nbytes].tobytes())) % 2**64
    assert int.from_bytes(fake.download(out, 8), "little") == want


def test_digest_does_not_depend_on_how_it_is_cut():
    big = np.random.default_rng(1).integers(0, 2**63, (1 << 16) + 7, dtype=np.uint64)
    swapped = big.copy()
    swapped[[0, 1 << 16]] = swapped[[1 << 16, 0]]
    assert digest(big) == digest(big.copy())
    assert digest(big) != digest(swapped)
    assert digest(big[: 1 << 10]) == reference_digest(big[: 1 << 10].tobytes())


def test_diff_counts_words_with_a_padded_tail(lab):
    fake, data, at, _keep = lab
    data[2048:2048 + 21] = data[5:26]
    out = fake.alloc(8)
    fake.memset(out, 0, 8, 0)
    launch(fake, "diff", at + 5, at + 2048, 21, out)
    assert fake.download(out, 8) == bytes(8)
    data[2048 + 20] ^= 1
    data[2048] ^= 1
    launch(fake, "diff", at + 5, at + 2048, 21, out)
    assert fake.download(out, 1) == b"\x02"


def test_pack_and_unpack_follow_their_table_backwards_too(lab):
    fake, data, at, _keep = lab
    offsets = np.array([0, -30, 60, 7], np.int64)
    table = fake.alloc(64)
    fake.upload(table, offsets.tobytes())
    launch(fake, "pack", at + 100, table, 4, 5, at + 3000)
    rows = data[3000:3020].reshape(4, 5).copy()
    assert (rows == np.stack([data[100 + one : 105 + one] for one in offsets])).all()
    data[3000:3020] = np.arange(20)
    before = data.copy()
    launch(fake, "unpack", at + 3000, table, 4, 5, at + 100)
    for row, one in enumerate(offsets):
        assert data[100 + one : 105 + one].tolist() == list(range(5 * row, 5 * row + 5))
        before[100 + one : 105 + one] = data[100 + one : 105 + one]
    assert (data == before).all()


@pytest.mark.parametrize("iterations", [0, 1, 8, 9, 255, 256, 257, 1000])
def test_work_takes_its_steps_in_every_word(lab, iterations):
    fake, data, at, _keep = lab
    start = data[:256].view("<u4").copy()
    launch(fake, "work", at, at + 1024, 256, iterations)
    expected = start.copy()
    for step in range(iterations):
        around = np.concatenate([np.roll(line, -(step // 8)) for line in start.reshape(-1, 32)])
        expected = expected * np.uint32(1664525) + around
    assert (data[1024:1280].view("<u4") == expected).all()
    with pytest.raises(FakeDeviceError, match="100 bytes are no multiple of 128"):
        launch(fake, "work", at, at, 100, 1)


def test_every_own_kernel_refuses_what_it_cannot_take():
    fake = FakeDevice()
    for row in OWN_KERNELS:
        with pytest.raises(FakeDeviceError, match=rf"{row.name}.*{len(row.arguments) + 1} arguments given"):
            launch(fake, row.name, *[0] * (len(row.arguments) + 1))
    with pytest.raises(FakeDeviceError, match="0 blocks"):
        fake.launch("empty", (), 0, blocks=0, threads=32)
    with pytest.raises(FakeDeviceError, match="64 bits"):
        launch(fake, "fill", 0, 0, -1)
    with pytest.raises(FakeDeviceError, match="stream 0x99"):
        fake.memset(fake.alloc(8), 0, 8, 0x99)


def test_reading_dirty_bytes_leaves_them_dirty_and_writing_them_again_makes_them_ones_own():
    l2 = L2(capacity=100, dirty_capacity=100)
    l2.run(reads=[], writes=[(10, 30)])
    assert l2.run(reads=[(0, 60)], writes=[]) == Traffic(reads=60, writes=0, missed=30, own=0, others=0)
    assert l2.dirty == 30
    assert l2.run(reads=[(1000, 80)], writes=[]).others == 30
    l2.run(reads=[], writes=[(0, 30)])
    assert l2.run(reads=[], writes=[(20, 110)]) == Traffic(reads=0, writes=110, missed=0, own=10, others=20)


def test_an_effect_is_there_at_once_and_returns_through_the_body():
    fake = FakeDevice()
    out = fake.array(3, "int32")
    body = fake.kernel(1e-6, writes=lambda out, value: [out], effect=lambda out, value: out.numpy().fill(value) or out)
    assert body(out, 7) is out
    assert out.numpy().tolist() == [7, 7, 7]


def test_an_example_runs_in_its_own_folder_and_brings_its_run_file_home(monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    test = """
        import json, os, pathlib, sys
        def test_it():
            assert "PYTEST_ADDOPTS" not in os.environ and os.environ["MINE"] == "1"
            folder = pathlib.Path("reports/runs"); folder.mkdir(parents=True)
            (folder / "one.json").write_text(json.dumps({"schema": 1}))
            pathlib.Path("reports/latest.html").write_text("page")
            assert "pytest_gpuperf" in sys.modules or __import__("pytest_gpuperf")
        def test_fails():
            assert 0
    """
    example = Example({"test_it.py": test})
    result = example.run_pytest("-q", plugins=(), env={"MINE": "1"})
    assert (result.returncode, result.outcomes()) == (1, {"failed": 1, "passed": 1}), result.stdout
    assert result.run == {"schema": 1}
    assert result.report == example.path / "reports" / "latest.html"
    with pytest.raises(ValueError, match="outside"):
        example.write({"../x.py": ""})


def test_the_conftest_text_offers_its_device_to_the_hook():
    names: dict[str, object] = {}
    exec(compile(fake_conftest(l2=4096), "conftest", "exec"), names)
    assert names["pytest_gpuperf_backend"](None).spec.l2 == 4096
    assert "FakeDevice(FakeSpec())" in FAKE_CONFTEST
    with pytest.raises(TypeError, match="l3"):
        fake_conftest(l3=1)


def test_fakes_import_nothing_heavy_before_they_are_used():
    script = "import sys, pytest_gpuperf.testing as t; t.FakeDevice(); assert not {'numpy', 'numba', 'torch', 'jinja2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
