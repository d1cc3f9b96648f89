"""A decode step of R = 4 as one writes it first, a thread for four columns, in two versions: pages are looked up for each row, or for each window.

The second one takes the rows of a window to lie in one page, so it is wrong where page_size is no multiple of R.
"""

from __future__ import annotations

import functools

from numba import cuda, int64

from kernels import device
from kernels.compression_checks import checked
from kernels.device import inline, load16
from kernels.vectors import FORMATS, adds, divs, exps, finites, fmas, from_fp32, maxs, muls, subs

RATIO = 4
#: Columns of a thread.
WIDTH = 4


@functools.cache
def decode(kv, state, out, *, by_row):
    """Build the kernel: a block for each request."""
    load_new, wide_new, new_size = (getattr(FORMATS[kv, WIDTH], name) for name in ("load", "wide", "itemsize"))
    load, wide, store, narrow, size = (getattr(FORMATS[state, WIDTH], name) for name in ("load", "wide", "store", "narrow", "itemsize"))
    store_out, narrow_out, out_size = (getattr(FORMATS[out, WIDTH], name) for name in ("store", "narrow", "itemsize"))

    @inline
    def place(table, base, page, page_step, row_step, position):
        number = position // page
        return int64(table[base + number]) * page_step + (position - number * page) * row_step

    @inline
    def row(paged, table, base, page, page_step, row_step, position, column):
        if by_row:
            at = place(table, base, page, page_step, row_step, position)
        else:
            number = (position - position % RATIO) // page
            at = int64(table[base + number]) * page_step + (position - number * page) % page * row_step
        return wide(load(paged, at + column * size))

    @cuda.jit
    def kernel(kv_score, ape, paged_kv, paged_score, table_kv, table_score, kv_lens, cu_seq, cu_comp, output,
               depth, page, new_step, ape_step, kv_page, kv_row, score_page, score_row, kv_blocks, score_blocks, out_step):  # fmt: skip
        """Write new rows into the state and pool the windows that they complete; no thread needs another's columns."""
        request = cuda.blockIdx.x
        column = int64(cuda.threadIdx.x) * WIDTH
        begin, end = int64(cu_seq[request]), int64(kv_lens[request])
        count = int64(cu_seq[request + 1]) - begin
        start = end - count
        kv_base, score_base = request * kv_blocks, request * score_blocks
        for t in range(count):
            for half in range(2):
                c = column + half * depth
                at = (begin + t) * new_step + c * new_size
                bias = from_fp32(load16(ape, (start + t) % RATIO * ape_step + c * 4))
                value = wide_new(load_new(kv_score, at))
                score = adds(wide_new(load_new(kv_score, at + 2 * depth * new_size)), bias)
                store(paged_kv, place(table_kv, kv_base, page, kv_page, kv_row, start + t) + c * size, narrow(value))
                store(paged_score, place(table_score, score_base, page, score_page, score_row, start + t) + c * size, narrow(score))
        for window in range(start // RATIO, end // RATIO):
            own = window * RATIO
            first = max(own - RATIO, int64(0))
            c = column if first < own else column + depth
            m = row(paged_score, table_score, score_base, page, score_page, score_row, first, c)
            for position in range(first + 1, own + RATIO):
                c = column if position < own else column + depth
                m = maxs(m, row(paged_score, table_score, score_base, page, score_page, score_row, position, c))
            m = finites(m)
            c = column if first < own else column + depth
            total = exps(subs(row(paged_score, table_score, score_base, page, score_page, score_row, first, c), m))
            weighted = muls(total, row(paged_kv, table_kv, kv_base, page, kv_page, kv_row, first, c))
            for position in range(first + 1, own + RATIO):
                c = column if position < own else column + depth
                e = exps(subs(row(paged_score, table_score, score_base, page, score_page, score_row, position, c), m))
                total = adds(total, e)
                weighted = fmas(e, row(paged_kv, table_kv, kv_base, page, kv_page, kv_row, position, c), weighted)
            at = (int64(cu_comp[request]) + window - start // RATIO) * out_step + column * out_size
            store_out(output, at, narrow_out(divs(weighted, total)))

    return kernel


def plan(kv_score, ape, paged_kv, paged_score, block_table_kv, block_table_score, kv_lens, cu_seq_lens, cu_kv_comp, output, *, by_row, **_):
    """Return the launch, as compression.plan_decode does."""
    found = checked(
        "kv_lens", (kv_score, ape, paged_kv, paged_score, block_table_kv, block_table_score, kv_lens, cu_seq_lens, cu_kv_comp, output)
    )
    kv, score, out = found["paged_kv"], found["paged_score"], found["output"]
    depth = out.shape[1]
    kernel = decode(found["kv_score"].dtype, kv.dtype, out.dtype, by_row=by_row)
    launch = device.configured(kernel, found["kv_lens"].shape[0], (depth // WIDTH, 1), 0)
    arrays = [device.flat(memory, "int32" if memory.dtype == "int32" else "uint8") for memory in found.values()]
    steps = (found["kv_score"].strides[0], found["ape"].strides[0], *kv.strides[:2], *score.strides[:2])
    tables = (found[name].strides[0] // 4 for name in ("block_table_kv", "block_table_score"))
    return functools.partial(launch, *arrays, depth, kv.shape[1], *steps, *tables, out.strides[0])


plan_by_row = functools.partial(plan, by_row=True)
plan_by_window = functools.partial(plan, by_row=False)
