"""The PTX of kernels.ptx: it does what the contract says (in an interpreter), and it assembles into 16-byte accesses without spills."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest
from ptx_machine import PTX, Memory, launch

M64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15

KERNELS = {"empty": 0, "spin": 2, "spin_wide": 32, "stamp": 1, "move": 4, "flush_read": 3, "fill": 3, "digest": 3, "diff": 4, "pack": 5, "unpack": 5, "work": 4}


def noise(nbytes: int, seed: int = 1) -> bytes:
    """Return bytes that repeat nowhere near."""
    return b"".join(struct.pack("<Q", mix(seed * 1_000_003 + i)) for i in range(nbytes // 8 + 1))[:nbytes]


def mix(x: int) -> int:
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & M64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & M64
    return x ^ x >> 31


def digest_of(data: bytes) -> int:
    words = struct.unpack(f"<{-(-len(data) // 8)}Q", data + bytes(-len(data) % 8))
    return sum(mix(word ^ (i + 1) * GOLDEN & M64) for i, word in enumerate(words)) & M64


SIZES = (0, 1, 7, 8, 15, 16, 17, 31, 100, 1024, 2047, 2049, 4096, 4100, 9001)


def test_the_file_holds_exactly_the_kernels_of_the_contract() -> None:
    entries = dict(re.findall(r"\.visible \.entry (\w+)\((.*?)\)", PTX, re.DOTALL))
    assert {name: text.count(".param .u64") for name, text in entries.items()} == KERNELS
    assert ".version 7.8" in PTX
    assert ".target sm_70" in PTX


@pytest.mark.parametrize("shape", [(1, 32), (2, 32), (3, 20), (70, 8)])
@pytest.mark.parametrize(("source_offset", "target_offset"), [(0, 0), (5, 5), (3, 8)])
def test_move_copies_the_common_bytes_and_only_touches_the_rest(shape: tuple[int, int], source_offset: int, target_offset: int) -> None:
    for reads, writes in [(n, n) for n in SIZES] + [
        (700, 5000),
        (5000, 700),
        (0, 4500),
        (4500, 0),
        (33, 35),
        (21, 18),
        (3, 9000),
        (4096, 4097),
    ]:
        memory = Memory()
        data = noise(reads)
        source = memory.put(data, source_offset)
        target = memory.put(b"\xaa" * writes, target_offset)
        launch(memory, "move", [source, target, reads, writes], *shape)
        common = min(reads, writes)
        assert memory.get(target) == data[:common] + bytes(writes - common), (reads, writes)
        assert memory.read_bytes == set(range(source, source + reads)), (reads, writes)


@pytest.mark.parametrize(("reads", "writes"), [(1 << 15, 1 << 12), (1 << 15, 1 << 15)])
def test_move_reads_what_is_only_read_before_it_writes(reads: int, writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Dirty lines that are written last may stay in the L2, as a kernel's that reads and writes as it goes.
    memory = Memory()
    source, target = memory.put(noise(reads)), memory.put(b"\xaa" * writes)
    read_before_the_first_write: list[int] = []
    store = Memory.store

    def watched(self: Memory, address: int, *rest: object) -> None:
        if target <= address < target + writes and not read_before_the_first_write:
            read_before_the_first_write.append(len(self.read_bytes))
        store(self, address, *rest)

    monkeypatch.setattr(Memory, "store", watched)
    launch(memory, "move", [source, target, reads, writes], 64, 32)
    assert memory.get(target) == memory.get(source)[:writes]
    assert (read_before_the_first_write[0] > reads // 2) == (reads > writes)


@pytest.mark.parametrize("offset", [0, 8, 9])
def test_flush_read_reads_every_byte_and_writes_none(offset: int) -> None:
    for nbytes in SIZES:
        memory = Memory()
        source, sink = memory.put(noise(nbytes), offset), memory.put(b"\x11" * 8)
        launch(memory, "flush_read", [source, nbytes, sink])
        assert memory.read_bytes == set(range(source, source + nbytes))
        assert memory.get(sink) == b"\x11" * 8


@pytest.mark.parametrize("offset", [0, 8, 3, 13])
def test_fill_repeats_the_word(offset: int) -> None:
    word = 0xF1E2D3C4B5A69788
    for nbytes in SIZES:
        memory = Memory()
        target = memory.put(bytes(nbytes), offset)
        launch(memory, "fill", [target, nbytes, word])
        assert memory.get(target) == (struct.pack("<Q", word) * (nbytes // 8 + 1))[:nbytes]


@pytest.mark.parametrize("shape", [(1, 1), (2, 32), (3, 20)])
@pytest.mark.parametrize("offset", [0, 8, 1])
def test_digest_is_the_sum_of_the_mixed_words(shape: tuple[int, int], offset: int) -> None:
    for nbytes in SIZES[:-1] if shape != (1, 1) else (0, 1, 24, 129, 500):
        memory = Memory()
        data = noise(nbytes)
        source, out = memory.put(data, offset), memory.put(struct.pack("<Q", 5))
        launch(memory, "digest", [source, nbytes, out], *shape)
        assert memory.get(out) == struct.pack("<Q", (5 + digest_of(data)) & M64), nbytes


@pytest.mark.parametrize(("first", "second"), [(0, 0), (8, 0), (3, 4)])
def test_diff_counts_the_words_that_differ(first: int, second: int) -> None:
    for nbytes in SIZES:
        memory = Memory()
        data = noise(nbytes)
        other = bytearray(data)
        places = {at for at in (0, 1, 8, 500, 4095, nbytes - 1) if 0 <= at < nbytes}
        for at in places:
            other[at] ^= 0x80
        a, b, out = memory.put(data, first), memory.put(bytes(other), second), memory.put(bytes(8))
        launch(memory, "diff", [a, b, nbytes, out])
        assert memory.get(out) == struct.pack("<Q", len({at // 8 for at in places})), nbytes


@pytest.mark.parametrize("shape", [(1, 32), (3, 20), (2, 1)])
@pytest.mark.parametrize(
    ("rows", "row_bytes", "stride", "offset"),
    [(7, 16, 48, 0), (5, 100, 112, 4), (9, 3, 7, 1), (40, 2, -6, 0), (3, 600, 608, 8), (1, 900, 0, 0)],
)
def test_pack_gathers_rows_and_unpack_scatters_them(shape: tuple[int, int], rows: int, row_bytes: int, stride: int, offset: int) -> None:
    extent = (rows - 1) * abs(stride) + row_bytes
    data = noise(extent)
    starts = [r * stride for r in range(rows)]
    low = min(starts)
    packed = b"".join(data[s - low : s - low + row_bytes] for s in starts)
    memory = Memory()
    source, target = memory.put(data, offset), memory.put(bytes(rows * row_bytes))
    offsets = memory.put(struct.pack(f"<{rows}q", *starts))
    launch(memory, "pack", [source - low, offsets, rows, row_bytes, target], *shape)
    assert memory.get(target) == packed
    back = memory.put(b"\xee" * extent, offset)
    launch(memory, "unpack", [target, offsets, rows, row_bytes, back - low], *shape)
    expected = bytearray(b"\xee" * extent)
    for s in starts:
        expected[s - low : s - low + row_bytes] = data[s - low : s - low + row_bytes]
    assert memory.get(back) == bytes(expected)


@pytest.mark.parametrize("shape", [(1, 32), (3, 20), (2, 64)])
def test_work_takes_its_steps_in_every_word(shape: tuple[int, int]) -> None:
    for nbytes, iterations in [(0, 5), (128, 0), (128, 1), (256, 31), (384, 32), (256, 9), (128, 259)]:
        memory = Memory()
        data = noise(nbytes)
        source, target = memory.put(data), memory.put(b"\xaa" * nbytes)
        launch(memory, "work", [source, target, nbytes, iterations], *shape)
        words = struct.unpack(f"<{nbytes // 4}I", data)
        expected = list(words)
        for index in range(len(words)):
            for step in range(iterations):
                around = index // 32 * 32 + (index + step // 8) % 32
                expected[index] = (expected[index] * 1664525 + words[around]) & (1 << 32) - 1
        assert memory.get(target) == struct.pack(f"<{len(words)}I", *expected), (nbytes, iterations)
        assert memory.get(source) == data


def test_spin_stores_when_it_began_and_when_the_time_had_passed() -> None:
    memory = Memory()
    out = memory.put(bytes(16))
    launch(memory, "spin", [1000, out])
    start, end = struct.unpack("<2Q", memory.get(out))
    assert 1000 <= end - start < 1064


@pytest.mark.parametrize("shape", [(3, 32), (7, 1), (2, 64)])
def test_stamp_stores_cycles_and_time_from_one_thread_of_multiprocessor_0(shape: tuple[int, int]) -> None:
    memory = Memory()
    out = memory.put(bytes(16))
    launch(memory, "stamp", [out], *shape)
    cycles, now = struct.unpack("<2Q", memory.get(out))
    # Time passes by 32 at each look, the counter by 63: one look each, by one thread.
    assert (cycles, now) == (63, 32)


def test_a_stamp_that_no_block_of_multiprocessor_0_could_write_stays_as_it_was() -> None:
    memory = Memory()
    out = memory.put(b"\x11" * 16)
    launch(memory, "stamp", [out], 4, 32, first_multiprocessor=1)
    assert memory.get(out) == b"\x11" * 16


def _assemble(arch: str) -> tuple[bytes, str]:
    """Return the cubin and the assembler's log."""
    core = pytest.importorskip("cuda.core", reason="cuda-core, which links PTX without a driver, is not installed")
    pytest.importorskip("nvidia.cu13", reason="nvidia-nvjitlink is not installed")
    linker = core.Linker(core.ObjectCode.from_ptx(PTX.encode()), options=core.LinkerOptions(arch=arch, verbose=True, ptxas_options=["-v"]))
    cubin = linker.link("cubin")
    return cubin.code, linker.get_info_log()


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_the_kernels_assemble_without_spills(arch: str) -> None:
    code, log = _assemble(arch)
    assert code[:4] == b"\x7fELF"
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    assert spills
    assert set(spills) == {("0", "0")}
    registers = dict(re.findall(r"Function properties for '(\w+)':\s*info\s*: used (\d+) registers", log))
    assert registers.keys() == KERNELS.keys()
    # A block of 1024 threads has 64 registers for each.
    assert all(int(count) <= 64 for count in registers.values()), registers


#: Whole-tile loops have four loads, or stores, of 16 bytes each, before the first use of any.
WIDE = (
    ("move", r"(?:LDG\S*\.128 ){4}(?:STG\S*\.128 ){4}"),
    ("flush_read", r"(?:LDG\S*\.128 ){4}"),
    ("fill", r"(?:STG\S*\.128 ){4}"),
    ("digest", r"(?:LDG\S*\.128 ){4}"),
    ("diff", r"(?:LDG\S*\.128 ){8}"),
)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_whole_tiles_go_by_16_bytes_four_in_flight(arch: str, tmp_path: Path) -> None:
    code, _ = _assemble(arch)
    package = pytest.importorskip("nvidia.cu13", reason="nvidia-cuda-nvdisasm is not installed")
    tool = next((path for folder in package.__path__ for path in Path(folder).glob("bin/nvdisasm*")), None)
    if tool is None:
        pytest.skip("nvidia-cuda-nvdisasm is not installed")
    (tmp_path / "kernels.cubin").write_bytes(code)
    text = subprocess.run([str(tool), "-c", str(tmp_path / "kernels.cubin")], capture_output=True, text=True, check=True).stdout
    sections = dict(re.findall(r"\.section\s+\.text\.(\w+),.*?\n(.*?)(?=\.section\s|\Z)", text, re.DOTALL))
    for kernel, pattern in WIDE:
        accesses = " ".join(re.findall(r"\b((?:LDG|STG|BRA|LDL|STL)[.\w]*)", sections[kernel])) + " "
        assert re.search(pattern, accesses), f"{kernel}: {accesses}"
        assert "STL" not in accesses
        assert "LDL" not in accesses
