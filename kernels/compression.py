"""KV compression of DeepSeek-V4's kind over a paged state: a decode step with up to 8 new tokens a request, and a prefill.

R tokens are pooled into one by a softmax over the tokens, for every column by itself: out = sum softmax(score + ape) * kv. R = 128 pools
windows of its own; R = 4 pools 8 rows, the window before by its first HD columns and the window by its other HD. What is stored is in
the state's dtype, rounded once to nearest even, and what a decode step pools is what is stored. Every NaN that is stored has the bits
0x7fc00000, or 0x7fc0; a window of -inf scores only is NaN. Bits depend on nothing else: not on launch shape, page size or road.

`kv_score` [rows, 2 * S]: kv then score; `ape` [R, S] float32; S is HD, or 2 * HD with R = 4. `paged_kv`, `paged_score` [pages, page_size, S]
with `block_table_kv`, `block_table_score` int32 [B, blocks]. `cu_seq_lens`, `cu_kv_comp` int32 [B + 1]: where the rows of each request
begin in kv_score and in `output` [rows, HD].
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from kernels import device, prefilling, stepping
from kernels.compression_checks import checked, validate_indices
from kernels.pooling import DEPTH, MAX_NEW, PARTITIONS
from kernels.vectors import COLUMNS, WIDTHS

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """A launch shape for up to `requests` requests: `warps` a block, `lanes` threads side by side."""

    requests: int
    lanes: int
    warps: int

    @property
    def threads(self) -> tuple[int, int]:
        """Threads of a block: lanes, and how many rows or partitions at a time."""
        return self.lanes, 32 * self.warps // self.lanes


MANY = 2**31 - 1
#: R = 128 with 512 columns and with 128: what was fastest on an H200.
WIDE = (Launch(40, 16, 8), Launch(72, 32, 8), Launch(MANY, 32, 4))
NARROW = (Launch(160, 16, 8), Launch(MANY, 32, 8))
#: R = 4, likewise.
OVERLAP = (Launch(128, 32, 4), Launch(MANY, 32, 2))
NARROW_OVERLAP = (Launch(MANY, 32, 4),)
#: Threads of a block of a prefill.
PREFILL = (16, 8)
#: Bytes of a request's row of a block table up to which all of the tables is asked for at once, before lengths say which page is needed.
SHORT_TABLE = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """One configuration that can be launched: `next_n` the least and the most new tokens a request, `warps` its launch shapes by requests."""

    head_dim: int
    ratio: int
    kv: str
    state: str
    next_n: tuple[int, int]
    warps: tuple[Launch, ...]

    @property
    def name(self) -> str:
        """A short name.

        >>> CONFIGS[0].name
        'hd128-r4-bfloat16-bfloat16'
        """
        return f"hd{self.head_dim}-r{self.ratio}-{self.kv}-{self.state}"

    @property
    def width(self) -> int:
        """Columns of the state."""
        return self.head_dim * (2 if self.ratio == DEPTH // 2 else 1)

    def launch(self, requests: int) -> Launch:
        """Return the launch shape for so many requests."""
        return next(row for row in self.warps if requests <= row.requests)


#: What can be launched; nothing else can.
CONFIGS = (
    Config(128, 4, "bfloat16", "bfloat16", (1, MAX_NEW), NARROW_OVERLAP),
    Config(128, 4, "bfloat16", "float32", (1, MAX_NEW), NARROW_OVERLAP),
    Config(128, 4, "float32", "bfloat16", (1, MAX_NEW), NARROW_OVERLAP),
    Config(128, 4, "float32", "float32", (1, MAX_NEW), NARROW_OVERLAP),
    Config(512, 4, "bfloat16", "bfloat16", (1, MAX_NEW), OVERLAP),
    Config(512, 4, "bfloat16", "float32", (1, MAX_NEW), OVERLAP),
    Config(512, 4, "float32", "bfloat16", (1, MAX_NEW), OVERLAP),
    Config(512, 4, "float32", "float32", (1, MAX_NEW), OVERLAP),
    Config(128, 128, "bfloat16", "bfloat16", (1, MAX_NEW), NARROW),
    Config(128, 128, "bfloat16", "float32", (1, MAX_NEW), NARROW),
    Config(128, 128, "float32", "bfloat16", (1, MAX_NEW), NARROW),
    Config(128, 128, "float32", "float32", (1, MAX_NEW), NARROW),
    Config(512, 128, "bfloat16", "bfloat16", (1, MAX_NEW), WIDE),
    Config(512, 128, "bfloat16", "float32", (1, MAX_NEW), WIDE),
    Config(512, 128, "float32", "bfloat16", (1, MAX_NEW), WIDE),
    Config(512, 128, "float32", "float32", (1, MAX_NEW), WIDE),
)

#: Lanes that a kernel can be built for.
LANES = (8, 16, 32)


def config(head_dim: int, ratio: int, kv: str, state: str, next_n: int = 1) -> Config:
    """Return the row of CONFIGS, or raise ValueError that names the nearest ones.

    >>> config(512, 128, "bfloat16", "float32", 4).name
    'hd512-r128-bfloat16-float32'
    >>> config(256, 128, "bfloat16", "float32")
    Traceback (most recent call last):
    ...
    ValueError: no configuration hd256-r128-bfloat16-float32 in CONFIGS; nearest: hd128-r128-bfloat16-float32, hd512-r128-bfloat16-float32
    """
    asked = (head_dim, ratio, kv, state)

    def agreement(row: Config) -> int:
        return sum(mine == theirs for mine, theirs in zip((row.head_dim, row.ratio, row.kv, row.state), asked, strict=True))

    most = max(map(agreement, CONFIGS))
    nearest = [row for row in CONFIGS if agreement(row) == most]
    if most < len(asked):
        names = ", ".join(row.name for row in nearest)
        raise ValueError(f"no configuration hd{head_dim}-r{ratio}-{kv}-{state} in CONFIGS; nearest: {names}")
    least, largest = nearest[0].next_n
    if not least <= next_n <= largest:
        raise ValueError(f"next_n: {next_n} new tokens a request; {nearest[0].name} takes {least} to {largest}")
    return nearest[0]


def kernel_of(row: Config, out: str, *, by_row: bool, packed: bool, lanes: int, width: int = COLUMNS) -> Any:
    """Return the decode kernel of a configuration."""
    build = stepping.decode4 if row.ratio == DEPTH // 2 else stepping.decode128
    return build(row.head_dim, row.kv, row.state, out, by_row=by_row, packed=packed, lanes=lanes, width=width)


def _by_row(page_size: int, rows: int) -> bool:
    """Tell whether the page of every row must be looked up: so many rows in each page, and pages that shifts find, spare it."""
    return page_size < rows or page_size & (page_size - 1) != 0


def _steps(found: dict[str, device.Memory]) -> tuple[int, ...]:
    """Return the bytes from row to row, in the order of stepping.steps."""
    return (
        found["kv_score"].strides[0], found["ape"].strides[0], found["paged_kv"].strides[1], found["paged_score"].strides[1], found["output"].strides[0],
    )  # fmt: skip


def _threads(row: Config, requests: int, threads: tuple[int, int] | None, width: int) -> tuple[int, int]:
    lanes, rows = threads or row.launch(requests).threads
    if lanes not in LANES or rows < 1 or PARTITIONS % rows or row.head_dim % (width * lanes):
        raise ValueError(f"threads: {lanes} lanes x {rows}; takes lanes of {', '.join(map(str, LANES))} and rows that divide {PARTITIONS}")
    return lanes, rows


def _common(row: Config, found: dict[str, device.Memory], columns: int, *, by_row: bool) -> tuple[Any, ...]:
    """Return the arguments of a prefill from `slices` to `out_step`, for blocks of so many columns."""
    kv, score, tables = found["paged_kv"], found["paged_score"], (found["block_table_kv"], found["block_table_score"])
    size = kv.shape[1]
    return (
        (row.head_dim // columns).bit_length() - 1, row.width, size if by_row else size.bit_length() - 1, found["kv_score"].strides[0],
        found["ape"].strides[0], *kv.strides[:2], *score.strides[:2], *(table.strides[0] // 4 for table in tables), found["output"].strides[0],
    )  # fmt: skip


def _lines(found: dict[str, device.Memory]) -> tuple[int, int]:
    """Return how many lines of new rows and of each table a decode kernel asks for before it knows which it needs: none of long tables."""
    tables = (found["block_table_kv"], found["block_table_score"])
    short = all(4 * table.shape[1] <= SHORT_TABLE for table in tables)
    return found["kv_score"].span // device.LINE, min(table.span // device.LINE for table in tables) if short else 0


def _bound(launch: Callable[..., None], found: dict[str, device.Memory], *numbers: int) -> Callable[[], None]:
    """Bind a launch to its arguments, and keep alive the arrays whose addresses they are."""
    arguments = [device.argument(memory, "int32" if memory.dtype == "int32" else "uint8") for memory in found.values()]

    def call(_owners: tuple[device.Memory, ...] = tuple(found.values())) -> None:
        launch(*arguments, *numbers)

    return call


def plan_decode(kv_score: Any, ape: Any, paged_kv: Any, paged_score: Any, block_table_kv: Any, block_table_score: Any, kv_lens: Any,
                cu_seq_lens: Any, cu_kv_comp: Any, output: Any, *, next_n: int, stream: int = 0, threads: tuple[int, int] | None = None,
                width: int = COLUMNS, validate: bool = False) -> Callable[[], None]:  # fmt: skip
    """Check and convert the arrays of a decode step once, and return its launch: one kernel, no synchronisation.

    `kv_lens` int32 [B] counts each request's tokens, its new ones included, of which it has at most `next_n` in kv_score. Output rows of
    requests that complete no window stay as they are. `threads` is (lanes, rows at a time) of a block, `width` the columns of a thread (2 or 4); bits do not depend on them.
    `validate` reads lengths and tables back, which synchronises, and checks each index. Raises TypeError, ValueError.
    """
    arrays = (kv_score, ape, paged_kv, paged_score, block_table_kv, block_table_score, kv_lens, cu_seq_lens, cu_kv_comp, output)
    found = checked("kv_lens", arrays)
    row = config(found["output"].shape[1], found["ape"].shape[0], found["kv_score"].dtype, found["paged_kv"].dtype, next_n)
    requests, rows = found["kv_lens"].shape[0], found["kv_score"].shape[0]
    if rows > requests * next_n:
        raise ValueError(f"kv_score: {rows} rows for {requests} requests of at most {next_n} new tokens")
    if validate:
        validate_indices("kv_lens", found, row.ratio, next_n)
    if width not in WIDTHS:
        raise ValueError(f"width: {width} columns a thread; takes {' or '.join(map(str, WIDTHS))}")
    lanes, tall = _threads(row, requests, threads, width)
    if not requests:
        return _nothing
    kv, score, tables = found["paged_kv"], found["paged_score"], (found["block_table_kv"], found["block_table_score"])
    page, distances = kv.shape[1], _steps(found)
    by_row = _by_row(page, min(row.ratio, DEPTH))
    packed = distances == stepping.steps(row.width, row.head_dim, row.kv, row.state, found["output"].dtype)
    kernel = kernel_of(row, found["output"].dtype, by_row=by_row, packed=packed, lanes=lanes, width=width)
    launch = device.configured(kernel, requests * (row.head_dim // (lanes * width)), (lanes, tall), stream)
    return _bound(
        launch, found, *_lines(found), page if by_row else page.bit_length() - 1, *(table.strides[0] // 4 for table in tables),
        kv.strides[0], score.strides[0], *distances,
    )  # fmt: skip


def plan_prefill(kv_score: Any, ape: Any, paged_kv: Any, paged_score: Any, block_table_kv: Any, block_table_score: Any, start_pos: Any,
                 cu_seq_lens: Any, cu_kv_comp: Any, output: Any, *, stream: int = 0, threads: tuple[int, int] | None = None,
                 validate: bool = False) -> Callable[[], None]:  # fmt: skip
    """Check and convert the arrays of a prefill once, and return its launch: one kernel, no synchronisation.

    `start_pos` int32 [B] counts the tokens before the new ones, whose rows come from the state. New rows are pooled as they are, not
    rounded to the state's dtype: with a float32 state the bits are those of decode steps. The state gets the rows of the window that is
    not yet complete, and with R = 4 those of the window before. Windows are pooled from start_pos // R on; `output` has their rows.
    """
    arrays = (kv_score, ape, paged_kv, paged_score, block_table_kv, block_table_score, start_pos, cu_seq_lens, cu_kv_comp, output)
    found = checked("start_pos", arrays)
    row = config(found["output"].shape[1], found["ape"].shape[0], found["kv_score"].dtype, found["paged_kv"].dtype)
    requests, rows_out = found["start_pos"].shape[0], found["output"].shape[0]
    if validate:
        validate_indices("start_pos", found, row.ratio, found["kv_score"].shape[0])
    lanes, tall = _threads(row, requests, threads or PREFILL, prefilling.WIDTH)
    by_row = _by_row(found["paged_kv"].shape[1], DEPTH // 2)
    if not requests:
        return _nothing
    common = _common(row, found, lanes * prefilling.WIDTH, by_row=by_row)
    kernel = prefilling.prefill(row.ratio, row.kv, row.state, found["output"].dtype, by_row=by_row, lanes=lanes)
    launch = device.configured(kernel, (rows_out + requests) << common[0], (lanes, tall), stream)
    return _bound(launch, found, *common, rows_out, requests)


def _nothing() -> None:
    """Launch nothing: there are no requests."""


def decode(*arrays: Any, next_n: int, stream: int = 0, validate: bool = False) -> None:
    """Run a decode step; `plan_decode` names the arrays, and does the checks once for many calls."""
    plan_decode(*arrays, next_n=next_n, stream=stream, validate=validate)()


def prefill(*arrays: Any, stream: int = 0, validate: bool = False) -> None:
    """Run a prefill; `plan_prefill` names the arrays."""
    plan_prefill(*arrays, stream=stream, validate=validate)()
