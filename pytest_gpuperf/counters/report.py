"""Read what Nsight Compute recorded: with the package ncu-report where it is installed, else through `ncu --import`."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import re
import subprocess
import warnings
from typing import TYPE_CHECKING, Any, Protocol

from pytest_gpuperf.counters.kernel_names import plain_kernel
from pytest_gpuperf.errors import ReportError
from pytest_gpuperf.format import shorten, visible
from pytest_gpuperf.nvtx_ranges import DOMAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    #: Runs a command and returns its exit status and what it printed.
    Runner = Callable[[Sequence[str]], tuple[int, str]]

#: The two roads to the same numbers.
BY_PACKAGE, BY_CSV = "ncu-report", "csv"

#: SI unit of ncu's own unit words, and how many of the word's unit one of it is; whatever is counted has the unit "1".
WORDS: dict[str, tuple[str, float]] = {
    "byte": ("B", 1.0),
    "byte/block": ("B", 1.0),
    "byte/s": ("B/s", 1.0),
    "byte/second": ("B/s", 1.0),
    "byte/ns": ("B/s", 1e-9),
    "byte/nsecond": ("B/s", 1e-9),
    "byte/cycle": ("B/cycle", 1.0),
    "%": ("%", 1.0),
    "ns": ("s", 1e9),
    "nsecond": ("s", 1e9),
    "us": ("s", 1e6),
    "usecond": ("s", 1e6),
    "ms": ("s", 1e3),
    "msecond": ("s", 1e3),
    "s": ("s", 1.0),
    "second": ("s", 1.0),
    "hz": ("1/s", 1.0),
    "Hz": ("1/s", 1.0),
}
_SECONDS = 120.0
_RANGES = "Start/Stop_Range"
_RANGE = re.compile(r'"\d+:(?P<domain>[^:"]*):(?P<name>[^:"]*):')
_RATE = re.compile(r".+/(?P<time>s|second|ns|nsecond)")


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """One number of a report, in ncu's base unit, with the word that ncu has for it.

    >>> Counted(48576.0, "ns").number, Counted(48576.0, "ns").unit, Counted(7.0, "sector").unit
    (4.8576e-05, 's', '1')
    """

    raw: float
    word: str

    @property
    def unit(self) -> str:
        """The SI unit."""
        return self._form[0]

    @property
    def number(self) -> float:
        """The number in the SI unit."""
        return self.raw / self._form[1]

    @property
    def _form(self) -> tuple[str, float]:
        rate = _RATE.fullmatch(self.word)
        return WORDS.get(self.word) or (("1/s", 1e-9 if rate["time"].startswith("n") else 1.0) if rate else ("1", 1.0))


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """One kernel (or one whole range, called "range") inside the range `slug`, and its numbers by full name; what ncu has no number for is absent."""

    slug: str
    kernel: str
    values: Mapping[str, Counted]


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a report holds of our ranges, in the order of the launches; `outside` counts the kernels in no range of ours."""

    road: str
    actions: tuple[Action, ...]
    outside: int = 0

    def of(self, slug: str) -> tuple[Action, ...]:
        """Return the actions of one range."""
        return tuple(action for action in self.actions if action.slug == slug)


class _Metric(Protocol):
    def value(self) -> Any: ...

    def unit(self) -> str | None: ...


class _Action(Protocol):
    def name(self) -> str | None: ...

    def metric_names(self) -> Iterable[str]: ...

    def metric_by_name(self, name: str, /) -> _Metric | None: ...

    def nvtx_state(self) -> Any: ...


class Package(Protocol):
    """What is used of the package ncu_report."""

    def load_report(self, file_name: str, /) -> Any:
        """Open a report."""


def read(
    path: Path,
    ncu: Sequence[str] | None,
    names: Collection[str] | None = None,
    *,
    package: Callable[[], Package | None] | None = None,
    run: Runner | None = None,
) -> Report:
    """Read a report's numbers of kernels in ranges of the domain "gpuperf"; `names` are the metrics that matter, None for all.

    `ncu` is the start of ncu's command line, for a machine without the package; `package` and `run` stand in for the two roads. Raises ReportError for a
    file that cannot be read, that is cut off, or in which nothing was profiled: nothing read is never a success.
    """
    if not path.is_file():
        raise ReportError(f"{path}: there is no such report")
    if not path.stat().st_size:
        raise ReportError(f"{path}: the report is empty")
    found = (package or import_package)()
    if found is not None:
        report = Report(BY_PACKAGE, *_kept(_by_package(found, path, names)))
    elif ncu:
        report = Report(BY_CSV, *_kept(_by_csv(_printed(path, ncu, run or _run), path, names)))
    else:
        raise ReportError(f"{path}: nothing here reads reports: install pytest-gpuperf[ncu], or put ncu on PATH")
    if not report.actions and not report.outside:
        raise ReportError(f"{path}: no report of Nsight Compute, or nothing was profiled")
    return report


def import_package() -> Package | None:
    """Import ncu_report, which is proprietary and often not there; None where it is not, or does not load."""
    try:
        with warnings.catch_warnings():
            # What SWIG makes is deprecated by Python itself; a test run that turns warnings into errors is not to lose its counters by it.
            warnings.simplefilter("ignore")
            import ncu_report
    except (ImportError, OSError):
        return None
    package: Package = ncu_report
    return package


_Found = tuple[tuple[str, ...], Action]


def _kept(found: Iterable[_Found]) -> tuple[tuple[Action, ...], int]:
    """Give every action the slug of its range, once for each where ranges overlap; count those that are in none."""
    actions: list[Action] = []
    outside = 0
    for slugs, action in found:
        actions += [dataclasses.replace(action, slug=slug) for slug in slugs]
        outside += not slugs
    return tuple(actions), outside


def _by_package(package: Package, path: Path, names: Collection[str] | None) -> list[_Found]:
    try:
        context = package.load_report(str(path))
        ranges = [context.range_by_idx(place) for place in range(context.num_ranges())]
        actions = [one.action_by_idx(place) for one in ranges for place in range(one.num_actions())]
        # A report that was cut off has actions of which nothing is known.
        lost = next((place for place, action in enumerate(actions, 1) if _name_of(action) is None), None)
        if lost is None:
            return [(_slugs_of(one.nvtx_state()), Action("", plain_kernel(one.name()), dict(_numbers_of(one, names)))) for one in actions]
    except Exception as error:
        raise ReportError(f"{path}: ncu-report cannot read it: {type(error).__name__}: {error}") from error
    raise ReportError(f"{path}: the report is cut off: nothing is known of kernel {lost} of {len(actions)}")


def _name_of(action: _Action | None) -> str | None:
    return None if action is None else action.name()


def _slugs_of(state: Any) -> tuple[str, ...]:
    domains = [] if state is None else [state.domain_by_id(one) for one in state.domains()]
    return tuple(name for domain in domains if domain.name() == DOMAIN for name in domain.start_end_ranges())


def _numbers_of(action: _Action, names: Collection[str] | None) -> Iterator[tuple[str, Counted]]:
    for name in action.metric_names():
        if names is not None and name not in names:
            continue
        metric = action.metric_by_name(name)
        value = None if metric is None else metric.value()
        if metric is not None and isinstance(value, (int, float)) and math.isfinite(value):
            yield name, Counted(float(value), metric.unit() or "")


def _run(command: Sequence[str]) -> tuple[int, str]:
    # The C locale: numbers have a point, and commas between thousands.
    environment = os.environ | {"LC_ALL": "C"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, env=environment, timeout=_SECONDS)
    return done.returncode, done.stdout + done.stderr


def _printed(path: Path, ncu: Sequence[str], run: Runner) -> str:
    command = [*ncu, "--import", str(path), "--csv", "--page", "raw", "--print-units", "base"]
    try:
        status, text = run(command)
    except (OSError, subprocess.SubprocessError) as error:
        raise ReportError(f"{path}: ncu cannot be run: {type(error).__name__}: {error}") from error
    said = next((line for line in text.splitlines() if line.startswith("==ERROR==")), "")
    if status or said:
        lines = text.strip().splitlines()
        why = said.removeprefix("==ERROR==").strip() or (lines[-1] if lines else "it said nothing")
        raise ReportError(f"{path}: ncu cannot read it: {shorten(visible(why), 200)} (exit status {status})")
    return text


def _by_csv(text: str, path: Path, names: Collection[str] | None) -> Iterator[_Found]:
    # What ncu says to people begins with "==" and stands around the table.
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("==")]
    rows = csv.reader(lines)
    header, words = next(rows, []), next(rows, [])
    ranges = next((place for place, title in enumerate(header) if _RANGES in title), None)
    if header[:1] != ["ID"] or ranges is None or "Kernel Name" not in header or len(words) != len(header):
        raise ReportError(f"{path}: ncu printed no table: {shorten(visible(lines[0]), 200) if lines else 'nothing'}")
    kernel = header.index("Kernel Name")
    columns = [place for place, title in enumerate(header) if "__" in title and (names is None or title in names)]
    for row in rows:
        if len(row) != len(header):
            raise ReportError(f"{path}: ncu's table is cut off: a row of {len(row)} columns for {len(header)} titles")
        slugs = tuple(found["name"] for found in _RANGE.finditer(row[ranges]) if found["domain"] == DOMAIN)
        values = {header[place]: Counted(number, words[place]) for place in columns if (number := _number(row[place])) is not None}
        yield slugs, Action("", plain_kernel(row[kernel]), values)


def _number(cell: str) -> float | None:
    """Read a cell; None for a text, and for what is no number, as "n/a" and "nan"."""
    try:
        number = float(cell.replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
