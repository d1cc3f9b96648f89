"""What KV compression must compute, in NumPy: to the last bit by kernels/numerics.py, and beside it in float64.

Arrays are float32, or uint16 with the bits of bfloat16. The window's rows are cut into partitions of eight, each partition's (maximum,
sum, weighted sum) is computed in row order, and the triples are folded in that order: one vectorised text, columns side by side.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kernels.numerics import arrays

#: Rows of a partition.
DEPTH = 8


def widen(array: Any) -> Any:
    """Return float32 of an array as it is stored."""
    return arrays.from_bf16(array) if array.dtype == np.uint16 else array


def narrow(array: Any, dtype: Any) -> Any:
    """Return float32 as it is stored: rounded to nearest even, every NaN the same."""
    return arrays.to_bf16(array).astype(np.uint16) if dtype == np.uint16 else arrays.canonical(array)


def triple(scores: Any, values: Any) -> tuple[Any, Any, Any]:
    """Return (maximum, sum, weighted sum) of one partition [rows, columns], in row order."""
    m = scores[0]
    for score in scores[1:]:
        m = arrays.max32(m, score)
    top = np.where(m == -np.inf, np.float32(0), m)
    weights = arrays.exp32(arrays.sub32(scores, top))
    total, weighted = weights[0], arrays.mul32(weights[0], values[0])
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total, weighted = arrays.add32(total, weight), arrays.fma32(weight, value, weighted)
    return m, total, weighted


def pool(scores: Any, values: Any) -> Any:
    """Return the softmax-weighted mean [columns] of a window's rows [rows, columns], all float32, to the last bit."""
    parts = [triple(scores[row : row + DEPTH], values[row : row + DEPTH]) for row in range(0, len(scores), DEPTH)]
    if len(parts) == 1:
        _, total, weighted = parts[0]
        return arrays.div32(weighted, total)
    m = parts[0][0]
    for part in parts[1:]:
        m = arrays.max32(m, part[0])
    weight = arrays.exp32(arrays.sub32(parts[0][0], m))
    total, weighted = arrays.mul32(weight, parts[0][1]), arrays.mul32(weight, parts[0][2])
    for part in parts[1:]:
        weight = arrays.exp32(arrays.sub32(part[0], m))
        total, weighted = arrays.fma32(weight, part[1], total), arrays.fma32(weight, part[2], weighted)
    return arrays.div32(weighted, total)


def pool64(scores: Any, values: Any) -> Any:
    """Return the same in float64, as the definition has it."""
    scores = scores.astype(np.float64)
    with np.errstate(all="ignore"):
        weights = np.exp(scores - scores.max(axis=0))
        return (weights / weights.sum(axis=0) * values.astype(np.float64)).sum(axis=0)


def naive(scores: Any, values: Any) -> Any:
    """Return the same in fp32 by NumPy's own exp, all rows in one sum: what an implementation does that promises no bits."""
    with np.errstate(all="ignore"):
        weights = np.exp(scores - scores.max(axis=0))
        total, weighted = np.zeros_like(weights[0]), np.zeros_like(weights[0])
        for weight, value in zip(weights, values, strict=True):
            total, weighted = total + weight, weighted + weight * value
        return weighted / total


@dataclasses.dataclass(frozen=True)
class State:
    """A paged state: `kv` and `score` [pages, page_size, width] and their tables [requests, blocks]."""

    kv: Any
    score: Any
    kv_table: Any
    score_table: Any

    def copy(self) -> State:
        """Return a state of its own memory."""
        return State(self.kv.copy(), self.score.copy(), self.kv_table, self.score_table)

    def row(self, name: str, request: int, position: int) -> Any:
        """Return a view of one row of kv or score."""
        pages, table = getattr(self, name), getattr(self, f"{name}_table")
        return pages[table[request, position // pages.shape[1]], position % pages.shape[1]]


def window_rows(ratio: int, window: int) -> list[tuple[int, int]]:
    """Return (position, half of the columns) of the rows that enter a window: 128 of it, or 4 of the one before and 4 of it."""
    if ratio != 4:
        return [(ratio * window + row, 0) for row in range(ratio)]
    return [(4 * window - 4 + row, row // 4) for row in range(0 if window else 4, 8)]


def decode(
    kv_score: Any, ape: Any, state: State, kv_lens: Any, cu_seq_lens: Any, cu_kv_comp: Any, output: Any, *, pool: Any = pool
) -> tuple[State, Any]:
    """Return the state and the output after a decode step.

    `kv_score` [rows, 2 * width], `ape` [R, width] float32, `output` [rows, HD]; rows of the output that no window belongs to stay.
    """
    state, output = state.copy(), output.copy()
    ratio, width = ape.shape
    for request, end in enumerate(kv_lens.tolist()):
        first, last = cu_seq_lens[request], cu_seq_lens[request + 1]
        start = end - int(last - first)
        for position, row in zip(range(start, end), kv_score[first:last], strict=True):
            state.row("kv", request, position)[:] = narrow(widen(row[:width]), state.kv.dtype)
            score = arrays.add32(widen(row[width:]), ape[position % ratio])
            state.row("score", request, position)[:] = narrow(score, state.score.dtype)
        for number, window in enumerate(range(start // ratio, end // ratio)):
            scores, values = (_rows(state, name, request, ratio, window, output.shape[1]) for name in ("score", "kv"))
            output[cu_kv_comp[request] + number] = narrow(pool(scores, values).astype(np.float32), output.dtype)
    return state, output


def _rows(state: State, name: str, request: int, ratio: int, window: int, depth: int) -> Any:
    rows = [state.row(name, request, position)[half * depth : (half + 1) * depth] for position, half in window_rows(ratio, window)]
    return widen(np.stack(rows))


def prefill(
    kv_score: Any, ape: Any, state: State, start_pos: Any, cu_seq_lens: Any, cu_kv_comp: Any, output: Any, *, pool: Any = pool
) -> tuple[State, Any]:
    """Return the state and the output after a prefill: new rows are pooled unrounded, those that later steps need are written.

    `start_pos` [requests]; rows before it come from the state. Of the new rows the state gets those of the window that is not yet
    complete, and with R = 4 those of the window before it, which overlaps it.
    """
    state, output = state.copy(), output.copy()
    ratio, width = ape.shape
    depth = output.shape[1]
    for request, start in enumerate(start_pos.tolist()):
        first, last = cu_seq_lens[request], cu_seq_lens[request + 1]
        end = start + int(last - first)
        new = kv_score[first:last]
        places = np.arange(start, end)
        fresh = {"kv": widen(new[:, :width]), "score": arrays.add32(widen(new[:, width:]), ape[places % ratio])}
        for number, window in enumerate(range(start // ratio, end // ratio)):
            rows = {
                name: np.stack([
                    (fresh[name][position - start] if position >= start else widen(state.row(name, request, position)))[half * depth : (half + 1) * depth]
                    for position, half in window_rows(ratio, window)
                ])
                for name in fresh
            }  # fmt: skip
            output[cu_kv_comp[request] + number] = narrow(pool(rows["score"], rows["kv"]).astype(np.float32), output.dtype)
        kept = (end // ratio - (ratio == 4)) * ratio
        for position in range(max(start, kept), end):
            for name in fresh:
                row = state.row(name, request, position)
                row[:] = narrow(fresh[name][position - start], row.dtype)
    return state, output
