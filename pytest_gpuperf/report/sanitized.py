"""What a session under compute-sanitizer came to, for the terminal's summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

#: As many findings that belong to no case are told.
_SHOWN = 5


def sanitizer_lines(run: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield the lines of a run's checks, and whether each tells of something wrong; none for a run that checked nothing.

    >>> record = {"tool": "memcheck", "version": "2025.3.1.0", "processes": 2, "wall_s": 12.34, "checked": 5, "clean": 4, "cases": [{}], "outside": []}
    >>> [line for line, _ in sanitizer_lines({"sanitizer": [record]})]
    ['memcheck (compute-sanitizer 2025.3.1.0): 5 cases, 4 clean, 1 with findings; 2 processes, 12.3 s']
    """
    for one in run.get("sanitizer") or ():
        which = f" (compute-sanitizer {one['version']})" if one["version"] else ""
        unknown = one["checked"] - one["clean"] - len(one["cases"])
        counts = [f"{one['clean']:,} clean", f"{len(one['cases']):,} with findings", *([f"{unknown:,} without a verdict"] if unknown else [])]
        cost = f"; {one['processes']} process{'es' if one['processes'] > 1 else ''}, {one['wall_s']:.1f} s" if one["processes"] else ""
        yield f"{one['tool']}{which}: {plural(one['checked'], 'case')}, {', '.join(counts)}{cost}", False
        for finding in one["outside"][:_SHOWN]:
            yield f"FAIL {one['tool']}, in none of the cases: {finding['story']}", True
        if len(one["outside"]) > _SHOWN:
            yield f"and {plural(len(one['outside']) - _SHOWN, 'more finding')} in none of the cases (all of them in the run file)", True
