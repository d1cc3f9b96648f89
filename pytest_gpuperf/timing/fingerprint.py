"""What a body was given, as a record that two processes can hold against each other: equal where the inputs hold the same bits, wherever they lie."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.arrays import ArrayView, host_bytes, view
from pytest_gpuperf.timing.extents import shares
from pytest_gpuperf.timing.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.device.operations import Operations
    from pytest_gpuperf.timing.body import Body

_SLOT = 8
#: A strided array is packed into memory of its size before it is digested, and that memory is kept: larger ones are passed over.
_STRIDED = 256 << 20
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def inputs_record(
    backend: Backend, operations: Operations, body: Body, inout: Sequence[Any], stream: int, outputs: Sequence[Any] = ()
) -> dict[str, Any]:
    """Return names, digests and shapes of the arguments of every set and of `inout`, as they are now; waits for the stream.

    Arrays are digested by their bits, plain numbers and texts by their repr. What shares memory with `outputs` counts by its shape alone, since
    nothing says what stands in it; everything else stands in `ignored`, by name and type.
    """
    unset = [view(one) for one in outputs]
    named = list(_named(body, inout))
    found: list[tuple[str, str, str]] = []
    on_device: list[tuple[int, ArrayView]] = []
    ignored = []
    for name, value in named:
        array = _array(value)
        if array is not None:
            large = array.place == "device" and not array.contiguous and array.nbytes > _STRIDED
            if large:
                ignored.append(f"{name}: strided and large")
            elif any(shares(array, one) for one in unset):
                found.append((name, "output", _shape(array)))
            else:
                if array.place == "device":
                    on_device.append((len(found), array))
                found.append((name, "" if array.place == "device" else _hashed(host_bytes(array).tobytes()), _shape(array)))
        elif isinstance(value, _PLAIN):
            text = repr(value)
            found.append((name, text if len(text) <= 80 else _hashed(text.encode("utf-8", "surrogatepass")), type(value).__name__))
        else:
            ignored.append(f"{name}: {type(value).__qualname__}")
    digests = [digest for _, digest, _ in found]
    for (place, _), digest in zip(on_device, _digested(backend, operations, [one for _, one in on_device], stream), strict=True):
        digests[place] = digest
    return {"names": [name for name, _, _ in found], "digests": digests, "shapes": [shape for _, _, shape in found], "ignored": ignored}


def _digested(backend: Backend, operations: Operations, arrays: Sequence[ArrayView], stream: int) -> list[str]:
    if not arrays:
        return []
    for one in arrays:
        operations.prepare(one, stream)
    address = backend.alloc(len(arrays) * _SLOT)
    try:
        for number, one in enumerate(arrays):
            operations.digest(one, address + number * _SLOT, stream)
        backend.synchronize(stream)
        words = struct.unpack(f"<{len(arrays)}Q", backend.download(address, len(arrays) * _SLOT))
    finally:
        backend.free(address)
    return [f"{word:016x}" for word in words]


def _named(body: Body, inout: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a body was given, by the names that a reader of the call would use, containers opened; of a captured graph, what it was captured with."""
    if isinstance(body.function, Graph):
        body = dataclasses.replace(body.function.body, arguments=body.function.body.arguments[:1])
    several = len(body.arguments) > 1
    for index, arguments in enumerate(body.arguments):
        for place, value in enumerate(arguments):
            yield from _opened(value, f"inputs[{index}][{place}]" if several else f"argument {place}", ())
    for keyword, value in body.keywords.items():
        yield from _opened(value, f"argument {keyword}=", ())
    for number, value in enumerate(inout):
        yield f"inout[{number}]", value


def _opened(value: Any, name: str, around: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, tuple | list | dict) or id(value) in around:
        yield name, value
        return
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        yield from _opened(part, f"{name}[{key!r}]" if isinstance(key, _PLAIN) else f"{name}[{type(key).__qualname__}]", (*around, id(value)))


def _array(value: Any) -> ArrayView | None:
    try:
        return view(value)
    except TypeError:
        return None


def _shape(array: ArrayView) -> str:
    return f"{array.dtype} {'x'.join(map(str, array.shape)) or 'scalar'}"


def _hashed(data: bytes) -> str:
    return hashlib.blake2s(data).hexdigest()[:16]
