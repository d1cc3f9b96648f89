"""The kernels of a decode step of KV compression: write new rows into the state, pool the windows that they complete.

A block has the columns of one request and needs no other block: it writes the new rows of its columns to the state, and after a barrier
reads them back with the older ones. Who asks for older rows before that takes the new ones from shared memory, rounded as in the state.
"""

from __future__ import annotations

import functools
from typing import Any

from numba import cuda, float32, int32, int64, uint32

from kernels.pooling import DEPTH, MAX_NEW, PARTITIONS, access, folded, pooled4, pooled8, renew8, spaces
from kernels.vectors import FORMATS, WIDTH, add4, div4, from_fp32, load16, put4


@functools.cache
def decode128(kv: str, state: str, out: str, *, by_row: bool, lanes: int, early: bool = False, registers: int | None = None) -> Any:
    """Build the decode kernel of R = 128 for blocks of (lanes, y) threads, y a divisor of 16, one for each slice of columns of a request.

    With `early` a thread asks for rows of the state before it has written the new ones, which costs registers. `registers` caps them.
    """
    load_new, wide_new, new_size = FORMATS[kv].load, FORMATS[kv].wide, FORMATS[kv].itemsize
    store, wide, narrow, size = (getattr(FORMATS[state], name) for name in ("store", "wide", "narrow", "itemsize"))
    store_out, out_size = FORMATS[out].store_one, FORMATS[out].itemsize
    reach = access(state, by_row=by_row)
    place, rows, wide8 = reach.place, reach.rows, reach.wide
    space, row_space = spaces(lanes)
    half = WIDTH * space
    fresh_size = MAX_NEW * 2 * half
    triple = PARTITIONS * row_space
    triples_size = 3 * triple

    @cuda.jit(**({} if registers is None else {"max_registers": registers}))
    def decode(kv_score, ape, paged_kv, paged_score, table_kv, table_score, kv_lens, cu_seq, cu_comp, output,
               slices, width, page, new_step, ape_step, kv_page, kv_row, score_page, score_row,
               kv_blocks, score_blocks, out_step):  # fmt: skip
        """Write the new rows of each request, and the pooled row of the window that they complete."""
        fresh = cuda.shared.array(fresh_size, float32) if early else 0
        triples = cuda.shared.array(triples_size, float32)
        lane = int32(cuda.threadIdx.x)
        y = int32(cuda.threadIdx.y)
        tall = int32(cuda.blockDim.y)
        block = int32(cuda.blockIdx.x)
        request = int32(block >> int32(slices))
        first_column = int32(int32(block - int32(request << int32(slices))) * int32(lanes * WIDTH))
        column = int32(first_column + lane * int32(WIDTH))
        end = int32(kv_lens[uint32(request)])
        begin = int32(cu_seq[uint32(request)])
        next_begin = int32(cu_seq[uint32(request + 1)])
        row = int32(cu_comp[uint32(request)])
        count = min(int32(next_begin - begin), int32(MAX_NEW))
        start = int32(end - count)
        window = int32(int32(start >> 7) << 7)
        emits = int32(end >> 7) > int32(start >> 7)
        kv_base = int32(request * int32(kv_blocks))
        score_base = int32(request * int32(score_blocks))
        at_column = int64(column * int32(size))
        part = y
        position = int32(window + int32(part * int32(DEPTH)))
        if early and emits:
            s, v = rows(paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page, score_row,
                        position, position + 4, at_column, at_column)  # fmt: skip
        t = y
        while t < count:
            at = int64(begin + t) * int64(new_step) + int64(column * int32(new_size))
            value = load_new(kv_score, at)
            score = load_new(kv_score, at + int64(width) * new_size)
            bias = load16(ape, int64(int32(start + t) & int32(127)) * int64(ape_step) + int64(column * int32(4)))
            kv_at = place(table_kv, kv_base, page, kv_page, kv_row, int32(start + t)) + at_column
            score_at = place(table_score, score_base, page, score_page, score_row, int32(start + t)) + at_column
            value = narrow(wide_new(value))
            score = narrow(add4(wide_new(score), from_fp32(bias)))
            store(paged_kv, kv_at, value)
            store(paged_score, score_at, score)
            if early:
                put4(fresh, t * 2 * half + lane, space, wide(score))
                put4(fresh, (t * 2 + 1) * half + lane, space, wide(value))
            t = int32(t + tall)
        if emits:
            if not early:
                cuda.syncthreads()
            while part < PARTITIONS:
                if not early:
                    s, v = rows(paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page, score_row,
                                position, position + 4, at_column, at_column)  # fmt: skip
                # All loads are under way before the first is waited for: they are ordered, and go over no barrier.
                cuda.syncthreads()
                scores = wide8(s)
                values = wide8(v)
                new = int32(position - start)
                if early and new > -DEPTH:
                    scores = renew8(scores, fresh, new * 2 * half + lane, 2 * half, 0, space, new)
                    values = renew8(values, fresh, new * 2 * half + half + lane, 2 * half, 0, space, new)
                m, total, weighted = pooled8(scores, values)
                put4(triples, part * row_space + lane, space, m)
                put4(triples, triple + part * row_space + lane, space, total)
                put4(triples, 2 * triple + part * row_space + lane, space, weighted)
                part = int32(part + tall)
                position = int32(window + int32(part * int32(DEPTH)))
                if early and part < PARTITIONS:
                    s, v = rows(paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page, score_row,
                                position, position + 4, at_column, at_column)  # fmt: skip
            cuda.syncthreads()
            f = int32(y * int32(lanes) + lane)
            while f < lanes * WIDTH:
                at = int32(int32(f & int32(3)) * int32(space) + int32(f >> 2))
                store_out(output, int64(row) * int64(out_step) + int64(first_column + f) * out_size,
                          folded(triples, at, row_space, triple, 2 * triple))  # fmt: skip
                f = int32(f + int32(lanes * tall))

    return decode


@functools.cache
def decode4(kv: str, state: str, out: str, *, by_row: bool, lanes: int) -> Any:
    """Build the decode kernel of R = 4, whose windows overlap: blocks of (lanes, y) threads, one for each slice of columns of a request.

    A column of the output has two of the state: rows of the window before enter with the first, rows of the window with the second.
    """
    load_new, wide_new, new_size = FORMATS[kv].load, FORMATS[kv].wide, FORMATS[kv].itemsize
    store, narrow, size = (getattr(FORMATS[state], name) for name in ("store", "narrow", "itemsize"))
    store_out, narrow_out, out_size = FORMATS[out].store, FORMATS[out].narrow, FORMATS[out].itemsize
    reach = access(state, by_row=by_row)
    place, rows, wide8 = reach.place, reach.rows, reach.wide

    @cuda.jit
    def decode(kv_score, ape, paged_kv, paged_score, table_kv, table_score, kv_lens, cu_seq, cu_comp, output,
               slices, width, page, new_step, ape_step, kv_page, kv_row, score_page, score_row,
               kv_blocks, score_blocks, out_step):  # fmt: skip
        """Write the new rows of each request, and the pooled rows of the windows that they complete."""
        lane = int32(cuda.threadIdx.x)
        y = int32(cuda.threadIdx.y)
        tall = int32(cuda.blockDim.y)
        block = int32(cuda.blockIdx.x)
        request = int32(block >> int32(slices))
        column = int32(int32(int32(block - int32(request << int32(slices))) * int32(lanes) + lane) * int32(WIDTH))
        depth = int32(int32(width) >> 1)
        end = int32(kv_lens[uint32(request)])
        begin = int32(cu_seq[uint32(request)])
        next_begin = int32(cu_seq[uint32(request + 1)])
        row = int32(cu_comp[uint32(request)])
        count = min(int32(next_begin - begin), int32(MAX_NEW))
        start = int32(end - count)
        first = int32(start >> 2)
        windows = int32(int32(end >> 2) - first)
        kv_base = int32(request * int32(kv_blocks))
        score_base = int32(request * int32(score_blocks))
        t = y
        while t < count:
            at = int64(begin + t) * int64(new_step) + int64(column * int32(new_size))
            kv_at = place(table_kv, kv_base, page, kv_page, kv_row, int32(start + t)) + int64(column * int32(size))
            score_at = place(table_score, score_base, page, score_page, score_row, int32(start + t)) + int64(column * int32(size))
            bias_at = int64(int32(start + t) & int32(3)) * int64(ape_step) + int64(column * int32(4))
            # Both columns: eight loads are under way before the first is waited for.
            value = load_new(kv_score, at)
            far_value = load_new(kv_score, at + int64(depth) * new_size)
            score = load_new(kv_score, at + int64(width) * new_size)
            far_score = load_new(kv_score, at + int64(width) * new_size + int64(depth) * new_size)
            bias = load16(ape, bias_at)
            far_bias = load16(ape, bias_at + int64(depth) * 4)
            value = narrow(wide_new(value))
            far_value = narrow(wide_new(far_value))
            score = narrow(add4(wide_new(score), from_fp32(bias)))
            far_score = narrow(add4(wide_new(far_score), from_fp32(far_bias)))
            store(paged_kv, kv_at, value)
            store(paged_kv, kv_at + int64(depth) * size, far_value)
            store(paged_score, score_at, score)
            store(paged_score, score_at + int64(depth) * size, far_score)
            t = int32(t + tall)
        if windows > 0:
            cuda.syncthreads()
            base = int32(0)
            while base < windows:
                c = int32(base + y)
                window = int32(first + c)
                if c < windows:
                    # Window 0 has none before it: rows of its own are read in their place, and not used.
                    before = int32(max(int32(window - 1), int32(0)) << 2)
                    position = int32(window << 2)
                    near = int64(column * int32(size))
                    s, v = rows(paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page, score_row,
                                before, position, near, near + int64(depth) * size)  # fmt: skip
                # As above.
                cuda.syncthreads()
                if c < windows:
                    scores = wide8(s)
                    values = wide8(v)
                    if window > 0:
                        _, total, weighted = pooled8(scores, values)
                    else:
                        _, total, weighted = pooled4(scores, values)
                    store_out(output, int64(row + c) * int64(out_step) + int64(column) * out_size, narrow_out(div4(weighted, total)))
                base = int32(base + tall)

    return decode
