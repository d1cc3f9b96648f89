"""The arithmetic of KV compression on partitions of rows, and where rows lie in the paged state: what its kernels are built of.

A thread has four columns and eight rows of them. A partition of eight rows becomes a triple in row order: their maximum m, the total of
the weights e**(s - m), and the sum of the values by these weights. Triples of a window fold in the order of its rows. Nothing else touches the
numbers, so no launch shape can change a bit.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from numba import int32, int64, uint32

from kernels.device import inline
from kernels.numerics import div32, exp32, fma32, max32, mul32, sub32
from kernels.vectors import FORMATS, WIDTH, add4, exp4, finite4, fma4, max4, mul4, sub4, take4

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
    m = max4(max4(max4(s[0], s[1]), max4(s[2], s[3])), max4(max4(s[4], s[5]), max4(s[6], s[7])))
    top = finite4(m)
    e = exp4(sub4(s[0], top))
    total = e
    weighted = mul4(e, v[0])
    e = exp4(sub4(s[1], top))
    total = add4(total, e)
    weighted = fma4(e, v[1], weighted)
    e = exp4(sub4(s[2], top))
    total = add4(total, e)
    weighted = fma4(e, v[2], weighted)
    e = exp4(sub4(s[3], top))
    total = add4(total, e)
    weighted = fma4(e, v[3], weighted)
    e = exp4(sub4(s[4], top))
    total = add4(total, e)
    weighted = fma4(e, v[4], weighted)
    e = exp4(sub4(s[5], top))
    total = add4(total, e)
    weighted = fma4(e, v[5], weighted)
    e = exp4(sub4(s[6], top))
    total = add4(total, e)
    weighted = fma4(e, v[6], weighted)
    e = exp4(sub4(s[7], top))
    total = add4(total, e)
    weighted = fma4(e, v[7], weighted)
    return m, total, weighted


@inline
def pooled4(s, v):
    """Return the triple of the last four of eight rows."""
    m = max4(max4(s[4], s[5]), max4(s[6], s[7]))
    top = finite4(m)
    e = exp4(sub4(s[4], top))
    total = e
    weighted = mul4(e, v[4])
    e = exp4(sub4(s[5], top))
    total = add4(total, e)
    weighted = fma4(e, v[5], weighted)
    e = exp4(sub4(s[6], top))
    total = add4(total, e)
    weighted = fma4(e, v[6], weighted)
    e = exp4(sub4(s[7], top))
    total = add4(total, e)
    weighted = fma4(e, v[7], weighted)
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


def spaces(lanes: int) -> tuple[int, int]:
    """Return the distance in shared memory of two columns of a vector, and of two partitions: chosen against bank conflicts."""
    space = lanes + (0 if lanes <= 8 else 8)
    return space, WIDTH * space + (lanes if lanes < 32 else 0)


@inline
def pick(row, fresh, at, step, mine):
    """Return the row, or where it is `mine` what this step has made of it."""
    return take4(fresh, at, step) if mine else row


@inline
def renew8(r, fresh, first, stride, far, step, new):
    """Return eight rows, those from -new on replaced by what this step has made of them.

    In `fresh` row j begins at `first` + j * `stride`, and the last four `far` further on; columns are `step` apart.
    """
    return (pick(r[0], fresh, first, step, new >= 0),
            pick(r[1], fresh, first + stride, step, new >= -1),
            pick(r[2], fresh, first + 2 * stride, step, new >= -2),
            pick(r[3], fresh, first + 3 * stride, step, new >= -3),
            pick(r[4], fresh, first + 4 * stride + far, step, new >= -4),
            pick(r[5], fresh, first + 5 * stride + far, step, new >= -5),
            pick(r[6], fresh, first + 6 * stride + far, step, new >= -6),
            pick(r[7], fresh, first + 7 * stride + far, step, new >= -7))  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """Access to a paged state: `place` gives the byte of one row, `rows` loads scores and values of two times four, `wide` widens eight."""

    place: Callable[..., Any]
    rows: Callable[..., Any]
    wide: Callable[..., Any]


@functools.cache
def access(state: str, *, by_row: bool) -> State:
    """Build the access to a state of one format.

    `by_row` divides by any page size and looks up the page of each row; without it `page` is the logarithm of a power of two, and the
    four rows lie in one page.
    """
    load, wide1 = FORMATS[state].ordered, FORMATS[state].wide

    @inline
    def place(table, base, page, page_step, row_step, position):
        if by_row:
            number = int32(uint32(position) // uint32(page))
            slot = int32(position - number * int32(page))
        else:
            number = int32(position >> int32(page))
            slot = int32(position & int32((int32(1) << int32(page)) - 1))
        return table[uint32(base + number)] * int64(page_step) + slot * int64(row_step)

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
    def load8(array, low, high):
        return (load(array, low[0]), load(array, low[1]), load(array, low[2]), load(array, low[3]),
                load(array, high[0]), load(array, high[1]), load(array, high[2]), load(array, high[3]))  # fmt: skip

    @inline
    def rows(paged_kv, paged_score, table_kv, table_score, kv_base, score_base, page, kv_page, kv_row, score_page, score_row,
             low, high, near, far):  # fmt: skip
        # All lookups first: each row's load would else wait for the one before it.
        s_low = places(table_score, score_base, page, score_page, score_row, low, near)
        v_low = places(table_kv, kv_base, page, kv_page, kv_row, low, near)
        s_high = places(table_score, score_base, page, score_page, score_row, high, far)
        v_high = places(table_kv, kv_base, page, kv_page, kv_row, high, far)
        v = load8(paged_kv, v_low, v_high)
        return load8(paged_score, s_low, s_high), v

    @inline
    def wide8(r):
        return (wide1(r[0]), wide1(r[1]), wide1(r[2]), wide1(r[3]), wide1(r[4]), wide1(r[5]), wide1(r[6]), wide1(r[7]))

    return State(place, rows, wide8)
