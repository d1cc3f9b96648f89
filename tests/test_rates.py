"""RATES: every row is whole, its module holds what it says, and the assembler keeps every operation that the row counts."""

from __future__ import annotations

import re
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from pytest_gpuperf.device.modules import KERNELS
from pytest_gpuperf.device.rates import ARGUMENTS, RATES, Rate, rates_of
from pytest_gpuperf.roofline import Roofline
from pytest_gpuperf.timing.rates import Roof
from pytest_gpuperf.values import Value
from pytest_gpuperf.work import KINDS, Work

MODULES = list(dict.fromkeys(row.module for row in RATES))
ENTRIES = {row.kernel: row for row in RATES}
#: Where a module is assembled to look at it: the oldest architecture it is for, and one more.
ARCHS = {"rates_sm70": ("sm_80", "sm_100"), "rates_sm80": ("sm_80", "sm_120"), "rates_sm89": ("sm_89", "sm_120"), "rates_sm90a": ("sm_90a",)}
#: What one instruction of SASS is worth, in operations of a worker, by the kernel's name.
SASS = {
    "fma_fp32": (r"\bFFMA\b", 2 * 32),
    "mma_bf16": (r"\bHMMA\.16816\.F32\.BF16\b", 2 * 16 * 8 * 16),
    "mma_fp16": (r"\bHMMA\.16816\.F32\b", 2 * 16 * 8 * 16),
    "mma_fp16_half": (r"\bHMMA\.16816\.F16\b", 2 * 16 * 8 * 16),
    "mma_fp8": (r"\bQMMA\.16832\.F32\.E4M3\.E4M3\b", 2 * 16 * 8 * 32),
    "wgmma_bf16": (r"\bHGMMA\.64x256x16\.F32\.BF16\b", 2 * 64 * 256 * 16),
    "wgmma_fp16": (r"\bHGMMA\.64x256x16\.F32\b", 2 * 64 * 256 * 16),
    "wgmma_fp8": (r"\bQGMMA\.64x256x32\.F32\.E4M3\.E4M3\b", 2 * 64 * 256 * 32),
}


def text_of(module: str) -> str:
    return (resources.files("pytest_gpuperf.device") / f"{module}.ptx").read_text(encoding="utf-8")


@pytest.mark.parametrize("row", RATES, ids=lambda row: f"{row.kernel}-{row.since[0]}{row.since[1]}-{row.threads}")
def test_every_row_is_whole(row: Rate):
    assert row.kind in {kind.name for kind in KINDS}
    assert (8 if row.module != "rates_sm70" else 7, 0) <= row.since < row.before
    assert row.threads % row.lanes == 0
    assert row.lanes == (128 if "wgmma" in row.kernel else 32)
    mask, low = row.operands
    assert mask & low == 0
    assert 0 < low < 1 << 32
    assert 0 < mask < 1 << 32
    # The parts of the instruction stand in one line of the module, in this order.
    assert re.search(r"^ *" + r"\b.*?\b".join(row.instruction.split(".")), text_of(row.module), re.MULTILINE)


def test_rows_of_one_kind_and_device_differ():
    assert len({(row.kernel, row.since, row.threads, row.blocks_per_sm) for row in RATES}) == len(RATES)


@pytest.mark.parametrize("capability", [(8, 0), (8, 6), (8, 9), (9, 0), (12, 0)])
def test_the_kinds_that_a_device_has(capability: tuple[int, int]):
    kinds = {row.kind for row in RATES if row in rates_of(row.kind, capability)}
    assert kinds == {"fp32", "fp16", "bf16", *(["fp8"] if capability >= (8, 9) else [])}
    instructions = {row.instruction.split(".")[0] for row in RATES if row.kind != "fp32" and row in rates_of(row.kind, capability)}
    assert instructions == ({"wgmma"} if capability == (9, 0) else {"mma"}), "mma.sync does not reach the rate of sm_90"


@pytest.mark.parametrize("capability", [(7, 5), (10, 0), (10, 3), (11, 0)])
def test_where_our_kernels_do_not_reach_the_rate_there_is_no_row(capability: tuple[int, int]):
    assert rates_of("fp32", capability)
    assert not any(rates_of(kind.name, capability) for kind in KINDS if kind.name != "fp32")


@pytest.mark.parametrize("flops", [1, 4096, 2 * 1024**3 + 1, 2 * 8192**3])
@pytest.mark.parametrize("row", RATES, ids=lambda row: f"{row.kernel}-{row.since[0]}-{row.threads}")
def test_a_grid_does_at_least_the_operations_and_less_than_a_round_more(row: Rate, flops: int):
    blocks, rounds, extra = row.grid(flops, 132)
    workers = blocks * row.threads // row.lanes
    assert 1 <= blocks <= 132 * row.blocks_per_sm
    assert 0 <= extra < workers
    assert flops <= (rounds * workers + extra) * row.flops < flops + row.flops


@pytest.mark.parametrize("module", MODULES)
def test_a_module_holds_exactly_the_kernels_of_its_rows(module: str):
    entries = dict(re.findall(r"\.visible \.entry (\w+)\((.*?)\)", text_of(module), re.DOTALL))
    assert set(entries) == {row.kernel for row in RATES if row.module == module} == {row.name for row in KERNELS if row.module == module}
    for name, parameters in entries.items():
        assert [one.removeprefix(f"{name}_") for one in re.findall(r"\.param \.u64 (\w+)", parameters)] == list(ARGUMENTS)
        most = int(re.search(rf"{name}\(.*?\.maxntid (\d+)", text_of(module), re.DOTALL)[1])
        assert max(row.threads for row in RATES if row.kernel == name) <= most


def test_every_kernel_has_its_instruction_in_the_table():
    assert SASS.keys() == ENTRIES.keys()
    assert ARCHS.keys() == set(MODULES)


def _disassembled(module: str, arch: str, folder: Path) -> tuple[dict[str, str], str]:
    """Return the SASS of each kernel, and the assembler's log."""
    core = pytest.importorskip("cuda.core", reason="cuda-core, which links PTX without a driver, is not installed")
    package = pytest.importorskip("nvidia.cu13", reason="nvidia-nvjitlink is not installed")
    tool = next((path for place in package.__path__ for path in Path(place).glob("bin/nvdisasm*")), None)
    if tool is None:
        pytest.skip("nvidia-cuda-nvdisasm is not installed")
    options = core.LinkerOptions(arch=arch, verbose=True, ptxas_options=["-v"])
    linker = core.Linker(core.ObjectCode.from_ptx(text_of(module).encode()), options=options)
    cubin = folder / f"{module}.cubin"
    cubin.write_bytes(linker.link("cubin").code)
    text = subprocess.run([str(tool), "-c", str(cubin)], capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"\.section\s+\.text\.(\w+),.*?\n(.*?)(?=\.section\s|\Z)", text, re.DOTALL)), linker.get_info_log()


@pytest.mark.parametrize(("module", "arch"), [(module, arch) for module, archs in ARCHS.items() for arch in archs])
def test_the_assembler_keeps_every_operation_that_a_row_counts(module: str, arch: str, tmp_path: Path):
    sections, log = _disassembled(module, arch, tmp_path)
    assert set(re.findall(r"(\d+) bytes spill", log)) == {"0"}
    # What serialises wgmma shows as a note of the assembler, not as an error.
    assert "serialized" not in log
    for row in {row.kernel: row for row in RATES if row.module == module}.values():
        pattern, worth = SASS[row.kernel]
        assert len(re.findall(pattern, sections[row.kernel])) * worth == row.flops, row.kernel
        # A kernel that only computes: no operand comes from memory, no sum is spilled.
        assert not re.search(r"\b(LDL|STL|LDG)\b", sections[row.kernel])


def test_an_unknown_kind_of_work_names_the_nearest_or_all():
    with pytest.raises(ValueError, match=r"^Work\(kind='bf61'\): unknown kind; nearest 'bf16'$"):
        Work(flops=1, kind="bf61")
    with pytest.raises(ValueError, match=r"needs one of fp64, fp32, tf32, fp16, bf16, fp8, int8$"):
        Work(flops=1, kind="zz")


def test_every_kind_is_there_once_with_a_meaning():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(re.fullmatch(r"[a-z]+\d+", kind.name) and kind.meaning for kind in KINDS)
    assert {row.kind for row in RATES} <= {kind.name for kind in KINDS}


def test_nobody_is_faster_than_a_roof_that_cannot_be_told_from_zero():
    time = Value(716e-9, "s", "device", 700e-9, 730e-9, name="time")
    roof = Roof(Value(40e-9, "s", "device", -120e-9, 200e-9, name="roof"), "mma")
    line = Roofline(Work(flops=2, kind="bf16"), "warm", lambda _: roof)
    assert line.impossible(time, ("flops",)) is None
