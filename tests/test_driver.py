"""The driver backend against a driver that only takes notes: arguments, errors, order of giving back."""

from __future__ import annotations

import ctypes
import sys
import types
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.device import discovery
from pytest_gpuperf.device.backend import DeviceFacts, DeviceLimits, Evidence
from pytest_gpuperf.device.calls import ADVICE
from pytest_gpuperf.device.driver import KERNELS, DeviceError, DriverBackend
from pytest_gpuperf.device.tick import tick_of

if TYPE_CHECKING:
    from collections.abc import Iterator

UUID = uuid.UUID(int=42)
FACTS = DeviceFacts("NVIDIA H200", f"GPU-{UUID}", "580.159", "13.0", 1 << 37)


class NotingDriver(types.ModuleType):
    """Stands for cuda.bindings.driver: notes every call, answers from `answers`, fails with the codes of `failures`."""

    CU_MEMHOSTREGISTER_PORTABLE, CU_MEMHOSTREGISTER_DEVICEMAP = 1, 2
    CUstreamWaitValue_flags = types.SimpleNamespace(CU_STREAM_WAIT_VALUE_GEQ=0)
    CUstream_flags = types.SimpleNamespace(CU_STREAM_NON_BLOCKING=1)
    CUresult = types.SimpleNamespace(CUDA_ERROR_OUT_OF_MEMORY=2)
    CUdevice_attribute = types.SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=9,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=0,
        CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT=132,
        CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE=60 << 20,
    )

    def __init__(self) -> None:
        super().__init__("cuda.bindings.driver")
        self.calls: list[tuple[Any, ...]] = []
        self.failures: dict[str, int] = {}
        self.launched: list[int] = []
        self.times = iter(range(10**9))
        self.answers: dict[str, Any] = {
            "cuDeviceGet": lambda _: 0,
            "cuDeviceGetUuid": lambda _: types.SimpleNamespace(bytes=UUID.bytes),
            "cuCtxGetCurrent": lambda: 0,
            "cuCtxGetDevice": lambda: 0,
            "cuDevicePrimaryCtxRetain": lambda _: 1001,
            "cuModuleLoadData": lambda _: 1002,
            "cuModuleGetFunction": lambda _, name: name,
            "cuMemHostGetDevicePointer": lambda address, _: address,
            "cuDeviceGetAttribute": lambda attribute, _: attribute,
            "cuStreamCreate": lambda _: 1003,
            "cuEventCreate": lambda _: next(self.times),
            "cuEventElapsedTime": lambda a, b: (b - a) * 1.024e-3 + (b % 7) * 32e-6,
            "cuMemAlloc": lambda _: 0x7F0000000000,
            "cuGetErrorName": lambda _: b"CUDA_ERROR_SOME",
            "cuGetErrorString": lambda _: b"some sentence",
        }

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append((name, *arguments))
            if name in self.failures:
                return (self.failures[name], None)
            if name == "cuMemGetInfo":
                return (0, 100, 1000)
            if name == "cuLaunchKernel":
                count = next(len(row.arguments) for row in KERNELS if row.name.encode() == arguments[0])
                places = (ctypes.c_void_p * count).from_address(arguments[9])
                self.launched = [ctypes.c_uint64.from_address(place).value for place in places if place]
            return (0, self.answers[name](*arguments)) if name in self.answers else (0,)

        return call

    def named(self, *names: str) -> list[str]:
        return [call[0] for call in self.calls if call[0] in names]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> NotingDriver:
    noting = NotingDriver()
    bindings = pytest.importorskip("cuda.bindings")
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", noting)
    monkeypatch.setattr(bindings, "driver", noting, raising=False)
    return noting


@pytest.fixture
def backend(driver: NotingDriver) -> Iterator[DriverBackend]:
    backend = DriverBackend(FACTS)
    backend.open()
    yield backend
    driver.failures.clear()
    backend.close()


def test_open_makes_limits_and_measures_the_tick(driver: NotingDriver, backend: DriverBackend) -> None:
    limits = backend.open()
    assert limits == DeviceLimits((9, 0), 132, 60 << 20, pytest.approx(32e-9, rel=1e-3), (0.61e-6, 0.02e-6))
    assert driver.named("cuDevicePrimaryCtxRetain") == ["cuDevicePrimaryCtxRetain"]
    assert len(driver.named("cuFuncLoad")) == len(KERNELS)
    assert ("cuMemHostRegister", backend._gate.address, 4096, 3) in driver.calls


def test_a_context_that_is_current_is_used_and_not_given_back(driver: NotingDriver) -> None:
    driver.answers["cuCtxGetCurrent"] = lambda: 555
    backend = DriverBackend(FACTS)
    backend.open()
    backend.close()
    assert not driver.named("cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease")


def test_another_device_that_is_current_is_an_error(driver: NotingDriver) -> None:
    driver.answers["cuCtxGetCurrent"] = lambda: 555
    driver.answers["cuCtxGetDevice"] = lambda: 3
    with pytest.raises(DeviceError, match="device 3 is current in this thread, but measurements are of device 0"):
        DriverBackend(FACTS).open()


def test_facts_are_those_of_the_device_that_cuda_shows_first(driver: NotingDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    real = DeviceFacts("NVIDIA L4", f"GPU-{UUID}", "580.159", "13.0", 1 << 34)
    monkeypatch.setattr(discovery, "find", lambda uuid: ("handle", real) if uuid == real.uuid else None)
    backend = DriverBackend(DeviceFacts("NVIDIA H200", "GPU-other", "580.159", "13.0", 1 << 37))
    backend.open()
    assert backend.facts == real
    backend.close()


def test_launch_hands_over_the_arguments_and_the_shape(driver: NotingDriver, backend: DriverBackend) -> None:
    backend.launch("move", (1 << 40, 2, 3, (1 << 64) - 1), 17, blocks=5, threads=64)
    assert driver.launched == [1 << 40, 2, 3, (1 << 64) - 1]
    name, function, *rest = driver.calls[-1]
    assert (name, function, *rest[:8]) == ("cuLaunchKernel", b"move", 5, 1, 1, 64, 1, 1, 0, 17)
    backend.launch("empty", (), 0, blocks=1, threads=1)
    assert driver.launched == []


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [("mov", (), "no kernel 'mov'; nearest 'move'"), ("fill", (1, 2), r"2 arguments given.*takes \(target, nbytes, word\)")],
)
def test_a_wrong_launch_names_what_is_right(backend: DriverBackend, name: str, arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        backend.launch(name, arguments, 0, blocks=1, threads=1)


def test_block_waits_for_a_number_that_release_stores(driver: NotingDriver, backend: DriverBackend) -> None:
    for number in (1, 2):
        backend.block(17, 60.0)
        assert driver.calls[-1] == ("cuStreamWaitValue32", 17, backend._gate.address, number, 0)
        assert backend._gate.word == number - 1
        assert backend.release() is True
        assert backend._gate.word == number


def test_a_block_that_fails_leaves_nothing_held(driver: NotingDriver, backend: DriverBackend) -> None:
    driver.failures["cuStreamWaitValue32"] = 801
    with pytest.raises(DeviceError, match="cuStreamWaitValue32"):
        backend.block(0, 60.0)
    driver.failures.clear()
    backend.block(0, 60.0)


def test_a_failed_call_tells_name_code_sentence_and_what_to_do(driver: NotingDriver, backend: DriverBackend) -> None:
    driver.failures["cuEventRecord"] = 719
    with pytest.raises(DeviceError) as caught:
        backend.record(1, 0)
    assert str(caught.value).splitlines() == [
        "cuEventRecord: CUDA_ERROR_SOME (719): some sentence",
        next(row.text for row in ADVICE if row.code == 719),
    ]
    assert caught.value.code == 719
    assert caught.value.sticky


def test_no_memory_is_a_memory_error_with_what_is_free(driver: NotingDriver, backend: DriverBackend) -> None:
    driver.failures["cuMemAlloc"] = 2
    with pytest.raises(MemoryError, match=r"4,096 bytes of device memory.*100 of 1,000 bytes are free"):
        backend.alloc(4096)
    driver.failures["cuMemAlloc"] = 700
    with pytest.raises(DeviceError):
        backend.alloc(4096)


def test_close_gives_everything_back_even_where_the_context_is_lost(driver: NotingDriver) -> None:
    backend = DriverBackend(FACTS)
    backend.open()
    backend.event()
    backend.block(0, 60.0)
    helper = backend._gate.helper_pid
    driver.calls.clear()
    driver.failures["cuCtxSynchronize"] = 719
    backend.close()
    order = ("cuCtxSynchronize", "cuMemHostUnregister", "cuEventDestroy", "cuModuleUnload", "cuDevicePrimaryCtxRelease")
    assert driver.named(*order) == list(order)
    assert helper is not None
    backend.close()
    with pytest.raises(DeviceError, match="not open"):
        backend.release()


def test_evidence_of_a_device_that_nvml_does_not_know_is_empty(backend: DriverBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "find", lambda _: None)
    assert backend.evidence() == Evidence()


def test_without_a_driver_library_open_says_what_is_missing() -> None:
    driver = pytest.importorskip("cuda.bindings.driver")
    try:
        driver.cuInit(0)
    except RuntimeError:
        with pytest.raises(DeviceError, match=r"driver of NVIDIA H200 cannot be loaded: .*libcuda"):
            DriverBackend(FACTS).open()
    else:
        pytest.skip("a CUDA driver is installed here")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cuLaunchKernel", (0, 1, 1, 1, 32, 1, 1, 0, 0, 4096, 0)),
        ("cuStreamWaitValue32", (0, 4096, 1, 0)),
        ("cuMemsetD8Async", (4096, 0, 8, 0)),
        ("cuMemcpyDtoDAsync", (4096, 8192, 8, 0)),
        ("cuMemcpyHtoD", (4096, b"12345678", 8)),
        ("cuMemcpyDtoH", (bytearray(8), 4096, 8)),
        ("cuMemHostRegister", (4096, 4096, 3)),
        ("cuMemHostGetDevicePointer", (4096, 0)),
        ("cuModuleLoadData", (b"ptx\0",)),
        ("cuModuleGetFunction", (0, b"move")),
        ("cuFuncLoad", (0,)),
        ("cuEventCreate", (0,)),
        ("cuEventElapsedTime", (0, 0)),
        ("cuStreamSynchronize", (0,)),
        ("cuCtxSynchronize", ()),
        ("cuDeviceGetUuid", (0,)),
        ("cuMemFree", (4096,)),
    ],
)
def test_the_installed_bindings_take_such_arguments(name: str, arguments: tuple[Any, ...]) -> None:
    driver = pytest.importorskip("cuda.bindings.driver")
    try:
        driver.cuInit(0)
    except RuntimeError:
        # The bindings convert their arguments before they look for the library.
        with pytest.raises(RuntimeError, match="libcuda"):
            getattr(driver, name)(*arguments)
    else:
        pytest.skip("a CUDA driver is installed here, and these addresses are made up")


@pytest.mark.parametrize("step", [1.0, 32.0, 500.0, 1024.0])
def test_tick_of_finds_the_step_through_rounding(step: float) -> None:
    counts = (0, 31, 33, 34, 40, 64, 210, 33, 1000)
    assert tick_of([n * step * (1 + 1e-7 * (n % 3 - 1)) for n in counts]) == pytest.approx(step, rel=1e-3)


def test_tick_of_takes_a_fraction_where_no_single_step_was_seen() -> None:
    assert tick_of([0.0, 64.0, 160.0, 320.0]) == pytest.approx(32.0)
