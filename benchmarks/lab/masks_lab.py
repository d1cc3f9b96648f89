"""Lab: variants of the mask kernel."""
import os
os.environ["NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"] = "0"
from llvmlite import ir
from numba import cuda, int32, int64, uint32, uint64, types
from numba.cuda.extending import intrinsic

from kernels.masks import NONE, NO_TOKEN, MAX_COUNT
MAX_REQUESTS = 128

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
def final(draft, cu, sampled, columns, row_step, accepted, mask):
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
        request = int32(base + mine)
        here = min(request, last)
        guess = int32(here * int32(int32(columns) - 1))
        drafted = int32(0)
        if uint32(guess + lane) < uint32(tokens):
            drafted = draft[uint32(guess + lane)]
        row = here * row_step
        token = int64(NO_TOKEN)
        if lane < columns:
            token = int64(sampled[uint64(row + lane)])
        start = int32(0)
        if here > 0:
            start = cu[uint32(int32(here - 1))]
        end = cu[uint32(here)]
        first[uint32(mine)] = NONE
        cuda.syncthreads()
        drafts = int32(end - start)
        if request > last:
            drafts = int32(0)
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
        if lane == 0 and request <= last:
            accepted[uint32(request)] = agreed
        base = int32(base + int32(int32(cuda.gridDim.x) * tall))
        if base <= last:
            # The next round may not reset `first` while a thread still reads it.
            cuda.syncthreads()
    t = int32(t + total)
    while uint32(t) < uint32(tokens):
        mask[uint32(t)] = 0
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * tall) * lanes))

SIGS['final'] = 'void(int32[::1], int32[::1], int64[::1], int64, int64, int32[::1], uint8[::1])'

@cuda.jit
def noguess(draft, cu, sampled, columns, row_step, accepted, mask):
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
        request = int32(base + mine)
        here = min(request, last)
        row = here * row_step
        token = int64(NO_TOKEN)
        if lane < columns:
            token = int64(sampled[uint64(row + lane)])
        start = int32(0)
        if here > 0:
            start = cu[uint32(int32(here - 1))]
        end = cu[uint32(here)]
        first[uint32(mine)] = NONE
        cuda.syncthreads()
        drafts = int32(end - start)
        if request > last:
            drafts = int32(0)
        if lane < drafts:
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
        if lane == 0 and request <= last:
            accepted[uint32(request)] = agreed
        base = int32(base + int32(int32(cuda.gridDim.x) * tall))
        if base <= last:
            # The next round may not reset `first` while a thread still reads it.
            cuda.syncthreads()
    t = int32(t + total)
    while uint32(t) < uint32(tokens):
        mask[uint32(t)] = 0
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * tall) * lanes))

SIGS['noguess'] = 'void(int32[::1], int32[::1], int64[::1], int64, int64, int32[::1], uint8[::1])'

@cuda.jit
def narrow(draft, cu, sampled, columns, row_step, accepted, mask):
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
        request = int32(base + mine)
        here = min(request, last)
        guess = int32(here * int32(int32(columns) - 1))
        drafted = int32(0)
        if uint32(guess + lane) < uint32(tokens):
            drafted = draft[uint32(guess + lane)]
        row = int32(here * int32(row_step))
        token = int64(NO_TOKEN)
        if lane < int32(columns):
            token = int64(sampled[uint32(row + lane)])
        start = int32(0)
        if here > 0:
            start = cu[uint32(int32(here - 1))]
        end = cu[uint32(here)]
        first[uint32(mine)] = NONE
        cuda.syncthreads()
        drafts = int32(end - start)
        if request > last:
            drafts = int32(0)
        if lane < drafts:
            if start != guess:
                drafted = draft[uint32(start + lane)]
            if token != drafted:
                cuda.atomic.min(first, uint32(mine), lane)
            else:
                p = int32(lane + lanes)
                while p < drafts:
                    if p >= int32(columns) or sampled[uint32(row + p)] != draft[uint32(start + p)]:
                        cuda.atomic.min(first, uint32(mine), p)
                        break
                    p = int32(p + lanes)
        cuda.syncthreads()
        agreed = min(first[uint32(mine)], drafts)
        p = lane
        while p < drafts:
            mask[uint32(start + p)] = p < agreed
            p = int32(p + lanes)
        if lane == 0 and request <= last:
            accepted[uint32(request)] = agreed
        base = int32(base + int32(int32(cuda.gridDim.x) * tall))
        if base <= last:
            # The next round may not reset `first` while a thread still reads it.
            cuda.syncthreads()
    t = int32(t + total)
    while uint32(t) < uint32(tokens):
        mask[uint32(t)] = 0
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * tall) * lanes))

SIGS['narrow'] = 'void(int32[::1], int32[::1], int64[::1], int64, int64, int32[::1], uint8[::1])'

@cuda.jit
def some_p(draft, cu, accepted, mask, sampled, row_step, columns, requests, tokens):
    first = cuda.shared.array(MAX_REQUESTS, int32)
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    tall = int32(cuda.blockDim.y)
    last = int32(requests - 1)
    base = int32(int32(cuda.blockIdx.x) * tall)
    # Needed only at the end, for the rest of mask.
    total = int32(0)
    if last >= 0:
        total = load32(cu, uint32(last))
    t = int32(int32(int32(base + mine) * lanes) + lane)
    while base <= last:
        request = int32(base + mine)
        here = min(request, last)
        guess = int32(here * int32(columns - 1))
        drafted = int32(0)
        if uint32(guess + lane) < uint32(tokens):
            drafted = load32(draft, uint32(guess + lane))
        row = here * row_step
        token = int64(NO_TOKEN)
        if lane < columns:
            token = int64(sampled[uint64(row + lane)])
        start = int32(0)
        if here > 0:
            start = load32(cu, uint32(int32(here - 1)))
        end = load32(cu, uint32(here))
        first[uint32(mine)] = NONE
        cuda.syncthreads()
        drafts = int32(end - start)
        if request > last:
            drafts = int32(0)
        if lane < drafts:
            if start != guess:
                drafted = load32(draft, uint32(start + lane))
            if token != drafted:
                cuda.atomic.min(first, uint32(mine), lane)
            else:
                p = int32(lane + lanes)
                while p < drafts:
                    if p >= columns or sampled[uint64(row + p)] != load32(draft, uint32(start + p)):
                        cuda.atomic.min(first, uint32(mine), p)
                        break
                    p = int32(p + lanes)
        cuda.syncthreads()
        agreed = min(first[uint32(mine)], drafts)
        p = lane
        while p < drafts:
            store8(mask, uint32(start + p), p < agreed)
            p = int32(p + lanes)
        if lane == 0 and request <= last:
            store32(accepted, uint32(request), agreed)
        base = int32(base + int32(int32(cuda.gridDim.x) * tall))
        if base <= last:
            # The next round may not reset `first` while a thread still reads it.
            cuda.syncthreads()
    t = int32(t + total)
    while uint32(t) < uint32(tokens):
        store8(mask, uint32(t), 0)
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * tall) * lanes))

SIGS['some_p'] = 'void(int64, int64, int64, int64, int64[::1], int64, int32, int32, int32)'

@cuda.jit
def all_p(draft, cu, accepted, mask, sampled, row_step, columns, requests, tokens):
    first = cuda.shared.array(MAX_REQUESTS, int32)
    lane = int32(cuda.threadIdx.x)
    lanes = int32(cuda.blockDim.x)
    mine = int32(cuda.threadIdx.y)
    tall = int32(cuda.blockDim.y)
    last = int32(requests - 1)
    base = int32(int32(cuda.blockIdx.x) * tall)
    # Needed only at the end, for the rest of mask.
    total = int32(0)
    if last >= 0:
        total = load32(cu, uint32(last))
    t = int32(int32(int32(base + mine) * lanes) + lane)
    while base <= last:
        request = int32(base + mine)
        here = min(request, last)
        guess = int32(here * int32(columns - 1))
        drafted = int32(0)
        if uint32(guess + lane) < uint32(tokens):
            drafted = load32(draft, uint32(guess + lane))
        row = here * row_step
        token = int64(NO_TOKEN)
        if lane < columns:
            token = int64(load64(sampled, uint64(row + lane)))
        start = int32(0)
        if here > 0:
            start = load32(cu, uint32(int32(here - 1)))
        end = load32(cu, uint32(here))
        first[uint32(mine)] = NONE
        cuda.syncthreads()
        drafts = int32(end - start)
        if request > last:
            drafts = int32(0)
        if lane < drafts:
            if start != guess:
                drafted = load32(draft, uint32(start + lane))
            if token != drafted:
                cuda.atomic.min(first, uint32(mine), lane)
            else:
                p = int32(lane + lanes)
                while p < drafts:
                    if p >= columns or load64(sampled, uint64(row + p)) != load32(draft, uint32(start + p)):
                        cuda.atomic.min(first, uint32(mine), p)
                        break
                    p = int32(p + lanes)
        cuda.syncthreads()
        agreed = min(first[uint32(mine)], drafts)
        p = lane
        while p < drafts:
            store8(mask, uint32(start + p), p < agreed)
            p = int32(p + lanes)
        if lane == 0 and request <= last:
            store32(accepted, uint32(request), agreed)
        base = int32(base + int32(int32(cuda.gridDim.x) * tall))
        if base <= last:
            # The next round may not reset `first` while a thread still reads it.
            cuda.syncthreads()
    t = int32(t + total)
    while uint32(t) < uint32(tokens):
        store8(mask, uint32(t), 0)
        t = int32(t + int32(int32(int32(cuda.gridDim.x) * tall) * lanes))

SIGS['all_p'] = 'void(int64, int64, int64, int64, int64, int64, int32, int32, int32)'

PLAN = '''
s = int(gpuperf.stream)
plan = lambda a, **k: masks.plan(*a, stream=s, **k)
shapes = ((8, 16), (8, 32), (8, 64), (8, 128), (16, 8), (32, 4))
for name in REAL:
    for lanes, requests in shapes if name != "narrow" else shapes[:2]:
        go(gpuperf, f"uniform {lanes}x{requests}", name, launcher(name, uniform, lanes, requests, s), uniform[3:])
for what, arrays in (("uniform", uniform), ("ragged", ragged)):
    go(gpuperf, what, "masks.plan", plan(arrays), arrays[3:])
for name in REAL:
    go(gpuperf, "ragged 8x16", name, launcher(name, ragged, 8, 16, s), ragged[3:])
for name in REAL:
    for lanes, requests in ((32, 4), (32, 8)):
        go(gpuperf, f"big {lanes}x{requests}", name, launcher(name, big, lanes, requests, s), big[3:], ("warm",))
go(gpuperf, "big", "masks.plan", plan(big), big[3:], ("warm",))
print("host of launch: arrays", host(plan(uniform)), "some_p", host(launcher("some_p", uniform, 8, 16)), "all_p", host(launcher("all_p", uniform, 8, 16)))
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
        configured = device.configured(kernel, max(1, -(-B // requests)), (lanes, requests), stream)
        f = [device.flat(device.memory(a, "x"), {"bool": "uint8"}.get(str(a.dtype)[6:], str(a.dtype)[6:])) for a in arrays]
        if name.endswith("_p"):
            args = (draft.data_ptr(), cu.data_ptr(), accepted.data_ptr(), mask.data_ptr(), sampled.data_ptr() if name == "all_p" else f[2], C, np.int32(C), np.int32(B), np.int32(T))
        else:
            args = (f[0], f[1], f[2], C, C, f[3], f[4])
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
    def host(f, n=300):
        xs = []
        for _ in range(n):
            a = time.perf_counter_ns(); f(); xs.append(time.perf_counter_ns() - a)
            torch.cuda.synchronize()
        return sorted(xs)[n // 2] / 1e3
    def go(gpuperf, what, name, body, outputs, cells=("warm", "cold")):
        line = []
        for cache in cells:
            t = gpuperf.measure(body, outputs=outputs, cache=cache, name=f"{what} {name} {cache} {len(rows)}").time
            rows.append((what, name, cache, t.point * 1e6))
            line.append(f"{t.point*1e6:6.3f} {t!s}")
        print(f"{what:34} {name:14}", " ".join(line), f"[{time.time()-began:.0f}]", flush=True)
    with pytest_gpuperf.session(limit=0.2) as gpuperf:
        exec(PLAN)
