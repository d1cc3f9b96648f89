"""Lab: launch share by cache state: blocked reading, CUPTI record and own span of the same spin kernels."""
import statistics, struct
import numpy as np
from pytest_gpuperf.device.discovery import open_backend
from pytest_gpuperf.timing.cache import Flusher
b = open_backend(); lim = b.open(); fl = Flusher(b, lim)
out = b.alloc(256)
e0, e1 = b.event(), b.event()
def pre(state):
    if state == "cold": fl.clean(0)
    elif state == "dirty": fl.dirty(0)
    else: b.launch("spin", (30_000, out + 128), 0, blocks=1, threads=32)
    if state == "cold+run": pass
def own():
    t0, t1 = struct.unpack("<QQ", b.download(out, 16)); return (t1 - t0) * 1e-3
for _ in range(60): b.launch("spin", (1_000_000, out), 0, blocks=1, threads=32)
b.synchronize()
res = {}
for state in ("warm", "cold", "dirty"):
    for span in (1000, 5000, 20000):
        for runway in (False, True):
            xs = []
            for _ in range(50):
                pre(state)
                if runway: b.launch("spin", (30_000, out + 128), 0, blocks=1, threads=32)
                b.block(0, 1.0); b.record(e0, 0); b.launch("spin", (span, out), 0, blocks=1, threads=32); b.record(e1, 0); b.release()
                b.wait(e1); xs.append(b.elapsed(e0, e1) * 1e6 - own())
            xs.sort(); res[state, span, runway] = statistics.median(xs)
            print(f"{state:6} {span:6} runway={runway!s:5} raw-own p10/50/90 {xs[5]:.3f}/{statistics.median(xs):.3f}/{xs[44]:.3f}", flush=True)
from cupti import cupti
seen = []
cupti.activity_register_callbacks(lambda: (8 << 20, 0), lambda acts: seen.extend((str(a.name), a.start, a.end) for a in acts))
cupti.activity_enable(cupti.ActivityKind.CONCURRENT_KERNEL)
for state in ("warm", "cold", "dirty"):
    for span in (1000, 5000, 20000):
        owns = []
        b.synchronize(); cupti.activity_flush_all(1); seen.clear()
        for _ in range(50):
            pre(state)
            b.launch("spin", (span, out), 0, blocks=1, threads=32)
            b.synchronize(); owns.append(own())
        cupti.activity_flush_all(1)
        rec = sorted((s, e, n) for n, s, e in seen if "spin" in n)
        if state == "warm": rec = rec[1::2]
        xs = sorted((e - s) * 1e-3 - o for (s, e, n), o in zip(rec, owns))
        share = statistics.median(xs)
        print(f"{state:6} {span:6} CUPTI-own p10/50/90 {xs[5]:.3f}/{share:.3f}/{xs[44]:.3f}  n={len(rec)}  blocked-CUPTI {res[state, span, False] - share:.3f}  with runway {res[state, span, True] - share:.3f}", flush=True)
