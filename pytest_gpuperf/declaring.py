"""What a session does for declared kernels: it asks for all of them at once, and fails a case that launches one with types that nobody declared."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.items import MARKS, is_case
from pytest_gpuperf.metrics import is_compiled
from pytest_gpuperf.running import CASE
from pytest_gpuperf.static.declared import is_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_gpuperf.case import Case
    from pytest_gpuperf.options import Config
    from pytest_gpuperf.state import State

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


def refuse_unknown_names(options: Config) -> None:
    """Raise UsageError, in one line, for an architecture or a module of KERNELS that there is not; none is imported before it is needed."""
    from pytest_gpuperf.errors import StaticError
    from pytest_gpuperf.static.architectures import architecture

    if not options.archs:
        raise pytest.UsageError("--gpuperf-archs: names no architecture, as sm_90")
    try:
        for name in options.archs:
            architecture(name)
    except StaticError as error:
        message = f"--gpuperf-archs: {error}"
        raise pytest.UsageError(message) from None
    for name in options.kernels:
        try:
            found = importlib.util.find_spec(name.partition(".")[0])
        except (ImportError, ValueError):
            found = None
        if found is None:
            message = (
                f"--gpuperf-kernels: there is no module {name!r}: name one that has KERNELS, with its folder on the path (ini pythonpath)"
            )
            raise pytest.UsageError(message)


def plan(state: State, items: Sequence[pytest.Item]) -> None:
    """Where several tests ask for compiled kernels: let all that are declared be compiled with the first, in one child; of rows as parameters only those."""
    asking = [item for item in items if asks(item)] if state.options.enabled and state.options.kernels else []
    if len(asking) > 1:
        offline = state.runtime.offline
        offline.several = True
        offline.chosen = frozenset(one.name for item in asking for one in getattr(getattr(item, "callspec", None), "params", {}).values() if is_row(one))


def asks(item: pytest.Item) -> bool:
    """Say whether a test has a limit on machine code, or names the verb."""
    if not is_case(item):
        return False
    marks = item.stash.get(MARKS, None)
    if marks is not None and any(is_compiled(one.limit.quantity) for one in marks.budgets):
        return True
    code = getattr(getattr(item, "function", None), "__code__", None)
    return code is not None and _names(code, "compiled")


def _names(code: types.CodeType, name: str) -> bool:
    return name in code.co_names or any(_names(one, name) for one in code.co_consts if isinstance(one, types.CodeType))


@contextlib.contextmanager
def watching(state: State, item: pytest.Item) -> Iterator[None]:
    """Hear, while a body runs, of launches of declared kernels; Undeclared after it where one has argument types that no KERNELS row has."""
    __tracebackhide__ = True
    if not state.options.kernels or state.recorder is None or not is_case(item) or CASE not in item.stash:
        yield
        return
    from pytest_gpuperf.compiling import undeclared
    from pytest_gpuperf.timing.launched import Launch, simulated

    case: Case = item.stash[CASE].case
    heard: list[Launch] = []
    with simulated(heard.append):
        yield
    if not _loaded(state):
        return
    # What a fixture compiled before the body is there too. Of each overload one case is told: it stays for all that follow.
    told = state.runtime.offline.told
    fresh = [one for one in _overloads(state) if one not in told]
    told.update(fresh)
    error = undeclared(state.runtime, case, [*((one.place, one.signature) for one in heard if one.signature), *case.launched, *fresh])
    if error is not None:
        case.raised = error
        raise error


def _loaded(state: State) -> bool:
    """Say whether every module of rows is imported: what is not cannot have launched."""
    return all(name in sys.modules for name in state.options.kernels)


def _overloads(state: State) -> list[tuple[tuple[str, str], str]]:
    """Return what the declared kernels have been compiled for in this process, where they are numba's own and not the simulator's."""
    from pytest_gpuperf.static.asking import simulates
    from pytest_gpuperf.timing.launched import signature_of

    if not _loaded(state) or simulates():
        return []
    kernels: dict[int, Any] = {id(row.kernel): row for row in state.runtime.offline.rows}
    return [(row.place, signature_of(kinds)[0]) for row in kernels.values() for kinds in getattr(row.kernel, "overloads", {})]
