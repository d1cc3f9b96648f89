"""Who will catch an error that is raised now: pytest.raises, which expects it, or something that swallows whatever comes."""

from __future__ import annotations

import ast
import functools
import linecache
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: What catches everything, when an `except` names it or names nothing.
_EVERYTHING = {"Exception", "BaseException", "GpuPerfError"}
#: Errors of failed checks and limits.
_OURS = {"AssertionError", "NotIdentical", "NotClose", "BudgetExceeded"}


def swallower() -> str:
    """Return what would swallow an error raised by the caller without having asked for it, with its line; empty where nothing is seen to.

    Seen in the source are `with suppress(...)`, a bare `except` and one of Exception, whose error is neither kept by a name nor raised again.
    A `with` of something else, as pytest.raises, has asked for it. Code without its source tells nothing.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in {"_pytest", "pluggy"}:
            return ""
        if module.partition(".")[0] != "pytest_gpuperf":
            for found, line in _catchers(frame.f_code.co_filename, frame.f_lineno):
                return f"{found} ({os.path.basename(frame.f_code.co_filename)}:{line})" if found else ""  # noqa: PTH119 - a name, no path
        frame = frame.f_back
    return ""


def _catchers(file: str, line: int) -> Iterator[tuple[str, int]]:
    """Yield what catches on a line of a file, innermost first, and its line: a description of what swallows, "" for what asked for the error."""
    for node in _around(file, line):
        if isinstance(node, ast.With | ast.AsyncWith):
            for item in reversed(node.items):
                name = _name(item.context_expr.func) if isinstance(item.context_expr, ast.Call) else ""
                if name == "suppress" and _suppressed(item.context_expr) & (_EVERYTHING | _OURS):
                    yield "suppress", node.lineno
                elif name.lower().endswith("raises") or name.startswith("assertRaises"):
                    yield "", node.lineno
        elif isinstance(node, ast.Try | ast.TryStar):
            for handler in node.handlers:
                names = _names(handler.type)
                if not names or names & _EVERYTHING:
                    quiet = handler.name is None and not any(isinstance(one, ast.Raise) for one in ast.walk(handler))
                    yield f"except {'/'.join(sorted(names & _EVERYTHING))}".rstrip() if quiet else "", handler.lineno
                elif names & _OURS:
                    yield "", handler.lineno


def _around(file: str, line: int) -> list[ast.AST]:
    """Return the statements whose guarded body holds a line, innermost first."""
    found = []
    for node in _guards(file):
        body = getattr(node, "body", [])
        if body[0].lineno <= line <= (body[-1].end_lineno or body[-1].lineno):
            found.append(node)
    return sorted(found, key=lambda node: node.body[0].lineno, reverse=True)  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=64)
def _guards(file: str) -> tuple[ast.AST, ...]:
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return ()
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.With | ast.AsyncWith | ast.Try | ast.TryStar))


def _suppressed(call: ast.expr) -> set[str]:
    return {_name(one) for one in call.args} if isinstance(call, ast.Call) else set()


def _names(node: ast.expr | None) -> set[str]:
    parts = node.elts if isinstance(node, ast.Tuple) else [] if node is None else [node]
    return {_name(one) for one in parts}


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
