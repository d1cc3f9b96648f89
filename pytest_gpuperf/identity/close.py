"""Close enough: within so many ulp, or within a relative and absolute tolerance of the reference."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import resolved
from pytest_gpuperf.errors import NotClose
from pytest_gpuperf.identity.bits import as_words, host_copy
from pytest_gpuperf.identity.formats import FloatFormat, decode, format_of, ulps

if TYPE_CHECKING:
    from pytest_gpuperf.device.arrays import ArrayView
    from pytest_gpuperf.device.operations import Operations


#: Two roads to one number agree at least to this share of it, or they are not the same computation.
_ROUNDING = 1e-3


@dataclasses.dataclass(frozen=True, slots=True)
class Tolerance:
    """What is allowed: `ulp` units in the last place, or `atol + rtol * |reference|`."""

    ulp: int | None = None
    rtol: float = 0.0
    atol: float = 0.0

    def __str__(self) -> str:
        """Say it as the caller did.

        >>> print(Tolerance(ulp=4), "|", Tolerance(rtol=1e-5), "|", Tolerance(rtol=1e-5, atol=1e-8), "|", Tolerance())
        4 ulp | rtol 1e-05 | rtol 1e-05 + atol 1e-08 | rtol 0
        """
        if self.ulp is not None:
            return f"{self.ulp} ulp"
        parts = [f"{name} {value:g}" for name, value in (("rtol", self.rtol), ("atol", self.atol)) if value]
        return " + ".join(parts) or "rtol 0"


def tolerance(ulp: float | None, rtol: float | None, atol: float | None) -> Tolerance:
    """Read the tolerance that was asked for; TypeError where not exactly one kind is given, ValueError for what cannot be."""
    if (ulp is None) == (rtol is None and atol is None):
        message = "close needs exactly one kind of tolerance: ulp=, or rtol= and atol= (either or both)"
        raise TypeError(message)
    for name, value in (("ulp", ulp), ("rtol", rtol), ("atol", atol)):
        if value is not None and not (0 <= value < math.inf):
            message = f"close({name}={value!r}): a tolerance is a finite number, 0 or more"
            raise ValueError(message)
    if ulp is not None and ulp != int(ulp):
        message = f"close(ulp={ulp!r}): needs a whole number of units in the last place"
        raise ValueError(message)
    return Tolerance(None if ulp is None else int(ulp), float(rtol or 0.0), float(atol or 0.0))


def close(
    a: object,
    b: object,
    *,
    ulp: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    operations: Operations | None = None,
) -> str:
    """Hold an output `a` against its reference `b` within a tolerance; return what was compared, or raise NotClose.

    With `rtol` and `atol` the dtypes may differ (a bfloat16 output, a float32 reference); `ulp` needs one floating dtype. NaN
    matches NaN, infinity the same infinity, and nothing else. An output that is the same number everywhere fails against a
    reference that is not, even where the tolerance is wide enough to let it pass.

    >>> import numpy as np
    >>> close(np.array([1.0, 2.0], "float32"), np.array([1.0, 2.0000002], "float32"), ulp=1)
    '2 elements of float32 within 1 ulp, worst 1 ulp'
    >>> close(np.array([1.0, 2.5]), np.array([1.0, 2.0]), rtol=0.1)
    Traceback (most recent call last):
        ...
    pytest_gpuperf.errors.NotClose: not close: 1 of 2 elements beyond rtol 0.1, worst at [1]: 2.5 != 2 (differs by 0.5, allowed 0.2)
    """
    allowed = tolerance(ulp, rtol, atol)
    left, right = resolved(a), resolved(b)
    if left.shape != right.shape:
        raise NotClose(f"shapes differ: {list(left.shape)} != {list(right.shape)}")
    if allowed.ulp is not None and (left.dtype != right.dtype or format_of(left.dtype) is None):
        message = f"close(ulp={allowed.ulp}): needs one floating dtype, not {left.dtype} and {right.dtype}; use rtol= and atol="
        raise TypeError(message)
    if "device" in (left.place, right.place) and operations is not None:
        operations.backend.synchronize()
    ours, theirs = _Numbers(left, operations), _Numbers(right, operations)
    return judge(ours, theirs, left.shape, allowed)


class _Numbers:
    """The elements of an array on the host, as words and as numbers; [elements, parts], two parts for complex numbers."""

    def __init__(self, array: ArrayView, operations: Operations | None) -> None:
        self.dtype = array.dtype
        self.form = format_of(array.dtype)
        packed = host_copy(array, operations)
        self.words = as_words(packed, array.dtype, array.itemsize).reshape(array.elements, -1)
        self.values = decode(self.words, self.form) if self.form is not None else self.words.view(_integer(array.dtype))

    @property
    def grain(self) -> float:
        """Below which share of their magnitude differences of a reference are no structure, but rounding."""
        return max(_ROUNDING, 2.0 ** (1 - self.form.mantissa) if self.form is not None else 0.0)

    def exact(self, index: tuple[int, int]) -> str:
        """Write one number as it is compared."""
        value = self.values[index]
        return f"{value:.9g}" if self.form is not None else str(int(value))


def _integer(dtype: str) -> str:
    """Return the name of an integer dtype, uint8 for bool; TypeError for one that holds no numbers."""
    import numpy as np

    if dtype == "bool":
        return "uint8"
    try:
        known = np.dtype(dtype).kind in "iu"
    except TypeError:
        known = False
    if not known:
        message = f"close: {dtype} holds no numbers that can be compared with a tolerance; use identical"
        raise TypeError(message)
    return dtype


def judge(ours: _Numbers, theirs: _Numbers, shape: tuple[int, ...], allowed: Tolerance) -> str:
    """Judge elements of one shape; return what was compared or raise NotClose."""
    import numpy as np

    if ours.words.shape != theirs.words.shape:
        raise NotClose(f"dtypes differ: {ours.dtype} != {theirs.dtype}: one is complex")
    elements = len(ours.words)
    stuck = constant(ours.values, theirs.values, ours.words, ours.grain)
    if stuck:
        raise NotClose(stuck)
    excess, apart, limit = _excess(ours, theirs, allowed)
    detail = f"{elements:,} element{'' if elements == 1 else 's'} of {ours.dtype} within {allowed}"
    if not elements:
        return detail
    wrong = int((excess > 0).any(axis=1).sum())
    order = np.where(excess > 0, excess, -1) if wrong else apart.astype(np.float64)
    row, part = np.unravel_index(int(np.argmax(order)), order.shape)
    worst = (int(row), int(part))
    if not wrong:
        return f"{detail}, worst {_apart(apart[worst], allowed)}"
    index = [int(position) for position in np.unravel_index(worst[0], shape)] if shape else []
    names = "" if order.shape[1] == 1 else (" (real part)", " (imaginary part)")[worst[1]]
    text = f"not close: {wrong:,} of {elements:,} elements beyond {allowed}, worst at {index}{names}: {ours.exact(worst)} != {theirs.exact(worst)}"
    if not _finite(ours, worst) or not _finite(theirs, worst):
        raise NotClose(f"{text} (NaN and infinity match only themselves)")
    beyond = "" if allowed.ulp is not None else f", allowed {limit[worst]:g}"
    raise NotClose(f"{text} ({'' if allowed.ulp is not None else 'differs by '}{_apart(apart[worst], allowed)}{beyond})")


def constant(ours: Any, theirs: Any, words: Any, grain: float = 0.0) -> str:
    """Describe an output that is one number everywhere while its reference is not; empty for any other.

    A reference counts as constant too where it spreads by at most `grain` of its magnitude.

    >>> import numpy as np
    >>> output = np.zeros((3, 1))
    >>> constant(output, np.array([[1.0], [2.0], [1.5]]), output.view("u8"))
    'the output is 0 in all 3 elements, while the reference runs from 1 to 2: was it written at all?'
    """
    import numpy as np

    if len(ours) < 2 or not (words == words[0]).all() or (theirs == theirs[0]).all() or np.isnan(theirs).all():
        return ""
    value = ", ".join(f"{number:g}" for number in ours[0])
    finite = theirs[np.isfinite(theirs)]
    if finite.size == theirs.size:
        wide = theirs.astype(np.float64)
        if (np.ptp(wide, axis=0) <= grain * np.abs(wide).max()).all():
            return ""
    runs = f"runs from {finite.min():g} to {finite.max():g}" if finite.size else "is not"
    return f"the output is {value} in all {len(ours):,} elements, while the reference {runs}: was it written at all?"


def _excess(ours: _Numbers, theirs: _Numbers, allowed: Tolerance) -> tuple[Any, Any, Any]:
    """Return by how much each part is beyond its limit (infinite for NaN and infinity that do not match), the distance, the limit."""
    import numpy as np

    a, b = ours.values, theirs.values
    if ours.form is None and theirs.form is None:
        apart = _integer_distance(a, b)
        limit = allowed.atol + allowed.rtol * np.abs(b.astype(np.float64))
        return np.where(apart > limit, apart - limit, 0.0), apart, limit
    a, b = a.astype(np.float64), b.astype(np.float64)
    special = ~(np.isfinite(a) & np.isfinite(b))
    same = (np.isnan(a) & np.isnan(b)) | (a == b)
    with np.errstate(invalid="ignore", over="ignore"):
        if allowed.ulp is not None and isinstance(ours.form, FloatFormat):
            apart = ulps(ours.words, theirs.words, ours.form)
            apart[special] = 0
            limit = np.full(apart.shape, float(allowed.ulp))
            beyond = np.where(apart > allowed.ulp, apart.astype(np.float64) - allowed.ulp, 0.0)
        else:
            apart = np.where(special, 0.0, np.abs(a - b))
            limit = allowed.atol + allowed.rtol * np.abs(b)
            beyond = np.where(apart > limit, apart - limit, 0.0)
    return np.where(special, np.where(same, 0.0, np.inf), beyond), apart, limit


def _integer_distance(a: Any, b: Any) -> Any:
    """Return |a - b| of integers as float64, without the overflow of either dtype."""
    import numpy as np

    if a.dtype == b.dtype and a.dtype.kind in "iu":
        high, low = np.maximum(a, b), np.minimum(a, b)
        return (high.astype(np.uint64) - low.astype(np.uint64)).astype(np.float64)
    return np.abs(a.astype(np.float64) - b.astype(np.float64))


def _apart(distance: Any, allowed: Tolerance) -> str:
    return f"{int(distance):,} ulp" if allowed.ulp is not None else f"{float(distance):g}"


def _finite(numbers: _Numbers, index: tuple[int, int]) -> bool:
    return math.isfinite(numbers.values[index])
