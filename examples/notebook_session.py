"""The same object outside pytest, for notebooks and scripts: `pytest_gpuperf.session()` takes the first GPU, and here a FakeDevice where there is none.

python examples/notebook_session.py
"""

from __future__ import annotations

from devices import device_for, fake_backend

import pytest_gpuperf
from pytest_gpuperf import Work


def main():
    fake = fake_backend()
    with pytest_gpuperf.session(fake, limit=0.3) as gpuperf:
        device = device_for(gpuperf, fake)
        x, out = device.random(4096), device.empty(4096)
        m = gpuperf.measure(device.double, x, out, outputs=[out], work=Work(reads=x.nbytes, writes=out.nbytes))
        gpuperf.identical(out, 2 * device.read(x))
        print(f"{gpuperf.device.name}: {m.time}, {m.bandwidth}, {m.percent} of the roof")


if __name__ == "__main__":
    main()
