"""Arrays that a body was given and that its author declared as neither outputs nor inout: do calls leave them as they were?"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pytest_gpuperf.device.arrays import device_arrays
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.extents import shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from pytest_gpuperf.device.arrays import ArrayView
    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.device.operations import Operations
    from pytest_gpuperf.timing.body import Body

_SLOT = 8
#: A strided array is packed into memory of its size before it is digested, and that memory is kept: larger ones are not looked at.
_STRIDED = 256 << 20
_SHOWN = 3


class Inputs:
    """Digests of the undeclared arrays among a body's arguments, taken before the first call, after the first ones and after the last.

    A body with `setup=` is not watched, as that may put new contents into every call, nor one that `varies`.
    """

    def __init__(self, backend: Backend, operations: Operations, body: Body, declared: Sequence[ArrayView]) -> None:
        """Find the arrays; nothing is read yet."""
        self.backend, self.operations = backend, operations
        watched = body.setup is None and not body.varies
        found = [(name, one) for name, one in _named(body) if one.nbytes and not any(shares(one, other) for other in declared)] if watched else []
        self.arrays = [(name, one) for name, one in found if one.contiguous or one.nbytes <= _STRIDED]
        self._large = [name for name, one in found if not one.contiguous and one.nbytes > _STRIDED]
        self._address = 0
        self._before: list[int] = []
        self._first: list[int] = []
        self._last: list[int] = []

    def before(self, stream: int) -> None:
        """Look before the first call."""
        self._before = self._look(stream)

    def first(self, stream: int) -> None:
        """Look when every argument set was called."""
        self._first = self._look(stream)

    def last(self, stream: int) -> None:
        """Look after the last call, at what the first calls left."""
        self._last = self._look(stream)

    def _look(self, stream: int) -> list[int]:
        if not self.arrays:
            return []
        if not self._address:
            for _, one in self.arrays:
                self.operations.prepare(one, stream)
            self._address = self.backend.alloc(len(self.arrays) * _SLOT)
        for number, (_, one) in enumerate(self.arrays):
            self.operations.digest(one, self._address + number * _SLOT, stream)
        self.backend.synchronize(stream)
        return list(struct.unpack(f"<{len(self.arrays)}Q", self.backend.download(self._address, len(self.arrays) * _SLOT)))

    @property
    def reason(self) -> Reason | None:
        """Why the calls cannot be held against one limit: later ones changed what the first ones had left; None where they did not."""
        changed = self._names(self._first, self._last)
        if not changed:
            return None
        return Reason("changes-inputs", f"{_listed(changed)} {_have(changed)} other bits after the last call than after the first ones, so no two calls did the same work")

    @property
    def notes(self) -> Iterator[str]:
        """Lines on arrays that the first calls changed and the later ones left alone (outputs that nothing checks, inputs that are done with), and on what was not looked at."""
        if self._large:
            yield f"{_listed(self._large)} not looked at, whether calls change it: strided and large"
        changed = self._names(self._before, self._first)
        if changed and self.reason is None:
            yield f"the first call changed {_listed(changed)}, which {'are' if len(changed) > 1 else 'is'} declared as neither outputs= nor inout=: not checked, and later calls began from what it left"

    def _names(self, some: Sequence[int], others: Sequence[int]) -> list[str]:
        return [name for (name, _), one, other in zip(self.arrays, some, others, strict=False) if one != other]

    def close(self) -> None:
        """Free the digests."""
        if self._address:
            self.backend.free(self._address)
            self._address = 0


def _named(body: Body) -> Iterator[tuple[str, ArrayView]]:
    """Yield every device array among the arguments once, as a reader of the call would name it."""
    seen: set[int] = set()
    several = len(body.arguments) > 1

    def arrays(value: Any, name: str) -> Iterator[tuple[str, ArrayView]]:
        for one in device_arrays(value):
            if one.address not in seen:
                seen.add(one.address)
                yield f"{name} ({one.dtype}, {'x'.join(map(str, one.shape)) or 'scalar'})", one

    for index, arguments in enumerate(body.arguments):
        for place, value in enumerate(arguments):
            yield from arrays(value, f"inputs[{index}][{place}]" if several else f"argument {place}")
    for keyword, value in body.keywords.items():
        yield from arrays(value, f"argument {keyword}=")


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _have(names: Sequence[str]) -> str:
    return "have" if len(names) > 1 else "has"
