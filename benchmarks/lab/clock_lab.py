"""Lab: what the blocked reading of a spin kernel depends on: how long the hold lasts, what runs before it, kernel or graph."""
import statistics, struct, sys, time
from pytest_gpuperf.device.discovery import open_backend
b = open_backend(); lim = b.open()
print(b.facts.name, lim)
out = b.alloc(256)
for _ in range(100): b.launch("spin", (1_000_000, out), 0, blocks=1, threads=32)
b.synchronize()
def hold(us):
    t = time.perf_counter() + us*1e-6
    while time.perf_counter() < t: pass
def sample(graph, span, hold_us, pre, gap, e0, e1, stream=0, kernel="spin"):
    if gap: time.sleep(gap)
    if pre: b.launch("spin", (pre, out + 128), stream, blocks=1, threads=32)
    b.block(stream, 1.0)
    b.record(e0, stream)
    if kernel == "spin": b.launch("spin", (span, out), stream, blocks=1, threads=32, graph=graph)
    else: b.launch("empty", (), stream, blocks=1, threads=32, graph=graph)
    b.record(e1, stream)
    if hold_us: hold(hold_us)
    b.release()
    b.wait(e1)
    raw = b.elapsed(e0, e1)
    b.synchronize()
    t0, t1 = struct.unpack("<QQ", b.download(out, 16))
    return (raw - (t1 - t0) * 1e-9) if kernel == "spin" else raw
e0, e1 = b.event(), b.event()
for graph in (False, True):
    for span in (1000, 5000, 20000):
        b.launch("spin", (span, out), 0, blocks=1, threads=32, graph=graph)
    b.synchronize()
    for pre in (0, 30_000, 100_000):
        for hold_us in (0, 5, 20, 100):
            cells = []
            for span in (1000, 5000, 20000):
                xs = sorted(sample(graph, span, hold_us, pre, 0, e0, e1) * 1e6 for _ in range(40))
                cells.append(f"{xs[4]:.2f}/{statistics.median(xs):.2f}/{xs[35]:.2f}")
            print(f"graph={graph!s:5} pre={pre:6} hold={hold_us:3}us  raw-own p10/p50/p90 at 1,5,20us: " + "  ".join(cells), flush=True)
for hold_us in (0, 5, 20, 100):
    for pre in (0, 30000):
        xs = sorted(sample(False, 0, hold_us, pre, 0, e0, e1, kernel="empty") * 1e6 for _ in range(60))
        print(f"empty kernel hold={hold_us} pre={pre}: {xs[6]:.2f}/{statistics.median(xs):.2f}/{xs[53]:.2f}")
