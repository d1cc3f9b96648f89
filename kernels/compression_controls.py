"""Negative controls of KV compression: windows of 128 pooled in one long sum, or by the library's exp. Close, and not the same bits.

`repool` pools a window again from the state that a decode step left, one thread for four columns. In partitions of 8 and with our exp
it must give the bits of the step itself; in one of 128, or with another exp, it must not.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numba import cuda, int32, int64

from kernels import device
from kernels.device import inline
from kernels.pooling import access
from kernels.vectors import FORMATS, adds, divs, exps, finites, fmas, maxs, muls, subs

RATIO = 128
#: Columns of a thread.
WIDTH = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """One way to pool: rows of a partition, and whether exp is the library's."""

    name: str
    depth: int
    library: bool


CONTROLS = (Control("ours", 8, library=False), Control("serial", RATIO, library=False), Control("expf", 8, library=True))

if device.SIMULATED:

    def _library4(vector):
        with np.errstate(all="ignore"):
            return np.exp(vector)

else:
    from numba.cuda import libdevice

    @inline
    def _library4(vector):
        return (libdevice.expf(vector[0]), libdevice.expf(vector[1]), libdevice.expf(vector[2]), libdevice.expf(vector[3]))


@functools.cache
def repool(state: str, out: str, *, depth: int, library: bool) -> Any:
    """Build the kernel: blocks of any number of threads, one for each four columns of one request's window."""
    load, wide, size = FORMATS[state, WIDTH].load, FORMATS[state, WIDTH].wide, FORMATS[state, WIDTH].itemsize
    store, narrow, out_size = FORMATS[out, WIDTH].store, FORMATS[out, WIDTH].narrow, FORMATS[out, WIDTH].itemsize
    place = access(state, by_row=True, width=WIDTH).place
    exp = _library4 if library else exps

    @inline
    def row(paged, table, base, page_size, page_step, row_step, position, column):
        return wide(load(paged, place(table, base, page_size, page_step, row_step, int32(position)) + int64(column) * size))

    @cuda.jit
    def kernel(paged_kv, paged_score, table_kv, table_score, output, request, window, row_out, columns, page_size,
               kv_page, kv_row, score_page, score_row, kv_blocks, score_blocks, out_step):  # fmt: skip
        """Pool one window, and store its row."""
        column = int32(int32(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x) * int32(WIDTH))
        if column < int32(columns):
            first = int32(int32(window) * RATIO)
            kv_base = int32(int32(request) * int32(kv_blocks))
            score_base = int32(int32(request) * int32(score_blocks))
            top = row(paged_score, table_score, score_base, page_size, score_page, score_row, first, column)
            for j in range(1, RATIO):
                top = maxs(top, row(paged_score, table_score, score_base, page_size, score_page, score_row, first + j, column))
            top = finites(top)
            sums = top
            products = top
            for part in range(0, RATIO, depth):
                base = int32(first + part)
                m = row(paged_score, table_score, score_base, page_size, score_page, score_row, base, column)
                for j in range(1, depth):
                    m = maxs(m, row(paged_score, table_score, score_base, page_size, score_page, score_row, base + j, column))
                low = finites(m)
                total = exp(subs(row(paged_score, table_score, score_base, page_size, score_page, score_row, base, column), low))
                weighted = muls(total, row(paged_kv, table_kv, kv_base, page_size, kv_page, kv_row, base, column))
                for j in range(1, depth):
                    e = exp(subs(row(paged_score, table_score, score_base, page_size, score_page, score_row, base + j, column), low))
                    total = adds(total, e)
                    weighted = fmas(e, row(paged_kv, table_kv, kv_base, page_size, kv_page, kv_row, base + j, column), weighted)
                e = exp(subs(m, top))
                if part == 0:
                    sums = muls(e, total)
                    products = muls(e, weighted)
                else:
                    sums = fmas(e, total, sums)
                    products = fmas(e, weighted, products)
            store(output, int64(row_out) * int64(out_step) + int64(column) * out_size, narrow(divs(products, sums)))

    return kernel


def run(control: Control, paged_kv: Any, paged_score: Any, block_table_kv: Any, block_table_score: Any, output: Any, *, request: int,
        window: int, row: int, stream: int = 0) -> None:  # fmt: skip
    """Pool one window of one request from the state into one row of the output."""
    names = ("paged_kv", "paged_score", "block_table_kv", "block_table_score", "output")
    found = [
        device.memory(array, name)
        for name, array in zip(names, (paged_kv, paged_score, block_table_kv, block_table_score, output), strict=True)
    ]
    kv, score, *tables, out = found
    lanes = min(32, out.shape[1] // WIDTH)
    launch = device.configured(
        repool(kv.dtype, out.dtype, depth=control.depth, library=control.library), out.shape[1] // WIDTH // lanes, (lanes, 1), stream
    )
    flat = [device.argument(memory, "int32" if memory.dtype == "int32" else "uint8") for memory in found]
    launch(
        *flat,
        request,
        window,
        row,
        out.shape[1],
        kv.shape[1],
        *kv.strides[:2],
        *score.strides[:2],
        *(table.strides[0] // 4 for table in tables),
        out.strides[0],
    )
