
import statistics, sys
import numpy as np, cupy as cp
from pytest_gpuperf.device.discovery import open_backend
from pytest_gpuperf.timing.instruments import Instruments
b = open_backend(); tools = Instruments.open(b); print(tools.calibration.detail)
src = "".join(f"""extern "C" __global__ void spin{n}(unsigned long long ns, unsigned long long* out{''.join(f', unsigned long long p{i}' for i in range(n))}) {{
 unsigned long long s, t; asm volatile("mov.u64 %0, %globaltimer;" : "=l"(s)); do {{ asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t)); }} while (t - s < ns);
 if (blockIdx.x == 0 && threadIdx.x == 0) {{ out[0] = s; out[1] = t; }} {'if (ns == 12345678) out[2] = ' + '+'.join(f'p{i}' for i in range(n)) + ';' if n else ''} }}
""" for n in (0, 4, 12, 30, 60))
mod = cp.RawModule(code=src.replace("%globaltimer", "%%globaltimer") if False else src.replace('"mov.u64 %0, %globaltimer;"', '"mov.u64 %0, %%globaltimer;"'))
out = cp.zeros(8, cp.uint64)
def go(n, ns, blocks, threads):
    k = mod.get_function(f"spin{n}")
    args = (np.uint64(ns), out.data.ptr) + tuple(np.uint64(i) for i in range(n))
    f = lambda: k((blocks,), (threads,), args)
    f(); b.synchronize(); xs = []
    for _ in range(40):
        xs.append(tools.watch.read(tools.watch.start(f, 0, 1.0)) * 1e6)
        o = out.get(); xs[-1] -= int(o[1] - o[0]) * 1e-3
    xs.sort(); return f"{xs[4]:.3f}/{statistics.median(xs):.3f}/{xs[35]:.3f}"
for n in (0, 4, 12, 30, 60):
    print(f"extra params {n:3}: 1x32 {go(n, 2000, 1, 32)}  4x256 {go(n, 2000, 4, 256)}  132x256 {go(n, 2000, 132, 256)}  1056x256 {go(n, 2000, 1056, 256)}", flush=True)
from numba import cuda
from pytest_gpuperf.timing.measure import Request, measure
from pytest_gpuperf.timing.body import Body
@cuda.jit
def copy_kernel(s, t):
    i = cuda.grid(1)
    if i < s.size: t[i] = s[i]
from cupti import cupti
seen = []
cupti.activity_register_callbacks(lambda: (8 << 20, 0), lambda acts: seen.extend((a.start, (a.end - a.start) * 1e-3) for a in acts if "copy_kernel" in str(a.name)))
for on in (False, True):
    if on: cupti.activity_enable(cupti.ActivityKind.CONCURRENT_KERNEL)
    for size in (1 << 10, 1 << 17, 1 << 20):
        s, t = cuda.to_device(np.arange(size, dtype=np.float32)), cuda.device_array(size, np.float32)
        k = copy_kernel[(size + 255) // 256, 256]; k(s, t); b.synchronize()
        for cache in ("warm", "cold"):
            for outs in ((), (t,)):
                cupti.activity_flush_all(1); seen.clear()
                m = measure(tools, Request(Body(k, ((s, t),), {}), cache, 0, 0.4, outs))
                cupti.activity_flush_all(1)
                ys = sorted(d for _, d in sorted(seen)[-202:-1])
                raws = sorted(x for r in m.details["samples"]["rounds"] for x in r)
                print(size, cache, "outputs" if outs else "none", f"ours {m.values['time'].number*1e6:.3f} raw p10/50/90 {raws[len(raws)//10]/1e4:.3f}/{raws[len(raws)//2]/1e4:.3f}/{raws[len(raws)*9//10]/1e4:.3f}", f"CUPTI p10/50/90 {ys[20]:.3f}/{statistics.median(ys):.3f}/{ys[180]:.3f} n={len(seen)}" if on else "", flush=True)
