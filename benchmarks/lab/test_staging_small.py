"""Lab: small steps, cold, by the plugin's clock."""
import numpy as np, pytest, torch
from numba import cuda
from kernels import staging
import sys, os
sys.path.insert(0, os.path.dirname(__file__))
import staging_lab as lab

OUT = []

@pytest.mark.parametrize("rows", [5, 40, 288, 1152, 8192])
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
    for name, mod in (("before", lab.staging_before), ("new", staging)):
        go(f"w {name}", mod.plan_write_all(key, value, kc, vc, slots, stream=st))
        go(f"c {name}", mod.plan_commit_masked(key, value, kc, vc, slots, mask, stream=st))
    go("w new 128x2", staging.plan_write_all(key, value, kc, vc, slots, threads=(128, 2), stream=st))
    go("c new 256x1", staging.plan_commit_masked(key, value, kc, vc, slots, mask, threads=(256, 1), stream=st))
    k = lab.bar[rows, (256, 1), ext]
    go("w bar", lambda: k(*raw, s, V, step))
    with open(os.path.join(os.environ.get("OUT", "/tmp"), "small.txt"), "a") as f:
        f.write(f"{rows}: " + " | ".join("%s %.2f" % (n, t) for n, t in sorted(res.items(), key=lambda p: (p[0][0], p[1]))) + "\n")
