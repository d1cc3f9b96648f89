"""The arithmetic of KV compression on partitions of rows, and where rows lie in the paged state: what its kernels are built of.

A thread has two or four columns and eight rows of them. A partition of eight rows becomes a triple in row order: their maximum m, the total of
the weights e**(s - m), and the sum of the values by these weights. Triples of a window fold in the order of its rows. Nothing else touches the
numbers, so no launch shape can change a bit.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from numba import int32, int64, uint32

from kernels.device import inline, word
from kernels.numerics import div32, exp32, fma32, max32, mul32, sub32
from kernels.vectors import FORMATS, adds, exps, finites, fmas, from_fp32, maxs, muls, subs

if TYPE_CHECKING:
    from collections.abc import Callable

#: Rows of a partition.
DEPTH = 8
#: Partitions of a window of 128 tokens.
PARTITIONS = 16
#: New rows of a request in one step, at most.
MAX_NEW = 8


@inline
def pooled8(s, v):
    """Return the triple of eight rows of scores and values."""
    m = maxs(maxs(maxs(s[0], s[1]), maxs(s[2], s[3])), maxs(maxs(s[4], s[5]), maxs(s[6], s[7])))
    top = finites(m)
    e = exps(subs(s[0], top))
    total = e
    weighted = muls(e, v[0])
    e = exps(subs(s[1], top))
    total = adds(total, e)
    weighted = fmas(e, v[1], weighted)
    e = exps(subs(s[2], top))
    total = adds(total, e)
    weighted = fmas(e, v[2], weighted)
    e = exps(subs(s[3], top))
    total = adds(total, e)
    weighted = fmas(e, v[3], weighted)
    e = exps(subs(s[4], top))
    total = adds(total, e)
    weighted = fmas(e, v[4], weighted)
    e = exps(subs(s[5], top))
    total = adds(total, e)
    weighted = fmas(e, v[5], weighted)
    e = exps(subs(s[6], top))
    total = adds(total, e)
    weighted = fmas(e, v[6], weighted)
    e = exps(subs(s[7], top))
    total = adds(total, e)
    weighted = fmas(e, v[7], weighted)
    return m, total, weighted


@inline
def pooled4(s, v):
    """Return the triple of the last four of eight rows."""
    m = maxs(maxs(s[4], s[5]), maxs(s[6], s[7]))
    top = finites(m)
    e = exps(subs(s[4], top))
    total = e
    weighted = muls(e, v[4])
    e = exps(subs(s[5], top))
    total = adds(total, e)
    weighted = fmas(e, v[5], weighted)
    e = exps(subs(s[6], top))
    total = adds(total, e)
    weighted = fmas(e, v[6], weighted)
    e = exps(subs(s[7], top))
    total = adds(total, e)
    weighted = fmas(e, v[7], weighted)
    return m, total, weighted


@inline
def folded(triples, at, part_step, sums, products):
    """Return one column of the pooled row from the triples of a window of 128 tokens; sums begin at `sums`, weighted ones at `products`."""
    m = triples[uint32(at)]
    for part in range(1, PARTITIONS):
        m = max32(m, triples[uint32(part * part_step + at)])
    e = exp32(sub32(triples[uint32(at)], m))
    total = mul32(e, triples[uint32(sums + at)])
    weighted = mul32(e, triples[uint32(products + at)])
    for part in range(1, PARTITIONS):
        e = exp32(sub32(triples[uint32(part * part_step + at)], m))
        total = fma32(e, triples[uint32(sums + part * part_step + at)], total)
        weighted = fma32(e, triples[uint32(products + part * part_step + at)], weighted)
    return div32(weighted, total)


def spaces(lanes: int, width: int) -> tuple[int, int]:
    """Return the distance in shared memory of two columns of a vector, and of two partitions: chosen against bank conflicts."""
    step = 32 // width
    space = lanes + (step if lanes // step % 2 == 0 else 0)
    return space, width * space + (lanes if lanes < 32 else 0)


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """Access to a paged state: `place` gives the byte of one row, `rows` loads eight, `halves` two times four, `wide` widens eight."""

    place: Callable[..., Any]
    rows: Callable[..., Any]
    halves: Callable[..., Any]
    wide: Callable[..., Any]


@functools.cache
def access(state: str, *, by_row: bool, width: int) -> State:
    """Build the access to a state of one format, `width` columns at a time.

    `by_row` divides by any page size and looks up the page of each row; without it `page` is the logarithm of a power of two, and the
    eight rows, or the four, lie in one page.
    """
    load, wide1 = FORMATS[state, width].streamed, FORMATS[state, width].wide

    @inline
    def place(table, base, page, page_step, row_step, position):
        if by_row:
            number = int32(uint32(position) // uint32(page))
            slot = int32(position - number * int32(page))
        else:
            number = int32(position >> int32(page))
            slot = int32(position & int32((int32(1) << int32(page)) - 1))
        return word(table, base + number) * int64(page_step) + slot * int64(row_step)

    @inline
    def places(table, base, page, page_step, row_step, position, column):
        if by_row:
            return (place(table, base, page, page_step, row_step, position) + column,
                    place(table, base, page, page_step, row_step, position + 1) + column,
                    place(table, base, page, page_step, row_step, position + 2) + column,
                    place(table, base, page, page_step, row_step, position + 3) + column)  # fmt: skip
        at = place(table, base, page, page_step, row_step, position) + column
        return (at, at + row_step, at + 2 * row_step, at + 3 * row_step)

    @inline
    def after(table, base, page, page_step, row_step, position, column, low):
        if by_row:
            return places(table, base, page, page_step, row_step, position, column)
        at = low[0]
        return (at + 4 * row_step, at + 5 * row_step, at + 6 * row_step, at + 7 * row_step)

    @inline
    def load8(array, low, high):
        return (load(array, low[0]), load(array, low[1]), load(array, low[2]), load(array, low[3]),
                load(array, high[0]), load(array, high[1]), load(array, high[2]), load(array, high[3]))  # fmt: skip

    @inline
    def rows(
        paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page, score_row, position, column
    ):
        # All lookups first: each row's load would else wait for the one before it.
        s_low = places(table_score, score_base, page, score_page, score_row, position, column)
        v_low = places(table_kv, kv_base, page, kv_page, kv_row, position, column)
        s_high = after(table_score, score_base, page, score_page, score_row, position + 4, column, s_low)
        v_high = after(table_kv, kv_base, page, kv_page, kv_row, position + 4, column, v_low)
        s = load8(paged_score, s_low, s_high)
        return s, load8(paged_kv, v_low, v_high)

    @inline
    def halves(paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page, score_row,
               low, high, near, far):  # fmt: skip
        s_low = places(table_score, score_base, page, score_page, score_row, low, near)
        v_low = places(table_kv, kv_base, page, kv_page, kv_row, low, near)
        s_high = places(table_score, score_base, page, score_page, score_row, high, far)
        v_high = places(table_kv, kv_base, page, kv_page, kv_row, high, far)
        s = load8(paged_score, s_low, s_high)
        return s, load8(paged_kv, v_low, v_high)

    @inline
    def wide8(r):
        return (wide1(r[0]), wide1(r[1]), wide1(r[2]), wide1(r[3]), wide1(r[4]), wide1(r[5]), wide1(r[6]), wide1(r[7]))

    return State(place, rows, halves, wide8)


@functools.cache
def writer(kv: str, state: str, *, by_row: bool, width: int) -> Callable[..., Any]:
    """Build what writes a request's new rows into the state: `count` rows from `start` on, of which a thread takes each `tall`-th."""
    new, old, bias = FORMATS[kv, width], FORMATS[state, width], FORMATS["float32", width]
    load_new, wide_new, new_size = new.load, new.wide, new.itemsize
    store, narrow, size = old.store, old.narrow, old.itemsize
    load_bias, place = bias.load, access(state, by_row=by_row, width=width).place

    @inline
    def write(kv_score, ape, paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page, score_row,
              new_step, ape_step, columns, last_position, begin, start, count, column, y, tall):  # fmt: skip
        t = y
        while t < count:
            at = int64(begin + t) * int64(new_step) + int64(column * int32(new_size))
            value = load_new(kv_score, at)
            score = load_new(kv_score, at + int64(columns) * new_size)
            added = load_bias(ape, int64(int32(start + t) & int32(last_position)) * int64(ape_step) + int64(column * int32(4)))
            kv_at = place(table_kv, kv_base, page, kv_page, kv_row, int32(start + t)) + int64(column * int32(size))
            score_at = place(table_score, score_base, page, score_page, score_row, int32(start + t)) + int64(column * int32(size))
            store(paged_kv, kv_at, narrow(wide_new(value)))
            store(paged_score, score_at, narrow(adds(wide_new(score), from_fp32(added))))
            t = int32(t + tall)

    return write
