"""The kernel of a prefill of KV compression: pool every window that new rows complete, write the rows that later steps need.

A block has one pooled row, or the new rows of one request that are to be written; neither needs another block. Rows are read twice,
first for their maximum: there are blocks enough to hide that.
"""

from __future__ import annotations

import functools
from typing import Any

from numba import cuda, float32, int32, int64

from kernels.device import inline, load16, word
from kernels.pooling import DEPTH, PARTITIONS, access, folded, spaces
from kernels.vectors import FORMATS, PUT, adds, divs, exps, finites, fmas, from_fp32, maxs, muls, subs

#: Columns of a thread.
WIDTH = 4


@functools.cache
def prefill(ratio: int, kv: str, state: str, out: str, *, by_row: bool, lanes: int) -> Any:
    """Build the prefill kernel for blocks of (lanes, y) threads: `rows_out` blocks that pool, then one a request that writes."""
    load_new, wide_new, new_size = FORMATS[kv, WIDTH].load, FORMATS[kv, WIDTH].wide, FORMATS[kv, WIDTH].itemsize
    load, store, wide, narrow, size = (getattr(FORMATS[state, WIDTH], name) for name in ("load", "store", "wide", "narrow", "itemsize"))
    store_one, store_out, narrow_out, out_size = (
        getattr(FORMATS[out, WIDTH], name) for name in ("store_one", "store", "narrow", "itemsize")
    )
    place = access(state, by_row=by_row, width=WIDTH).place
    put = PUT[WIDTH]
    overlap = ratio == DEPTH // 2
    parts = 1 if overlap else PARTITIONS
    shift = ratio.bit_length() - 1
    space, row_space = spaces(lanes, WIDTH)
    triple = parts * row_space
    triples_size = 3 * triple

    @inline
    def new_row(kv_score, row, new_step, column):
        return wide_new(load_new(kv_score, int64(row) * int64(new_step) + int64(column) * new_size))

    @inline
    def biased(kv_score, ape, row, new_step, ape_step, position, width, column):
        bias = from_fp32(load16(ape, int64(position & int32(ratio - 1)) * int64(ape_step) + int64(column) * 4))
        return adds(new_row(kv_score, row, new_step, int32(width) + column), bias)

    @inline
    def score_row(kv_score, ape, paged, table, base, page, page_step, row_step, new_step, ape_step, position, new, ahead, width, column):
        if new:
            return biased(kv_score, ape, int32(position + ahead), new_step, ape_step, position, width, column)
        return wide(load(paged, place(table, base, page, page_step, row_step, position) + int64(column) * size))

    @inline
    def value_row(kv_score, paged, table, base, page, page_step, row_step, new_step, position, new, ahead, column):
        if new:
            return new_row(kv_score, int32(position + ahead), new_step, column)
        return wide(load(paged, place(table, base, page, page_step, row_step, position) + int64(column) * size))

    @cuda.jit
    def kernel(kv_score, ape, paged_kv, paged_score, table_kv, table_score, start_pos, cu_seq, cu_comp, output,
               slices, width, page, new_step, ape_step, kv_page, kv_row, score_page, score_row_step,
               kv_blocks, score_blocks, out_step, rows_out, requests):  # fmt: skip
        """Pool the windows of each request's new rows, and write what is left of them."""
        triples = cuda.shared.array(triples_size, float32)
        lane = int32(cuda.threadIdx.x)
        y = int32(cuda.threadIdx.y)
        tall = int32(cuda.blockDim.y)
        block = int32(cuda.blockIdx.x)
        index = int32(block >> int32(slices))
        first_column = int32(int32(block - int32(index << int32(slices))) * int32(lanes * WIDTH))
        column = int32(first_column + lane * int32(WIDTH))
        far = int32(int32(width) >> 1) if overlap else int32(0)
        pools = index < int32(rows_out)
        request = int32(index - int32(rows_out))
        if pools:
            # The last request whose rows begin no later: those without rows of their own are passed over.
            request = int32(0)
            last = int32(requests)
            while int32(last - request) > 1:
                middle = int32(int32(request + last) >> 1)
                if word(cu_comp, middle) <= index:
                    request = middle
                else:
                    last = middle
        begin = int32(word(cu_seq, request))
        start = int32(word(start_pos, request))
        end = int32(start + int32(word(cu_seq, request + 1)) - begin)
        kv_base = int32(request * int32(kv_blocks))
        score_base = int32(request * int32(score_blocks))
        ahead = int32(begin - start)
        if not pools:
            kept = int32(int32(end >> shift) << shift)
            if overlap:
                kept = int32(kept - ratio)
            position = int32(max(start, kept) + y)
            while position < end:
                for half in range(2 if overlap else 1):
                    at = int32(column + half * far)
                    value = narrow(new_row(kv_score, int32(position + ahead), new_step, at))
                    score = narrow(biased(kv_score, ape, int32(position + ahead), new_step, ape_step, position, width, at))
                    store(paged_kv, place(table_kv, kv_base, page, kv_page, kv_row, position) + int64(at) * size, value)
                    store(paged_score, place(table_score, score_base, page, score_page, score_row_step, position) + int64(at) * size, score)
                position = int32(position + tall)
        number = int32(index - int32(word(cu_comp, request)))
        window = int32(int32(start >> shift) + number)
        if pools and window < int32(end >> shift):
            part = y
            while part < parts:
                base = int32(int32(window << shift) + int32(part * DEPTH))
                first = int32(0)
                if overlap:
                    base = int32(base - ratio)
                    if window == 0:
                        first = int32(ratio)
                position = int32(base + first)
                at = int32(column + far) if first > 0 else column
                s = score_row(kv_score, ape, paged_score, table_score, score_base, page, score_page, score_row_step, new_step, ape_step,
                              position, position >= start, ahead, width, at)  # fmt: skip
                m = s
                for j in range(first + 1, DEPTH):
                    position = int32(base + j)
                    at = int32(column + far) if j >= ratio else column
                    m = maxs(m, score_row(kv_score, ape, paged_score, table_score, score_base, page, score_page, score_row_step, new_step,
                                          ape_step, position, position >= start, ahead, width, at))  # fmt: skip
                top = finites(m)
                position = int32(base + first)
                at = int32(column + far) if first > 0 else column
                total = exps(subs(s, top))
                weighted = muls(
                    total,
                    value_row(
                        kv_score, paged_kv, table_kv, kv_base, page, kv_page, kv_row, new_step, position, position >= start, ahead, at
                    ),
                )
                for j in range(first + 1, DEPTH):
                    position = int32(base + j)
                    at = int32(column + far) if j >= ratio else column
                    s = score_row(kv_score, ape, paged_score, table_score, score_base, page, score_page, score_row_step, new_step, ape_step,
                                  position, position >= start, ahead, width, at)  # fmt: skip
                    v = value_row(
                        kv_score, paged_kv, table_kv, kv_base, page, kv_page, kv_row, new_step, position, position >= start, ahead, at
                    )
                    e = exps(subs(s, top))
                    total = adds(total, e)
                    weighted = fmas(e, v, weighted)
                if overlap:
                    store_out(output, int64(index) * int64(out_step) + int64(column) * out_size, narrow_out(divs(weighted, total)))
                else:
                    put(triples, part * row_space + lane, space, m)
                    put(triples, triple + part * row_space + lane, space, total)
                    put(triples, 2 * triple + part * row_space + lane, space, weighted)
                part = int32(part + tall)
            if not overlap:
                cuda.syncthreads()
                f = int32(y * int32(lanes) + lane)
                while f < lanes * WIDTH:
                    at = int32(int32(f & int32(3)) * int32(space) + int32(f >> 2))
                    store_one(output, int64(index) * int64(out_step) + int64(first_column + f) * out_size,
                              folded(triples, at, row_space, triple, 2 * triple))  # fmt: skip
                    f = int32(f + int32(lanes * tall))

    return kernel
