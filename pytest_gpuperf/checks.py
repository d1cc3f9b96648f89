"""How the verbs `golden` and `guarded` run, and what a case looks at when it ends."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import GpuPerfError, NotIdentical
from pytest_gpuperf.identity.guard import Guarded
from pytest_gpuperf.seeds import derived

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gpuperf.case import Case
    from pytest_gpuperf.runtime import Runtime

    Checks = Callable[[str, str, Callable[[], str]], None]

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


def check_golden(runtime: Runtime, case: Case, name: str, array: Any, *, per_arch: bool, keep: bool | None) -> str:
    """Hold an array against its entry, or write that; return what was done, or raise NotIdentical."""
    __tracebackhide__ = True
    from pytest_gpuperf.device.arrays import device_arrays

    if not isinstance(name, str) or not name.strip() or "\n" in name:
        message = f"golden(name={name!r}): a name is a line of text such as 'decode'"
        raise ValueError(message)
    if case.path is None:
        raise GpuPerfError("golden: outside pytest there is no test file that its file could lie beside; keep the array and use identical")
    operations = runtime.operations() if device_arrays([array]) else None
    key = f"{name} [{_architecture(runtime)}]" if per_arch else name
    return runtime.goldens.check(golden_path(case.path), key, array, case.nodeid, keep=keep, operations=operations)


def golden_path(test: Any) -> Any:
    """Return where the golden file of a test file lies.

    >>> from pathlib import Path
    >>> golden_path(Path("suites/test_it.py")).as_posix()
    'suites/golden/test_it.json'
    """
    return test.parent / "golden" / f"{test.stem}.json"


def _architecture(runtime: Runtime) -> str:
    if runtime.backend is None:
        return "host"
    return "sm_{}{}".format(*runtime.backend.open().compute_capability)


def make_guarded(
    runtime: Runtime, case: Case, shape: int | Sequence[int], dtype: Any, like: str | None, name: str, check: Checks, *, partial: bool, zones: bool
) -> Guarded:
    """Make a guarded array whose check goes into the case's record; its bits are those of the same array in a child session."""
    wanted = (shape,) if not isinstance(shape, tuple | list) else tuple(shape)
    try:
        extents = tuple(operator.index(one) for one in wanted)
    except TypeError:
        extents = (-1,)
    if any(one < 0 for one in extents):
        message = f"guarded(shape={shape!r}): a shape is whole numbers from 0, as (4, 1024)"
        raise ValueError(message)
    title = name or f"guarded {len(case.guards) + 1}"

    def judge(guarded: Guarded, unwritten: bool) -> None:
        __tracebackhide__ = True
        check("guarded", guarded.name, lambda: guarded.look(unwritten=unwritten))

    number = derived(0, "guarded", case.nodeid, len(case.guards))
    operations = None if like == "numpy" else runtime.operations()
    return Guarded(title, extents, dtype, like, operations, judge, number=number, partial=partial, zones=zones)


def end_checks(case: Case, *, whole: bool) -> NotIdentical | None:
    """Look at every guarded array of a case that has not failed before; return one error that lists what is wrong.

    Where the body ended early, elements that it would have written are no finding: `whole` says that it did not.
    """
    texts = []
    for one in case.guards:
        try:
            if not one.failed:
                one.end(unwritten=whole)
        except NotIdentical as error:
            texts.append(str(error))
    case.guards.clear()
    return NotIdentical("\n".join(texts)) if texts else None
