"""The child of benchmarks/clock.py that ncu profiles: seven launches of each size, their order told by the size of the grid."""

from __future__ import annotations

import sys

from clock_kernel import make_body, make_kernel
from numba import cuda

REPEATS = 7


def main() -> None:
    """Launch the sizes named in the first argument."""
    kernel = make_kernel()
    for power in map(int, sys.argv[1].split(",")):
        launch, source, target = make_body(kernel, power)
        for _ in range(REPEATS):
            launch(source, target)
        cuda.synchronize()


if __name__ == "__main__":
    main()
