"""Instruments: what one opened device is measured with; made once a process and device."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_gpuperf.device.operations import Operations
from pytest_gpuperf.timing.cache import Flusher
from pytest_gpuperf.timing.clock import Calibration, Sentinel, Stopwatch, calibrate, warm_up
from pytest_gpuperf.timing.witness import Witness

if TYPE_CHECKING:
    from pytest_gpuperf.device.backend import Backend, DeviceLimits


@dataclasses.dataclass
class Instruments:
    """An opened device with its clock, its flush buffers and its calibration."""

    backend: Backend
    limits: DeviceLimits
    operations: Operations
    flusher: Flusher
    watch: Stopwatch
    calibration: Calibration
    sentinel: Sentinel
    witness: Witness

    @classmethod
    def open(cls, backend: Backend, calibration: Calibration | None = None, stream: int = 0) -> Instruments:
        """Open the device and calibrate its clock, unless another worker of the run had done so."""
        limits = backend.open()
        watch = Stopwatch(backend)
        if calibration is None:
            calibration = calibrate(backend, watch, stream)
        else:
            warm_up(backend, stream)
        return cls(
            backend,
            limits,
            Operations(backend),
            Flusher(backend, limits),
            watch,
            calibration,
            Sentinel(backend, watch, calibration),
            Witness(backend, limits),
        )

    def close(self) -> None:
        """Give everything back."""
        self.flusher.close()
        self.operations.close()
        self.sentinel.close()
        self.witness.close()
        self.watch.close()
        self.backend.close()
