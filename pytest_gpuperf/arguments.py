"""What a verb was given: its body with its arguments, its cache state, its arrays; errors in one line for the rest."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.counters.names import find_counter
from pytest_gpuperf.errors import BadBudget, NoSource
from pytest_gpuperf.options import CACHES, CLOCKS
from pytest_gpuperf.timing.body import Body
from pytest_gpuperf.timing.sustained import DUTIES
from pytest_gpuperf.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gpuperf.runtime import Runtime

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


def read_body(
    fn: Callable[..., Any],
    args: Sequence[Any],
    inputs: Sequence[Sequence[Any]] | None,
    kw: Mapping[str, Any],
    work: Work | None,
    setup: Callable[[], Any] | None,
    *,
    varies: bool,
    options: Sequence[str] = (),
    verb: str = "measure",
) -> Body:
    """Return a body with its argument sets; TypeError or ValueError for what cannot be called. `options` are what the verb takes by name for itself."""
    if not callable(fn):
        message = f"{verb}({type(fn).__name__}): the body must be callable; pass the function itself and its arguments after it"
        raise TypeError(message)
    if work is not None and not isinstance(work, Work):
        message = f"work={work!r}: pass Work(reads=..., writes=...) in bytes"
        raise TypeError(message)
    _refuse_misspelt(fn, kw, options, verb)
    if inputs is None:
        return Body(fn, (args,), kw, work, setup, varies)
    if args:
        message = f"{verb}: give the arguments either after fn or as inputs= sets, not both"
        raise ValueError(message)
    sets = [tuple(one) if isinstance(one, (list, tuple)) else (one,) for one in inputs]
    if not sets:
        message = "inputs=[]: needs at least one argument set"
        raise ValueError(message)
    return Body(fn, sets, kw, work, setup, varies)


def _refuse_misspelt(fn: Callable[..., Any], kw: Mapping[str, Any], options: Sequence[str], verb: str) -> None:
    """Name the option that was meant: a misspelt one is the body's argument, and the body's TypeError would not say so."""
    for name in kw:
        near = difflib.get_close_matches(name, options, 1, 0.75)
        if near and not takes(fn, name):
            message = f"{verb}: no option {name!r}, and the body takes no such argument; nearest {near[0]!r}"
            raise TypeError(message)


def takes(fn: Callable[..., Any], name: str, *, any_word: bool = True) -> bool:
    """Say whether a function takes an argument by name; with `any_word` also one that takes all, as **kw."""
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or (any_word and any(one.kind is one.VAR_KEYWORD for one in parameters.values()))


def read_budget(budget: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return the limits of `budget=`; BadBudget where they are not by quantity."""
    if budget is not None and not isinstance(budget, Mapping):
        message = f"measure({name!r}): budget={budget!r}: write limits by quantity, as {{'time': '<= 12 us'}}"
        raise BadBudget(message)
    return dict(budget or {})


def read_counters(counters: Sequence[str] | str, name: str) -> tuple[str, ...]:
    """Return the hardware counters of `counters=`; BadBudget with the nearest name for what is none."""
    names = (counters,) if isinstance(counters, str) else tuple(counters)
    for one in names:
        find_counter(one, f"measure({name!r}): counters=")
    return names


def read_cache(given: str | None, default: str) -> str:
    """Return the cache state; ValueError with the nearest one where there is no such."""
    if given is None:
        return default
    return _one_of("cache", given, CACHES, "cache state")


def read_duty(given: str) -> str:
    """Return the duty; ValueError with the nearest one where there is no such.

    >>> read_duty("sustaned")
    Traceback (most recent call last):
    ValueError: duty='sustaned': no such duty; nearest 'sustained'
    """
    return _one_of("duty", given, DUTIES, "duty")


def _one_of(option: str, given: str, known: Sequence[str], noun: str) -> str:
    if given not in known:
        near = difflib.get_close_matches(str(given), known, 1)
        message = f"{option}={given!r}: no such {noun}" + (f"; nearest {near[0]!r}" if near else f"; one of {', '.join(known)}")
        raise ValueError(message)
    return given


def read_clock(given: str | None, runtime: Runtime) -> str:
    """Return the source of a time; ValueError with the nearest one where there is no such, NoSource where it cannot be had here."""
    clock = runtime.config.clock if given is None else given
    if clock not in CLOCKS:
        near = difflib.get_close_matches(str(clock), CLOCKS, 1)
        message = f"clock={clock!r}: no such source" + (f"; nearest {near[0]!r}" if near else f"; one of {', '.join(CLOCKS)}")
        raise ValueError(message)
    if clock == "cupti" and runtime.backend is not None and runtime.config.enabled:
        why = runtime.backend.profiler.missing()
        if why:
            raise NoSource(f"clock='cupti': {why}\nInstall pytest-gpuperf[cupti] in the version of the CUDA libraries, or ask for another source.")
    return clock


def listed(arrays: Any) -> list[Any]:
    """Return arrays as a list; a single array counts as one, not as its rows."""
    if arrays is None:
        return []
    return list(arrays) if isinstance(arrays, (list, tuple)) else [arrays]


def call_once(body: Body) -> Any:
    """Call a body once with every argument set; return what the last call returned."""
    result = None
    for index in range(body.sets):
        if body.setup is not None:
            body.setup()
        result = body(index)
    return result
