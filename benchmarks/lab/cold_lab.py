"""Lab: where the cold reading of a small kernel comes from: the same sequences read by events and by CUPTI."""
import statistics, sys
import numpy as np
from numba import cuda
from pytest_gpuperf.device.discovery import open_backend
from pytest_gpuperf.timing.instruments import Instruments
from pytest_gpuperf.work import Work
from pytest_gpuperf.timing.roofs import Roofs
@cuda.jit
def copy_kernel(s, t):
    i = cuda.grid(1)
    if i < s.size: t[i] = s[i]
b = open_backend()
tools = Instruments.open(b)
print(tools.calibration.detail)
if "roofs" in sys.argv:
    r = Roofs(tools, 0, 0.3)
    for p in (20, 24, 28, 29):
        for cache in ("steady", "cold", "warm"):
            for w in (Work(reads=1 << p, writes=1 << p), Work(reads=(1 << p) + 4096, writes=1 << p)):
                v = r.of(w, cache); print(p, cache, w.reads == w.writes, f"{w.bytes / (v.number or 9e9) / 1e12:.3f} TB/s {v}", r._known[w.reads, w.writes, cache].how if v.number else "", flush=True)
const = tools.calibration.kernel
out = b.alloc(4096)
cup = "cupti" in sys.argv
seen = []
if cup:
    from cupti import cupti
    cupti.activity_register_callbacks(lambda: (8 << 20, 0), lambda acts: seen.extend((a.start, (a.end - a.start) * 1e-3) for a in acts if "copy_kernel" in str(a.name)))
    cupti.activity_enable(cupti.ActivityKind.CONCURRENT_KERNEL)
for size in (1 << 10, 1 << 17):
    s, t = cuda.to_device(np.arange(size, dtype=np.float32)), cuda.device_array(size, np.float32)
    k = copy_kernel[(size + 255) // 256, 256]
    k(s, t); b.synchronize()
    ta = t.device_ctypes_pointer.value
    class W: pass
    def memset_only(): tools.flusher.dirty(0)
    def clean(): tools.flusher.clean(0)
    def poison(): b.launch("fill", (ta, size * 4, 5), 0, blocks=4, threads=256)
    def digest(): b.launch("digest", (ta, size * 4, out), 0, blocks=4, threads=256)
    def run(): b.launch("spin", (30_000, out + 64), 0, blocks=1, threads=32)
    seqs = {"warm": ([run], []), "dirty": ([memset_only], []), "clean": ([clean], []), "clean+runway": ([clean, run], []), "poison+clean": ([poison, clean], []),
            "poison+clean, digest": ([poison, clean], [digest]), "clean, digest": ([clean], [digest])}
    for name, (pre, post) in seqs.items():
        for blocked in ((True,) if not cup else (True, False)):
            if cup: b.synchronize(); cupti.activity_flush_all(1); seen.clear()
            xs = []
            for _ in range(60):
                for f in pre: f()
                if blocked:
                    rd = tools.watch.start(lambda: k(s, t), 0, 1.0, runway=False)
                else: k(s, t)
                for f in post: f()
                if blocked: xs.append((tools.watch.read(rd) - const) * 1e6)
                b.synchronize()
            line = f"{size:7} {name:22} blocked={blocked!s:5}"
            if xs: xs.sort(); line += f" events p10/50/90 {xs[6]:.3f}/{statistics.median(xs):.3f}/{xs[53]:.3f}"
            if cup:
                cupti.activity_flush_all(1); ys = sorted(d for _, d in seen); line += f"  CUPTI p10/50/90 {ys[6]:.3f}/{statistics.median(ys):.3f}/{ys[-7]:.3f} n={len(ys)}"
            print(line, flush=True)
