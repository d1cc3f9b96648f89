"""How long all kernels of this project take to compile without a GPU, for three architectures: once from nothing, then from the store.

`python benchmarks/static.py [MODULE]` prints seconds of the clock and of the processors, children included. The bars are 60 s and 2 s on two cores; with more at work
beside it, look at the processors' seconds.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

from pytest_gpuperf.static.compiling import Compiler

ARCHS = ("sm_80", "sm_90", "sm_100")
PROCESSES = 2


def once(module: str, store: Path) -> tuple[float, float, int, int]:
    """Compile every kernel of a module; return seconds, seconds of processors, kernels and different machine codes."""
    begin, before = time.perf_counter(), os.times()
    with Compiler(store=store, processes=PROCESSES) as compiler:
        rows = compiler.kernels(module, ARCHS[0])
        found = compiler.compile([dataclasses.replace(row, arch=arch) for row in rows for arch in ARCHS])
    after = os.times()
    wrong = [one.error or dict(one.reasons) for one in found if one.error or one.reasons]
    if wrong:
        sys.exit(f"{len(wrong)} of {len(found)} were not compiled: {wrong[0]}")
    spent = sum(getattr(after, name) - getattr(before, name) for name in ("user", "system", "children_user", "children_system"))
    return time.perf_counter() - begin, spent, len(rows), len({(one.arch, one.code_hash) for one in found})


def main() -> None:
    """Print both times."""
    module = sys.argv[1] if len(sys.argv) > 1 else "kernels"
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "from the store"):
            seconds, spent, kernels, codes = once(module, Path(folder))
            print(f"{name}: {seconds:.2f} s, {spent:.2f} s of processors; {kernels} kernels x {len(ARCHS)} architectures, {codes} different codes")


if __name__ == "__main__":
    main()
