"""Comparisons on a fake device on the bench, for the tests of what they promise."""

from __future__ import annotations

from rules_bench import US, bench


def compared(fake, versions, *args, limit=0.2, **keywords):
    with bench(fake, limit) as gpuperf:
        return gpuperf.compare(versions, *args, **keywords)


def pair(fake, ratio=1.0, base=20 * US):
    return {"fast": fake.kernel(base), "slow": fake.kernel((base + 0.7 * US) * ratio - 0.7 * US)}
