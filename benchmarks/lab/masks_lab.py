"""Lab: variants of the mask kernel."""
import os
os.environ["NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"] = "0"
from llvmlite import ir
from numba import cuda, int32, int64, uint32, uint64, types
from numba.cuda.extending import intrinsic

NONE = 2**31 - 1

def access(bits, signed_type):
    width = ir.IntType(bits)
    def pointer(builder, address, index):
        base = builder.inttoptr(address, ir.PointerType(width, 1))
        return builder.gep(base, [index])
    @intrinsic
    def load(typing_context, address, index):
        def lower(context, builder, signature, args):
            return builder.load(pointer(builder, *args))
        return signed_type(types.int64, types.int64), lower
    @intrinsic
    def store(typing_context, address, index, value):
        def lower(context, builder, signature, args):
            builder.store(args[2], pointer(builder, *args[:2]))
            return context.get_dummy_value()
        return types.void(types.int64, types.int64, signed_type), lower
    return load, store
load32, store32 = access(32, types.int32)
load64, _ = access(64, types.int64)
_, store8 = access(8, types.uint8)

A = "void(int32[::1], int32[::1], int64[::1], int64, int64, int64, int32[::1], uint8[::1])"
P = "void(int64, int64, int64, int64, int64, int32, int32, int32, int32, int32)"
SIGS = {}

@cuda.jit
def nothing(draft, cu, sampled, columns, row_step, each, accepted, mask):
    pass
SIGS["nothing"] = A

@cuda.jit
def nothing_p(draft, cu, sampled, accepted, mask, requests, tokens, columns, row_step, each):
    pass
SIGS["nothing_p"] = P

@cuda.jit
def chain(draft, cu, sampled, columns, row_step, each, accepted, mask):
    """Floor: cu, draft, mask."""
    t = uint32(cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y)
    lane = uint32(cuda.threadIdx.x)
    s = uint32(cu[t] - 8) + lane
    mask[uint32(s)] = draft[uint32(s)] == 5
SIGS["chain"] = A

@cuda.jit
def flat(draft, cu, sampled, columns, row_step, each, accepted, mask):
    """Floor: one load deep."""
    t = uint32(cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y)
    lane = uint32(cuda.threadIdx.x)
    s = uint32(t * 8 + lane)
    mask[s] = draft[s] == cu[t]
SIGS["flat"] = A

@cuda.jit
def flat_p(draft, cu, sampled, accepted, mask, requests, tokens, columns, row_step, each):
    t = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    s = t * 8 + cuda.threadIdx.x
    store8(mask, s, load32(draft, s) == load32(cu, t))
SIGS["flat_p"] = P

@cuda.jit
def lean(draft, cu, sampled, columns, row_step, each, accepted, mask):
    requests = int32(cu.shape[0])
    tokens = int32(mask.shape[0])
    first = cuda.shared.array(32, int32)
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    width = int32(cuda.blockDim.y)
    round = int32(int32(cuda.blockIdx.x) * width)
    request = int32(round + mine)
    total = int32(0)
    if requests > 0:
        total = cu[uint32(requests - 1)]
    while round < requests:
        here = min(request, int32(requests - 1))
        token = int64(1 << 40)
        row = uint64(uint32(here)) * uint64(uint32(row_step))
        if lane < columns:
            token = int64(sampled[uint64(row + uint64(uint32(lane)))])
        start = int32(0)
        if here > 0:
            start = cu[uint32(here - 1)]
        end = cu[uint32(here)]
        first[uint32(mine)] = NONE
        cuda.syncthreads()
        drafts = int32(end - start)
        if request >= requests:
            drafts = int32(0)
        if lane < drafts:
            drafted = draft[uint32(start + lane)]
            if token != drafted:
                cuda.atomic.min(first, uint32(mine), lane)
            elif drafts > lanes:
                p = int32(lane + lanes)
                while p < drafts:
                    if p >= columns or int64(sampled[uint64(row + uint64(uint32(p)))]) != draft[uint32(start + p)]:
                        cuda.atomic.min(first, uint32(mine), p)
                        break
                    p = int32(p + lanes)
        cuda.syncthreads()
        agreed = min(first[uint32(mine)], drafts)
        p = lane
        while p < drafts:
            mask[uint32(start + p)] = p < agreed
            p = int32(p + lanes)
        if lane == 0 and request < requests:
            accepted[uint32(request)] = agreed
        round = int32(round + int32(int32(cuda.gridDim.x) * width))
        request = int32(round + mine)
        if round < requests:
            cuda.syncthreads()
    t = int32(total + int32(int32(int32(cuda.blockIdx.x) * width + mine) * lanes) + lane)
    while uint32(t) < uint32(tokens):
        mask[uint32(t)] = 0
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * width) * lanes))
SIGS['lean'] = A

@cuda.jit
def lean_p(draft, cu, sampled, accepted, mask, requests, tokens, columns, row_step, each):
    first = cuda.shared.array(32, int32)
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    width = int32(cuda.blockDim.y)
    round = int32(int32(cuda.blockIdx.x) * width)
    request = int32(round + mine)
    total = int32(0)
    if requests > 0:
        total = load32(cu, uint32(requests - 1))
    while round < requests:
        here = min(request, int32(requests - 1))
        token = int64(1 << 40)
        row = uint64(uint32(here)) * uint64(uint32(row_step))
        if lane < columns:
            token = load64(sampled, row + uint64(uint32(lane)))
        start = int32(0)
        if here > 0:
            start = load32(cu, uint32(here - 1))
        end = load32(cu, uint32(here))
        first[uint32(mine)] = NONE
        cuda.syncthreads()
        drafts = int32(end - start)
        if request >= requests:
            drafts = int32(0)
        if lane < drafts:
            drafted = load32(draft, uint32(start + lane))
            if token != drafted:
                cuda.atomic.min(first, uint32(mine), lane)
            elif drafts > lanes:
                p = int32(lane + lanes)
                while p < drafts:
                    if p >= columns or load64(sampled, row + uint64(uint32(p))) != load32(draft, uint32(start + p)):
                        cuda.atomic.min(first, uint32(mine), p)
                        break
                    p = int32(p + lanes)
        cuda.syncthreads()
        agreed = min(first[uint32(mine)], drafts)
        p = lane
        while p < drafts:
            store8(mask, uint32(start + p), p < agreed)
            p = int32(p + lanes)
        if lane == 0 and request < requests:
            store32(accepted, uint32(request), agreed)
        round = int32(round + int32(int32(cuda.gridDim.x) * width))
        request = int32(round + mine)
        if round < requests:
            cuda.syncthreads()
    t = int32(total + int32(int32(int32(cuda.blockIdx.x) * width + mine) * lanes) + lane)
    while uint32(t) < uint32(tokens):
        store8(mask, uint32(t), 0)
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * width) * lanes))
SIGS['lean_p'] = P

@cuda.jit
def leanguess(draft, cu, sampled, columns, row_step, each, accepted, mask):
    requests = int32(cu.shape[0])
    tokens = int32(mask.shape[0])
    first = cuda.shared.array(32, int32)
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    width = int32(cuda.blockDim.y)
    round = int32(int32(cuda.blockIdx.x) * width)
    request = int32(round + mine)
    total = int32(0)
    if requests > 0:
        total = cu[uint32(requests - 1)]
    while round < requests:
        here = min(request, int32(requests - 1))
        token = int64(1 << 40)
        row = uint64(uint32(here)) * uint64(uint32(row_step))
        guessed = int32(here * int32(each))
        drafted = int32(0)
        if uint32(guessed + lane) < uint32(tokens):
            drafted = draft[uint32(guessed + lane)]
        if lane < columns:
            token = int64(sampled[uint64(row + uint64(uint32(lane)))])
        start = int32(0)
        if here > 0:
            start = cu[uint32(here - 1)]
        end = cu[uint32(here)]
        first[uint32(mine)] = NONE
        cuda.syncthreads()
        drafts = int32(end - start)
        if request >= requests:
            drafts = int32(0)
        if lane < drafts:
            if start != guessed:
                drafted = draft[uint32(start + lane)]
            if token != drafted:
                cuda.atomic.min(first, uint32(mine), lane)
            elif drafts > lanes:
                p = int32(lane + lanes)
                while p < drafts:
                    if p >= columns or int64(sampled[uint64(row + uint64(uint32(p)))]) != draft[uint32(start + p)]:
                        cuda.atomic.min(first, uint32(mine), p)
                        break
                    p = int32(p + lanes)
        cuda.syncthreads()
        agreed = min(first[uint32(mine)], drafts)
        p = lane
        while p < drafts:
            mask[uint32(start + p)] = p < agreed
            p = int32(p + lanes)
        if lane == 0 and request < requests:
            accepted[uint32(request)] = agreed
        round = int32(round + int32(int32(cuda.gridDim.x) * width))
        request = int32(round + mine)
        if round < requests:
            cuda.syncthreads()
    t = int32(total + int32(int32(int32(cuda.blockIdx.x) * width + mine) * lanes) + lane)
    while uint32(t) < uint32(tokens):
        mask[uint32(t)] = 0
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * width) * lanes))
SIGS['leanguess'] = A

@cuda.jit
def leanguess_p(draft, cu, sampled, accepted, mask, requests, tokens, columns, row_step, each):
    first = cuda.shared.array(32, int32)
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    width = int32(cuda.blockDim.y)
    round = int32(int32(cuda.blockIdx.x) * width)
    request = int32(round + mine)
    total = int32(0)
    if requests > 0:
        total = load32(cu, uint32(requests - 1))
    while round < requests:
        here = min(request, int32(requests - 1))
        token = int64(1 << 40)
        row = uint64(uint32(here)) * uint64(uint32(row_step))
        guessed = int32(here * int32(each))
        drafted = int32(0)
        if uint32(guessed + lane) < uint32(tokens):
            drafted = load32(draft, uint32(guessed + lane))
        if lane < columns:
            token = load64(sampled, row + uint64(uint32(lane)))
        start = int32(0)
        if here > 0:
            start = load32(cu, uint32(here - 1))
        end = load32(cu, uint32(here))
        first[uint32(mine)] = NONE
        cuda.syncthreads()
        drafts = int32(end - start)
        if request >= requests:
            drafts = int32(0)
        if lane < drafts:
            if start != guessed:
                drafted = load32(draft, uint32(start + lane))
            if token != drafted:
                cuda.atomic.min(first, uint32(mine), lane)
            elif drafts > lanes:
                p = int32(lane + lanes)
                while p < drafts:
                    if p >= columns or load64(sampled, row + uint64(uint32(p))) != load32(draft, uint32(start + p)):
                        cuda.atomic.min(first, uint32(mine), p)
                        break
                    p = int32(p + lanes)
        cuda.syncthreads()
        agreed = min(first[uint32(mine)], drafts)
        p = lane
        while p < drafts:
            store8(mask, uint32(start + p), p < agreed)
            p = int32(p + lanes)
        if lane == 0 and request < requests:
            store32(accepted, uint32(request), agreed)
        round = int32(round + int32(int32(cuda.gridDim.x) * width))
        request = int32(round + mine)
        if round < requests:
            cuda.syncthreads()
    t = int32(total + int32(int32(int32(cuda.blockIdx.x) * width + mine) * lanes) + lane)
    while uint32(t) < uint32(tokens):
        store8(mask, uint32(t), 0)
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * width) * lanes))
SIGS['leanguess_p'] = P

@cuda.jit
def lone(draft, cu, sampled, columns, row_step, each, accepted, mask):
    requests = int32(cu.shape[0])
    tokens = int32(mask.shape[0])
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    width = int32(cuda.blockDim.y)
    round = int32(int32(cuda.blockIdx.x) * width)
    request = int32(round + mine)
    total = int32(0)
    if requests > 0:
        total = cu[uint32(requests - 1)]
    while round < requests:
        start = int32(0)
        end = int32(0)
        row = uint64(uint32(request)) * uint64(uint32(row_step))
        s0 = int64(1 << 40)
        d0 = int32(0)
        s1 = int64(1 << 40)
        d1 = int32(0)
        s2 = int64(1 << 40)
        d2 = int32(0)
        s3 = int64(1 << 40)
        d3 = int32(0)
        s4 = int64(1 << 40)
        d4 = int32(0)
        s5 = int64(1 << 40)
        d5 = int32(0)
        s6 = int64(1 << 40)
        d6 = int32(0)
        s7 = int64(1 << 40)
        d7 = int32(0)
        if request < requests:
            end = cu[uint32(request)]
            if request > 0:
                start = cu[uint32(request - 1)]
            if columns >= 8:
                s0 = int64(sampled[uint64(row + uint64(0))])
                s1 = int64(sampled[uint64(row + uint64(1))])
                s2 = int64(sampled[uint64(row + uint64(2))])
                s3 = int64(sampled[uint64(row + uint64(3))])
                s4 = int64(sampled[uint64(row + uint64(4))])
                s5 = int64(sampled[uint64(row + uint64(5))])
                s6 = int64(sampled[uint64(row + uint64(6))])
                s7 = int64(sampled[uint64(row + uint64(7))])
            else:
                if columns > 0:
                    s0 = int64(sampled[uint64(row + uint64(0))])
                if columns > 1:
                    s1 = int64(sampled[uint64(row + uint64(1))])
                if columns > 2:
                    s2 = int64(sampled[uint64(row + uint64(2))])
                if columns > 3:
                    s3 = int64(sampled[uint64(row + uint64(3))])
                if columns > 4:
                    s4 = int64(sampled[uint64(row + uint64(4))])
                if columns > 5:
                    s5 = int64(sampled[uint64(row + uint64(5))])
                if columns > 6:
                    s6 = int64(sampled[uint64(row + uint64(6))])
        cuda.syncthreads()
        drafts = int32(end - start)
        if drafts >= 8:
            d0 = draft[uint32(start + 0)]
            d1 = draft[uint32(start + 1)]
            d2 = draft[uint32(start + 2)]
            d3 = draft[uint32(start + 3)]
            d4 = draft[uint32(start + 4)]
            d5 = draft[uint32(start + 5)]
            d6 = draft[uint32(start + 6)]
            d7 = draft[uint32(start + 7)]
        else:
            if drafts > 0:
                d0 = draft[uint32(start + 0)]
            if drafts > 1:
                d1 = draft[uint32(start + 1)]
            if drafts > 2:
                d2 = draft[uint32(start + 2)]
            if drafts > 3:
                d3 = draft[uint32(start + 3)]
            if drafts > 4:
                d4 = draft[uint32(start + 4)]
            if drafts > 5:
                d5 = draft[uint32(start + 5)]
            if drafts > 6:
                d6 = draft[uint32(start + 6)]
        agreed = int32(8)
        if s7 != d7:
            agreed = int32(7)
        if s6 != d6:
            agreed = int32(6)
        if s5 != d5:
            agreed = int32(5)
        if s4 != d4:
            agreed = int32(4)
        if s3 != d3:
            agreed = int32(3)
        if s2 != d2:
            agreed = int32(2)
        if s1 != d1:
            agreed = int32(1)
        if s0 != d0:
            agreed = int32(0)
        if agreed == 8:
            limit = min(drafts, int32(columns))
            while agreed < limit and int64(sampled[uint64(row + uint64(uint32(agreed)))]) == draft[uint32(start + agreed)]:
                agreed = int32(agreed + 1)
        agreed = min(agreed, drafts)
        p = lane
        while p < drafts:
            mask[uint32(start + p)] = p < agreed
            p = int32(p + lanes)
        if lane == 0 and request < requests:
            accepted[uint32(request)] = agreed
        round = int32(round + int32(int32(cuda.gridDim.x) * width))
        request = int32(round + mine)
    t = int32(total + int32(int32(int32(cuda.blockIdx.x) * width + mine) * lanes) + lane)
    while uint32(t) < uint32(tokens):
        mask[uint32(t)] = 0
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * width) * lanes))
SIGS['lone'] = A

@cuda.jit
def lone_p(draft, cu, sampled, accepted, mask, requests, tokens, columns, row_step, each):
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    width = int32(cuda.blockDim.y)
    round = int32(int32(cuda.blockIdx.x) * width)
    request = int32(round + mine)
    total = int32(0)
    if requests > 0:
        total = load32(cu, uint32(requests - 1))
    while round < requests:
        start = int32(0)
        end = int32(0)
        row = uint64(uint32(request)) * uint64(uint32(row_step))
        s0 = int64(1 << 40)
        d0 = int32(0)
        s1 = int64(1 << 40)
        d1 = int32(0)
        s2 = int64(1 << 40)
        d2 = int32(0)
        s3 = int64(1 << 40)
        d3 = int32(0)
        s4 = int64(1 << 40)
        d4 = int32(0)
        s5 = int64(1 << 40)
        d5 = int32(0)
        s6 = int64(1 << 40)
        d6 = int32(0)
        s7 = int64(1 << 40)
        d7 = int32(0)
        if request < requests:
            end = load32(cu, uint32(request))
            if request > 0:
                start = load32(cu, uint32(request - 1))
            if columns >= 8:
                s0 = load64(sampled, row + uint64(0))
                s1 = load64(sampled, row + uint64(1))
                s2 = load64(sampled, row + uint64(2))
                s3 = load64(sampled, row + uint64(3))
                s4 = load64(sampled, row + uint64(4))
                s5 = load64(sampled, row + uint64(5))
                s6 = load64(sampled, row + uint64(6))
                s7 = load64(sampled, row + uint64(7))
            else:
                if columns > 0:
                    s0 = load64(sampled, row + uint64(0))
                if columns > 1:
                    s1 = load64(sampled, row + uint64(1))
                if columns > 2:
                    s2 = load64(sampled, row + uint64(2))
                if columns > 3:
                    s3 = load64(sampled, row + uint64(3))
                if columns > 4:
                    s4 = load64(sampled, row + uint64(4))
                if columns > 5:
                    s5 = load64(sampled, row + uint64(5))
                if columns > 6:
                    s6 = load64(sampled, row + uint64(6))
        cuda.syncthreads()
        drafts = int32(end - start)
        if drafts >= 8:
            d0 = load32(draft, uint32(start + 0))
            d1 = load32(draft, uint32(start + 1))
            d2 = load32(draft, uint32(start + 2))
            d3 = load32(draft, uint32(start + 3))
            d4 = load32(draft, uint32(start + 4))
            d5 = load32(draft, uint32(start + 5))
            d6 = load32(draft, uint32(start + 6))
            d7 = load32(draft, uint32(start + 7))
        else:
            if drafts > 0:
                d0 = load32(draft, uint32(start + 0))
            if drafts > 1:
                d1 = load32(draft, uint32(start + 1))
            if drafts > 2:
                d2 = load32(draft, uint32(start + 2))
            if drafts > 3:
                d3 = load32(draft, uint32(start + 3))
            if drafts > 4:
                d4 = load32(draft, uint32(start + 4))
            if drafts > 5:
                d5 = load32(draft, uint32(start + 5))
            if drafts > 6:
                d6 = load32(draft, uint32(start + 6))
        agreed = int32(8)
        if s7 != d7:
            agreed = int32(7)
        if s6 != d6:
            agreed = int32(6)
        if s5 != d5:
            agreed = int32(5)
        if s4 != d4:
            agreed = int32(4)
        if s3 != d3:
            agreed = int32(3)
        if s2 != d2:
            agreed = int32(2)
        if s1 != d1:
            agreed = int32(1)
        if s0 != d0:
            agreed = int32(0)
        if agreed == 8:
            limit = min(drafts, int32(columns))
            while agreed < limit and load64(sampled, row + uint64(uint32(agreed))) == load32(draft, uint32(start + agreed)):
                agreed = int32(agreed + 1)
        agreed = min(agreed, drafts)
        p = lane
        while p < drafts:
            store8(mask, uint32(start + p), p < agreed)
            p = int32(p + lanes)
        if lane == 0 and request < requests:
            store32(accepted, uint32(request), agreed)
        round = int32(round + int32(int32(cuda.gridDim.x) * width))
        request = int32(round + mine)
    t = int32(total + int32(int32(int32(cuda.blockIdx.x) * width + mine) * lanes) + lane)
    while uint32(t) < uint32(tokens):
        store8(mask, uint32(t), 0)
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * width) * lanes))
SIGS['lone_p'] = P

@cuda.jit
def loneguess(draft, cu, sampled, columns, row_step, each, accepted, mask):
    requests = int32(cu.shape[0])
    tokens = int32(mask.shape[0])
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    width = int32(cuda.blockDim.y)
    round = int32(int32(cuda.blockIdx.x) * width)
    request = int32(round + mine)
    total = int32(0)
    if requests > 0:
        total = cu[uint32(requests - 1)]
    while round < requests:
        start = int32(0)
        end = int32(0)
        row = uint64(uint32(request)) * uint64(uint32(row_step))
        s0 = int64(1 << 40)
        d0 = int32(0)
        s1 = int64(1 << 40)
        d1 = int32(0)
        s2 = int64(1 << 40)
        d2 = int32(0)
        s3 = int64(1 << 40)
        d3 = int32(0)
        s4 = int64(1 << 40)
        d4 = int32(0)
        s5 = int64(1 << 40)
        d5 = int32(0)
        s6 = int64(1 << 40)
        d6 = int32(0)
        s7 = int64(1 << 40)
        d7 = int32(0)
        if request < requests:
            end = cu[uint32(request)]
            if request > 0:
                start = cu[uint32(request - 1)]
            if columns >= 8:
                s0 = int64(sampled[uint64(row + uint64(0))])
                s1 = int64(sampled[uint64(row + uint64(1))])
                s2 = int64(sampled[uint64(row + uint64(2))])
                s3 = int64(sampled[uint64(row + uint64(3))])
                s4 = int64(sampled[uint64(row + uint64(4))])
                s5 = int64(sampled[uint64(row + uint64(5))])
                s6 = int64(sampled[uint64(row + uint64(6))])
                s7 = int64(sampled[uint64(row + uint64(7))])
            else:
                if columns > 0:
                    s0 = int64(sampled[uint64(row + uint64(0))])
                if columns > 1:
                    s1 = int64(sampled[uint64(row + uint64(1))])
                if columns > 2:
                    s2 = int64(sampled[uint64(row + uint64(2))])
                if columns > 3:
                    s3 = int64(sampled[uint64(row + uint64(3))])
                if columns > 4:
                    s4 = int64(sampled[uint64(row + uint64(4))])
                if columns > 5:
                    s5 = int64(sampled[uint64(row + uint64(5))])
                if columns > 6:
                    s6 = int64(sampled[uint64(row + uint64(6))])
        guessed = int32(request * int32(each))
        if uint32(guessed + 7) < uint32(tokens):
            d0 = draft[uint32(guessed + 0)]
            d1 = draft[uint32(guessed + 1)]
            d2 = draft[uint32(guessed + 2)]
            d3 = draft[uint32(guessed + 3)]
            d4 = draft[uint32(guessed + 4)]
            d5 = draft[uint32(guessed + 5)]
            d6 = draft[uint32(guessed + 6)]
            d7 = draft[uint32(guessed + 7)]
        else:
            guessed = int32(-1)
        cuda.syncthreads()
        drafts = int32(end - start)
        if start != guessed:
            if drafts >= 8:
                d0 = draft[uint32(start + 0)]
                d1 = draft[uint32(start + 1)]
                d2 = draft[uint32(start + 2)]
                d3 = draft[uint32(start + 3)]
                d4 = draft[uint32(start + 4)]
                d5 = draft[uint32(start + 5)]
                d6 = draft[uint32(start + 6)]
                d7 = draft[uint32(start + 7)]
            else:
                if drafts > 0:
                    d0 = draft[uint32(start + 0)]
                if drafts > 1:
                    d1 = draft[uint32(start + 1)]
                if drafts > 2:
                    d2 = draft[uint32(start + 2)]
                if drafts > 3:
                    d3 = draft[uint32(start + 3)]
                if drafts > 4:
                    d4 = draft[uint32(start + 4)]
                if drafts > 5:
                    d5 = draft[uint32(start + 5)]
                if drafts > 6:
                    d6 = draft[uint32(start + 6)]
        agreed = int32(8)
        if s7 != d7:
            agreed = int32(7)
        if s6 != d6:
            agreed = int32(6)
        if s5 != d5:
            agreed = int32(5)
        if s4 != d4:
            agreed = int32(4)
        if s3 != d3:
            agreed = int32(3)
        if s2 != d2:
            agreed = int32(2)
        if s1 != d1:
            agreed = int32(1)
        if s0 != d0:
            agreed = int32(0)
        if agreed == 8:
            limit = min(drafts, int32(columns))
            while agreed < limit and int64(sampled[uint64(row + uint64(uint32(agreed)))]) == draft[uint32(start + agreed)]:
                agreed = int32(agreed + 1)
        agreed = min(agreed, drafts)
        p = lane
        while p < drafts:
            mask[uint32(start + p)] = p < agreed
            p = int32(p + lanes)
        if lane == 0 and request < requests:
            accepted[uint32(request)] = agreed
        round = int32(round + int32(int32(cuda.gridDim.x) * width))
        request = int32(round + mine)
    t = int32(total + int32(int32(int32(cuda.blockIdx.x) * width + mine) * lanes) + lane)
    while uint32(t) < uint32(tokens):
        mask[uint32(t)] = 0
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * width) * lanes))
SIGS['loneguess'] = A

@cuda.jit
def loneguess_p(draft, cu, sampled, accepted, mask, requests, tokens, columns, row_step, each):
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    width = int32(cuda.blockDim.y)
    round = int32(int32(cuda.blockIdx.x) * width)
    request = int32(round + mine)
    total = int32(0)
    if requests > 0:
        total = load32(cu, uint32(requests - 1))
    while round < requests:
        start = int32(0)
        end = int32(0)
        row = uint64(uint32(request)) * uint64(uint32(row_step))
        s0 = int64(1 << 40)
        d0 = int32(0)
        s1 = int64(1 << 40)
        d1 = int32(0)
        s2 = int64(1 << 40)
        d2 = int32(0)
        s3 = int64(1 << 40)
        d3 = int32(0)
        s4 = int64(1 << 40)
        d4 = int32(0)
        s5 = int64(1 << 40)
        d5 = int32(0)
        s6 = int64(1 << 40)
        d6 = int32(0)
        s7 = int64(1 << 40)
        d7 = int32(0)
        if request < requests:
            end = load32(cu, uint32(request))
            if request > 0:
                start = load32(cu, uint32(request - 1))
            if columns >= 8:
                s0 = load64(sampled, row + uint64(0))
                s1 = load64(sampled, row + uint64(1))
                s2 = load64(sampled, row + uint64(2))
                s3 = load64(sampled, row + uint64(3))
                s4 = load64(sampled, row + uint64(4))
                s5 = load64(sampled, row + uint64(5))
                s6 = load64(sampled, row + uint64(6))
                s7 = load64(sampled, row + uint64(7))
            else:
                if columns > 0:
                    s0 = load64(sampled, row + uint64(0))
                if columns > 1:
                    s1 = load64(sampled, row + uint64(1))
                if columns > 2:
                    s2 = load64(sampled, row + uint64(2))
                if columns > 3:
                    s3 = load64(sampled, row + uint64(3))
                if columns > 4:
                    s4 = load64(sampled, row + uint64(4))
                if columns > 5:
                    s5 = load64(sampled, row + uint64(5))
                if columns > 6:
                    s6 = load64(sampled, row + uint64(6))
        guessed = int32(request * int32(each))
        if uint32(guessed + 7) < uint32(tokens):
            d0 = load32(draft, uint32(guessed + 0))
            d1 = load32(draft, uint32(guessed + 1))
            d2 = load32(draft, uint32(guessed + 2))
            d3 = load32(draft, uint32(guessed + 3))
            d4 = load32(draft, uint32(guessed + 4))
            d5 = load32(draft, uint32(guessed + 5))
            d6 = load32(draft, uint32(guessed + 6))
            d7 = load32(draft, uint32(guessed + 7))
        else:
            guessed = int32(-1)
        cuda.syncthreads()
        drafts = int32(end - start)
        if start != guessed:
            if drafts >= 8:
                d0 = load32(draft, uint32(start + 0))
                d1 = load32(draft, uint32(start + 1))
                d2 = load32(draft, uint32(start + 2))
                d3 = load32(draft, uint32(start + 3))
                d4 = load32(draft, uint32(start + 4))
                d5 = load32(draft, uint32(start + 5))
                d6 = load32(draft, uint32(start + 6))
                d7 = load32(draft, uint32(start + 7))
            else:
                if drafts > 0:
                    d0 = load32(draft, uint32(start + 0))
                if drafts > 1:
                    d1 = load32(draft, uint32(start + 1))
                if drafts > 2:
                    d2 = load32(draft, uint32(start + 2))
                if drafts > 3:
                    d3 = load32(draft, uint32(start + 3))
                if drafts > 4:
                    d4 = load32(draft, uint32(start + 4))
                if drafts > 5:
                    d5 = load32(draft, uint32(start + 5))
                if drafts > 6:
                    d6 = load32(draft, uint32(start + 6))
        agreed = int32(8)
        if s7 != d7:
            agreed = int32(7)
        if s6 != d6:
            agreed = int32(6)
        if s5 != d5:
            agreed = int32(5)
        if s4 != d4:
            agreed = int32(4)
        if s3 != d3:
            agreed = int32(3)
        if s2 != d2:
            agreed = int32(2)
        if s1 != d1:
            agreed = int32(1)
        if s0 != d0:
            agreed = int32(0)
        if agreed == 8:
            limit = min(drafts, int32(columns))
            while agreed < limit and load64(sampled, row + uint64(uint32(agreed))) == load32(draft, uint32(start + agreed)):
                agreed = int32(agreed + 1)
        agreed = min(agreed, drafts)
        p = lane
        while p < drafts:
            store8(mask, uint32(start + p), p < agreed)
            p = int32(p + lanes)
        if lane == 0 and request < requests:
            store32(accepted, uint32(request), agreed)
        round = int32(round + int32(int32(cuda.gridDim.x) * width))
        request = int32(round + mine)
    t = int32(total + int32(int32(int32(cuda.blockIdx.x) * width + mine) * lanes) + lane)
    while uint32(t) < uint32(tokens):
        store8(mask, uint32(t), 0)
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * width) * lanes))
SIGS['loneguess_p'] = P

PLAN = '''
s = int(gpuperf.stream)
plan = lambda a, **k: masks.plan(*a, stream=s, **k)
go(gpuperf, "now 32x4", "accept", plan(uniform), uniform[3:])
go(gpuperf, "now 8x4", "accept", plan(uniform, lanes=8, requests=4), uniform[3:])
go(gpuperf, "now 8x16", "accept", plan(uniform, lanes=8, requests=16), uniform[3:])
for name in ("nothing", "nothing_p"):
    go(gpuperf, "8x4 floor", name, launcher(name, uniform, 8, 4, s), ())
for name in ("chain", "flat", "flat_p"):
    go(gpuperf, "8x4 floor", name, launcher(name, uniform, 8, 4, s), (uniform[4],))
for name in REAL:
    for lanes, requests in ((32, 4), (8, 4), (8, 16)) if "lone" not in name else ((8, 4), (8, 16), (1, 32)):
        go(gpuperf, f"uniform {lanes}x{requests}", name, launcher(name, uniform, lanes, requests, s), uniform[3:])
for name in ("leanguess_p", "lean_p"):
    for lanes, requests in ((16, 2), (16, 4), (8, 2), (8, 8), (8, 32), (8, 128 // 8)):
        if requests <= 32: go(gpuperf, f"uniform {lanes}x{requests}", name, launcher(name, uniform, lanes, requests, s), uniform[3:])
for name in ("lean_p", "leanguess_p", "lone_p"):
    go(gpuperf, "ragged 8x4", name, launcher(name, ragged, 8, 4, s), ragged[3:])
go(gpuperf, "ragged now", "accept", plan(ragged), ragged[3:])
for name in ("lean_p", "leanguess_p", "lone_p"):
    for lanes, requests in ((8, 4), (32, 4), (8, 16)):
        go(gpuperf, f"big {lanes}x{requests}", name, launcher(name, big, lanes, requests, s), big[3:], ("warm",))
go(gpuperf, "big now", "accept", plan(big), big[3:], ("warm",))
graph = masks.Graph(128, 1024, 9)
import statistics
def host(f, n=2000):
    xs = []
    for _ in range(n):
        a = time.perf_counter_ns(); f(); xs.append(time.perf_counter_ns() - a)
        torch.cuda.synchronize()
    return sorted(xs)[n // 2] / 1e3
raw = graph.graph.raw_cuda_graph_exec() if hasattr(graph.graph, "raw_cuda_graph_exec") else None
print("replay host us: method", host(graph.replay), "bound", host(graph.graph.replay))
super_replay = torch._C._CUDAGraph.replay
print("C replay", host(lambda: super_replay(graph.graph)))
from cuda.bindings import driver, runtime
if raw is not None:
    e = driver.CUgraphExec(int(raw)); st = driver.CUstream(0)
    print("driver cuGraphLaunch", host(lambda: driver.cuGraphLaunch(e, st)))
    e = runtime.cudaGraphExec_t(int(raw))
    print("runtime cudaGraphLaunch", host(lambda: runtime.cudaGraphLaunch(e, 0)))
    import ctypes
    lib = ctypes.CDLL("libcuda.so.1"); fn = lib.cuGraphLaunch; a1, a2 = ctypes.c_void_p(int(raw)), ctypes.c_void_p(0)
    print("ctypes cuGraphLaunch", host(lambda: fn(a1, a2)), "status", fn(a1, a2))
f = masks.plan(*uniform)
print("host of launch arrays", host(f, 300), "pointers", host(launcher("lean_p", uniform, 8, 4), 300))
for what, fn in (("replay", graph.replay), ("pointers", launcher("lean_p", uniform, 8, 4, s)), ("arrays", plan(uniform))):
    m = gpuperf.measure(fn, name="host " + what, cache="warm"); print("host_time", what, m.host_time, flush=True)
'''
if __name__ == "__main__":
    import json, sys, time
    import numpy as np, torch
    import pytest_gpuperf
    from kernels import device, masks, references
    from suites.batches import random_batch
    began = time.time()
    def put(case):
        got = [torch.from_numpy(a).cuda() for a in case.arrays]
        return got + [torch.full((len(case.cu),), -7, dtype=torch.int32, device="cuda"), torch.ones(len(case.draft), dtype=torch.bool, device="cuda")]
    def launcher(name, arrays, lanes, requests, stream=0):
        kernel = globals()[name]
        draft, cu, sampled, accepted, mask = arrays
        B, T, C = cu.shape[0], mask.shape[0], sampled.shape[1]
        each = max(T // max(B, 1), 0)
        configured = device.configured(kernel, max(1, -(-B // requests)), (lanes, requests), stream)
        if SIGS[name] == P:
            args = (draft.data_ptr(), cu.data_ptr(), sampled.data_ptr(), accepted.data_ptr(), mask.data_ptr(), np.int32(B), np.int32(T), np.int32(C), np.int32(C), np.int32(each))
        else:
            f = [device.flat(device.memory(a, "x"), {"bool": "uint8"}.get(str(a.dtype)[6:], str(a.dtype)[6:])) for a in arrays]
            args = (f[0], f[1], f[2], C, C, each, f[3], f[4])
        return lambda: configured(*args)
    import numba
    for name in SIGS:
        globals()[name].compile(SIGS[name]) if hasattr(globals()[name], "compile") else None
    REAL = [n for n in SIGS if not n.startswith(("nothing", "chain", "flat"))]
    for name in REAL:
        for seed in range(12):
            case = random_batch([1, 5, 128, 300][seed % 4], [1, 8, 40][seed % 3], seed, dtype="int64", least=8 if seed == 1 else 0)
            if seed % 5 == 4:
                case = type(case)(np.concatenate([case.draft, case.draft]), case.cu, case.sampled)
            wanted = list(case.wanted)
            arrays = put(case)
            launcher(name, arrays, *[(8, 4), (32, 4), (8, 16), (1, 32)][seed % 4])()
            torch.cuda.synchronize()
            pad = len(case.draft) - len(wanted[1])
            if pad > 0: wanted[1] = np.pad(wanted[1], (0, pad))
            ok = np.array_equal(arrays[3].cpu().numpy(), wanted[0]) and np.array_equal(arrays[4].cpu().numpy(), wanted[1])
            if not ok: print("WRONG", name, seed)
    print("checked", round(time.time() - began, 1), flush=True)
    uniform = put(random_batch(128, 8, 1, dtype="int64", least=8))
    ragged = put(random_batch(128, 8, 1, dtype="int64", least=0))
    big = put(random_batch(4096, 128, 1, dtype="int64", least=0, acceptance=0.99))
    padded = put(random_batch(100, 8, 1, dtype="int64", least=8))
    rows = []
    def go(gpuperf, what, name, body, outputs, cells=("warm", "cold")):
        line = []
        for cache in cells:
            t = gpuperf.measure(body, outputs=outputs, cache=cache, name=f"{what} {name} {cache} {len(rows)}").time
            rows.append((what, name, cache, t.point * 1e6))
            line.append(f"{t.point*1e6:6.3f}")
        print(f"{what:34} {name:14}", " ".join(line), f"[{time.time()-began:.0f}]", flush=True)
    with pytest_gpuperf.session(limit=0.12) as gpuperf:
        exec(PLAN)
