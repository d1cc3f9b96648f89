"""COUNTERS: hardware counters by their short names, and the grammar of those that Nsight Compute calls by full ones."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING

from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.metrics import Metric, metric, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: GPU time of a kernel: it weighs what does not add up, so a pass collects it besides what was asked for.
TIME = "gpu__time_duration.sum"

#: How the values of several kernels come to one.
ADD, WEIGH, MOST, LEAST, SAME = "add", "weigh", "most", "least", "same"

#: Parts of the chip and of the launch that names begin with; a text in a test's code is a counter only with one of these.
PARTS = frozenset(
    "c2clink crop ctc dram dramc fbp fbpa fe gcc gpc gpu gr idc l1tex launch lrc lrcp ltc lts mcc nvlrx nvltx pcie pda prop raster rdm sm smsp sys tpc vpc zrop".split()  # noqa: SIM905
)

#: What follows a counter's base name: a roll-up over the units of the chip, and what is made of it.
_CYCLES = tuple(f"per_cycle_{when}" for when in ("active", "elapsed", "in_frame", "in_region"))
_WHENS = ("active", "elapsed", "frame", "region")
_PCT = tuple(f"pct_of_peak_sustained_{when}" for when in _WHENS)
_PEAK = tuple(f"peak_sustained_{when}{rate}" for when in _WHENS for rate in ("", ".per_second"))
_DERIVED = ("", "per_second", *_CYCLES, *_PCT, "peak_sustained", *_PEAK)
ROLLUPS = ("sum", "avg", "max", "min")
#: Ratios have these in place of a roll-up.
RATIOS = ("ratio", "pct", "max_rate")
SUFFIXES = (*RATIOS, *(f"{rollup}.{derived}".rstrip(".") for rollup in ROLLUPS for derived in _DERIVED))

_NAME = re.compile(r"(?P<part>[a-z][a-z0-9]*)__(?P<rest>[A-Za-z0-9_]+)(?:\.(?P<suffix>[a-z_.]+))?")
#: Facts of a launch, of the device and of the profiler itself, which have one value a kernel and no suffix.
_BARE = re.compile(r"(?:launch|device|profiler|nvlink|numa|c2clink|derived|sass|smsp__pcsamp|sms?p?__maximum)_+\w+")
_TIMES = re.compile(r"_(?:time|duration)(?:_|$)|^time_")
_ROW = re.compile(r"^(?P<name>[a-z][a-z0-9]*__[A-Za-z0-9_]+(?:\.[a-z_.]+)?)\s+(?:Counter|Ratio|Throughput)\b", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Counter:
    """One hardware counter: its name here, and the full names of Nsight Compute, whose values add up where they are several.

    `unit` is the SI unit ("B", "s", "%", "B/s", "1/s", "1"), `exact` is True for counts, `how` says what the values of several kernels come to.
    """

    name: str
    full: tuple[str, ...]
    unit: str
    exact: bool
    how: str
    meaning: str

    @property
    def metric(self) -> Metric:
        """The row of METRICS; for a full name one like those."""
        return metric(self.name) or Metric(self.name, self.unit, "more" if self.unit == "%" else "less", ("p50",), (), "ncu", self.meaning, self.exact)


def _short(name: str, *full: str) -> Counter:
    """Make the row of a short name; what METRICS says of it is not said twice."""
    row, first = metric(name), _parsed(full[0])
    assert row is not None
    assert first is not None
    return Counter(name, full, row.unit, row.exact, first.how, row.meaning)


def _parsed(name: str) -> Counter | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    part, rest, suffix = match["part"], match["rest"], match["suffix"] or ""
    if suffix not in SUFFIXES if suffix else not _BARE.fullmatch(name):
        return None
    unit = _unit_of(rest, suffix)
    counts = suffix == "sum" or (part == "launch" and not suffix)
    exact = counts and unit in {"1", "B"} and "cycles" not in rest and "waves_per" not in rest
    return Counter(name, (name,), unit, exact, _how_of(suffix, unit), f"Nsight Compute's {name}")


def _unit_of(rest: str, suffix: str) -> str:
    """Tell the SI unit from a name. Bytes per block are bytes; ratios of bytes to something else are ratios."""
    rollup, _, derived = suffix.partition(".")
    if "pct" in suffix or rest.endswith("_pct"):
        return "%"
    size = "bytes" in rest.split("_") and suffix not in RATIOS
    size = size or (not suffix and (rest.startswith("shared_mem_") or rest.endswith("_cache_size")))
    if derived.endswith("per_second"):
        return "B/s" if size else "1/s"
    if derived.startswith("per_cycle") or derived == "peak_sustained":
        return "B/cycle" if size else "1"
    if size:
        return "B"
    return "s" if rollup in ROLLUPS and _TIMES.search(rest) else "1"


def _how_of(suffix: str, unit: str) -> str:
    """Say what the values of several kernels come to: only a sum that is no rate adds up."""
    if not suffix:
        return WEIGH if unit == "%" else SAME
    return ADD if suffix == "sum" else {"max": MOST, "min": LEAST}.get(suffix.partition(".")[0], WEIGH)


COUNTERS: tuple[Counter, ...] = (
    _short("dram_write", "dram__bytes_write.sum"),
    _short("dram_read", "dram__bytes_read.sum"),
    _short("l2_write_sectors", "lts__t_sectors_op_write.sum"),
    _short("l2_read_sectors", "lts__t_sectors_op_read.sum"),
    _short("global_load_sectors", "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"),
    _short("global_store_sectors", "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum"),
    # Loads and stores have a counter each and no common one in hardware; the one that smsp__sass has would patch every instruction of the kernel. Both
    # are bytes already: requests times 32 bytes a sector.
    _short("local_bytes", "l1tex__t_bytes_pipe_lsu_mem_local_op_ld.sum", "l1tex__t_bytes_pipe_lsu_mem_local_op_st.sum"),
    # Not l1tex__data_bank_conflicts_pipe_lsu.sum: that one counts the data banks of global loads too, and a kernel without shared memory can have some.
    _short("bank_conflicts", "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum"),
    _short("warps", "sm__warps_launched.sum"),
    _short("dram_pct", "dram__throughput.avg.pct_of_peak_sustained_elapsed"),
    _short("sm_pct", "sm__throughput.avg.pct_of_peak_sustained_elapsed"),
    _short("achieved_occupancy", "sm__warps_active.avg.pct_of_peak_sustained_active"),
)

_BY_NAME = {row.name: row for row in COUNTERS}


@functools.lru_cache(4096)
def counter(name: str) -> Counter | None:
    """Return the counter of a short name or of a full name of Nsight Compute; None for what is neither.

    >>> counter("dram_write").full, counter("dram__bytes_write.sum.per_second").unit, counter("sm__throughput.avg.pct_of_peak_sustained_elapsed").unit
    (('dram__bytes_write.sum',), 'B/s', '%')
    >>> counter("dram__bytes_write"), counter("time")
    (None, None)
    """
    return _BY_NAME.get(name) or (_parsed(name) if "__" in name else None)


def canonical(name: str) -> str:
    """Return the full name behind a short one, where it is one; any other name as it is.

    >>> canonical("dram_write"), canonical("local_bytes"), canonical("time")
    ('dram__bytes_write.sum', 'local_bytes', 'time')
    """
    row = _BY_NAME.get(name)
    return row.full[0] if row is not None and len(row.full) == 1 else name


def full_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the full names of counters, sorted and each once; names of no counter are left out.

    >>> full_names(["dram_write", "dram__bytes_write.sum", "warps", "time"])
    ('dram__bytes_write.sum', 'sm__warps_launched.sum')
    """
    return tuple(sorted({full for name in names if (row := counter(name)) is not None for full in row.full}))


def find_counter(name: object, where: str) -> Counter:
    """Return a counter by short or full name; BadBudget with the nearest one for what is none.

    >>> find_counter("dram__bytes_write", "test_x.py::test_x")
    Traceback (most recent call last):
    pytest_gpuperf.errors.BadBudget: test_x.py::test_x: no counter 'dram__bytes_write': a suffix such as .sum is missing; nearest 'dram__bytes_write.sum'
    """
    row = counter(name) if isinstance(name, str) else None
    if row is None:
        text = name if isinstance(name, str) else repr(name)
        message = f"{where}: no counter {name!r}{_grammar_says(text)}{nearest_counter(text)}"
        raise BadBudget(message)
    return row


def _grammar_says(name: str) -> str:
    match = _NAME.fullmatch(name)
    if match is None:
        return ""
    return f": there is no suffix '.{match['suffix']}'" if match["suffix"] else ": a suffix such as .sum is missing"


def nearest_counter(name: str, known: Sequence[str] = ()) -> str:
    """Return "; nearest 'x'" for the nearest counter: among `known` base names with the same suffix, else short names and what the base name may end in."""
    base, _, suffix = name.partition(".")
    if known:
        spelled = [f"{one}.{suffix}" if suffix and "." not in one else one for one in known]
        return nearest(name, spelled).partition("; valid")[0]
    candidates = [row.name for row in COUNTERS] + [full for row in COUNTERS for full in row.full]
    return nearest(name, (*candidates, *(f"{base}.{one}" for one in SUFFIXES)) if "__" in base else tuple(_BY_NAME))


def parse_listing(text: str) -> frozenset[str]:
    r"""Return the names that `ncu --query-metrics` lists: base names, without suffix.

    >>> sorted(parse_listing("dram__bytes_read    Counter   byte   # of bytes read\ndram__throughput   Throughput   %   x"))
    ['dram__bytes_read', 'dram__throughput']
    """
    return frozenset(match["name"] for match in _ROW.finditer(text))


def refuse_unknown(names: Iterable[str], listing: frozenset[str] | None, where: str = "counters") -> None:
    """Raise BadBudget, in one line with the nearest name, for the first name that is no counter of this chip.

    Where `listing` is None or empty, because nobody could ask ncu, only the grammar of the name is held against it.
    """
    for name in names:
        row = find_counter(name, where)
        for full in row.full:
            base, _, suffix = full.partition(".")
            if listing and suffix and base not in listing and full not in listing:
                short = next((f" ({one.name})" for one in COUNTERS if full in one.full), "")
                message = f"{where}: this chip has no counter {full!r}{short}{nearest_counter(full, sorted(listing))}; ncu --query-metrics lists them"
                raise BadBudget(message)
