"""Floating-point arithmetic in PTX: what a helper of kernels/device.py wrote, and what the compiler made on its own."""

from __future__ import annotations

import re

_ASM = re.compile(r"// begin inline asm\n(.*?)// end inline asm", re.DOTALL)
#: Whatever computes with, or converts to or from, floating-point registers; not loads, stores, moves, comparisons and selections.
_COMPUTES = re.compile(
    r"\b(?:add|sub|mul|fma|mad|div|rcp|sqrt|rsqrt|ex2|lg2|sin|cos|tanh|min|max|neg|abs|copysign|cvt|testp)\b[.\w]*\.(?:b?f(?:16|32|64)\w*)\b[.\w]*"
)


def stray(ptx: str) -> list[str]:
    """Return the floating-point instructions outside of inline asm: those that a compiler may fuse, reorder or widen."""
    return _COMPUTES.findall(_ASM.sub("", ptx))


def written(ptx: str) -> list[str]:
    """Return the floating-point instructions of inline asm, in their order."""
    return [name for text in _ASM.findall(ptx) for name in _COMPUTES.findall(text)]


def doubles(ptx: str) -> list[str]:
    """Return the lines that name a float64, declarations included."""
    return [line.strip() for line in re.findall(r"^.*\.f64.*$", ptx, re.MULTILINE)]
