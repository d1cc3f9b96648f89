"""Find the GPU that this process will use, through NVML: no CUDA context, no numba, no torch."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_gpuperf.device.backend import DeviceFacts
from pytest_gpuperf.device.health import sm_clock_of
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_gpuperf.device.driver import DriverBackend

#: NVML's errors that mean that nothing is installed here, with their texts; with a device node in place they are a broken driver.
_NOTHING: Final[tuple[tuple[str, str], ...]] = (
    ("NVMLError_LibraryNotFound", "NVML: library not found"),
    ("NVMLError_DriverNotLoaded", "NVML: driver not loaded"),
)

_DEV: Final = Path("/dev")
#: What stands in /dev where a GPU is, on Linux and on its Windows subsystem.
_NODES: Final = ("nvidia[0-9]*", "dxg")


def visible(setting: str | None, uuids: Sequence[str]) -> list[str]:
    """Return the UUIDs that a CUDA_VISIBLE_DEVICES setting leaves, in its order; `uuids` are those of all devices in theirs.

    As CUDA does, an entry may be an index or the beginning of one UUID, the first that is neither hides all after it, and the
    empty setting hides all. Indices count in NVML's order, which is CUDA's where all devices are alike or CUDA_DEVICE_ORDER is
    PCI_BUS_ID; `DriverBackend.open` looks again at what CUDA really shows. The UUID of a MIG instance is taken as it is.

    >>> visible("1,GPU-a", ["GPU-abc", "GPU-def"]), visible("", ["GPU-abc"]), visible(None, ["GPU-abc"]), visible("0,-1,1", ["GPU-abc", "GPU-def"])
    (['GPU-def', 'GPU-abc'], [], ['GPU-abc'], ['GPU-abc'])
    """
    if setting is None:
        return list(uuids)
    found: list[str] = []
    for entry in (part.strip() for part in setting.split(",")):
        if re.fullmatch(r"\d+", entry):
            matches = list(uuids[int(entry) : int(entry) + 1])
        elif entry.startswith("MIG-"):
            matches = [entry]
        elif entry.startswith("GPU-"):
            matches = [uuid for uuid in uuids if uuid.lower().startswith(entry.lower())]
        else:
            matches = []
        if len(matches) != 1:
            break
        found.extend(uuid for uuid in matches if uuid not in found)
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _nvml() -> Any:
    """Return pynvml."""
    import pynvml

    return pynvml


def _no_device(error: Exception) -> Reason:
    """Say why NVML does not answer: nothing is here, or what is here is broken."""
    nothing = dict(_NOTHING).get(type(error).__name__)
    listed = any(node for pattern in _NODES for node in _DEV.glob(pattern))
    if nothing and not listed:
        return Reason("no-gpu", nothing)
    where = "; a GPU is listed in /dev" if listed else ""
    return Reason("no-driver", (nothing or f"NVML: {error}") + where)


def facts_of(handle: Any, nvml: Any) -> DeviceFacts:
    """Return what NVML knows of the device of a handle."""
    version = int(nvml.nvmlSystemGetCudaDriverVersion())
    return DeviceFacts(
        name=_text(nvml.nvmlDeviceGetName(handle)),
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        driver=_text(nvml.nvmlSystemGetDriverVersion()),
        cuda=f"{version // 1000}.{version % 1000 // 10}",
        memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        sm_clock=sm_clock_of(handle, nvml),
    )


def find(uuid: str, nvml: Any = None) -> tuple[Any, DeviceFacts] | None:
    """Return NVML's handle and facts of the device with a UUID; None where NVML does not answer for it."""
    nvml = nvml or _nvml()
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        return handle, facts_of(handle, nvml)
    except nvml.NVMLError:
        return None


def is_mig(uuid: str, nvml: Any = None) -> bool:
    """Say whether a device is an instance of a GPU that is divided, or the divided GPU itself; False where NVML does not answer."""
    if uuid.startswith("MIG-"):
        return True
    try:
        nvml = nvml or _nvml()
        nvml.nvmlInit()
        current, _ = nvml.nvmlDeviceGetMigMode(nvml.nvmlDeviceGetHandleByUUID(uuid))
    except Exception:  # noqa: BLE001  (a GPU that knows no MIG says so by an error, a fake one has no handle)
        return False
    return bool(current)


def discover(environ: Mapping[str, str] | None = None, nvml: Any = None) -> DeviceFacts | Reason:
    """Return the facts of the first device that is visible to this process, or why there is none.

    `environ` is that of the process unless given; `nvml` the pynvml module, or one that answers like it.
    """
    nvml = nvml or _nvml()
    setting = (os.environ if environ is None else environ).get("CUDA_VISIBLE_DEVICES")
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(int(nvml.nvmlDeviceGetCount()))]
        if not handles:
            return Reason("no-gpu", "NVML: the driver is there, but no device")
        uuids = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
        chosen = visible(setting, uuids)
        if not chosen:
            noun = "the one GPU" if len(uuids) == 1 else f"all {len(uuids)} GPUs"
            return Reason("no-gpu", f"CUDA_VISIBLE_DEVICES={setting!r} hides {noun} of this machine")
        return facts_of(nvml.nvmlDeviceGetHandleByUUID(chosen[0]), nvml)
    except nvml.NVMLError as error:
        return _no_device(error)


def open_backend() -> DriverBackend | Reason:
    """Return the backend of the first visible device, without a CUDA context yet, or why there is none."""
    found = discover()
    if isinstance(found, Reason):
        return found
    try:
        installed = find_spec("cuda.bindings.driver") is not None
    except ModuleNotFoundError:
        installed = False
    if not installed:
        return Reason("no-driver", f"{found.name} is here, but cuda-bindings, which talks to its driver, is not installed")
    from pytest_gpuperf.device.driver import DriverBackend

    return DriverBackend(found)
