"""Lab: small steps, cold, by the plugin's clock."""
import numpy as np, pytest, torch
from numba import cuda
from kernels import staging
import sys, os
sys.path.insert(0, os.path.dirname(__file__))
import staging_lab as lab

OUT = []

@pytest.mark.parametrize("rows", [5, 40, 288, 1152])
def test_small(gpuperf, rows):
    step, V = 4096, 256
    def bits(n): return torch.randint(-(2**15), 2**15, (n, 8, 256), dtype=torch.int16, device="cuda").view(torch.float16)
    n16 = -(-rows // 16)
    key, value = bits(rows), bits(rows); kc, vc = bits(n16 * 16).view(n16, 16, 8, 256), bits(n16 * 16).view(n16, 16, 8, 256)
    slots = torch.randperm(n16 * 16, device="cuda")[:rows]; mask = torch.rand(rows, device="cuda") < 0.5
    flat = lambda t: cuda.as_cuda_array(t.view(torch.uint8).flatten())
    raw = [flat(t) for t in (key, value, kc, vc)]; s, m = cuda.as_cuda_array(slots), flat(mask)
    st = int(gpuperf.stream)
    ext = cuda.external_stream(st) if st else 0
    res = {}
    def go(name, f):
        res[name] = gpuperf.measure(f, name=name, inout=(kc, vc), cache="cold").time.point * 1e6
    for th in [(128, 2), (128, 1), (256, 1), (64, 1)]:
        go("w old %sx%s" % th, staging.plan_write_all(key, value, kc, vc, slots, threads=th, stream=st))
        go("c old %sx%s" % th, staging.plan_commit_masked(key, value, kc, vc, slots, mask, threads=th, stream=st))
    for fn in (lab.early_y, lab.bar, lab.bar_y):
        for th in [(256, 1), (128, 1), (64, 1)]:
            k = fn[(rows, 2 if fn is not lab.bar else 1), th, ext]
            go("w %s %sx%s" % (fn.py_func.__name__, *th), lambda: k(*raw, s, V, step))
    for fn in (lab.tile_both, lab.tile_y):
        for th in [(256, 1), (128, 1)]:
            for tile in (1, 2):
                k = fn[(-(-rows // tile), 2 if fn is lab.tile_y else 1), th, ext]
                go("c %s %sx%s t%s" % (fn.py_func.__name__, *th, tile), lambda: k(*raw, s, m, V, step, tile))
    with open(os.path.join(os.environ.get("OUT", "/tmp"), "small.txt"), "a") as f:
        f.write(f"{rows}: " + " | ".join("%s %.2f" % (n, t) for n, t in sorted(res.items(), key=lambda p: (p[0][0], p[1]))) + "\n")
