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

from numba import cuda, int32, int64, uint32, uint64

from kernels import device

if TYPE_CHECKING:
    from collections.abc import Callable

#: Threads that share the drafts of one request, at most.
LANES = 32
#: Requests a block of that many lanes; a block has LANES * REQUESTS threads whatever the lanes.
REQUESTS = 8
#: The least lanes that `plan` chooses.
MIN_LANES = 4
#: The largest number of requests a block that `accept` has room for.
MAX_REQUESTS = 32
#: Blocks of one launch at most; a block goes on with further requests.
MAX_BLOCKS = 4096
#: Requests or drafts at most: no 32-bit index of `accept` overflows.
MAX_COUNT = 2**30
#: More than any request has drafts.
NONE = 2**31 - 1
#: No draft is this token.
NO_TOKEN = 2**40


@cuda.jit
def accept(draft, cu, sampled, columns, row_step, accepted, mask):
    """Fill `accepted` and `mask`: threads (lane, request), any grid; `sampled` is flat with `row_step` elements from row to row.

    A launch this small is latency. So every load goes out before the first barrier, draft too: a request's drafts begin where they would
    if each one before it had a draft for every column but the bonus, and are read again only where `cu` then says otherwise.
    Indices are unsigned and of 32 bits (numba wraps signed ones around). mask beyond the last draft becomes False.
    """
    first = cuda.shared.array(MAX_REQUESTS, int32)
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    tall = int32(cuda.blockDim.y)
    last = int32(int32(cu.shape[0]) - 1)
    tokens = int32(mask.shape[0])
    base = int32(int32(cuda.blockIdx.x) * tall)
    # Needed only at the end, for the rest of mask.
    total = int32(0)
    if last >= 0:
        total = cu[uint32(last)]
    t = int32(int32(int32(base + mine) * lanes) + lane)
    while base <= last:
        # Threads past the last request repeat it, and write the same bits.
        request = min(int32(base + mine), last)
        guess = int32(request * int32(int32(columns) - 1))
        drafted = int32(0)
        if uint32(guess + lane) < uint32(tokens):
            drafted = draft[uint32(guess + lane)]
        row = request * row_step
        token = int64(NO_TOKEN)
        if lane < columns:
            token = int64(sampled[uint64(row + lane)])
        start = int32(0)
        if request > 0:
            start = cu[uint32(int32(request - 1))]
        end = cu[uint32(request)]
        first[uint32(mine)] = NONE
        cuda.syncthreads()
        drafts = int32(end - start)
        if lane < drafts:
            if start != guess:
                drafted = draft[uint32(start + lane)]
            if token != drafted:
                cuda.atomic.min(first, uint32(mine), lane)
            else:
                p = int32(lane + lanes)
                while p < drafts:
                    if p >= columns or sampled[uint64(row + p)] != draft[uint32(start + p)]:
                        cuda.atomic.min(first, uint32(mine), p)
                        break
                    p = int32(p + lanes)
        cuda.syncthreads()
        agreed = min(first[uint32(mine)], drafts)
        p = lane
        while p < drafts:
            mask[uint32(start + p)] = p < agreed
            p = int32(p + lanes)
        if lane == 0:
            accepted[uint32(request)] = agreed
        base = int32(base + int32(int32(cuda.gridDim.x) * tall))
        if base <= last:
            # The next round may not reset `first` while a thread still reads it.
            cuda.syncthreads()
    t = int32(t + total)
    while uint32(t) < uint32(tokens):
        mask[uint32(t)] = 0
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * tall) * lanes))


def lanes_for(columns: int) -> int:
    """Return how many threads share a request: one a draft, if it has a draft for every column but the bonus; a power of two."""
    return min(LANES, max(MIN_LANES, 1 << max(columns - 2, 0).bit_length()))


def plan(draft: Any, cu: Any, sampled: Any, accepted: Any, mask: Any, *, stream: int = 0, blocks: int | None = None,
         lanes: int | None = None, requests: int | None = None) -> Callable[[], None]:  # fmt: skip
    """Check and convert the arrays once, and return the launch: one kernel on `stream`, no synchronisation.

    `lanes` threads share each of the `requests` of a block (default: what is fastest for the columns); the result does not depend on the
    launch shape. Raises TypeError for a wrong dtype, ValueError for a wrong shape or size.
    """
    rows = _checked(draft, cu, sampled, accepted, mask)
    found = rows["sampled"]
    if lanes is None:
        lanes = lanes_for(found.shape[1])
    if requests is None:
        requests = max(1, min(MAX_REQUESTS, LANES * REQUESTS // max(lanes, 1)))
    if not 1 <= requests <= MAX_REQUESTS or not 1 <= lanes * requests <= 1024:
        raise ValueError(f"accept: {lanes} lanes x {requests} requests a block; takes at most {MAX_REQUESTS} requests and 1024 threads")
    chosen = max(1, min(MAX_BLOCKS, -(-rows["cu"].shape[0] // requests) if blocks is None else blocks))
    launch = device.configured(accept, chosen, (lanes, requests), stream)
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
    for name, what in (("cu", "requests"), ("draft", "drafts")):
        if rows[name].shape[0] > MAX_COUNT:
            raise ValueError(f"{name}: {rows[name].shape[0]} {what}, takes at most {MAX_COUNT}")
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
