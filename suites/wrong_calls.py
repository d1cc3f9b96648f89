"""Kernels that count their calls in device memory and are wrong at some of them, each beside a twin that counts and is right."""

from __future__ import annotations

import numpy as np
from numba import cuda

#: Calls after which `doubled_at_first` writes nothing more.
WARM_UP = 3
_EVER = 2**31 - 1
#: Times this, a number that is no subnormal is one or two units in the last place larger.
_AND_A_BIT = np.float32(1 + 2.0**-23)
_TWO = np.float32(2)
#: The element that is wrong.
_PLACE = 5


def _doubled(first, last, *, silent=False):
    @cuda.jit
    def doubled(calls, source, target):
        """Double the source, one block; calls `first` to `last` leave one element wrong, or write nothing where `silent`."""
        i = cuda.threadIdx.x
        number = calls[0] + 1
        cuda.syncthreads()
        if i == 0:
            calls[0] = number
        wrong = first <= number <= last
        if not (wrong and silent):
            value = source[i] * _TWO
            if wrong and i == _PLACE:
                value = value * _AND_A_BIT
            target[i] = value

    return doubled


doubled_always = _doubled(0, 0)
doubled_until_call_10 = _doubled(11, _EVER)
doubled_but_on_call_11 = _doubled(11, 11)
doubled_at_first = _doubled(WARM_UP + 1, _EVER, silent=True)


def _remembering(forgets):
    @cuda.jit
    def remembering(calls, kept, source, target):
        """Double the source, one block; later calls write what the first one has kept, unless it `forgets`."""
        i = cuda.threadIdx.x
        number = calls[0] + 1
        cuda.syncthreads()
        if i == 0:
            calls[0] = number
        if forgets or number == 1:
            kept[i] = source[i] * _TWO
        target[i] = kept[i]

    return remembering


doubled_anew = _remembering(forgets=True)
doubled_from_cache = _remembering(forgets=False)
