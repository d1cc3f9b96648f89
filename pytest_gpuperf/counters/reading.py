"""From a report to the results file: the kernels of each range, as plain values, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.counters.report import Action, Counted, import_package, read

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

#: How reports begin. What begins otherwise is asked of the ncu that wrote it, and the results say so.
_MAGIC = b"NVR\0"


def read_kernels(path: Path, ncu: str, names: Collection[str]) -> tuple[dict[str, list[dict[str, Any]]], str]:
    """Return the kernels of each range of a report, by slug, and the road by which it was read; ReportError for one that cannot be read.

    Each has its name, its place in the report and, by the full names of the counters, ncu's number and unit.
    """
    with path.open("rb") as file:
        ours = file.read(len(_MAGIC)) == _MAGIC
    report = read(path, [ncu], names, package=import_package if ours else lambda: None)
    kernels: dict[str, list[dict[str, Any]]] = {}
    for place, action in enumerate(report.actions):
        values = {name: [one.raw, one.word] for name, one in action.values.items()}
        kernels.setdefault(action.slug, []).append({"name": action.kernel, "at": place, "values": values})
    return kernels, report.road


def actions_of(kernels: Sequence[Mapping[str, Any]], slug: str) -> list[Action]:
    """Return kernels of the results file as the actions that they were.

    >>> actions_of([{"name": "copy", "at": 0, "values": {"gpu__time_duration.sum": [48576.0, "ns"]}}], "g1")[0].values["gpu__time_duration.sum"].unit
    's'
    """
    return [Action(slug, one["name"], {name: Counted(raw, word) for name, (raw, word) in one["values"].items()}) for one in kernels]
