"""The measured body: what is called, with which arguments, and what kind of work it puts on its stream."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import sys
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.timing.clock import GRAPH, KERNEL, UNKNOWN
from pytest_gpuperf.timing.launched import heard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_gpuperf.timing.launched import Launch
    from pytest_gpuperf.work import Work

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


@dataclasses.dataclass(frozen=True)
class Body:
    """A function with its argument sets; calling `body(k)` calls it with set k, cyclically."""

    function: Callable[..., Any]
    arguments: Sequence[Sequence[Any]]
    keywords: Mapping[str, Any]
    work: Work | None = None
    setup: Callable[[], Any] | None = None
    varies: bool = False

    def __call__(self, index: int = 0) -> Any:
        """Call the function with one of its argument sets."""
        return self.function(*self.arguments[index % len(self.arguments)], **self.keywords)

    def bound(self, index: int) -> Callable[[], Any]:
        """Return the call with one of its argument sets, with nothing of ours around it: for clocks on the host."""
        arguments = self.arguments[index % len(self.arguments)]
        if not arguments and not self.keywords:
            return self.function
        return functools.partial(self.function, *arguments, **self.keywords)

    @property
    def sets(self) -> int:
        """How many argument sets rotate."""
        return len(self.arguments)


@dataclasses.dataclass(frozen=True, slots=True)
class Launcher:
    """One row of LAUNCHERS: Python code that puts work on a stream, by module prefix and function name ("" for any)."""

    module: str
    function: str
    kind: str


#: Who is known to launch what. Anything else that a body calls leaves its kind unknown, and its interval wider.
LAUNCHERS: tuple[Launcher, ...] = (
    Launcher("torch.cuda.graphs", "replay", GRAPH),
    Launcher("pytest_gpuperf.timing.graph", "replay", GRAPH),
    Launcher("pytest_gpuperf.testing.body", "replay", GRAPH),
    Launcher("pytest_gpuperf.testing.body", "launch", KERNEL),
    Launcher("pytest_gpuperf.qualify.subject", "launch", KERNEL),
    Launcher("numba.cuda", "__call__", KERNEL),
    Launcher("numba_cuda", "__call__", KERNEL),
    Launcher("triton.runtime.jit", "run", KERNEL),
    Launcher("torch", "", KERNEL),
    Launcher("cupy", "", KERNEL),
)

#: Code that may launch anything in ways that cannot be seen from here.
OPAQUE = ("cuda.bindings", "cuda.core", "ctypes", "cffi", "cupy.cuda.graph", "cupy_backends")


def watch_kind(call: Callable[[], Any], launches: list[Launch] | None = None) -> tuple[Any, str]:
    """Call something under a profile function and return its result and the kind of its launches; those of numba's kernels are added to `launches`.

    Only Python frames and C functions that CPython reports are seen; a call that shows neither a known launcher nor anything
    else is unknown.
    """
    seen: set[str] = set()

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
            launch = None if launches is None else heard(frame)
            if launches is not None and launch is not None:
                launches.append(launch)
        elif event == "c_call":
            module, name = module_of(argument), getattr(argument, "__name__", "")
        else:
            return
        if asks_for_a_stream(frame):
            return
        seen.update(classify(str(module), str(name)))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        result = call()
    finally:
        sys.setprofile(before)
    return result, verdict(seen)


def watched_once(call: Callable[[], Any], launches: list[Launch]) -> Callable[[], Any]:
    """Return a call whose first use adds the launches of numba's kernels to `launches`; later uses are those of the call itself."""
    uses = itertools.count()

    def watched() -> Any:
        # A profiler that somebody else runs is not ours to interrupt.
        return call() if next(uses) or sys.getprofile() is not None else watch_kind(call, launches)[0]

    return watched


def asks_for_a_stream(frame: Any) -> bool:
    """Say whether a call is part of `gpuperf.stream`, which asks torch for its current stream and launches nothing."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "pytest_gpuperf.device.streams":
            return True
        frame = frame.f_back
    return False


def module_of(function: Any) -> str:
    """Return the module of a C function, or of the type that it is a method of."""
    module = getattr(function, "__module__", None)
    if module:
        return str(module)
    owner = getattr(function, "__self__", None)
    owner = getattr(function, "__objclass__", None) if owner is None else owner
    return str(getattr(owner if isinstance(owner, type) else type(owner), "__module__", ""))


def classify(module: str, name: str) -> Iterator[str]:
    """Yield the kind that one called function stands for; nothing for code that launches nothing.

    >>> list(classify("torch.cuda.graphs", "replay")), list(classify("cuda.bindings.driver", "cuGraphLaunch")), list(classify("json", "dumps"))
    (['graph'], ['unknown'], [])
    """
    if any(_inside(module, prefix) for prefix in OPAQUE):
        yield UNKNOWN
        return
    for row in LAUNCHERS:
        if _inside(module, row.module) and row.function in {"", name}:
            yield row.kind
            return


def launches(module: str, name: str) -> bool:
    """Say whether a function is known to put work on a stream.

    >>> launches("numba.cuda.dispatcher", "__call__"), launches("json", "dumps")
    (True, False)
    """
    return any(_inside(module, row.module) and row.function in {"", name} for row in LAUNCHERS)


def _inside(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def verdict(seen: set[str]) -> str:
    """Return the kind of a body from the kinds of what it called.

    A numba launch itself goes through cuda.bindings or ctypes, and torch's replay through torch: the outer launcher decides.

    >>> verdict({"kernel", "unknown"}), verdict({"graph", "kernel"}), verdict({"unknown"})
    ('kernel', 'graph', 'unknown')
    """
    if GRAPH in seen:
        return GRAPH
    return KERNEL if KERNEL in seen else UNKNOWN


def compiled_before(body: Body) -> bool | None:
    """Say whether the kernels that a body refers to had been compiled in this process; None where none of them tells.

    numba dispatchers have `overloads`, Triton's functions `device_caches`; both are empty until the first launch.
    """
    number = compiled(body)
    return None if number is None else number > 0


def compiled(body: Body) -> int | None:
    """Count the specialisations that the kernels a body refers to have in this process; None where none of them tells."""
    told = [number for thing in _reachable(body) for number in _specialisations(thing)]
    return sum(told) if told else None


def _specialisations(thing: Any) -> Iterator[int]:
    for name in ("overloads", "device_caches"):
        # Looked up on the type too, so that modules with a lazy __getattr__ and mocks do not answer for everything.
        if hasattr(type(thing), name) or name in getattr(thing, "__dict__", {}):
            state = getattr(thing, name)
            if isinstance(state, dict):
                yield sum(map(_size, state.values())) if name == "device_caches" else len(state)


def _size(cache: Any) -> int:
    """Count the kernels in what Triton keeps for one device: a dict of them, or a tuple that has one."""
    return max((len(part) for part in cache if isinstance(part, dict)), default=0) if isinstance(cache, tuple) else len(cache)


def _reachable(body: Body) -> Iterator[Any]:
    """Yield what a function refers to: itself, its closure, the globals it names, bound objects and partials, two levels deep."""
    pending, seen = [(body.function, 0)], set()
    pending += [(value, 1) for values in body.arguments for value in values if callable(value)]
    while pending:
        thing, depth = pending.pop()
        if id(thing) in seen or depth > 3:
            continue
        seen.add(id(thing))
        yield thing
        code = getattr(thing, "__code__", None)
        names = getattr(thing, "__globals__", {})
        following = [cell.cell_contents for cell in getattr(thing, "__closure__", None) or () if _filled(cell)]
        following += [names[name] for name in getattr(code, "co_names", ()) if name in names]
        following += [getattr(thing, name) for name in ("func", "fn", "dispatcher", "__wrapped__", "__func__") if _own(thing, name)]
        owner = getattr(thing, "__self__", None)
        following += [owner] if owner is not None and not isinstance(owner, type(sys)) else []
        pending += [(one, depth + 1) for one in following if one is not None and not isinstance(one, (int, float, str, bytes, tuple, type(sys)))]


def _own(thing: Any, name: str) -> bool:
    return name in getattr(thing, "__dict__", {}) or hasattr(type(thing), name)


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
