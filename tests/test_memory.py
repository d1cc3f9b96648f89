"""peak_memory: torch's own statistics and the driver's allocations, added where both see a part, and no number where neither sees all."""

from __future__ import annotations

import sys
import types

import pytest

from pytest_gpuperf.device.profiler import Allocation, Records
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.body import Body
from pytest_gpuperf.timing.memory import Memory, watch_memory

MISSING = Reason("no-cupti", "cupti-python is not installed")
KIB = 1024


class Cuda:
    """torch.cuda as far as it is asked: what is allocated and reserved, now and at most since the last reset."""

    def __init__(self):
        self.allocated = self.reserved = self.most = self.most_reserved = 10 * KIB

    def is_available(self):
        return True

    def is_initialized(self):
        return True

    def synchronize(self):
        pass

    def reset_peak_memory_stats(self):
        self.most, self.most_reserved = self.allocated, self.reserved

    def memory_allocated(self):
        return self.allocated

    def memory_reserved(self):
        return self.reserved

    def max_memory_allocated(self):
        return self.most

    def max_memory_reserved(self):
        return self.most_reserved

    def use(self, nbytes, segment=0):
        self.reserved += segment
        self.most = max(self.most, self.allocated + nbytes)
        self.most_reserved = max(self.most_reserved, self.reserved)


@pytest.fixture
def cuda(monkeypatch):
    made = Cuda()
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=made))
    return made


def body(function):
    return Body(function, [()], {})


def calls(*sizes):
    return [Records(memory=tuple(Allocation(nbytes, float(at)) for at, nbytes in enumerate(sizes)))]


def test_torch_alone_knows_a_body_of_torch(cuda):
    cuda.use(99 * KIB)
    found = watch_memory(body(lambda: cuda.use(4 * KIB)), MISSING)
    assert found == Memory(4 * KIB)
    assert (found.nbytes, found.source) == (4 * KIB, "torch")


def test_torch_alone_does_not_know_a_body_of_others(cuda):
    def elsewhere():
        cuda.use(4 * KIB)

    other = types.FunctionType(elsewhere.__code__, {"__name__": "numba.cuda.cudadrv.driver", "KIB": KIB}, closure=elsewhere.__closure__)
    found = watch_memory(body(other), MISSING)
    assert found.nbytes is None
    assert found.reason.code == "allocator-unknown"
    assert "the body calls numba, whose allocations torch does not see, and cupti-python is not installed" in str(found.reason)


def test_without_torch_the_driver_tells(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    found = watch_memory(body(lambda: None), calls(KIB, KIB, -KIB, KIB // 2))
    assert (found.nbytes, found.source) == (2 * KIB, "cupti")


def test_without_either_there_is_no_number(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    ran = []
    found = watch_memory(body(lambda: ran.append(1)), MISSING)
    assert found.nbytes is None
    assert found.reason.code == "allocator-unknown"
    assert ran == [1]


def test_a_torch_that_has_not_used_cuda_tells_nothing(cuda):
    cuda.is_initialized = lambda: False
    assert watch_memory(body(lambda: None), MISSING).reason.code == "allocator-unknown"


def test_what_torch_takes_from_the_driver_is_not_counted_twice(cuda):
    found = watch_memory(body(lambda: cuda.use(4 * KIB, segment=2048 * KIB)), calls(2048 * KIB))
    assert found == Memory(4 * KIB, 0)
    both = watch_memory(body(lambda: cuda.use(4 * KIB, segment=0)), calls(8 * KIB, -8 * KIB))
    assert (both.nbytes, both.source) == (12 * KIB, "cupti")
