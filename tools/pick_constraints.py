"""Print the constraints file whose packages this machine's NVIDIA driver accepts; with no driver, the newest set."""

from __future__ import annotations

import ctypes
import dataclasses
import sys
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class ConstraintSet:
    """One file of pins and the least CUDA version that a driver must support to run them."""

    minimum: tuple[int, int]
    file: str
    driver: str


SETS: tuple[ConstraintSet, ...] = (ConstraintSet(minimum=(13, 0), file="constraints/cuda13.txt", driver="580"),)


def driver_cuda_version() -> tuple[int, int] | None:
    """Return the CUDA version that the driver supports; None where there is no driver or no GPU.

    Asks the driver itself by ctypes, because nothing else is installed yet.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    count, version = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    if driver.cuDriverGetVersion(ctypes.byref(version)):
        return None
    return version.value // 1000, version.value % 1000 // 10


def pick(version: tuple[int, int] | None, sets: tuple[ConstraintSet, ...] = SETS) -> str:
    """Return the newest set that a driver of CUDA `version` accepts; SystemExit with one line where there is none."""
    newest_first = sorted(sets, key=lambda row: row.minimum, reverse=True)
    for row in newest_first:
        if version is None or version >= row.minimum:
            return row.file
    oldest = newest_first[-1]
    need, have = (".".join(map(str, pair)) for pair in (oldest.minimum, version or (0, 0)))
    message = f"this machine's NVIDIA driver supports CUDA {have}, the pinned packages need {need}: install driver {oldest.driver} or newer"
    raise SystemExit(message)


if __name__ == "__main__":
    chosen = pick(driver_cuda_version())
    if not Path(chosen).is_file():
        raise SystemExit(f"{chosen}: no such file; run this in the root of the repository")
    print(chosen)
