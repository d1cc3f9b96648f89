"""Which hardware counters a test's own code asks for, so that `m["dram__bytes_write.sum"] <= x` needs no marker."""

from __future__ import annotations

import dis
import inspect
import types
from typing import TYPE_CHECKING

from pytest_gpuperf.counters.names import COUNTERS, PARTS, counter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Short names that hardly anything else is called; the others count in markers only, as `warps` is a name of many things.
DISTINCTIVE = frozenset(row.name for row in COUNTERS if "_" in row.name)

#: What an instruction before an attribute says of it: that of a module or of another global is no measurement's.
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")


def asked_in(function: object, parameters: Iterable[object] = ()) -> tuple[str, ...]:
    """Return the counters that a test function names, in the order of its code and each once; parameters of the test count as its own texts.

    Full names count wherever a text is one. Short names count as attributes and subscripts of what is no global, as keys of a limit and as keywords:
    a text or a function of that name is none.

    >>> def test_writes(gpuperf, staged):
    ...     base = gpuperf.measure(staged.write_all, name="bank_conflicts")
    ...     assert base["dram__bytes_write.sum"] <= 2 * base.dram_read
    >>> asked_in(test_writes)
    ('dram__bytes_write.sum', 'dram_read')
    """
    plain = inspect.unwrap(function) if callable(function) else function
    code = getattr(plain, "__code__", None)
    found = [] if code is None else list(_names_in(code))
    found += [one for one in parameters if isinstance(one, str) and is_full_name(one)]
    return tuple(dict.fromkeys(found))


def is_full_name(text: str) -> bool:
    """Say whether a text is a counter's full name, of a known part of the chip.

    >>> is_full_name("dram__bytes_write.sum"), is_full_name("dram_write"), is_full_name("my__notes.sum"), is_full_name("sm__init")
    (True, False, False, False)
    """
    return "__" in text and text.partition("__")[0] in PARTS and counter(text) is not None


def _names_in(code: types.CodeType) -> Iterator[str]:
    constants = list(_constants(code))
    yield from (one for one in constants if isinstance(one, str) and is_full_name(one))
    # Reading instructions takes time, which a test without such a word does not cost.
    if DISTINCTIVE.intersection(code.co_names) or DISTINCTIVE.intersection(one for one in constants if isinstance(one, str)):
        yield from _short_names_in(code)
    for one in constants:
        if isinstance(one, types.CodeType):
            yield from _names_in(one)


def _constants(code: types.CodeType) -> Iterator[object]:
    for one in code.co_consts:
        yield from one if isinstance(one, (tuple, frozenset)) else (one,)


def _short_names_in(code: types.CodeType) -> Iterator[str]:
    # Without CACHE and the like, which carry no meaning here.
    steps = [step for step in dis.get_instructions(code) if step.opname not in {"CACHE", "NOP", "EXTENDED_ARG", "RESUME"}]
    for place, step in enumerate(steps):
        before = steps[place - 1].opname if place else ""
        after = steps[place + 1] if place + 1 < len(steps) else None
        if step.opname in {"LOAD_ATTR", "LOAD_METHOD"} and step.argval in DISTINCTIVE and before not in _GLOBALS:
            yield step.argval
        elif step.opname in {"LOAD_CONST", "KW_NAMES"} and isinstance(step.arg, int) and isinstance(words := code.co_consts[step.arg], tuple):
            # Keywords of a call, keys of a dict, or names that a loop goes through.
            yield from (one for one in words if isinstance(one, str) and one in DISTINCTIVE)
        elif step.opname == "LOAD_CONST" and isinstance(step.argval, str) and step.argval in DISTINCTIVE and after is not None:
            of_global = before in _GLOBALS
            if (_subscript(after) and not of_global) or _limit(after):
                yield step.argval


def _subscript(step: dis.Instruction) -> bool:
    return step.opname == "BINARY_SUBSCR" or (step.opname == "BINARY_OP" and step.argrepr == "[]")


def _limit(step: dis.Instruction) -> bool:
    """Say whether what follows a name is the limit that it is the key of."""
    return step.opname == "LOAD_CONST" and isinstance(step.argval, str) and step.argval.lstrip()[:1] in {"<", ">", "="}
