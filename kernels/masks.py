"""Acceptance masks of speculative decoding: which drafts of each request the target model agreed with.

`draft` int32 [T] holds the drafts of all requests one after the other, `cu` int32 [B] the inclusive running sum of drafts a
request (no leading 0), `sampled` int32 or int64 [B, C] what the target model sampled. Drafts count up to the first mismatch, the
column after the last draft (the bonus) is never compared: `accepted` int32 [B] counts them, `mask` bool [T] marks them.
Every variant writes both outputs in place; all arithmetic is on integers, so all agree bit for bit.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from numba import cuda, int32

from kernels import device

if TYPE_CHECKING:
    from collections.abc import Callable

#: Threads that share the drafts of one request.
LANES = 32
#: Requests a block.
REQUESTS = 4
#: The largest number of requests a block that `accept` has room for.
MAX_REQUESTS = 32
#: Blocks of one launch at most; a block goes on with further requests.
MAX_BLOCKS = 4096
#: More than any request has drafts.
NONE = 2**31 - 1


@cuda.jit
def accept(draft, cu, sampled, columns, row_step, accepted, mask):
    """Fill `accepted` and `mask`: threads (lane, request), any grid; `sampled` is flat with `row_step` elements from row to row.

    The chain of dependent loads is two deep: cu, then draft and sampled together. mask beyond the last draft becomes False.
    """
    first = cuda.shared.array(MAX_REQUESTS, int32)
    lane = cuda.threadIdx.x
    lanes = cuda.blockDim.x
    mine = cuda.threadIdx.y
    requests = cu.shape[0]
    # Loaded here, beside the first cu, and needed only at the end: no load waits behind a barrier.
    total = 0
    if requests > 0:
        total = cu[requests - 1]
    base = cuda.blockIdx.x * cuda.blockDim.y
    while base < requests:
        request = base + mine
        start = 0
        drafts = 0
        if request < requests:
            if request > 0:
                start = cu[request - 1]
            drafts = cu[request] - start
        if lane == 0:
            first[mine] = NONE
        cuda.syncthreads()
        mismatch = NONE
        # Not range(lane, drafts, lanes): numba counts its rounds by a 64-bit division.
        p = lane
        while p < drafts:
            if p >= columns or sampled[request * row_step + p] != draft[start + p]:
                mismatch = min(mismatch, p)
            p += lanes
        if mismatch != NONE:
            cuda.atomic.min(first, mine, int32(mismatch))
        cuda.syncthreads()
        agreed = min(first[mine], drafts)
        if lane == 0 and request < requests:
            accepted[request] = agreed
        p = lane
        while p < drafts:
            mask[start + p] = p < agreed
            p += lanes
        # The next round may not reset `first` while a thread still reads it.
        cuda.syncthreads()
        base += cuda.gridDim.x * cuda.blockDim.y
    t = total + (cuda.blockIdx.x * cuda.blockDim.y + mine) * lanes + lane
    while t < mask.shape[0]:
        mask[t] = 0
        t += cuda.gridDim.x * cuda.blockDim.y * lanes


def plan(draft: Any, cu: Any, sampled: Any, accepted: Any, mask: Any, *, stream: int = 0, blocks: int | None = None,
         lanes: int = LANES, requests: int = REQUESTS) -> Callable[[], None]:  # fmt: skip
    """Check and convert the arrays once, and return the launch: one kernel on `stream`, no synchronisation.

    The result does not depend on `blocks`, `lanes` or `requests`. Raises TypeError for a wrong dtype, ValueError for a wrong shape.
    """
    rows = _checked(draft, cu, sampled, accepted, mask)
    if not 1 <= requests <= MAX_REQUESTS or not 1 <= lanes * requests <= 1024:
        raise ValueError(f"accept: {lanes} lanes x {requests} requests a block; takes at most {MAX_REQUESTS} requests and 1024 threads")
    count = rows["cu"].shape[0]
    chosen = blocks or max(1, min(MAX_BLOCKS, -(-count // requests)))
    launch = device.configured(accept, chosen, (lanes, requests), stream)
    found = rows["sampled"]
    return functools.partial(
        launch, device.flat(rows["draft"], "int32"), device.flat(rows["cu"], "int32"), device.flat(found, found.dtype),
        found.shape[1], found.strides[0] // found.itemsize, device.flat(rows["accepted"], "int32"), device.flat(rows["mask"], "uint8"),
    )  # fmt: skip


#: name, dtypes that it may have, dimensions, whether the kernel writes it
_ARRAYS = (
    ("draft", ("int32",), 1, False),
    ("cu", ("int32",), 1, False),
    ("sampled", ("int32", "int64"), 2, False),
    ("accepted", ("int32",), 1, True),
    ("mask", ("bool",), 1, True),
)


def _checked(*arrays: Any) -> dict[str, device.Memory]:
    rows: dict[str, device.Memory] = {}
    for (name, dtypes, dims, written), array in zip(_ARRAYS, arrays, strict=True):
        found = device.memory(array, name)
        if found.dtype not in dtypes:
            raise TypeError(f"{name}: dtype {found.dtype}, needs {' or '.join(dtypes)}")
        if len(found.shape) != dims:
            raise ValueError(f"{name}: shape {found.shape} has {len(found.shape)} dimensions, needs {dims}")
        if found.span and not found.packed(1):
            raise ValueError(
                f"{name}: elements {found.strides[-1]} bytes apart, needs {found.itemsize} (only rows of sampled may have gaps)"
            )
        if written and found.readonly:
            raise ValueError(f"{name}: the array is read-only")
        rows[name] = found
    requests = rows["cu"].shape[0]
    for name in ("sampled", "accepted"):
        if rows[name].shape[0] != requests:
            raise ValueError(f"{name}: {rows[name].shape[0]} rows for the {requests} requests of cu")
    if rows["mask"].shape != rows["draft"].shape:
        raise ValueError(f"mask: {rows['mask'].shape[0]} elements for {rows['draft'].shape[0]} drafts")
    return rows


def kernel(draft: Any, cu: Any, sampled: Any, accepted: Any, mask: Any) -> None:
    """Run the one numba kernel on the default stream; `plan` does the checks once for many calls."""
    plan(draft, cu, sampled, accepted, mask)()


def host_loop(draft: Any, cu: Any, sampled: Any, accepted: Any, mask: Any) -> None:
    """Loop over the requests on the host, reading and comparing item by item: the baseline, on torch or NumPy arrays."""
    start = 0
    for request in range(len(cu)):
        end = cu[request].item()
        count = 0
        while count < end - start and count < sampled.shape[1] and sampled[request, count].item() == draft[start + count].item():
            count += 1
        accepted[request] = count
        mask[start : start + count] = True
        mask[start + count : end] = False
        start = end
    mask[start:] = False


def torch_vectorised(draft: Any, cu: Any, sampled: Any, accepted: Any, mask: Any) -> None:
    """Compute both outputs by eager torch operations, on torch tensors; no synchronisation."""
    import torch

    requests, columns = sampled.shape
    if requests == 0 or columns == 0:
        accepted.zero_()
        mask.zero_()
        return
    token = torch.arange(draft.shape[0], device=draft.device, dtype=torch.int32)
    # Tokens of the padding belong to the last request, past its end: they match nothing and are never accepted.
    request = torch.searchsorted(cu, token, right=True).clamp_(max=requests - 1)
    start = torch.cat((cu.new_zeros(1), cu[:-1]))
    place = token - start[request]
    found = sampled[request, place.clamp(max=columns - 1).long()]
    agreed = (found == draft) & (place < columns)
    accepted.copy_(cu - start)
    accepted.scatter_reduce_(0, request, torch.where(agreed, NONE, place).to(torch.int32), "amin")
    torch.lt(place, accepted[request], out=mask)


class Graph:
    """The kernel captured once on static buffers, to be replayed for any batch that fits.

    `requests` and `drafts` are the largest batch, `columns` and `dtype` those of `sampled`. Needs torch and a GPU.
    """

    def __init__(self, requests: int, drafts: int, columns: int, *, dtype: str = "int64", where: str = "cuda") -> None:
        import torch

        self.draft = torch.zeros(drafts, dtype=torch.int32, device=where)
        self.cu = torch.zeros(requests, dtype=torch.int32, device=where)
        self.sampled = torch.zeros((requests, columns), dtype=getattr(torch, dtype), device=where)
        self.accepted = torch.zeros(requests, dtype=torch.int32, device=where)
        self.mask = torch.zeros(drafts, dtype=torch.bool, device=where)
        buffers = (self.draft, self.cu, self.sampled, self.accepted, self.mask)
        # Compiles and loads the kernel: neither may happen while a stream is captured.
        plan(*buffers, stream=torch.cuda.current_stream().cuda_stream)()
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph(keep_graph=True)
        with torch.cuda.graph(self.graph):
            plan(*buffers, stream=torch.cuda.current_stream().cuda_stream)()
        self.graph.instantiate()

    def load(self, draft: Any, cu: Any, sampled: Any) -> None:
        """Copy a batch into the static buffers on the current stream: `cu` is padded with its last value, so padding has no drafts."""
        requests, drafts = cu.shape[0], draft.shape[0]
        if requests > self.cu.shape[0] or drafts > self.draft.shape[0]:
            raise ValueError(f"batch of {requests} requests and {drafts} drafts in a graph of {self.cu.shape[0]} and {self.draft.shape[0]}")
        if sampled.shape[1] != self.sampled.shape[1]:
            raise ValueError(f"sampled: {sampled.shape[1]} columns in a graph of {self.sampled.shape[1]}")
        self.draft[:drafts].copy_(draft)
        self.sampled[:requests].copy_(sampled)
        self.cu[:requests].copy_(cu)
        if requests:
            self.cu[requests:] = cu[-1]
        else:
            self.cu.zero_()

    def replay(self) -> None:
        """Launch the captured kernel on the current stream; outputs are in `accepted` and `mask`."""
        self.graph.replay()


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One way to the same bits: `function(draft, cu, sampled, accepted, mask)`."""

    name: str
    function: Callable[..., None]


def graph(draft: Any, cu: Any, sampled: Any, accepted: Any, mask: Any) -> None:
    """Capture a graph for one batch, replay it once and copy the outputs out; `Graph` replays many times."""
    captured = Graph(cu.shape[0], draft.shape[0], sampled.shape[1], dtype=str(sampled.dtype).removeprefix("torch."))
    captured.load(draft, cu, sampled)
    captured.replay()
    accepted.copy_(captured.accepted)
    mask.copy_(captured.mask)


VARIANTS = (
    Variant("host_loop", host_loop),
    Variant("torch_vectorised", torch_vectorised),
    Variant("kernel", kernel),
    Variant("graph", graph),
)
