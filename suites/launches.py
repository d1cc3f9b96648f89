"""How the suites launch small kernels of their own on arrays of any framework."""

from __future__ import annotations

import dataclasses
import functools

from kernels import device


def flat(array, dtype=None, *, more=0):
    """Return an array as a flat argument, read as `dtype`, and `more` elements beyond its end, which must be somebody's memory."""
    found = device.memory(array, "array")
    if more:
        found = dataclasses.replace(found, shape=(found.span // found.itemsize + more,), strides=(found.itemsize,))
    return device.flat(found, dtype or found.dtype)


def bound(kernel, blocks, threads, *arguments):
    """Return the launch of a kernel on `blocks` blocks of so many threads; arrays become flat, what is flat and numbers stay."""
    given = [flat(one) if hasattr(one, "data_ptr") else one for one in arguments]
    return functools.partial(device.configured(kernel, blocks, (threads, 1), 0), *given)
