"""KERNELS: our own device code, and the modules that hold it; the driver assembles them."""

from __future__ import annotations

import ctypes
import dataclasses
import difflib
from importlib import resources
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.calls import DeviceError
from pytest_gpuperf.device.rates import ARGUMENTS, RATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """One row of KERNELS: an entry of a PTX module and its arguments, all of 64 bits."""

    name: str
    arguments: tuple[str, ...]
    module: str = "kernels"


KERNELS: tuple[Kernel, ...] = (
    Kernel("empty", ()),
    Kernel("spin", ("ns", "out")),
    Kernel("spin_wide", ("ns", "out", *(f"unused{index}" for index in range(2, 32)))),
    Kernel("stamp", ("out",)),
    Kernel("move", ("source", "target", "reads", "writes")),
    Kernel("flush_read", ("source", "nbytes", "sink")),
    Kernel("fill", ("target", "nbytes", "word")),
    Kernel("digest", ("source", "nbytes", "out")),
    Kernel("diff", ("a", "b", "nbytes", "out")),
    Kernel("pack", ("source", "offsets", "rows", "row_bytes", "target")),
    Kernel("unpack", ("source", "offsets", "rows", "row_bytes", "target")),
    Kernel("work", ("source", "target", "nbytes", "iterations")),
    *(Kernel(name, ARGUMENTS, module) for name, module in dict.fromkeys((row.kernel, row.module) for row in RATES)),
)


class Launchable:
    """A loaded kernel with the memory of its arguments, which the driver copies in each launch; one thread at a time."""

    def __init__(self, row: Kernel, function: Any) -> None:
        self.row, self.function = row, function
        self.values = (ctypes.c_uint64 * len(row.arguments))()
        start = ctypes.addressof(self.values)
        self._places = (ctypes.c_void_p * max(len(row.arguments), 1))(*(start + 8 * index for index in range(len(row.arguments))))
        self.parameters = ctypes.addressof(self._places)


class Modules:
    """The modules of one context: `kernels` is loaded at once, each other one at the first launch from it.

    A first launch of a kernel of another module must not be in a blocked stream: loading would wait for it for ever.
    """

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._loaded: dict[str, Any] = {}
        self._kernels: dict[str, Launchable] = {}

    def load(self, module: str = "kernels") -> None:
        """Load a module and all of its kernels; nothing is left for the driver to load later, at a launch in a blocked stream."""
        text = (resources.files("pytest_gpuperf.device") / f"{module}.ptx").read_bytes() + b"\0"
        self._loaded[module] = handle = self._call("cuModuleLoadData", text)
        for row in KERNELS:
            if row.module == module:
                function = self._call("cuModuleGetFunction", handle, row.name.encode())
                self._call("cuFuncLoad", function)
                self._kernels[row.name] = Launchable(row, function)

    def ready(self, kernel: str, arguments: Sequence[int]) -> Launchable:
        """Return a kernel that can be launched with so many arguments; DeviceError for an unknown name or another number of them."""
        found = self._kernels.get(kernel)
        if found is None and "kernels" in self._loaded:
            row = next((row for row in KERNELS if row.name == kernel), None)
            if row is not None:
                self.load(row.module)
                found = self._kernels[kernel]
        if found is None or len(arguments) != len(found.row.arguments):
            raise DeviceError(_misuse(kernel, arguments))
        return found

    def held(self) -> Iterator[tuple[Any, ...]]:
        """Yield the calls that give back what is held; after them nothing is loaded."""
        for handle in self._loaded.values():
            yield "cuModuleUnload", handle
        self._loaded.clear()
        self._kernels.clear()


def _misuse(kernel: str, arguments: Sequence[int]) -> str:
    """Say what is wrong with a launch: an unknown name, or another number of arguments."""
    row = next((row for row in KERNELS if row.name == kernel), None)
    if row is None:
        near = difflib.get_close_matches(kernel, [row.name for row in KERNELS], 1)
        return f"there is no kernel {kernel!r}" + (f"; nearest {near[0]!r}" if near else "")
    return f"launch({kernel!r}): {len(arguments)} arguments given, or the device is not open; takes ({', '.join(row.arguments)})"
