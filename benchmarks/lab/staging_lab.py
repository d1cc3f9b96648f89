"""Lab: launch shapes and designs of staging kernels, big steady batches by events."""
import os, sys, statistics, time
os.environ["NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"] = "0"
from numba import cuda, uint32, int64
from kernels import device, staging
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import staging_before
from kernels.device import load16, store16

@device.inline
def split_row(src, s, dst, d, lane, lanes, vectors):
    i = lane
    while i < vectors:
        store16(dst, d + 16 * i, load16(src, s + 16 * i))
        i += lanes

@device.inline
def both_row(key, k, kc, c, value, v, vc, w, lane, lanes, vectors):
    i = lane
    while i < vectors:
        near = 16 * i
        a = load16(key, k + near)
        b = load16(value, v + near)
        store16(kc, c + near, a)
        store16(vc, w + near, b)
        i += lanes

@cuda.jit
def late(key, value, kc, vc, slots, vectors, step):
    """Loads before the slot is known, K and V by one thread."""
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    i = cuda.threadIdx.x
    if row < slots.shape[0]:
        slot = slots[row]
        while i < vectors:
            near = 16 * i
            a = load16(key, row * step + near)
            b = load16(value, row * step + near)
            if slot >= 0:
                store16(kc, slot * step + near, a)
                store16(vc, slot * step + near, b)
            i += cuda.blockDim.x

@cuda.jit
def late_y(key, value, kc, vc, slots, vectors, step):
    """K by blocks of y 0, V by blocks of y 1."""
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    i = cuda.threadIdx.x
    if row < slots.shape[0]:
        slot = slots[row]
        if cuda.blockIdx.y == 0:
            while i < vectors:
                a = load16(key, row * step + 16 * i)
                if slot >= 0:
                    store16(kc, slot * step + 16 * i, a)
                i += cuda.blockDim.x
        else:
            while i < vectors:
                a = load16(value, row * step + 16 * i)
                if slot >= 0:
                    store16(vc, slot * step + 16 * i, a)
                i += cuda.blockDim.x

@cuda.jit
def early_y(key, value, kc, vc, slots, vectors, step):
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if row < slots.shape[0]:
        slot = slots[row]
        if slot >= 0:
            if cuda.blockIdx.y == 0:
                split_row(key, row * step, kc, slot * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)
            else:
                split_row(value, row * step, vc, slot * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)

@cuda.jit
def late_pair(key, value, kc, vc, slots, vectors, step):
    """K by even, V by odd thread rows of a block."""
    pair = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    row = pair >> 1
    i = cuda.threadIdx.x
    if row < slots.shape[0]:
        slot = slots[row]
        if pair & 1 == 0:
            while i < vectors:
                a = load16(key, row * step + 16 * i)
                if slot >= 0:
                    store16(kc, slot * step + 16 * i, a)
                i += cuda.blockDim.x
        else:
            while i < vectors:
                a = load16(value, row * step + 16 * i)
                if slot >= 0:
                    store16(vc, slot * step + 16 * i, a)
                i += cuda.blockDim.x

@cuda.jit
def pieces_y(key, value, kc, vc, slots, shift, step):
    """One vector a thread, 1 << shift blocks a row, K first."""
    row = cuda.blockIdx.x >> shift
    i = 16 * ((cuda.blockIdx.x & ((1 << shift) - 1)) * cuda.blockDim.x + cuda.threadIdx.x)
    slot = slots[row]
    if cuda.blockIdx.y == 0:
        a = load16(key, row * step + i)
        if slot >= 0:
            store16(kc, slot * step + i, a)
    else:
        a = load16(value, row * step + i)
        if slot >= 0:
            store16(vc, slot * step + i, a)

@cuda.jit
def pieces_both(key, value, kc, vc, slots, shift, step):
    row = cuda.blockIdx.x >> shift
    i = 16 * ((cuda.blockIdx.x & ((1 << shift) - 1)) * cuda.blockDim.x + cuda.threadIdx.x)
    slot = slots[row]
    a = load16(key, row * step + i)
    b = load16(value, row * step + i)
    if slot >= 0:
        store16(kc, slot * step + i, a)
        store16(vc, slot * step + i, b)

@cuda.jit
def bar(key, value, kc, vc, slots, vectors, step):
    """As late; a barrier keeps the first loads above the branch. vectors >= lanes."""
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    near = 16 * cuda.threadIdx.x
    row = min(row, slots.shape[0] - 1)
    slot = slots[row]
    a = load16(key, row * step + near)
    b = load16(value, row * step + near)
    cuda.syncthreads()
    if slot >= 0:
        store16(kc, slot * step + near, a)
        store16(vc, slot * step + near, b)
        s = row * step
        d = slot * step
        both_row(key, s, kc, d, value, s, vc, d, cuda.threadIdx.x + cuda.blockDim.x, cuda.blockDim.x, vectors)

@cuda.jit
def bar_y(key, value, kc, vc, slots, vectors, step):
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    near = 16 * cuda.threadIdx.x
    row = min(row, slots.shape[0] - 1)
    slot = slots[row]
    s = row * step
    if cuda.blockIdx.y == 0:
        a = load16(key, s + near)
        cuda.syncthreads()
        if slot >= 0:
            store16(kc, slot * step + near, a)
            split_row(key, s, kc, slot * step, cuda.threadIdx.x + cuda.blockDim.x, cuda.blockDim.x, vectors)
    else:
        a = load16(value, s + near)
        cuda.syncthreads()
        if slot >= 0:
            store16(vc, slot * step + near, a)
            split_row(value, s, vc, slot * step, cuda.threadIdx.x + cuda.blockDim.x, cuda.blockDim.x, vectors)

@cuda.jit
def simple(key, value, kc, vc, slots, mask, vectors, step):
    """Today's commit, one vector and array a time."""
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if row < slots.shape[0]:
        slot = slots[row]
        wanted = mask[row]
        if slot >= 0 and wanted != 0:
            both_row(key, row * step, kc, slot * step, value, row * step, vc, slot * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)

@device.inline
def four_row(key, k, kc, c, value, v, vc, w, lane, lanes, vectors):
    i = lane
    while i + lanes < vectors:
        near = 16 * i
        far = near + 16 * lanes
        a = load16(key, k + near)
        a1 = load16(key, k + far)
        b = load16(value, v + near)
        b1 = load16(value, v + far)
        store16(kc, c + near, a)
        store16(kc, c + far, a1)
        store16(vc, w + near, b)
        store16(vc, w + far, b1)
        i += 2 * lanes
    if i < vectors:
        near = 16 * i
        a = load16(key, k + near)
        b = load16(value, v + near)
        store16(kc, c + near, a)
        store16(vc, w + near, b)

@device.inline
def four_one(key, k, kc, c, lane, lanes, vectors):
    i = lane
    while i + 3 * lanes < vectors:
        n = 16 * i
        j = 16 * lanes
        a = load16(key, k + n)
        b = load16(key, k + n + j)
        e = load16(key, k + n + 2 * j)
        f = load16(key, k + n + 3 * j)
        store16(kc, c + n, a)
        store16(kc, c + n + j, b)
        store16(kc, c + n + 2 * j, e)
        store16(kc, c + n + 3 * j, f)
        i += 4 * lanes

@device.inline
def eight_row(key, k, kc, c, value, v, vc, w, lane, lanes, vectors):
    i = lane
    while i + 3 * lanes < vectors:
        n = 16 * i
        j = 16 * lanes
        a = load16(key, k + n)
        b = load16(key, k + n + j)
        e = load16(key, k + n + 2 * j)
        f = load16(key, k + n + 3 * j)
        a1 = load16(value, v + n)
        b1 = load16(value, v + n + j)
        e1 = load16(value, v + n + 2 * j)
        f1 = load16(value, v + n + 3 * j)
        store16(kc, c + n, a)
        store16(kc, c + n + j, b)
        store16(kc, c + n + 2 * j, e)
        store16(kc, c + n + 3 * j, f)
        store16(vc, w + n, a1)
        store16(vc, w + n + j, b1)
        store16(vc, w + n + 2 * j, e1)
        store16(vc, w + n + 3 * j, f1)
        i += 4 * lanes

@cuda.jit
def simple4(key, value, kc, vc, slots, mask, vectors, step):
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if row < slots.shape[0]:
        slot = slots[row]
        wanted = mask[row]
        if slot >= 0 and wanted != 0:
            four_row(key, row * step, kc, slot * step, value, row * step, vc, slot * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)

@cuda.jit
def kfirst(key, value, kc, vc, slots, mask, vectors, step):
    """Four loads of K, then four of V."""
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if row < slots.shape[0]:
        slot = slots[row]
        if (slot >= 0) & (mask[row] != 0):
            four_one(key, row * step, kc, slot * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)
            four_one(value, row * step, vc, slot * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)

@cuda.jit
def eight(key, value, kc, vc, slots, mask, vectors, step):
    """Four loads of K beside four of V."""
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if row < slots.shape[0]:
        slot = slots[row]
        if (slot >= 0) & (mask[row] != 0):
            eight_row(key, row * step, kc, slot * step, value, row * step, vc, slot * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)

@cuda.jit
def tile_four(key, value, kc, vc, slots, mask, vectors, step, tile):
    """A list of accepted rows in shared memory, four loads under way."""
    flags = cuda.shared.array(64, "int32")
    rows = cuda.shared.array(64, "int32")
    targets = cuda.shared.array(64, "int64")
    first = cuda.blockIdx.x * tile
    me = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    slot = -1
    taken = 0
    if me < tile:
        row = first + me
        if row < slots.shape[0]:
            slot = slots[row]
            taken = 1 if (slot >= 0) & (mask[row] != 0) else 0
        flags[me] = taken
    cuda.syncthreads()
    count = 0
    rank = 0
    for other in range(tile):
        flag = flags[other]
        count += flag
        rank += flag if other < me else 0
    if taken:
        rows[rank] = me
        targets[rank] = slot
    cuda.syncthreads()
    at = cuda.threadIdx.y
    while at < count:
        s = (first + rows[at]) * step
        d = targets[at] * step
        four_row(key, s, kc, d, value, s, vc, d, cuda.threadIdx.x, cuda.blockDim.x, vectors)
        at += cuda.blockDim.y

@cuda.jit
def lean(key, value, kc, vc, slots, mask, vectors, step):
    """As simple, with unsigned 32-bit rows and nothing before the mask."""
    row = uint32(cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y)
    if row < slots.shape[0]:
        wanted = mask[row]
        slot = slots[row]
        if wanted != 0:
            if slot >= 0:
                r = int64(row)
                both_row(key, r * step, kc, slot * step, value, r * step, vc, slot * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)

@cuda.jit
def two(key, value, kc, vc, slots, mask, vectors, step):
    """Two rows a group: masks and slots of both in one go."""
    row = 2 * (cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y)
    last = slots.shape[0] - 1
    if row <= last:
        other = min(row + 1, last)
        slot = slots[row]
        slot1 = slots[other]
        wanted = mask[row]
        wanted1 = mask[other]
        if slot >= 0 and wanted != 0:
            both_row(key, row * step, kc, slot * step, value, row * step, vc, slot * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)
        if slot1 >= 0 and wanted1 != 0 and other > row:
            both_row(key, other * step, kc, slot1 * step, value, other * step, vc, slot1 * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)

@cuda.jit
def apart(key, value, kc, vc, slots, mask, vectors, step):
    """Two rows a group, half the grid apart."""
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    last = slots.shape[0] - 1
    other = min(row + cuda.gridDim.x * cuda.blockDim.y, last)
    slot = slots[row]
    slot1 = slots[other]
    wanted = mask[row]
    wanted1 = mask[other]
    if slot >= 0 and wanted != 0:
        both_row(key, row * step, kc, slot * step, value, row * step, vc, slot * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)
    if slot1 >= 0 and wanted1 != 0:
        both_row(key, other * step, kc, slot1 * step, value, other * step, vc, slot1 * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)

@cuda.jit
def tile_both(key, value, kc, vc, slots, mask, vectors, step, tile):
    flags = cuda.shared.array(64, "int32")
    rows = cuda.shared.array(64, "int32")
    targets = cuda.shared.array(64, "int64")
    first = cuda.blockIdx.x * tile
    me = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    slot = -1
    taken = 0
    if me < tile:
        row = first + me
        if row < slots.shape[0]:
            slot = slots[row]
            wanted = mask[row]
            taken = 1 if wanted != 0 and slot >= 0 else 0
        flags[me] = taken
    cuda.syncthreads()
    count = 0
    rank = 0
    for other in range(tile):
        flag = flags[other]
        count += flag
        rank += flag if other < me else 0
    if taken:
        rows[rank] = me
        targets[rank] = slot
    cuda.syncthreads()
    at = cuda.threadIdx.y
    while at < count:
        s = (first + rows[at]) * step
        d = targets[at] * step
        both_row(key, s, kc, d, value, s, vc, d, cuda.threadIdx.x, cuda.blockDim.x, vectors)
        at += cuda.blockDim.y

@cuda.jit
def tile_y(key, value, kc, vc, slots, mask, vectors, step, tile):
    flags = cuda.shared.array(64, "int32")
    rows = cuda.shared.array(64, "int32")
    targets = cuda.shared.array(64, "int64")
    first = cuda.blockIdx.x * tile
    me = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    slot = -1
    taken = 0
    if me < tile:
        row = first + me
        if row < slots.shape[0]:
            slot = slots[row]
            wanted = mask[row]
            taken = 1 if wanted != 0 and slot >= 0 else 0
        flags[me] = taken
    cuda.syncthreads()
    count = 0
    rank = 0
    for other in range(tile):
        flag = flags[other]
        count += flag
        rank += flag if other < me else 0
    if taken:
        rows[rank] = me
        targets[rank] = slot
    cuda.syncthreads()
    at = cuda.threadIdx.y
    if cuda.blockIdx.y == 0:
        while at < count:
            split_row(key, (first + rows[at]) * step, kc, targets[at] * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)
            at += cuda.blockDim.y
    else:
        while at < count:
            split_row(value, (first + rows[at]) * step, vc, targets[at] * step, cuda.threadIdx.x, cuda.blockDim.x, vectors)
            at += cuda.blockDim.y

B, I = "uint8[::1], uint8[::1], uint8[::1], uint8[::1], int64[::1], ", "int64, int64"
SIGS = {kfirst: B + "uint8[::1], " + I, eight: B + "uint8[::1], " + I, tile_four: B + "uint8[::1], " + I + ', int64', late: B + I, late_y: B + I, early_y: B + I, late_pair: B + I, bar: B + I, bar_y: B + I, pieces_y: B + I, pieces_both: B + I, simple: B + "uint8[::1], " + I,
        simple4: B + "uint8[::1], " + I, lean: B + "uint8[::1], " + I, two: B + "uint8[::1], " + I, apart: B + "uint8[::1], " + I, tile_both: B + "uint8[::1], " + I + ", int64", tile_y: B + "uint8[::1], " + I + ", int64"}

def offline():
    import re
    from cuda.core import Linker, LinkerOptions, ObjectCode
    for f, sig in SIGS.items():
        ptx, _ = cuda.compile(f.py_func, f"void({sig})", device=False, abi="numba", cc=(9, 0))
        l = Linker(ObjectCode.from_ptx(ptx if isinstance(ptx, bytes) else ptx.encode()), options=LinkerOptions(arch="sm_90", verbose=True, ptxas_options=["-v"]))
        c = l.link("cubin"); open(f"/tmp/lab_{f.py_func.__name__}.cubin", "wb").write(c.code)
        open(f"/tmp/lab_{f.py_func.__name__}.ptx", "wb").write(ptx if isinstance(ptx, bytes) else ptx.encode())
        print(f.py_func.__name__, re.findall(r"Used.*", l.get_info_log()), re.findall(r"\d+ bytes spill \w+", l.get_info_log()))

def main():
    import torch
    STEP, V = 4096, 256
    table = 327680
    def bits(n): return torch.randint(-(2**62), 2**62, (n * STEP // 8,), dtype=torch.int64, device="cuda")
    key, value, kc, vc = bits(table), bits(table), bits(table), bits(table)
    g = torch.Generator(device="cuda").manual_seed(1)
    chance = torch.rand(table, device="cuda", generator=g)
    def flat(t): return cuda.as_cuda_array(t.view(torch.uint8))
    K, VA, KC, VC = map(flat, (key, value, kc, vc))
    def rate(f, nbytes, reps):
        f(); ts = []
        for _ in range(5):
            a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda._sleep(400000); a.record()
            for _ in range(reps): f()
            b.record(); b.synchronize(); ts.append(a.elapsed_time(b) / reps)
        t = statistics.median(ts)
        return nbytes / t / 1e9, t * 1e3
    def check(rows, slots, mask, name):
        sel = torch.arange(rows, device="cuda") if mask is None else mask[:rows].nonzero()[:, 0]
        for s, d in ((key, kc), (value, vc)):
            got = d.view(-1, 512)[slots[sel]]; want = s.view(-1, 512)[sel]
            if not torch.equal(got, want): print("WRONG", name)
        kc.zero_(); vc.zero_()
    def drv(n):
        x, y = key[: n * 512], kc[: n * 512]
        return lambda: y.copy_(x)
    rows = 32768; nbytes = 4 * rows * STEP
    slotsets = {"contig": torch.arange(table, device="cuda"), "scatter": torch.randperm(rows, device="cuda", generator=g)}
    out = []
    print("driver copy of 256 MiB: %.3f TB/s" % rate(drv(2 * rows), 2 * 2 * rows * STEP, 20)[0])
    def old(fn, *a, **k):
        return fn(*a, **k)
    shapes = [(128, 2), (256, 1), (128, 1), (64, 1), (32, 4), (64, 4), (256, 2), (512, 1)]
    for where, sl in slotsets.items():
        s = flat_slots = cuda.as_cuda_array(sl[:rows])
        v4 = lambda t: t.view(torch.float16)[: 0]
        res = []
        f16 = lambda t: t[: rows * 512].view(torch.float16).view(rows, 8, 256)
        c16 = lambda t: t[: rows * 512].view(torch.float16).view(rows // 16, 16, 8, 256)
        for name, mod, th in (("before", staging_before, None), ("before", staging_before, (128, 1)), ("new", staging, None), ("new", staging, (128, 1)), ("new", staging, (128, 2)), ("new", staging, (256, 2)), ("new again", staging, None)):
            p = mod.plan_write_all(f16(key), f16(value), c16(kc), c16(vc), sl[:rows], threads=th)
            r = rate(p, nbytes, 20); check(rows, sl[:rows], None, th); res.append((r[0], f"{name} {th}"))
        for fn in (bar, bar_y):
            for th in [(256, 1)]:
                k = fn[(rows // th[1], 2 if fn is bar_y else 1), th]
                r = rate(lambda: k(K, VA, KC, VC, s, V, STEP), nbytes, 20); check(rows, sl[:rows], None, (fn, th)); res.append((r[0], f"{fn.py_func.__name__} {th[0]}x{th[1]}"))
        print("WRITE", where, " | ".join("%s %.3f" % (n, r) for r, n in sorted(res, reverse=True)))
    print("driver copy of 256 MiB: %.3f TB/s" % rate(drv(2 * rows), 2 * 2 * rows * STEP, 20)[0])
    ids = slotsets["contig"]
    heads = []
    for n, share in ((rows, 1.0), (rows, 0.1), (rows, 0.5), (table, 0.1), (table, 0.5), (table, 0.9), (table, 1.0)):
        sl = ids[:n]; mask = (chance[:n] < share).to(torch.uint8); moved = int(mask.sum()); nb = 4 * moved * STEP
        reps = 20 if nb < 2e9 else 4
        s, m = cuda.as_cuda_array(sl), cuda.as_cuda_array(mask)
        f16 = lambda t: t[: n * 512].view(torch.float16).view(n, 8, 256)
        c16 = lambda t: t[: n * 512].view(torch.float16).view(n // 16, 16, 8, 256)
        res = []
        for name, mod, th in (("before", staging_before, None), ("new", staging, None), ("new", staging, (128, 1)), ("new", staging, (32, 4)), ("new", staging, (64, 2))):
            p = mod.plan_commit_masked(f16(key), f16(value), c16(kc), c16(vc), sl, mask, threads=th)
            r = rate(p, nb, reps); check(n, sl, mask, th); res.append((*r, f"{name} {th}"))
        for fn in (simple4, kfirst, eight):
            for th in [(64, 2), (64, 4), (32, 2), (32, 4)]:
                for per in (0, 12, 8, 6):
                    if per and th[0] * th[1] != 128: continue
                    k = fn[-(-n // th[1]), th, 0, (220 * 1024 // per // 1024 * 1024 if per else 0)]
                    r = rate(lambda: k(K, VA, KC, VC, s, m, V, STEP), nb, reps); check(n, sl, mask, (fn, th)); res.append((*r, "%s %sx%s occ%s" % (fn.py_func.__name__, *th, per)))
        for th, tiles in (((128, 1), (2, 3, 4, 6, 8)), ((64, 1), (2, 4)), ((64, 2), (4,))):
            for tile in tiles:
                k = tile_four[-(-n // tile), th]
                r = rate(lambda: k(K, VA, KC, VC, s, m, V, STEP, tile), nb, reps); check(n, sl, mask, (th, tile))
                res.append((*r, f"tile_four {th[0]}x{th[1]} t{tile}"))
        print("COMMIT", n, share, " | ".join("%s %.3f %.1f" % (nm, r, t) for r, t, nm in sorted(res, reverse=True)), flush=True)
        print("driver copy of moved: %.3f TB/s" % rate(drv(min(2 * moved, table)), 2 * min(2 * moved, table) * STEP, reps)[0])

t0 = time.time()
offline() if "offline" in sys.argv else main()
print("seconds", time.time() - t0)
