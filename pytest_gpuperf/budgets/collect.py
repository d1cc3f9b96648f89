"""Which limits a test has: markers of all levels read, checked and stacked, before anything runs."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.budgets.grammar import Limit, find_metric, parse_limit
from pytest_gpuperf.counters.names import canonical, counter, find_counter, full_names
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.metrics import is_compiled, metric_names, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_gpuperf.budgets.note import Note

#: Levels of a budget, the nearest first: the first level with a limit for this device wins; those of the file of budgets stand behind all of them.
LEVELS = ("budget=", "parameter marker", "function marker", "class marker", "outer class marker", "module marker", "package marker")

#: Keywords of the marker that are no quantities.
KEYWORDS = ("of", "gpu", "metrics", "counters")

#: What of a glob is no literal character; a bracket that nothing closes is one.
_WILD = re.compile(r"\[!?\]?[^\]]*\]|[*?]")


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """One limit of one test, with the device glob and the level that it comes from.

    `applies` is False where no glob of the limit matches this device; `of` names a measurement (None: `main`, or all without one). `note` is what
    the file of budgets says beside it; None for a limit that stands in the test. `rank` is the place of its level, 0 for the nearest.
    """

    limit: Limit
    glob: str
    origin: str
    of: str | None
    applies: bool = True
    note: Note | None = None
    rank: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """What one budget replaces another for: measurement (the unnamed one is `main`), quantity, statistic; a counter's short name stands for its full one."""
        return self.of or "main", canonical(self.limit.quantity), self.limit.statistic


def device_matches(glob: str, device: str) -> bool:
    """Say whether a glob matches a device's NVML name less a leading "NVIDIA ", without regard to case.

    >>> device_matches("h200", "NVIDIA H200"), device_matches("H200", "NVIDIA H200 NVL"), device_matches("H200*", "NVIDIA H200 NVL")
    (True, False, True)
    """
    return fnmatch.fnmatchcase(_bare_name(device), _bare_name(glob))


def _bare_name(name: str) -> str:
    return name.casefold().removeprefix("nvidia ")


def literal_characters(glob: str) -> int:
    """Count the characters of a glob that match only themselves.

    >>> literal_characters("H200*"), literal_characters("*"), literal_characters("H[12]00")
    (4, 0, 3)
    """
    return len(_WILD.sub("", _bare_name(glob)))


def read_limits(
    keywords: dict[str, Any], where: str, origin: str, of: str | None = None, parse: Callable[[str, object, str], Limit] = parse_limit
) -> list[Budget]:
    """Read every limit of one marker, `budget=`, `require` or table of a file, those of `metrics=` too; all globs, no device chosen yet."""
    found = []
    plain = {name: given for name, given in keywords.items() if name != "metrics"}
    for quantity, given in (*plain.items(), *_limits_of_counters(keywords.get("metrics", {}), where).items()):
        find_metric(quantity, where)
        by_glob = given if isinstance(given, dict) else {"*": given}
        if not by_glob:
            message = f"{where}: {quantity}={{}} holds no limit"
            raise BadBudget(message)
        for glob, texts in by_glob.items():
            if not isinstance(glob, str) or not glob:
                message = f"{where}: {quantity}: {glob!r} is no device glob; write as 'H200' or '*'"
                raise BadBudget(message)
            if glob.casefold().startswith("sm_") and not is_compiled(quantity):
                # No device has such a name: the limit would be judged nowhere.
                message = f"{where}: {quantity}: {glob!r} is an architecture, which only limits on machine code have; name a device, as 'H200'"
                raise BadBudget(message)
            listed = texts if isinstance(texts, (list, tuple)) else [texts]
            if not listed:
                message = f"{where}: {quantity}=[] holds no limit"
                raise BadBudget(message)
            found += [Budget(parse(quantity, text, where), glob, origin, of) for text in listed]
    return found


def choose(budgets: Iterable[Budget], device: str | None, where: str) -> list[Budget]:
    """Choose, for one level, the limits of the glob that says most about this device.

    Without a device the most general glob stands for all. Two globs that say equally much are a BadBudget. Limits on machine code keep all their
    globs: which counts on which architecture is chosen when they are judged.
    """
    groups: dict[tuple[str, str, str], dict[str, list[Budget]]] = {}
    for budget in budgets:
        groups.setdefault(budget.key, {}).setdefault(budget.glob, []).append(budget)
    chosen: list[Budget] = []
    for (_, quantity, statistic), globs in groups.items():
        if is_compiled(quantity):
            chosen += [budget for budgets in globs.values() for budget in budgets]
            continue
        matching = [glob for glob in globs if device is None or device_matches(glob, device)]
        if not matching:
            first = next(iter(globs.values()))[0]
            chosen.append(dataclasses.replace(first, glob=", ".join(globs), applies=False))
            continue
        order = sorted(matching, key=literal_characters, reverse=device is not None)
        if device is not None and len(order) > 1 and literal_characters(order[0]) == literal_characters(order[1]):
            message = f"{where}: {quantity} {statistic}: globs {order[0]!r} and {order[1]!r} both match {device!r} and say equally much"
            raise BadBudget(message)
        chosen += globs[order[0]]
    return chosen


def stack(levels: Sequence[Sequence[Budget]]) -> list[Budget]:
    """Stack levels, the nearest first: per measurement, quantity and statistic the first level that applies wins.

    A limit for other devices only never hides one of a farther level that applies. Two keys may meet in one measurement, as a limit that names none is for
    all where there is no `main`: then `nearer` tells.
    """
    settled: dict[tuple[str, ...], list[Budget]] = {}
    for rank, level in enumerate(levels):
        here: dict[tuple[str, ...], list[Budget]] = {}
        for budget in level:
            key: tuple[str, ...] = (*budget.key, budget.glob) if is_compiled(budget.limit.quantity) else budget.key
            here.setdefault(key, []).append(budget)
        for key, budgets in here.items():
            if key not in settled or (not settled[key][0].applies and budgets[0].applies):
                settled[key] = [dataclasses.replace(budget, rank=rank) for budget in budgets]
    return [budget for budgets in settled.values() for budget in budgets]


def nearer(budgets: Iterable[Budget], budget: Budget, name: str, *, main: bool) -> bool:
    """Say whether another limit on the same quantity and statistic of a measurement is nearer: of a nearer level, or of its own and by name.

    `main` says whether there is such a measurement: then a limit that names none is for it alone.
    """
    others = (one for one in budgets if one.applies and one.key[1:] == budget.key[1:] and one.of != budget.of)
    here = (one for one in others if one.of == name or (one.of is None and not main))
    return any((one.rank, one.of is None) < (budget.rank, budget.of is None) for one in here)


@dataclasses.dataclass(frozen=True, slots=True)
class Filed:
    """What the file of budgets says of one test: its levels of limits, those that say most first, and the limits that are known to be missed.

    `wanted` is what is to be recorded, as (quantity, statistic).
    """

    levels: tuple[Sequence[Budget], ...] = ()
    misses: tuple[Budget, ...] = ()
    wanted: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Marks:
    """What is said of one test: its limits, whether it needs a GPU, which hardware counters it wants, by full name, and which limits it is known to miss.

    `wanted` are quantities, with their statistics, that are to be measured besides.
    """

    budgets: tuple[Budget, ...] = ()
    gpu: bool = False
    counters: tuple[str, ...] = ()
    misses: tuple[Budget, ...] = ()
    wanted: tuple[tuple[str, str], ...] = ()


def read_marks(marks: Iterable[tuple[str, Any]], device: str | None, where: str, asked: Iterable[str] = (), file: Filed | None = None) -> Marks:
    """Read (level, marker) pairs of one test, in any order; BadBudget for whatever cannot be judged later.

    `asked` are counters that are wanted besides: of the ini file, and of the test's own code. `file` is what the file of budgets says of the test.
    """
    by_level: dict[str, list[Budget]] = {}
    gpu: dict[str, bool] = {}
    wanted = list(asked)
    for level, mark in marks:
        if mark.args:
            message = f"{where}: gpuperf({mark.args[0]!r}): write limits by name, as gpuperf(time='<= 12 us')"
            raise BadBudget(message)
        keywords = dict(mark.kwargs)
        of = keywords.pop("of", None)
        if of is not None and not isinstance(of, str):
            message = f"{where}: of={of!r}: name one measurement, as of='baseline'"
            raise BadBudget(message)
        if "gpu" in keywords:
            flag = keywords.pop("gpu")
            if not isinstance(flag, bool):
                message = f"{where}: gpu={flag!r}: write True or False"
                raise BadBudget(message)
            gpu[level] = flag
        wanted += _listed_counters(keywords.pop("counters", ()), where)
        for name in keywords:
            if name not in (*metric_names(), "metrics"):
                message = f"{where}: gpuperf marker has no keyword {name!r}{nearest(name, (*metric_names(), *KEYWORDS))}"
                raise BadBudget(message)
        fresh = read_limits(keywords, where, level, of)
        known = {budget.key for budget in by_level.get(level, [])}
        twice = next((budget for budget in fresh if budget.key in known), None)
        if twice is not None:
            message = f"{where}: {twice.limit.quantity} {twice.limit.statistic} has two limits from two {level}s; put both into one list"
            raise BadBudget(message)
        by_level.setdefault(level, []).extend(fresh)
    levels = [choose(by_level[level], device, where) for level in LEVELS if level in by_level]
    levels += [list(level) for level in file.levels] if file is not None else []
    needs = next((gpu[level] for level in LEVELS if level in gpu), False)
    budgets = tuple(stack(levels))
    wanted += [budget.limit.quantity for budget in budgets if budget.applies]
    if file is None:
        return Marks(budgets, needs, full_names(wanted))
    return Marks(budgets, needs, full_names([*wanted, *(quantity for quantity, _ in file.wanted)]), file.misses, file.wanted)


def _listed_counters(given: object, where: str) -> list[str]:
    """Read `counters=[...]` of a marker."""
    if not isinstance(given, (list, tuple, set, frozenset)):
        message = f"{where}: counters={given!r}: write a list, as counters=['dram__bytes_write.sum']"
        raise BadBudget(message)
    return [find_counter(name, f"{where}: counters=").name for name in given]


def _limits_of_counters(given: object, where: str) -> dict[str, Any]:
    """Read `metrics={...}` of a marker; what is no counter has a keyword of its own."""
    if not isinstance(given, dict):
        message = f"{where}: metrics={given!r}: write limits by counter, as metrics={{'dram__bytes_write.sum': '<= 48 MB'}}"
        raise BadBudget(message)
    for name in given:
        if name in metric_names() and counter(name) is None:
            message = f"{where}: metrics={{{name!r}: ...}}: that is no counter; write {name}= as a keyword of its own"
            raise BadBudget(message)
        find_counter(name, f"{where}: metrics=")
    return given
