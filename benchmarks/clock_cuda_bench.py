"""The child of benchmarks/clock.py that cuda-bench measures: its own process, because NVBench takes the whole of it."""

from __future__ import annotations

import sys
from typing import Any

from clock_kernel import THREADS, make_body, make_kernel
from cuda import bench
from numba import cuda


def main() -> None:
    """Measure the sizes named in the first argument; what follows goes to cuda-bench."""
    powers = [int(one) for one in sys.argv[1].split(",")]
    kernel = make_kernel()

    def copy(state: Any) -> None:
        power = state.get_int64("power")
        _, source, target = make_body(kernel, power)
        stream = cuda.external_stream(state.get_stream().addressof())
        launch = kernel[((1 << power) + THREADS - 1) // THREADS, THREADS, stream]
        state.exec(lambda _: launch(source, target), batched=False)

    bench.register(copy).add_int64_axis("power", powers)
    bench.run_all_benchmarks([sys.argv[0], *sys.argv[2:]])


if __name__ == "__main__":
    main()
