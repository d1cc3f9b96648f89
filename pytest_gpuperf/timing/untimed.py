"""Calls that nothing times: every version of a comparison from the same bits, and what each leaves, wherever the arrays lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import device_arrays, host_bytes, view
from pytest_gpuperf.timing.extents import placed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gpuperf.device.arrays import ArrayView
    from pytest_gpuperf.device.operations import Operations
    from pytest_gpuperf.timing.body import Body

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


class Untimed:
    """Declared arrays on the host or the device, what the inouts held at first, and copies of what a call leaves.

    >>> total = np.zeros(2)
    >>> untimed = Untimed(lambda: None, [], [total])
    >>> total += 1
    >>> untimed.restore()
    >>> total.tolist()
    [0.0, 0.0]
    """

    def __init__(self, operations: Callable[[], Operations | None], outputs: Sequence[Any], inout: Sequence[Any]) -> None:
        """Copy every inout aside; the device is opened only where an array lies on it."""
        self._open = operations
        named = [(f"outputs[{number}]", view(one)) for number, one in enumerate(outputs)]
        inouts = [(f"inout[{number}]", view(one)) for number, one in enumerate(inout)]
        self._named = named + inouts
        self._entry: list[tuple[ArrayView, Any]] = []
        for _, one in inouts:
            self._entry.append((one, host_bytes(one).copy() if one.place == "host" else self._aside(one)))

    def restore(self) -> None:
        """Put every inout back."""
        for one, kept in self._entry:
            if one.place == "host":
                placed(one, writable=True)[...] = kept.view(f"V{one.itemsize}").reshape(one.shape)
            else:
                self._operations().restore(one, kept, 0)

    def call(self, body: Body) -> tuple[Any, dict[str, Any]]:
        """Call a body once with every argument set; return its last result and, by name, what it left in the declared and returned arrays."""
        result = None
        for index in range(body.sets):
            if body.setup is not None:
                body.setup()
            result = body(index)
        known = {one.address for _, one in self._named}
        returned = [one for one in device_arrays(result) if one.address not in known and one.nbytes]
        named = [*self._named, *((f"returned array {number}", one) for number, one in enumerate(returned))]
        return result, {name: self._copy(one) for name, one in named}

    def close(self) -> None:
        """Free what was kept on the device."""
        for one, kept in self._entry:
            if one.place == "device":
                self._operations().backend.free(kept)
        self._entry = []

    def _copy(self, one: ArrayView) -> Any:
        from pytest_gpuperf.timing.compare import on_host

        if one.place == "host":
            return on_host(one, host_bytes(one).copy())
        self._operations().backend.synchronize()
        return on_host(one, self._operations().download(one))

    def _aside(self, one: ArrayView) -> int:
        operations = self._operations()
        operations.backend.synchronize()
        address = operations.backend.alloc(max(one.nbytes, 1))
        operations.snapshot(one, address, 0)
        operations.backend.synchronize()
        return address

    def _operations(self) -> Operations:
        found = self._open()
        assert found is not None, "an array on a device that cannot be opened"
        return found
