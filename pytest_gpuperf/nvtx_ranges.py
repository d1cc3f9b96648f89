"""NVTX ranges in the domain "gpuperf": one per measurement, and those that a test marks itself."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, Protocol, Self, TypeVar

DOMAIN = "gpuperf"

#: Longest slug, in characters.
SLUG_LENGTH = 60

_HASH_DIGITS = 10

P = ParamSpec("P")
R = TypeVar("R")


class _Domain(Protocol):
    def get_event_attributes(self, message: str) -> Any: ...

    def push_range(self, attributes: Any) -> Any: ...

    def pop_range(self) -> Any: ...

    def start_range(self, attributes: Any) -> int: ...

    def end_range(self, range_id: int) -> None: ...


@functools.cache
def _domain() -> _Domain | None:
    try:
        import nvtx
    except ImportError:
        # A laptop without a wheel: ranges do nothing, and the record says so by `nvtx_available`.
        return None
    domain: _Domain = nvtx.get_domain(DOMAIN)
    return domain


@functools.cache
def _attributes(name: str) -> Any:
    # Made once a name: a cached range costs tens of nanoseconds, one that makes its attributes ten times that.
    domain = _domain()
    return None if domain is None else domain.get_event_attributes(message=name)


def nvtx_available() -> bool:
    """Return whether ranges reach NVTX; imports nvtx."""
    return _domain() is not None


class Range:
    """A range that the code of a test marks: a context manager and a decorator; may be nested and used again."""

    __slots__ = ("_attributes", "_domain", "name")

    def __init__(self, name: str) -> None:
        """Make the range ready; nvtx is imported here, not when the range is entered."""
        self.name = name
        self._domain = _domain()
        self._attributes = _attributes(name)

    def __enter__(self) -> Self:
        """Push the range."""
        if self._domain is not None:
            self._domain.push_range(self._attributes)
        return self

    def __exit__(self, *_: object) -> None:
        """Pop the range."""
        if self._domain is not None:
            self._domain.pop_range()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with every call inside the range."""

        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return inside


#: What hears of ranges: their name, and whether they are entered or left.
Hear = Callable[[str, bool], None]
_hear: Hear | None = None
_enter, _exit = Range.__enter__, Range.__exit__


def _heard_enter(self: Range) -> Range:
    if _hear is not None:
        _hear(self.name, True)
    return _enter(self)


def _heard_exit(self: Range, *error: object) -> None:
    _exit(self, *error)
    if _hear is not None:
        _hear(self.name, False)


def listen(hear: Hear | None) -> Hear | None:
    """Let one listener hear of every range of this process, None nobody; return who heard before.

    The methods themselves are exchanged: while nobody listens, as beside every sample that is timed, a range costs not a nanosecond more.
    """
    global _hear
    before, _hear = _hear, hear
    methods = (_enter, _exit) if hear is None else (_heard_enter, _heard_exit)
    Range.__enter__, Range.__exit__ = methods  # type: ignore[method-assign, assignment]
    return before


def listening() -> Hear | None:
    """Return who hears of ranges now."""
    return _hear


@contextlib.contextmanager
def heard_by(hear: Hear | None) -> Iterator[None]:
    """Let one listener, or nobody, hear of the ranges of a block."""
    before = listen(hear)
    try:
        yield
    finally:
        listen(before)


@functools.cache
def range(name: str) -> Range:  # noqa: A001 - the verb of the fixture: gpuperf.range("scv_compute_mask")
    """Return the range of a name, as a context manager or a decorator, in the domain "gpuperf".

    >>> with range("scv_compute_mask"):
    ...     pass
    """
    return Range(name)


@contextlib.contextmanager
def measurement_range(slug: str) -> Iterator[None]:
    """Put a start/end range around a measurement: it may begin and end in different threads, and needs no nesting."""
    domain = _domain()
    if domain is None:
        yield
        return
    started = domain.start_range(_attributes(slug))
    try:
        yield
    finally:
        domain.end_range(started)


class Slugs:
    """The names of measurements for tools whose filters cannot take a node id, and the way back.

    A slug comes from the node id and the name alone, so another process (one that a profiler runs) finds the same.
    """

    def __init__(self) -> None:
        """Begin with an empty table."""
        self.table: dict[str, tuple[str, str]] = {}

    def slug(self, nodeid: str, name: str) -> str:
        """Return the slug of a measurement, of [A-Za-z0-9_.-] and at most 60 characters; the same for the same measurement.

        >>> Slugs().slug("suites/test_x.py::test_y[a/b@c]", "main")
        'ge5cfff56cc-test_y-main'
        """
        key = (nodeid, name)
        salt = 0
        while True:
            found = _slug(nodeid, name, salt)
            if self.table.setdefault(found, key) == key:
                return found
            salt += 1


def _slug(nodeid: str, name: str, salt: int) -> str:
    text = "\0".join((nodeid, name, str(salt) if salt else ""))
    digest = hashlib.blake2s(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    function = nodeid.rpartition("::")[2].partition("[")[0]
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{function}-{name}")
    return f"g{digest}-{readable}"[:SLUG_LENGTH]


_SLUGS = Slugs()


def slug(nodeid: str, name: str) -> str:
    """Return the slug of a measurement in this process's table."""
    return _SLUGS.slug(nodeid, name)


def slug_table() -> dict[str, tuple[str, str]]:
    """Return this process's table: slug to (node id, measurement)."""
    return dict(_SLUGS.table)
