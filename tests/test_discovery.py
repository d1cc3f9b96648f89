"""Finding the device through NVML, and reading its state: with an NVML that is told what to say."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_gpuperf.device import discovery, health
from pytest_gpuperf.device.backend import DeviceFacts, Evidence
from pytest_gpuperf.device.discovery import discover, find, open_backend
from pytest_gpuperf.reasons import Reason

H200, L4 = "GPU-11111111-aaaa", "GPU-22222222-bbbb"


class NVMLError(Exception):
    """As in pynvml: the base of one class an error."""


class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801
    pass


class NVMLError_NotSupported(NVMLError):  # noqa: N801
    pass


class NVMLError_LibRmVersionMismatch(NVMLError):  # noqa: N801
    pass


@dataclasses.dataclass
class Nvml:
    """Answers like pynvml for some devices; `broken` functions raise, `init` is raised by nvmlInit."""

    names: dict[str, str] = dataclasses.field(default_factory=lambda: {H200: "NVIDIA H200", L4: "NVIDIA L4"})
    init: Exception | None = None
    broken: dict[str, Exception] = dataclasses.field(default_factory=dict)
    pids: tuple[int, ...] = ()

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    NVML_PERF_POLICY_POWER, NVML_PERF_POLICY_THERMAL, NVML_PERF_POLICY_BOARD_LIMIT, NVML_PERF_POLICY_RELIABILITY = 0, 1, 3, 5

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in self.broken:
            error = self.broken[name]
            if isinstance(error, AttributeError):
                raise error

            def fail(*_: Any) -> None:
                raise error

            return fail
        return object.__getattribute__(self, name)

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init:
            raise self.init

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.names)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return list(self.names)[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in self.names:
            raise NVMLError("not found")
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle

    def nvmlDeviceGetName(self, handle: str) -> bytes:  # noqa: N802
        return self.names[handle].encode()

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.159"

    def nvmlSystemGetCudaDriverVersion(self) -> int:  # noqa: N802
        return 13010

    def nvmlDeviceGetMemoryInfo(self, _: str) -> Any:  # noqa: N802
        return SimpleNamespace(total=150_000_000_000)

    def nvmlDeviceGetClockInfo(self, _: str, kind: int) -> int:  # noqa: N802
        return {1: 1980, 2: 3201}[kind]

    def nvmlDeviceGetTemperature(self, _: str, __: int) -> int:  # noqa: N802
        return 35

    def nvmlDeviceGetPowerUsage(self, _: str) -> int:  # noqa: N802
        return 120_500

    def nvmlDeviceGetViolationStatus(self, _: str, policy: int) -> Any:  # noqa: N802
        if policy == self.NVML_PERF_POLICY_BOARD_LIMIT:
            raise NVMLError_NotSupported("not supported")
        return SimpleNamespace(referenceTime=10**15, violationTime={0: 2_500_000_000}.get(policy, 0))

    def nvmlDeviceGetApplicationsClock(self, _: str, __: int) -> int:  # noqa: N802
        return 1755

    def nvmlDeviceGetMaxClockInfo(self, _: str, __: int) -> int:  # noqa: N802
        return 1980

    def nvmlDeviceGetCurrentClocksEventReasons(self, _: str) -> int:  # noqa: N802
        return 0x44

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _: str) -> int:  # noqa: N802
        return 0x8

    def nvmlDeviceGetUtilizationRates(self, _: str) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=7, memory=3)

    def nvmlDeviceGetComputeRunningProcesses(self, _: str) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid) for pid in self.pids]


def test_the_first_device_is_found_with_all_its_facts() -> None:
    assert discover({}, Nvml()) == DeviceFacts("NVIDIA H200", H200, "580.159", "13.1", 150_000_000_000, 1755)


@pytest.mark.parametrize(
    ("setting", "uuid"),
    [
        ("1", L4),
        ("1,0", L4),
        (" 0 ", H200),
        ("GPU-2222", L4),
        ("gpu-2222", None),
        ("GPU-", None),
        ("7,0", None),
        ("-1", None),
        ("x,0", None),
    ],
)
def test_cuda_visible_devices_chooses(setting: str, uuid: str | None) -> None:
    found = discover({"CUDA_VISIBLE_DEVICES": setting}, Nvml())
    if uuid is None:
        assert found == Reason("no-gpu", f"CUDA_VISIBLE_DEVICES={setting!r} hides all 2 GPUs of this machine")
    else:
        assert isinstance(found, DeviceFacts)
        assert found.uuid == uuid


def test_an_empty_setting_hides_the_one_device() -> None:
    found = discover({"CUDA_VISIBLE_DEVICES": ""}, Nvml({H200: "NVIDIA H200"}))
    assert found == Reason("no-gpu", "CUDA_VISIBLE_DEVICES='' hides the one GPU of this machine")


def test_a_mig_instance_is_found_by_its_own_uuid() -> None:
    found = discover({"CUDA_VISIBLE_DEVICES": "MIG-3333"}, Nvml({H200: "NVIDIA H200", "MIG-3333": "NVIDIA H200 MIG 1g.18gb"}))
    assert isinstance(found, DeviceFacts)
    assert found.name == "NVIDIA H200 MIG 1g.18gb"


@pytest.mark.parametrize(
    ("error", "nodes", "reason"),
    [
        (NVMLError_LibraryNotFound("x"), (), Reason("no-gpu", "NVML: library not found")),
        (NVMLError_LibraryNotFound("x"), ("nvidia0",), Reason("no-driver", "NVML: library not found; a GPU is listed in /dev")),
        (
            NVMLError_LibRmVersionMismatch("Driver/library version mismatch"),
            (),
            Reason("no-driver", "NVML: Driver/library version mismatch"),
        ),
    ],
)
def test_without_nvml_the_reason_says_what_is_missing(
    error: Exception, nodes: tuple[str, ...], reason: Reason, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for node in ("nvidiactl", *nodes):
        (tmp_path / node).touch()
    monkeypatch.setattr(discovery, "_DEV", tmp_path)
    assert discover({}, Nvml(init=error)) == reason


def test_a_driver_without_devices_is_no_gpu() -> None:
    assert discover({}, Nvml({})) == Reason("no-gpu", "NVML: the driver is there, but no device")


def test_find_knows_a_device_or_says_none() -> None:
    found = find(L4, Nvml())
    assert found is not None
    assert found[1].name == "NVIDIA L4"
    assert find("GPU-9", Nvml()) is None


def test_open_backend_needs_neither_numba_nor_torch_nor_a_context() -> None:
    program = """
import sys
from pytest_gpuperf.device.discovery import open_backend
found = open_backend()
assert not {"numba", "torch", "cupy", "cuda.bindings.driver", "numpy"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_open_backend_without_cuda_bindings_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_nvml", Nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(discovery, "find_spec", lambda _: None)
    found = open_backend()
    assert isinstance(found, Reason)
    assert found.code == "no-driver"
    assert "NVIDIA H200" in found.detail
    assert "cuda-bindings" in found.detail


def test_open_backend_gives_a_backend_that_is_not_open_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_nvml", Nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = open_backend()
    assert not isinstance(found, Reason)
    assert found.facts.uuid == H200


def test_evidence_reads_everything() -> None:
    pids = (os.getpid(), 77, 12, 77)
    assert health.evidence(H200, Nvml(pids=pids)) == Evidence(
        1980, 3201, 35, 120.5, 0x44, 7, (12, 77), {"power": 2.5, "thermal": 0.0, "reliability": 0.0}
    )


FIELDS = {
    "sm_clock": ("nvmlDeviceGetClockInfo",),
    "temperature": ("nvmlDeviceGetTemperature",),
    "power": ("nvmlDeviceGetPowerUsage",),
    "throttle": health._REASON_READERS,
    "utilization": ("nvmlDeviceGetUtilizationRates",),
    "processes": ("nvmlDeviceGetComputeRunningProcesses",),
    "violations": ("nvmlDeviceGetViolationStatus",),
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_reading_that_fails_is_none_and_leaves_the_others(field: str) -> None:
    nvml = Nvml(broken=dict.fromkeys(FIELDS[field], NVMLError_NotSupported("not supported")))
    got = dataclasses.asdict(health.evidence(H200, nvml))
    # Not NVML's: stamps tell it.
    del got["effective_clock"]
    gone = {"sm_clock", "memory_clock"} if field == "sm_clock" else {field}
    assert {name for name, value in got.items() if value is None} == gone


@pytest.mark.parametrize("error", [AttributeError("old pynvml"), NVMLError_NotSupported("old driver")])
def test_the_older_name_of_the_reasons_is_the_second_road(error: Exception) -> None:
    nvml = Nvml(broken={health._REASON_READERS[0]: error})
    assert health.evidence(H200, nvml).throttle == 0x8


def test_throttle_has_one_row_a_bit_and_names_the_bad_ones() -> None:
    bits = [row.bit for row in health.THROTTLE]
    assert bits == [1 << n for n in range(9)]
    assert len({row.name for row in health.THROTTLE}) == 9
    assert sum(row.bit for row in health.THROTTLE if row.bad) == 0x4 | 0x8 | 0x20 | 0x40 | 0x80


def test_throttle_agrees_with_pynvml() -> None:
    pynvml = pytest.importorskip("pynvml")
    words = {
        name.removeprefix("nvmlClocksEventReason"): getattr(pynvml, name)
        for name in dir(pynvml)
        if name.startswith("nvmlClocksEventReason")
    }
    assert {row.bit for row in health.THROTTLE} == {bit for name, bit in words.items() if name not in ("All", "None")}
    assert words["SwPowerCap"] == 0x4
    assert words["HwPowerBrakeSlowdown"] == 0x80


def test_every_violation_has_one_row_and_a_cause_that_a_reason_or_a_counter_tells() -> None:
    causes = [row.cause for row in health.VIOLATIONS]
    assert len(set(causes)) == len(causes)
    assert {row.cause for row in health.THROTTLE if row.bad} == {"power", "hardware", "thermal"}
    for cause in causes:
        assert health.causes_of(Evidence(violations={cause: 1e-9}), None) == (cause,)


def test_the_clock_of_a_device_is_the_application_clock_else_the_highest_else_unknown() -> None:
    broken = NVMLError_NotSupported("not supported")
    assert health.sm_clock_of(H200, Nvml()) == 1755
    assert health.sm_clock_of(H200, Nvml(broken={"nvmlDeviceGetApplicationsClock": broken})) == 1980
    assert health.sm_clock_of(H200, Nvml(broken=dict.fromkeys(["nvmlDeviceGetApplicationsClock", "nvmlDeviceGetMaxClockInfo"], broken))) is None
