"""Kernels of one function of kernels/numerics.py each, and two that compute what nobody wrote; plain functions, compiled where there is no simulator."""

from __future__ import annotations

from kernels.numerics import add32, canonical, exp32, fma32, from_bf16, max32, mul32, sub32, to_bf16


def exponential(x, y, w):
    y[0] = exp32(x[0])


def online(x, y, w):
    """One step of a softmax of the kind that a compiler would fuse: sum * exp(old - new) + exp(x - new)."""
    new = max32(x[0], x[1])
    y[0] = add32(mul32(x[2], exp32(sub32(x[0], new))), exp32(sub32(x[1], new)))
    y[1] = fma32(x[3], x[4], x[5])


def halves(x, y, w):
    w[0] = to_bf16(canonical(x[0]))
    y[0] = from_bf16(w[1])


def fused(x, y, w):
    y[0] = x[0] * x[1] + x[2]


def widened(x, y, w):
    y[0] = x[0] * 0.1


def double(x, y, w):
    y[0] = fma32(x[0], 0.5, x[1])
