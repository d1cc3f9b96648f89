"""Rule 5 on a real GPU: what is checked is what was timed, and the buffers hold exactly one call."""

from __future__ import annotations

import pytest
from gpu_bench import STATES, say, shown

from pytest_gpuperf.errors import NotIdentical
from pytest_gpuperf.work import Work

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

#: Enough work that `steady` needs no rotation; what a body really moves does not matter to these tests.
BIG = Work(reads=1 << 28)
SIZE = 1 << 20


@pytest.mark.parametrize("cache", STATES)
def test_one_call_from_the_entry_state(gpu, cuda, increment, cache):
    import numpy as np

    array = cuda.to_device(np.arange(SIZE, dtype=np.int32))
    m = gpu.measure(lambda: increment[-(-SIZE // 256), 256](array), inout=[array], cache=cache, work=BIG)
    say(shown(m))
    assert m.time.reason is None, m.time
    assert (array.copy_to_host() == np.arange(1, SIZE + 1)).all()


def test_one_call_in_every_argument_set(gpu, gpu_runtime, cuda, increment):
    import numpy as np

    count = -(-4 * gpu_runtime.instruments(0).limits.l2_bytes // (4 * SIZE))
    arrays = [cuda.to_device(np.full(SIZE, place, np.int32)) for place in range(count)]
    m = gpu.measure(increment[-(-SIZE // 256), 256], inputs=[(one,) for one in arrays], inout=arrays, cache="steady")
    say(f"{count} sets: {shown(m)}")
    assert m.time.reason is None, m.time
    for place, one in enumerate(arrays):
        assert (one.copy_to_host() == place + 1).all()


@pytest.mark.parametrize("cache", STATES)
@pytest.mark.parametrize("kind", ["strided int32", "transposed float32", "bfloat16", "bool", "negative offset"])
def test_one_call_for_views_and_narrow_types(gpu, torch, kind, cache):
    whole = torch.zeros(1024, 1024, dtype=torch.int32, device="cuda")
    body = None
    if kind == "strided int32":
        array = whole[:, ::2]
    elif kind == "transposed float32":
        whole = torch.zeros(768, 1024, device="cuda")
        array = whole.t()
    elif kind == "bfloat16":
        whole = array = torch.zeros(1000, 333, dtype=torch.bfloat16, device="cuda")
    elif kind == "bool":
        whole = array = torch.zeros(1 << 20, dtype=torch.bool, device="cuda")
        body = array.logical_not_
    else:
        array = whole[5:900, 7:1001]
    before = array.clone()
    m = gpu.measure(body or (lambda: array.add_(1) is None), inout=[array], cache=cache, work=BIG)
    assert m.time.reason is None, m.time
    assert m.details["checked"] != "unchecked"
    expected = before.logical_not() if kind == "bool" else before + 1
    assert torch.equal(array, expected)
    if array is not whole:
        array.copy_(before)
        assert not whole.any(), "what lies between the elements of a view is not the plugin's"


@pytest.mark.parametrize("cache", STATES)
def test_elements_that_are_not_written_are_found(gpu, torch, cache):
    out = torch.empty(1024, 1024, device="cuda")
    with pytest.raises(NotIdentical, match=r"^not written: 1,024 of 1,048,576 elements of outputs\[0\] keep the poison, first at \[7, 0\]"):
        gpu.measure(lambda: (out[:7].fill_(1), out[8:].fill_(1), None)[-1], outputs=[out], cache=cache, work=BIG)


def test_outputs_that_are_views_are_poisoned_between_nothing(gpu, torch):
    whole = torch.full((512, 512), 3.0, device="cuda")
    out = whole[:, 1::3]
    gpu.measure(lambda: out.fill_(1) is None, outputs=[out])
    assert bool((out == 1).all())
    out.fill_(3)
    assert bool((whole == 3).all())


def _scatter(torch):
    """Float sums by atomics: the order of additions, and so the last bits, differ from call to call."""
    torch.manual_seed(1)
    values = torch.randn(1 << 20, device="cuda") * torch.logspace(-6, 6, 1 << 20, device="cuda")
    where = torch.randint(0, 64, (1 << 20,), device="cuda")
    out = torch.empty(64, device="cuda")

    def body():
        out.zero_()
        out.index_add_(0, where, values)

    return body, out


@pytest.mark.parametrize("cache", STATES)
def test_float_atomics_change_between_calls(gpu, torch, cache):
    body, out = _scatter(torch)
    with pytest.raises(NotIdentical, match=r"^changed between calls: outputs\[0\].*varies=True"):
        gpu.measure(body, outputs=[out], cache=cache, work=BIG)


def test_float_atomics_with_varies_are_reported_as_such(gpu, torch):
    body, out = _scatter(torch)
    m = gpu.measure(body, outputs=[out], varies=True)
    assert m.details["varies"] is True
    assert m.time.reason is None, m.time
    (check,) = gpu._case.checks
    assert "differ between calls, as declared" in check.detail


def test_integer_atomics_do_not_change(gpu, torch):
    values = torch.randint(0, 1000, (1 << 20,), device="cuda")
    where = torch.randint(0, 64, (1 << 20,), device="cuda")
    out = torch.empty(64, dtype=torch.int64, device="cuda")
    gpu.measure(lambda: out.zero_().index_add_(0, where, values) is None, outputs=[out])


def test_returned_tensors_are_digested(gpu, torch):
    a, b = torch.rand(2, 1 << 20, device="cuda")
    m = gpu.measure(torch.add, a, b)
    assert m.details["checked"] == "every sample"
    assert torch.equal(m.result, a + b)
    with pytest.raises(NotIdentical, match=r"^changed between calls: returned array 0"):
        gpu.measure(torch.rand_like, a, name="random")
    nested = gpu.measure(lambda: {"sum": (a + b, 3), "list": [a * b]}, name="nested")
    assert len(nested.details["digest"]) == 16


def test_a_body_that_writes_what_nobody_declared_is_unchecked(gpu, torch):
    a = torch.zeros(1 << 20, device="cuda")
    assert gpu.measure(lambda: a.add_(1) is None).details["checked"] == "unchecked"


def test_the_digest_is_that_of_the_bits(gpu, torch):
    a = torch.arange(1 << 20, device="cuda")
    out = torch.empty_like(a)
    digests = [gpu.measure(out.copy_, a, name=f"n{number}", outputs=[out]).details["digest"] for number in range(2)]
    a[77] += 1
    other = gpu.measure(out.copy_, a, name="other", outputs=[out]).details["digest"]
    assert digests[0] == digests[1] != other


def test_a_snapshot_above_half_of_the_memory_names_setup(gpu, gpu_runtime, torch):
    free, _ = gpu_runtime.backend.memory()
    big = torch.empty(int(free * 0.4), dtype=torch.uint8, device="cuda")
    with pytest.raises(MemoryError, match=r"snapshot of inout= takes .* above half of the .* setup="):
        gpu.measure(lambda: None, inout=[big])
    del big
    torch.cuda.empty_cache()
