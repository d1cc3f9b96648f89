"""gpuperf roofs: what a device can do, as a table and as a file; one line without a GPU."""

from __future__ import annotations

import json
import re

import pytest
from rules_bench import STILL, device

from pytest_gpuperf.cli import main
from pytest_gpuperf.device import discovery
from pytest_gpuperf.machine import STATES, TRAFFIC, measure_machine
from pytest_gpuperf.machine_table import machine_lines
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.transfers import TRANSFERS

SIZES = (1 << 16, 1 << 24)


@pytest.fixture(scope="module")
def fake():
    return device("GPU-roofs", memory=1 << 22, **STILL)


@pytest.fixture(scope="module")
def found(fake):
    return measure_machine(fake, 0.001, SIZES, transfer=1 << 20, flops=10**11)


def test_every_traffic_size_and_state_is_a_row(found):
    assert [(row["traffic"], row["bytes"], row["cache"]) for row in found["bandwidth"]] == [
        (one.name, nbytes, cache) for one in TRAFFIC for nbytes in SIZES for cache in STATES
    ]
    rates = {(row["traffic"], row["cache"]): row["rate"] for row in found["bandwidth"] if row["bytes"] == SIZES[0]}
    for (traffic, cache), rate in rates.items():
        time = next(r for r in found["bandwidth"] if (r["traffic"], r["cache"], r["bytes"]) == (traffic, cache, SIZES[0]))["time"]["number"]
        assert rate["number"] == pytest.approx(SIZES[0] / time)
    assert rates["read", "warm"]["number"] > rates["read", "cold"]["number"]
    too_large = [row for row in found["bandwidth"] if row["bytes"] == SIZES[1]]
    assert {row["rate"]["reason"]["code"] for row in too_large} == {"no-memory"}
    assert all(row["rate"]["number"] is None for row in too_large)


def test_launches_are_timed_as_what_they_are(fake, found):
    times = {row["name"]: row["time"] for row in found["launch"]}
    assert times["empty kernel"]["number"] == pytest.approx(fake.spec.latency + fake.spec.share, abs=0.1e-6)
    assert times["empty kernel, as a graph"]["number"] == pytest.approx(fake.spec.latency + fake.spec.share, abs=0.1e-6)
    assert times["host time of a launch"]["number"] == pytest.approx(fake.spec.host_cost, rel=0.2)
    assert times["empty kernel"]["systematic"] == pytest.approx(1e-7)


def test_the_table_has_a_row_a_size_and_state_with_reasons_in_place_of_numbers(found):
    lines = list(machine_lines(found))
    assert lines[0].startswith("NVIDIA FAKE (GPU-roofs-")
    assert lines[2].split() == ["bytes", "moved", "cache", "read", "write", "copy"]
    assert lines[3].split()[:3] == ["65.54", "kB", "cold"]
    assert lines[6].split() == ["16.78", "MB", "cold", "no-memory", "no-memory", "no-memory"]
    assert lines[-1].startswith("host time of a replay")


def test_the_l2_the_bus_and_operations_are_rows_with_rates(fake, found):
    (l2,) = found["l2"]
    assert l2["bytes"] == fake.spec.l2 // 2
    assert l2["rate"]["number"] == pytest.approx(l2["bytes"] / l2["time"]["number"])
    assert [row["name"] for row in found["transfers"]] == [row.name for row in TRANSFERS]
    rates = {row["name"]: row["rate"]["number"] for row in found["transfers"]}
    assert rates["pinned, to device"] == pytest.approx(fake.spec.pcie, rel=0.5)
    assert rates["pinned, both at once"] > 1.2 * rates["pinned, to device"] > 1.2 * rates["pageable, to device"]
    assert {row["rate"]["source"] for row in found["transfers"]} == {"host"}
    for row in found["operations"]:
        assert row["rate"]["number"] == pytest.approx(fake.spec.rates[row["name"]], rel=0.05)
        assert (row["rate"]["unit"], row["rate"]["low"] <= row["rate"]["number"] <= row["rate"]["high"]) == ("FLOP/s", True)
        assert "on noise" in row["how"]


def test_rates_that_no_kernel_of_ours_reaches_are_told_by_their_reason():
    found = measure_machine(device("GPU-ten", compute_capability=(10, 0), memory=1 << 22, **STILL), 0.001, (), transfer=1 << 23, flops=10**10)
    assert [row["rate"]["reason"]["code"] for row in found["operations"] if row["name"] != "fp32"] == ["no-rate"] * 3
    assert {row["rate"]["reason"]["code"] for row in found["transfers"]} == {"no-memory"}
    lines = list(machine_lines(found))
    assert "operations bf16                           no-rate" in lines
    assert "host memory pinned, to device           no-memory  (8.389 MB)" in lines


def test_the_table_shows_rates_with_their_intervals(found):
    lines = list(machine_lines(found))
    bf16 = next(line for line in lines if line.startswith("operations bf16 "))
    assert re.fullmatch(r"operations bf16 +7\d\d\.\d TFLOP/s \[7[\d.]+\.\.[78][\d.]+ TFLOP/s\]  \(wgmma\.m64n256k16\.f32\.bf16, 132 blocks of 256, [\d,]+ operations on noise\)", bf16)
    assert any(line.startswith("L2 read, half of it ") for line in lines)
    assert sum(line.startswith("host memory ") for line in lines) == len(TRANSFERS)


def test_the_verb_prints_and_writes(found, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("pytest_gpuperf.machine.measure_machine", lambda limit: found | {"limit_s": limit})
    assert main(["roofs", "--limit", "0.01", "--json", str(tmp_path / "roofs.json")]) == 0
    assert capsys.readouterr().out.startswith("NVIDIA FAKE")
    assert json.loads((tmp_path / "roofs.json").read_text(encoding="utf-8"))["limit_s"] == 0.01


def test_without_a_gpu_it_is_one_line_and_status_2(capsys, monkeypatch):
    monkeypatch.setattr(discovery, "open_backend", lambda: Reason("no-gpu", "NVML: library not found"))
    assert main(["roofs"]) == 2
    assert capsys.readouterr().err == "gpuperf roofs: UNMEASURED no-gpu: NVML: library not found (run on a machine with a GPU and its driver)\n"


def test_a_folder_that_is_not_there_is_known_before_anything_is_measured(capsys, tmp_path):
    assert main(["roofs", "--json", str(tmp_path / "no" / "roofs.json")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["roofs", "--limit", "0"])
    assert "invalid _seconds value: '0'" in capsys.readouterr().err
