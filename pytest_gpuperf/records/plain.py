"""Plain JSON values out of what Python code holds."""

from __future__ import annotations

import math
import os
from typing import Any

_LOOK_INSIDE = 60


def plain(obj: Any, where: str = "record") -> Any:
    """Return `obj` as dicts with text keys, lists, text, ints, finite floats, bools and null.

    NumPy scalars and arrays become numbers and lists, paths text with "/", tuples lists; NaN and infinities, which JSON does
    not have, become null. TypeError for anything else, with the place in the record.

    >>> from pathlib import PurePosixPath
    >>> plain({"a": (1, 2.5, float("nan")), "b": PurePosixPath("x/y")})
    {'a': [1, 2.5, None], 'b': 'x/y'}
    """
    if obj is None or obj is True or obj is False:
        return obj
    if isinstance(obj, str):
        # `str.__str__`: an enum of text is its value, and NumPy's text is text.
        return str.__str__(obj)
    if isinstance(obj, int):
        return int(obj)
    if isinstance(obj, float):
        number = float(obj)
        return number if math.isfinite(number) else None
    if isinstance(obj, dict):
        return {_key(key, where): plain(value, f"{where}.{key}") for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [plain(value, f"{where}[{index}]") for index, value in enumerate(obj)]
    if isinstance(obj, os.PathLike):
        return os.fsdecode(obj).replace(os.sep, "/")
    # By the module's name: NumPy must not be imported just to find out that nothing here is NumPy's.
    if type(obj).__module__.partition(".")[0] == "numpy" and callable(getattr(obj, "tolist", None)):
        return _of_numpy(obj.tolist(), obj, where)
    raise TypeError(_refusal(obj, where))


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        message = f"{where}: a key of a record is text, not {type(key).__name__} ({key!r})"
        raise TypeError(message)
    return str.__str__(key)


def _of_numpy(converted: Any, obj: Any, where: str) -> Any:
    # A complex, a datetime or an array of objects does not get plain by tolist alone.
    if type(converted) is type(obj):
        raise TypeError(_refusal(obj, where))
    return plain(converted, where)


def _refusal(obj: Any, where: str) -> str:
    text = repr(obj)
    shown = text if len(text) <= _LOOK_INSIDE else f"{text[:_LOOK_INSIDE]}..."
    return f"{where}: {type(obj).__module__}.{type(obj).__name__} is no plain JSON value: {shown}"
