"""Arrays of the suites: torch tensors on the GPU, or on the host under the simulator, made from NumPy bits."""

from __future__ import annotations

import numpy as np
import torch

from kernels import device

#: True where numba's simulator stands for the GPU.
SIMULATED = device.SIMULATED

_BITS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


class Place:
    """Where arrays live: `where` is torch's name of it."""

    where = "cpu" if SIMULATED else "cuda"
    simulated = SIMULATED

    def put(self, array, dtype=None):
        """Return a tensor with the bits of a NumPy array, read as `dtype` (default: the array's own)."""
        array = np.ascontiguousarray(array)
        name = dtype or array.dtype.name
        bits = torch.from_numpy(array.view(_BITS[array.dtype.itemsize]).copy())
        return bits.view(getattr(torch, name)).to(self.where)

    def full(self, shape, value, dtype):
        """Return a tensor full of one value."""
        return torch.full(shape, value, dtype=getattr(torch, dtype), device=self.where)


class Gapped(Place):
    """The same, and between the rows of every array with two dimensions or more are sixteen elements that belong to nobody."""

    def put(self, array, dtype=None):
        """Return a tensor whose rows are apart."""
        tensor = super().put(array, dtype)
        if tensor.ndim < 2:
            return tensor
        *outer, columns = tensor.shape
        wide = torch.full((*outer, columns + 16), 7, dtype=tensor.dtype, device=self.where)
        wide[..., :columns] = tensor
        return wide[..., :columns]
