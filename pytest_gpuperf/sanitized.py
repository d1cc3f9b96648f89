"""In a session that compute-sanitizer watches: bodies are only called, and the length of its log is noted at the begin and the end of each case."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pytest_gpuperf.arguments import call_once, listed
from pytest_gpuperf.child import ChildState
from pytest_gpuperf.child_verbs import ChildGpuPerf, ChildRuntime
from pytest_gpuperf.device.streams import handle_of
from pytest_gpuperf.items import is_case
from pytest_gpuperf.nvtx_ranges import slug
from pytest_gpuperf.timing.buffers import Buffers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from pytest_gpuperf.fixture import GpuPerf
    from pytest_gpuperf.state import State
    from pytest_gpuperf.timing.body import Body

#: In the folder of a checked session: the tool's log, the sizes that it had, and what the session printed.
LOG, PIECES, PRINTED = "sanitizer.log", "pieces.jsonl", "child.log"
_DISPATCHERS = "numba.cuda.dispatcher"


class Pieces:
    """The hooks of the checked session: what the tool writes between two sizes belongs to the case between them."""

    def __init__(self, folder: Path, state: Callable[[], State], nodeid_of: Callable[[pytest.Item], str]) -> None:
        """Open the file of sizes; `nodeid_of` gives a test the node id that it has in the session that asked."""
        self._folder, self._state, self._nodeid_of = folder, state, nodeid_of
        self._file = (folder / PIECES).open("a", encoding="utf-8")
        self._note(event="process", nodeid="", pid=os.getpid())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note the size before the set-up and after the tear-down; a context that an error has killed ends the session, as nothing could be found in it."""
        if not is_case(item):
            return (yield)
        key = self._nodeid_of(item)
        line_information()
        self._wait()
        self._note(event="begin", nodeid=key, size=self._size())
        try:
            return (yield)
        finally:
            dead = self._wait()
            self._note(event="end", nodeid=key, size=self._size(), dead=dead)
            if dead is not None:
                item.session.shouldstop = f"gpuperf: {dead}"

    def _wait(self) -> str | None:
        """Let the device finish, as the tool writes what it found at a synchronisation; return what the device says if it no longer answers."""
        runtime = self._state().runtime
        if runtime.backend is None:
            return None
        try:
            runtime.operations()
            runtime.backend.synchronize()
        except Exception as error:  # noqa: BLE001  (whatever the driver says, the context is gone)
            return f"the CUDA context is no longer usable: {error}".partition("\n")[0]
        return None

    def _size(self) -> int:
        with contextlib.suppress(OSError):
            return (self._folder / LOG).stat().st_size
        return 0

    def _note(self, **line: Any) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


class CheckedGpuPerf(ChildGpuPerf):
    """The `gpuperf` object of a checked case: each body is called once with every argument set, on arrays that nobody else has read or written."""

    @contextlib.contextmanager
    def _profiler(self, bodies: Sequence[Body], outputs: Any, inout: Any, stream: Any) -> Iterator[Callable[[Body, str], Any]]:
        """Give what only calls a body; a poisoned output would be initialised, and a digest would read what is not."""
        del outputs
        runtime, nodeid = self._runtime, self._case.nodeid
        assert isinstance(runtime, ChildRuntime)
        operations, handle = runtime.operations(), runtime.stream if stream is None else handle_of(stream)
        kept: Buffers | None = None
        if operations is not None and len(bodies) > 1 and listed(inout):
            # All versions of a comparison start from the same bits, here too.
            assert runtime.backend is not None
            runtime.backend.synchronize()
            kept = Buffers(runtime.backend, operations, bodies[0], [], listed(inout))
            kept.prepare(handle)
            kept.snapshot(handle)

        def only_call(body: Body, name: str) -> Any:
            if kept is not None:
                kept.restore(handle)
            try:
                return call_once(body)
            finally:
                # What the body launched is found at a synchronisation.
                if runtime.backend is not None and operations is not None:
                    runtime.backend.synchronize()
                runtime.tells.measured(nodeid, name=name, slug=slug(nodeid, name), inputs=None, written=None, code=None)

        try:
            with runtime.on_stream(None if stream is None else handle):
                yield only_call
        finally:
            if kept is not None:
                kept.close()


class CheckedState(ChildState):
    """The state of a checked session."""

    verbs: ClassVar[type[GpuPerf]] = CheckedGpuPerf

    def report(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Tell how a case ended whatever its xfail makes of that: the session that asked has the mark too, and the verdict."""
        plain = copy.copy(report)
        error = None if call.excinfo is None else call.excinfo.value
        skipped = isinstance(error, (pytest.skip.Exception, pytest.xfail.Exception))
        plain.outcome = "passed" if error is None else "skipped" if skipped else "failed"
        super().report(item, call, plain)


def line_information() -> None:
    """Let numba compile kernels with line information from now on, so that findings have source lines; generated code stays the same.

    numba has no setting for that. Kernels with eager signatures, compiled when their module was imported, stay without.
    """
    module: Any = sys.modules.get(_DISPATCHERS)
    dispatcher = getattr(module, "CUDADispatcher", None)
    if dispatcher is None or getattr(dispatcher, "_gpuperf_lines", False):
        return
    for name in ("compile", "compile_device"):
        if callable(getattr(dispatcher, name, None)):
            setattr(dispatcher, name, _with_lines(getattr(dispatcher, name)))
    dispatcher._gpuperf_lines = True  # noqa: SLF001 - ours


def _with_lines(compile_one: Callable[..., Any]) -> Callable[..., Any]:
    def compile_with_lines(self: Any, *args: Any, **kw: Any) -> Any:
        if not self.targetoptions.get("debug"):
            self.targetoptions["lineinfo"] = True
        return compile_one(self, *args, **kw)

    return compile_with_lines
