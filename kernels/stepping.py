"""The kernels of a decode step of KV compression: write new rows into the state, pool the windows that they complete.

A block has the columns of one request and needs no other block: it writes the new rows of its columns to the state, and after a barrier
reads them back with the older ones.
"""

from __future__ import annotations

import functools
from typing import Any

from numba import cuda, float32, int32, int64

from kernels.device import LINE, SIMULATED, inline, prefetch, word
from kernels.pooling import DEPTH, MAX_NEW, PARTITIONS, access, folded, pooled4, pooled8, spaces, writer
from kernels.vectors import COLUMNS, FORMATS, PUT, adds, divs, from_fp32

#: Registers of a thread by its columns: 64 let a multiprocessor hold 1024 threads, 96 let it hold 640.
REGISTERS = {2: 64, 4: 96}


@inline
def warm(kv_score, table_kv, table_score, thread, new_lines, table_lines):
    """Ask for what no thread of the grid has an address for until it has waited for lengths: each line of new rows and tables once."""
    if thread < new_lines:
        prefetch(kv_score, int64(thread) * LINE)
    if thread < table_lines:
        prefetch(table_kv, int64(thread) * LINE)
        prefetch(table_score, int64(thread) * LINE)


@functools.cache
def decode128(head_dim: int, kv: str, state: str, out: str, *, by_row: bool, packed: bool, lanes: int, width: int = COLUMNS) -> Any:
    """Build the decode kernel of R = 128 for blocks of (lanes, y) threads, y a divisor of 16, one for each slice of columns of a request.

    A thread has `width` columns. `packed` is for arrays whose rows follow each other without gaps: their distances are constants then.
    """
    store_out, out_size = FORMATS[out, width].store_one, FORMATS[out, width].itemsize
    size = FORMATS[state, width].itemsize
    reach = access(state, by_row=by_row, width=width)
    rows, wide = reach.rows, reach.wide
    put = PUT[width]
    write = writer(kv, state, by_row=by_row, width=width)
    write4 = writer(kv, state, by_row=by_row, width=4)
    space, row_space = spaces(lanes, width)
    triple = PARTITIONS * row_space
    triples_size = 3 * triple
    columns = head_dim
    slices = (head_dim // (lanes * width)).bit_length() - 1
    twice = width == 2 and slices > 0
    tight = steps(columns, head_dim, kv, state, out)

    @cuda.jit(**limited(width))
    def decode(kv_score, ape, paged_kv, paged_score, table_kv, table_score, kv_lens, cu_seq, cu_comp, output,
               new_lines, table_lines, page, kv_blocks, score_blocks, kv_page, score_page,
               new_step, ape_step, kv_row, score_row, out_step):  # fmt: skip
        """Write the new rows of each request, and the pooled row of the window that they complete."""
        if packed:
            new_step, ape_step, kv_row, score_row, out_step = tight
        triples = cuda.shared.array(triples_size, float32)
        lane = int32(cuda.threadIdx.x)
        y = int32(cuda.threadIdx.y)
        tall = int32(cuda.blockDim.y)
        block = int32(cuda.blockIdx.x)
        inner = int32(y * int32(lanes) + lane)
        request = int32(block >> int32(slices))
        part_of_row = int32(block - int32(request << int32(slices)))
        first_column = int32(part_of_row * int32(lanes * width))
        column = int32(first_column + lane * int32(width))
        end = word(kv_lens, request)
        begin = word(cu_seq, request)
        next_begin = word(cu_seq, request + 1)
        row = word(cu_comp, request)
        warm(kv_score, table_kv, table_score, int32(block * int32(lanes * tall) + inner), new_lines, table_lines)
        count = min(int32(next_begin - begin), int32(MAX_NEW))
        start = int32(end - count)
        window = int32(int32(start >> 7) << 7)
        emits = int32(end >> 7) > int32(start >> 7)
        kv_base = int32(request * int32(kv_blocks))
        score_base = int32(request * int32(score_blocks))
        if twice and not emits:
            # Nothing is read back: half of the blocks write, four columns a thread, and the others make room at once.
            if int32(part_of_row << 1) < int32(int32(1) << int32(slices)):
                write4(kv_score, ape, paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page,
                       score_row, new_step, ape_step, columns, 127, begin, start, count, int32(column << 1), y, tall)  # fmt: skip
        else:
            write(kv_score, ape, paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page,
                  score_row, new_step, ape_step, columns, 127, begin, start, count, column, y, tall)  # fmt: skip
        if emits:
            cuda.syncthreads()
            at_column = int64(column * int32(size))
            part = y
            while part < PARTITIONS:
                position = int32(window + int32(part * int32(DEPTH)))
                s, v = rows(paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page, score_row,
                            position, at_column)  # fmt: skip
                m, total, weighted = pooled8(wide(s), wide(v))
                put(triples, part * row_space + lane, space, m)
                put(triples, triple + part * row_space + lane, space, total)
                put(triples, 2 * triple + part * row_space + lane, space, weighted)
                part = int32(part + tall)
            cuda.syncthreads()
            f = inner
            while f < lanes * width:
                at = int32(int32(f & int32(width - 1)) * int32(space) + int32(f // width))
                store_out(output, int64(row) * int64(out_step) + int64(first_column + f) * out_size,
                          folded(triples, at, row_space, triple, 2 * triple))  # fmt: skip
                f = int32(f + int32(lanes * tall))

    return decode


def steps(columns: int, head_dim: int, kv: str, state: str, out: str) -> tuple[int, ...]:
    """Return the bytes from row to row of kv_score, ape, both states and the output, where rows follow each other without gaps."""
    new, old, pooled = (FORMATS[name, 2].itemsize for name in (kv, state, out))
    return 2 * columns * new, 4 * columns, columns * old, columns * old, head_dim * pooled


def limited(width: int) -> dict[str, int]:
    """Return the words of cuda.jit that limit the registers of a thread with so many columns."""
    return {} if SIMULATED or width not in REGISTERS else {"max_registers": REGISTERS[width]}


@functools.cache
def decode4(head_dim: int, kv: str, state: str, out: str, *, by_row: bool, packed: bool, lanes: int, width: int = COLUMNS) -> Any:
    """Build the decode kernel of R = 4, whose windows overlap: blocks of (lanes, y) threads, one for each slice of columns of a request.

    A column of the output has two of the state: rows of the window before enter with the first, rows of the window with the second.
    """
    new, old, bias = FORMATS[kv, width], FORMATS[state, width], FORMATS["float32", width]
    load_new, wide_new, new_size, load_bias = new.load, new.wide, new.itemsize, bias.load
    store, narrow, size = old.store, old.narrow, old.itemsize
    store_out, narrow_out, out_size = FORMATS[out, width].store, FORMATS[out, width].narrow, FORMATS[out, width].itemsize
    reach = access(state, by_row=by_row, width=width)
    place, halves, wide = reach.place, reach.halves, reach.wide
    columns, depth = 2 * head_dim, head_dim
    slices = (head_dim // (lanes * width)).bit_length() - 1
    tight = steps(columns, head_dim, kv, state, out)

    @cuda.jit(**limited(width))
    def decode(kv_score, ape, paged_kv, paged_score, table_kv, table_score, kv_lens, cu_seq, cu_comp, output,
               new_lines, table_lines, page, kv_blocks, score_blocks, kv_page, score_page,
               new_step, ape_step, kv_row, score_row, out_step):  # fmt: skip
        """Write the new rows of each request, and the pooled rows of the windows that they complete."""
        if packed:
            new_step, ape_step, kv_row, score_row, out_step = tight
        lane = int32(cuda.threadIdx.x)
        y = int32(cuda.threadIdx.y)
        tall = int32(cuda.blockDim.y)
        block = int32(cuda.blockIdx.x)
        request = int32(block >> int32(slices))
        column = int32(int32(int32(block - int32(request << int32(slices))) * int32(lanes) + lane) * int32(width))
        end = word(kv_lens, request)
        begin = word(cu_seq, request)
        next_begin = word(cu_seq, request + 1)
        row = word(cu_comp, request)
        warm(kv_score, table_kv, table_score, int32(block * int32(lanes * tall) + y * int32(lanes) + lane), new_lines, table_lines)
        count = min(int32(next_begin - begin), int32(MAX_NEW))
        start = int32(end - count)
        first = int32(start >> 2)
        windows = int32(int32(end >> 2) - first)
        kv_base = int32(request * int32(kv_blocks))
        score_base = int32(request * int32(score_blocks))
        t = y
        while t < count:
            at = int64(begin + t) * int64(new_step) + int64(column * int32(new_size))
            bias_at = int64(int32(start + t) & int32(3)) * int64(ape_step) + int64(column * int32(4))
            # Both columns: eight loads are under way before the first is waited for.
            value = load_new(kv_score, at)
            far_value = load_new(kv_score, at + int64(depth) * new_size)
            score = load_new(kv_score, at + int64(columns) * new_size)
            far_score = load_new(kv_score, at + int64(columns) * new_size + int64(depth) * new_size)
            added = load_bias(ape, bias_at)
            far_added = load_bias(ape, bias_at + int64(depth) * 4)
            kv_at = place(table_kv, kv_base, page, kv_page, kv_row, int32(start + t)) + int64(column * int32(size))
            score_at = place(table_score, score_base, page, score_page, score_row, int32(start + t)) + int64(column * int32(size))
            store(paged_kv, kv_at, narrow(wide_new(value)))
            store(paged_kv, kv_at + int64(depth) * size, narrow(wide_new(far_value)))
            store(paged_score, score_at, narrow(adds(wide_new(score), from_fp32(added))))
            store(paged_score, score_at + int64(depth) * size, narrow(adds(wide_new(far_score), from_fp32(far_added))))
            t = int32(t + tall)
        if windows > 0:
            cuda.syncthreads()
            c = y
            while c < windows:
                window = int32(first + c)
                # Window 0 has none before it: rows of its own are read in their place, and not used.
                before = int32(max(int32(window - 1), int32(0)) << 2)
                near = int64(column * int32(size))
                s, v = halves(paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page, score_row,
                                before, int32(window << 2), near, near + int64(depth) * size)  # fmt: skip
                scores = wide(s)
                values = wide(v)
                if window > 0:
                    _, total, weighted = pooled8(scores, values)
                else:
                    _, total, weighted = pooled4(scores, values)
                store_out(output, int64(row + c) * int64(out_step) + int64(column) * out_size, narrow_out(divs(weighted, total)))
                c = int32(c + tall)

    return decode
