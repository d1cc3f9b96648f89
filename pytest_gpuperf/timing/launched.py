"""Which numba kernels a body launches, with the types of their arguments: seen on a GPU by a profile function, in the simulator at its door."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Where numba's launches go through: (module, function).
_DISPATCHER = ("numba.cuda.dispatcher", "call")
_SIMULATOR = "numba.cuda.simulator.kernel"


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """One launch of a numba kernel: the kernel's object, its signature, threads of a block and bytes of dynamic shared memory.

    `signature` is a text that numba reads, as "void(float32[::1], int64)"; "" where the type of an argument has no such text, which `unknown` then names.
    """

    kernel: Any
    signature: str
    block: int
    dynamic_shared: int = 0
    unknown: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """Module and qualified name of the kernel's function."""
        return place_of(self.kernel)

    @property
    def key(self) -> tuple[int, str, int, int]:
        """What makes two launches one to the compiler."""
        return id(self.kernel), self.signature or self.unknown, self.block, self.dynamic_shared


def place_of(kernel: Any) -> tuple[str, str]:
    """Return module and qualified name of a kernel's function.

    >>> place_of(place_of)
    ('pytest_gpuperf.timing.launched', 'place_of')
    """
    function = getattr(kernel, "py_func", kernel)
    return str(getattr(function, "__module__", "")), str(getattr(function, "__qualname__", type(kernel).__qualname__))


def text_of(kind: Any) -> str:
    """Return numba's type of an argument as a text that numba reads; "" for one that has none, as a record.

    >>> from numba import types
    >>> text_of(types.float32[:, ::1]), text_of(types.float32[::1]), text_of(types.int64[:]), text_of(types.boolean), text_of(types.UniTuple(types.int32, 2))
    ('float32[:, ::1]', 'float32[::1]', 'int64[:]', 'boolean', 'UniTuple(int32, 2)')
    """
    if hasattr(kind, "layout") and hasattr(kind, "ndim") and hasattr(kind, "dtype"):
        return _array(kind)
    if type(kind).__name__ == "UniTuple":
        inner = text_of(kind.dtype)
        return inner and f"UniTuple({inner}, {kind.count})"
    if type(kind).__name__ == "Tuple":
        inner_texts = [text_of(one) for one in kind.types]
        return f"Tuple(({', '.join(inner_texts)}))" if all(inner_texts) else ""
    name = str(kind)
    name = {"bool": "boolean", "none": "none"}.get(name, name)
    return name if name.isidentifier() and _is_numbas(name) else ""


def _array(kind: Any) -> str:
    inner = text_of(kind.dtype)
    if not inner or kind.ndim < 1 or not getattr(kind, "aligned", True):
        return ""
    if not getattr(kind, "mutable", True):
        return f"Array({inner}, {kind.ndim}, {kind.layout!r}, readonly=True)"
    places = [":"] * kind.ndim
    if kind.layout in {"C", "F"}:
        places[-1 if kind.layout == "C" else 0] = "::1"
    return f"{inner}[{', '.join(places)}]"


def _is_numbas(name: str) -> bool:
    from numba.core import types

    return hasattr(types, name)


def signature_of(kinds: Sequence[Any]) -> tuple[str, str]:
    """Return the signature of a launch by numba's types of its arguments, or "" and what of them has no text.

    >>> from numba import types
    >>> signature_of([types.float32[::1], types.int64])
    ('void(float32[::1], int64)', '')
    """
    texts = [text_of(kind) for kind in kinds]
    if all(texts):
        return f"void({', '.join(texts)})", ""
    place = texts.index("")
    return "", f"argument {place} is {kinds[place]}"


def normal(signature: str) -> str:
    """Return a signature in the spelling that launches have; as it is where numba does not read it.

    >>> normal("void(f4[::1],i8)"), normal("no such thing")
    ('void(float32[::1], int64)', 'no such thing')
    """
    from numba.core import sigutils

    try:
        kinds, _ = sigutils.normalize_signature(signature)
    except Exception:  # noqa: BLE001 - the compiler says what is wrong with it
        return signature
    return signature_of(kinds)[0] or signature


@contextlib.contextmanager
def simulated(hear: Callable[[Launch], None]) -> Iterator[None]:
    """Hear, for a block, of every launch in numba's simulator, where that is loaded."""
    module: Any = sys.modules.get(_SIMULATOR)
    if module is None:
        yield
        return
    plain = module.FakeCUDAKernel.__call__

    def launch(kernel: Any, *args: Any) -> Any:
        # A helper that a kernel calls is no launch.
        if not kernel._device and module._get_kernel_context() is None and kernel.block_dim is not None:  # noqa: SLF001 - the simulator says it nowhere else
            hear(_simulated(kernel, args))
        return plain(kernel, *args)

    module.FakeCUDAKernel.__call__ = launch
    try:
        yield
    finally:
        module.FakeCUDAKernel.__call__ = plain


def seen_launches(call: Callable[[], Any]) -> tuple[Any, tuple[Launch, ...]]:
    """Call something and return its result and, where numba's simulator is on, what it launched there, each kind of launch once."""
    found: list[Launch] = []
    with simulated(found.append):
        result = call()
    return result, once(found)


def _simulated(kernel: Any, args: Sequence[Any]) -> Launch:
    from numba import typeof

    kinds: list[Any] = []
    for place, value in enumerate(args):
        try:
            kinds.append(typeof(value))
        except (TypeError, ValueError):
            return Launch(
                kernel, "", math.prod(kernel.block_dim), int(kernel.dynshared_size), f"argument {place} is a {type(value).__qualname__}"
            )
    signature, unknown = signature_of(kinds)
    return Launch(kernel, signature, math.prod(kernel.block_dim), int(kernel.dynshared_size), unknown)


def heard(frame: Any) -> Launch | None:
    """Return the launch that a Python call is: that of numba's dispatcher, whose arguments stand in the frame; None for every other call."""
    if frame.f_code.co_name != _DISPATCHER[1] or frame.f_globals.get("__name__") != _DISPATCHER[0]:
        return None
    held = frame.f_locals
    kernel, configured = held.get("self"), held.get("launch_config")
    if kernel is None or configured is None:
        return None
    try:
        signature, unknown = signature_of([kernel.typeof_pyval(one) for one in held.get("args", ())])
    except Exception as error:  # noqa: BLE001 - whoever watches a body does not end it; what the launch itself says of such an argument comes from there
        signature, unknown = "", f"an argument: {error}"
    return Launch(kernel, signature, math.prod(configured.blockdim), int(configured.sharedmem or 0), unknown)


def once(launches: Sequence[Launch]) -> tuple[Launch, ...]:
    """Return launches, in their order, each kind of them once."""
    return tuple({one.key: one for one in launches}.values())
