"""The kernel of the clock's table: one float a thread, 256 threads a block, copied by numba; and what its sizes are."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Floats copied: from one that lives in a corner of the L2 to one forty times as large as it.
POWERS = (10, 14, 17, 20, 22, 24, 26, 28)
THREADS = 256


def make_kernel() -> Any:
    """Return the kernel; importing numba waits until it is asked for."""
    from numba import cuda

    @cuda.jit
    def copy_kernel(source: Any, target: Any) -> None:
        index = cuda.grid(1)
        if index < source.size:
            target[index] = source[index]

    return copy_kernel


def make_body(kernel: Any, power: int) -> tuple[Any, Any, Any]:
    """Return the configured launch with its two device arrays, compiled."""
    from numba import cuda

    size = 1 << power
    source, target = cuda.device_array(size, np.float32), cuda.device_array(size, np.float32)
    source.copy_to_device(np.random.default_rng(power).standard_normal(size, dtype=np.float32))
    launch = kernel[(size + THREADS - 1) // THREADS, THREADS]
    launch(source, target)
    cuda.synchronize()
    return launch, source, target


def make_current(kernel: Any, body: tuple[Any, Any, Any]) -> Any:
    """Return a call that launches on torch's current stream, for timers that capture that one."""
    import torch
    from numba import cuda

    _, source, target = body
    grid = (source.size + THREADS - 1) // THREADS

    def launch() -> None:
        kernel[grid, THREADS, cuda.external_stream(torch.cuda.current_stream().cuda_stream)](source, target)

    return launch


def footprint(power: int) -> int:
    """Return the bytes that one call reads and writes together.

    >>> footprint(20)
    8388608
    """
    return 8 << power
