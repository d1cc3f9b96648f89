"""The one file that knows the simulator from a GPU: two executions of each primitive, one text above them.

A kernel takes flat one-dimensional arrays and indices; what differs between the two worlds (vector accesses by inline PTX,
streams, how memory of another framework becomes an argument) is chosen here, once, when the module is imported.
"""

from __future__ import annotations

import ctypes
import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import config, cuda

if TYPE_CHECKING:
    from collections.abc import Callable

#: True where numba's simulator stands for the GPU.
SIMULATED = bool(config.ENABLE_CUDASIM)

#: Bytes of one vector access.
VECTOR = 16


def plain_load16(array, index):
    """Return the 16 bytes that begin at byte `index` of a flat uint8 array."""
    return array[index : index + 16].copy()


def plain_store16(array, index, vector):
    """Store 16 bytes, as a load returned them, at byte `index` of a flat uint8 array."""
    array[index : index + 16] = vector


def plain_load1(array, index):
    """Return byte `index` of a flat uint8 array."""
    return array[index]


def plain_store1(array, index, byte):
    """Store a byte, as a load returned it, at byte `index` of a flat uint8 array."""
    array[index] = byte


def _plain_access(size: int):
    """Build a load and a store of `size` bytes of a flat uint8 array, from byte `index` on."""

    def load(array, index):
        return array[index : index + size].copy()

    def store(array, index, stored):
        array[index : index + size] = stored

    return load, store


def _device_access(words: int, suffix: str, loads: str = "ld.global"):
    """Build a load and a store of `words` registers as one PTX instruction each; `index` must be a multiple of the access's size.

    What they access is a flat array, or an address as `argument` makes it.

    Both are volatile and clobber memory: LLVM sees no memory in an asm text, and would else move a load over a store. It also leaves
    loops around them as they are, where it would unroll a loop of plain bytes and pay for that with a division before the first load.
    """
    from llvmlite import ir
    from numba.core import types
    from numba.cuda.extending import intrinsic

    word = ir.IntType(32)
    pointer = ir.IntType(8).as_pointer()
    value = types.UniTuple(types.int32, words)
    slots = [f"${number}" for number in range(words + 1)]

    def braced(registers: list[str]) -> str:
        return "{" + ", ".join(registers) + "}" if words > 1 else registers[0]

    def address(context, builder, array_type, array, index):
        if isinstance(array_type, types.Integer):
            return builder.inttoptr(builder.add(array, index), pointer)
        return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])

    @intrinsic
    def load(typing_context, array, index):
        def lower(context, builder, signature, args):
            kind = ir.FunctionType(ir.LiteralStructType([word] * words) if words > 1 else word, [pointer])
            text = f"{loads}.{suffix} {braced(slots[:words])}, [{slots[words]}];"
            asm = ir.InlineAsm(kind, text, "=r," * words + "l,~{memory}", side_effect=True)
            loaded = builder.call(asm, [address(context, builder, signature.args[0], *args)])
            parts = [builder.extract_value(loaded, number) for number in range(words)] if words > 1 else [loaded]
            return context.make_tuple(builder, value, parts)

        return value(array, types.int64), lower

    @intrinsic
    def store(typing_context, array, index, stored):
        def lower(context, builder, signature, args):
            kind = ir.FunctionType(ir.VoidType(), [pointer] + [word] * words)
            text = f"st.global.{suffix} [$0], {braced(slots[1:])};"
            asm = ir.InlineAsm(kind, text, "l," + "r," * words + "~{memory}", side_effect=True)
            parts = [builder.extract_value(args[2], number) for number in range(words)]
            builder.call(asm, [address(context, builder, signature.args[0], *args[:2]), *parts])
            return context.get_dummy_value()

        return types.void(array, types.int64, value), lower

    return load, store


load16, store16 = (plain_load16, plain_store16) if SIMULATED else _device_access(4, "v4.b32")
load8, store8 = _plain_access(8) if SIMULATED else _device_access(2, "v2.b32")
load4, store4 = _plain_access(4) if SIMULATED else _device_access(1, "b32")
load2, store2 = _plain_access(2) if SIMULATED else _device_access(1, "u16")
load1, store1 = (plain_load1, plain_store1) if SIMULATED else _device_access(1, "u8")
# For rows that are read once: they need no place in L1.
streamed4, streamed8, streamed16 = (
    (load4, load8, load16)
    if SIMULATED
    else (_device_access(words, suffix, "ld.global.L1::no_allocate")[0] for words, suffix in ((1, "b32"), (2, "v2.b32"), (4, "v4.b32")))
)


def instruction(text: str, result: str, operands: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Make a helper for kernels of one piece of PTX on registers; in the simulator it is `plain`.

    In `text`, $0 is the result and $1, $2, ... are the operands; `result` and `operands` are a letter each: f for a float32, r for 32
    bits of an integer. A float64 where a float32 belongs does not compile: it is a Python number that nobody meant to compute with.
    """
    if SIMULATED:
        return plain
    from llvmlite import ir
    from numba.core import types
    from numba.cuda.extending import intrinsic

    kinds = {"f": (types.float32, ir.FloatType()), "r": (types.uint32, ir.IntType(32))}

    def typed(given: tuple[Any, ...]) -> Any:
        for letter, kind in zip(operands, given, strict=True):
            if kind != types.float32 if letter == "f" else not isinstance(kind, types.Integer):
                raise TypeError(f"{plain.__name__}: an operand is {kind}, not {kinds[letter][0]}")
        return kinds[result][0](*(kinds[letter][0] for letter in operands))

    def lower(context, builder, signature, args):
        kind = ir.FunctionType(kinds[result][1], [kinds[letter][1] for letter in operands])
        return builder.call(ir.InlineAsm(kind, text, ",".join([f"={result}", *operands])), args)

    forms = {
        1: lambda _typing, a: (typed((a,)), lower),
        2: lambda _typing, a, b: (typed((a, b)), lower),
        3: lambda _typing, a, b, c: (typed((a, b, c)), lower),
    }
    form = forms[len(operands)]
    form.__name__ = plain.__name__
    return intrinsic(form)


def instructions(text: str, result: str, operands: str, array: Callable[..., Any]) -> Callable[..., Any]:
    """Make a helper of `instruction`'s PTX for each number of a tuple: an operand is a tuple, or one number for all; the simulator's is `array`."""
    if SIMULATED:
        return array
    from llvmlite import ir
    from numba.core import types
    from numba.cuda.extending import intrinsic

    kinds = {"f": (types.float32, ir.FloatType()), "r": (types.uint32, ir.IntType(32))}

    def typed(given: tuple[Any, ...]) -> Any:
        wanted = []
        length = max((kind.count for kind in given if isinstance(kind, types.UniTuple)), default=1)
        for letter, kind in zip(operands, given, strict=True):
            many = isinstance(kind, types.UniTuple)
            one = kind.dtype if many else kind
            if one != types.float32 if letter == "f" else not isinstance(one, types.Integer):
                raise TypeError(f"{array.__name__}: an operand is {kind}, not {kinds[letter][0]}")
            wanted.append(types.UniTuple(kinds[letter][0], length) if many else kinds[letter][0])
        return types.UniTuple(kinds[result][0], length)(*wanted)

    def lower(context, builder, signature, args):
        kind = ir.FunctionType(kinds[result][1], [kinds[letter][1] for letter in operands])
        asm = ir.InlineAsm(kind, text, ",".join([f"={result}", *operands]))
        parts = [
            builder.call(asm, [builder.extract_value(given, number) if isinstance(given.type, ir.ArrayType) else given for given in args])
            for number in range(signature.return_type.count)
        ]
        return context.make_tuple(builder, signature.return_type, parts)

    forms = {
        1: lambda _typing, a: (typed((a,)), lower),
        2: lambda _typing, a, b: (typed((a, b)), lower),
        3: lambda _typing, a, b, c: (typed((a, b, c)), lower),
    }
    return intrinsic(forms[len(operands)])


def _prefetch() -> Callable[..., Any]:
    """Build the PTX that asks L2 for the line of a byte; nothing waits for it."""
    if SIMULATED:
        return lambda _array, _index: None
    from llvmlite import ir
    from numba.core import types
    from numba.cuda.extending import intrinsic

    @intrinsic
    def prefetch(typing_context, address, index):
        def lower(context, builder, signature, args):
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)])
            builder.call(ir.InlineAsm(kind, "prefetch.global.L2 [$0];", "l", side_effect=True), [builder.add(*args)])
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), lower

    return prefetch


def inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a helper for kernels: a device function, which NVVM inlines, and in the simulator the function itself.

    numba's own `inline="always"` would translate it again at each of its calls: a third more time to compile, and no better code.

    A helper must not use the name `cuda`: the simulator gives each kernel its own, and threads of a helper would share one.
    """
    return function if SIMULATED else cuda.jit(device=True)(function)


if SIMULATED:

    def word(array, index):
        """Return element `index` of the flat int32 array that an argument is."""
        return array[index]

else:
    from numba import int64

    @inline
    def word(array, index):
        """Return element `index` of the flat int32 array that an argument is."""
        return load4(array, int64(index) * 4)[0]


#: Ask L2 for the line of byte `index` of an argument: a hint, from which nothing but time can come.
prefetch = _prefetch()
#: Bytes that one prefetch brings.
LINE = 128


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """Where an array of any framework lies: address, shape, strides in bytes, dtype by its short name ("bfloat16")."""

    owner: Any
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    itemsize: int
    readonly: bool = False

    @property
    def span(self) -> int:
        """Bytes from the first element to the end of the last one; 0 for an empty array."""
        if 0 in self.shape:
            return 0
        return self.itemsize + sum((extent - 1) * stride for extent, stride in zip(self.shape, self.strides, strict=True))

    def packed(self, dims: int) -> bool:
        """Tell whether the last `dims` dimensions lie one after the other without gaps."""
        step = self.itemsize
        for extent, stride in zip(reversed(self.shape[-dims:]), reversed(self.strides[-dims:]), strict=True):
            if extent > 1 and stride != step:
                return False
            step *= extent
        return True


def memory(array: Any, what: str) -> Memory:
    """Describe a torch, numba, NumPy (simulator only) or CuPy array; `what` names it in errors.

    Raises TypeError for what is no array, or lies where the kernels do not run.
    """
    if hasattr(array, "data_ptr"):
        itemsize = array.element_size()
        strides = tuple(step * itemsize for step in array.stride())
        name = str(array.dtype).removeprefix("torch.")
        if array.device.type != ("cpu" if SIMULATED else "cuda"):
            raise TypeError(f"{what}: a torch tensor on {array.device}, but the kernels run {_place()}")
        return _checked(Memory(array, array.data_ptr(), tuple(array.shape), strides, name, itemsize), what)
    interface = getattr(array, "__array_interface__" if SIMULATED else "__cuda_array_interface__", None)
    if interface is None:
        raise TypeError(f"{what}: {type(array).__module__}.{type(array).__qualname__} is no array that kernels can use {_place()}")
    dtype = np.dtype(getattr(array, "dtype", interface["typestr"]))
    if not dtype.isnative:
        raise TypeError(f"{what}: {dtype.name} of the other byte order ({dtype.str}); copy it first")
    shape = tuple(interface["shape"])
    strides = interface.get("strides") or _packed_strides(shape, dtype.itemsize)
    address, readonly = interface["data"]
    return _checked(Memory(array, address or 0, shape, tuple(strides), dtype.name, dtype.itemsize, readonly), what)


def _place() -> str:
    return "in the simulator" if SIMULATED else "on the GPU (with NUMBA_ENABLE_CUDASIM=1 in the simulator)"


def _packed_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    return tuple(itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _checked(found: Memory, what: str) -> Memory:
    if any(stride < 0 for stride in found.strides):
        raise ValueError(f"{what}: strides {found.strides} run backwards; copy it first")
    return found


def flat(found: Memory, dtype: str = "uint8") -> Any:
    """Return the memory of an array, gaps included, as a flat kernel argument of `dtype`; shares it, copies nothing."""
    count = found.span // np.dtype(dtype).itemsize
    if SIMULATED:
        from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

        raw = (ctypes.c_uint8 * found.span).from_address(found.address) if found.span else b""
        view = FakeCUDAArray(np.frombuffer(raw, dtype=dtype, count=count))
        view.owner = found.owner
        return view
    return cuda.as_cuda_array(_Interface(found.owner, found.address, count, np.dtype(dtype).str))


def argument(found: Memory, dtype: str = "uint8") -> Any:
    """Return what a kernel takes for an array: in the simulator its flat view, on a GPU its address, which keeps nothing alive.

    numba passes seven words for an array: those of ten cost 0.4 us of a step that takes 2 us, measured on an H200.
    """
    return flat(found, dtype) if SIMULATED else found.address


class _Interface:
    """What numba asks of foreign memory; it keeps this object, and so the owner, alive."""

    def __init__(self, owner: Any, address: int, count: int, typestr: str) -> None:
        self.owner = owner
        self.__cuda_array_interface__ = {"data": (address, False), "shape": (count,), "strides": None, "typestr": typestr, "version": 3}


def configured(kernel: Any, blocks: int, threads: tuple[int, int], stream: int) -> Callable[..., None]:
    """Bind a kernel to a launch shape and a stream's handle (0: the legacy default stream).

    The simulator's kernel object holds one configuration at a time, so there it is bound anew at each launch.
    """
    if SIMULATED:
        return lambda *args: kernel[blocks, threads](*args)
    return kernel[blocks, threads, cuda.external_stream(int(stream)) if int(stream) else 0]
