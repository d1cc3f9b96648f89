"""KERNELS: every kernel of KV compression that can be launched: each configuration and launch shape, both dtypes of output, both ways to find a page."""

from __future__ import annotations

import dataclasses
import itertools

import kernels
from kernels import compression, prefilling


def _rows():
    for row in kernels.KERNELS:
        if row.module != "compression":
            continue
        kind, name, _ = row.name.split(".")
        config = next(one for one in compression.CONFIGS if one.name == name)
        launch = next(one for one in config.warps if one.threads == row.block)
        for out, by_row in itertools.product(("bfloat16", "float32"), (False, True)):
            words = {"by_row": by_row, "lanes": launch.lanes}
            if kind == "decode":
                function = compression.kernel_of(config, out, early=launch.early, **words)
            else:
                function = prefilling.prefill(config.ratio, config.kv, config.state, out, **words)
            yield dataclasses.replace(row, name=f"{row.name}.{out}.{'row' if by_row else 'page'}", function=function)


KERNELS = tuple(_rows())
