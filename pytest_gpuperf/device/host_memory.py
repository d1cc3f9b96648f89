"""Host buffers and their copies: page-locked ones, which the device reads by itself, and pageable ones, which the driver stages."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.calls import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class HostMemory:
    """Buffers of the host by address, and streams to copy in; see `backend.Host` for what each call does."""

    def __init__(self, driver: Any, call: Callable[..., Any]) -> None:
        """Keep the driver and its checked call; nothing is allocated yet."""
        self._driver, self._call = driver, call
        self._pinned: set[int] = set()
        self._pageable: dict[int, Any] = {}
        self._streams: list[Any] = []

    def alloc(self, nbytes: int, *, pinned: bool) -> int:
        """Allocate, and touch every page: a first touch is not a copy's to pay for."""
        if pinned:
            try:
                address = int(self._call("cuMemHostAlloc", nbytes, 0))
            except DeviceError as error:
                if error.code != int(self._driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY):
                    raise
                message = f"{nbytes:,} bytes of page-locked host memory are not to be had"
                raise MemoryError(message) from error
            self._pinned.add(address)
        else:
            # From the heap, as an array of a program is: what mmap gives by default is shared, and has small pages.
            pages = (ctypes.c_char * nbytes)()
            address = ctypes.addressof(pages)
            self._pageable[address] = pages
        ctypes.memset(address, 1, nbytes)
        return address

    def free(self, address: int) -> None:
        """Free what `alloc` returned."""
        if address in self._pinned:
            self._pinned.remove(address)
            self._call("cuMemFreeHost", address)
        else:
            del self._pageable[address]

    def to_device(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy from the host, in a stream."""
        self._call("cuMemcpyHtoDAsync", target, source, nbytes, stream)

    def from_device(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy to the host, in a stream."""
        self._call("cuMemcpyDtoHAsync", target, source, nbytes, stream)

    def streams(self, count: int) -> tuple[int, ...]:
        """Return streams of our own that wait for no other; made at the first use."""
        while len(self._streams) < count:
            self._streams.append(self._call("cuStreamCreate", int(self._driver.CUstream_flags.CU_STREAM_NON_BLOCKING)))
        return tuple(map(int, self._streams[:count]))

    def held(self) -> Iterator[tuple[Any, ...]]:
        """Yield the calls that give back what is held."""
        yield from (("cuMemFreeHost", address) for address in self._pinned)
        yield from (("cuStreamDestroy", stream) for stream in self._streams)
        self._pinned.clear()
        self._streams.clear()
