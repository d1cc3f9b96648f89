"""A plain function that travels to the compiling process by its name."""

from __future__ import annotations

from numba import cuda


def plain(x, y):
    y[cuda.grid(1)] = x[cuda.grid(1)]
