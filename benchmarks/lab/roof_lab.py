from pytest_gpuperf.device.discovery import open_backend
from pytest_gpuperf.timing.instruments import Instruments
from pytest_gpuperf.work import Work
from pytest_gpuperf.timing.roofs import Roofs
b = open_backend(); tools = Instruments.open(b); print(tools.calibration.detail)
r = Roofs(tools, 0, 0.2)
for p, cache in ((16, "warm"), (20, "warm"), (20, "cold"), (24, "cold"), (24, "steady"), (28, "cold"), (28, "steady"), (29, "steady")):
    for w in (Work(reads=1 << p, writes=1 << p), Work(reads=(1 << p) + 4096, writes=1 << p)):
        v = r.of(w, cache); print(p, cache, w.reads == w.writes, f"{w.bytes / (v.number or 9e9) / 1e12:.3f} TB/s {v}", r._known[w.reads, w.writes, cache].how, flush=True)
