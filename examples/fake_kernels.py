"""Kernels of the same names as in gpu_kernels.py, for a machine without a GPU: NumPy does their work, a FakeDevice makes up their times."""

from __future__ import annotations

import numpy as np


class FakeKernels:
    """Arrays in the memory of a FakeDevice, and kernels on its virtual clock."""

    #: floats in a row: few, as NumPy does the work of every timed call
    row = 4
    #: what gpuperf.guarded makes: whatever the device has
    like = None

    def __init__(self, gpuperf, fake):
        self._gpuperf, self._fake = gpuperf, fake
        # The same memory traffic in eight times the time, as accesses far apart cost it.
        slow = 8 * 2 * 4 * 4096 * self.row / fake.spec.bandwidth
        self.double = self._kernel(double)
        self.double_strided = self._kernel(double, slow)
        self.double_but_the_last_block = self._kernel(lambda x, out: double(x[:-256], out[:-256]))
        self.double_and_one_more = self._kernel(double_and_one_more)
        self.negate = self._kernel(lambda x, out: np.negative(x, out=out))
        self.increment = self._kernel(lambda x: np.add(x, np.float32(1), out=x))
        self.total = self._kernel(lambda x, out: np.add(out, x.sum(), out=out))

    def put(self, values):
        array = self._fake.array(values.shape, values.dtype)
        array.numpy()[:] = values
        return array

    def random(self, rows):
        return self.put(self._gpuperf.rng().random(rows * self.row, dtype="float32"))

    def empty(self, rows):
        return self._fake.array(rows * self.row)

    def zeros(self, rows):
        return self.put(np.zeros(rows * self.row, "float32"))

    def read(self, array):
        return array.numpy().copy()

    def wait(self):
        self._fake.synchronize()

    def product(self):
        """Return a body that draws more than the device's power limit, what it writes, and its operations."""
        out = self.empty(1)
        body = self._fake.kernel(5e-3, writes=[out], effect=lambda: out.numpy().fill(1), stream=lambda: self._gpuperf.stream, watts=900.0)
        return body, out, 1e12

    def _kernel(self, work, seconds=None):
        """Make a kernel that reads all of its arrays but the last, and writes that; where no time is said, it takes what memory and L2 need."""
        return self._fake.kernel(
            seconds,
            reads=lambda *arrays: arrays[:-1] or arrays,
            writes=lambda *arrays: arrays[-1:],
            effect=lambda *arrays: on_memory(work, arrays),
            stream=lambda: self._gpuperf.stream,
        )


def on_memory(work, arrays):
    """Do a kernel's work; a launch returns nothing."""
    work(*(one.numpy() for one in arrays))


def double(x, out):
    np.add(x, x, out=out)


def double_and_one_more(x, out):
    """Double, and write the element after the end too, which is somebody else's memory."""
    double(x, out)
    np.lib.stride_tricks.as_strided(out[-1:], (2,))[1] = 2 * x[-1]
