"""Kernels that were compiled without being launched, of two runs: which answers to which, and what compiled them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.records.account import latest
from pytest_gpuperf.reference.pairs import identity
from pytest_gpuperf.reference.surroundings import CODE, Difference

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = dict[str, Any]


def compiled_pairs(run: Record, reference: Record) -> Iterator[tuple[str, Record, Record]]:
    """Yield (node id, this run's, the reference's) of each kernel that was compiled in one case of both."""
    theirs = {(nodeid, identity(one)): one for nodeid, one in _compiled(reference)}
    for nodeid, one in _compiled(run):
        other = theirs.get((nodeid, identity(one)))
        if other is not None:
            yield nodeid, one, other


def moved_tools(here: Record, there: Record) -> list[Difference]:
    """Return the versions of what compiled two kernels that differ.

    >>> one, two = ({"toolchain": {"nvvm": version, "numba-cuda": "0.30.4"}} for version in ("13.0", "13.2"))
    >>> [str(found) for found in moved_tools(two, one)]
    ['nvvm 13.0 -> 13.2']
    """
    mine, theirs = here["toolchain"], there["toolchain"]
    return [Difference(name, mine[name], theirs[name], (CODE,)) for name in mine if name in theirs and mine[name] != theirs[name]]


def _compiled(run: Record) -> Iterator[tuple[str, Record]]:
    for case in latest(run["cases"]):
        for one in case.get("compiled") or []:
            yield case["nodeid"], one
